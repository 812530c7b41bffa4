//! `window:` on a trigger (`dispatch §7`): how often it must fire before a run starts.
//!
//! Each qualifying occurrence is one row of its bucket – automation, trigger, event and partition –
//! at the occurrence's own time. Insert and count are one critical section for a bucket, and the
//! ledger row written with them gives a redelivered occurrence its first answer again.

pub mod decide;

use crate::{concurrency, fire::LedgerKey};
use automation_core::{AutomationId, definition::Refire};
pub use decide::Answer;
use decide::{Newest, before};
use plugin_api::{Id, Text, Ts, Tx, db::DbError};
use std::collections::{HashMap, HashSet, hash_map::Entry};

/// An occurrence to count.
pub struct Ask<'a> {
    /// Names the decision.
    pub key: &'a LedgerKey,
    /// The automation.
    pub automation: AutomationId,
    /// Effective trigger id.
    pub trigger: &'a str,
    /// Qualified event id.
    pub event: &'a str,
    /// The partition; none is one of its own.
    pub partition: Option<String>,
    /// When it happened.
    pub at: Ts,
    /// 1–1000.
    pub count: u32,
    /// 1–1440.
    pub minutes: u32,
    /// Fires once or for each.
    pub refire: Refire,
}

plugin_api::batch_row! {
    struct EventRow {
        id: Id,
        automation_id: AutomationId,
        trigger_id: String,
        event_id: String,
        context_key: Option<Text>,
        occurred_at: Ts,
        recorded_at: Ts,
    }
}
plugin_api::row! {
    struct KnownRow { key: String, window_fired: Option<i64>, decision: Option<String> }
}

plugin_api::statements! {
    pub INSERT = {
        sqlite: "insert into automation_window_events(id, automation_id, trigger_id, event_id, context_key, occurred_at, recorded_at) select value->>'id', value->>'automation_id', value->>'trigger_id', value->>'event_id', value->>'context_key', value->>'occurred_at', value->>'recorded_at' from jsonb_each($1)",
        postgres: "insert into signalbox.automation_window_events(id, automation_id, trigger_id, event_id, context_key, occurred_at, recorded_at) select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[])",
    };
    /// The newest occurrences of a bucket.
    pub NEWEST = "select occurred_at from signalbox.automation_window_events where automation_id = $1 and trigger_id = $2 and event_id = $3 and coalesce('k:' || context_key, '-') = $4 order by occurred_at desc limit $5";
    pub KNOWN = {
        sqlite: "select key, window_fired, decision from automation_occurrences where key in (select value from json_each($1))",
        postgres: "select key, window_fired, decision from signalbox.automation_occurrences where key = any($1)",
    };
}

type Bucket<'a> = (AutomationId, &'a str, &'a str, Option<String>);

fn bucket<'a>(ask: &Ask<'a>) -> Bucket<'a> {
    (
        ask.automation,
        ask.trigger,
        ask.event,
        ask.partition.clone(),
    )
}

/// Counts occurrences inside `tx`, in order; one answer each.
pub async fn count(
    tx: &mut Tx,
    now: Ts,
    ids: &(dyn Fn() -> uuid::Uuid + Sync),
    asks: &[Ask<'_>],
) -> Result<Vec<Answer>, DbError> {
    if asks.is_empty() {
        return Ok(Vec::new());
    }
    let sections = asks.iter().map(|a| {
        let key = concurrency::index_key(a.partition.as_deref());
        format!(
            "automation.window:{}:{}:{}:{key}",
            a.automation, a.trigger, a.event
        )
    });
    concurrency::lock(tx, sections).await?;
    let keys: Vec<String> = asks.iter().map(|a| a.key.text().to_owned()).collect();
    let known: Vec<KnownRow> = tx.sql(KNOWN).texts(&keys).all().await?;
    let known: HashMap<String, KnownRow> = known.into_iter().map(|k| (k.key.clone(), k)).collect();
    let mut buckets: HashMap<Bucket<'_>, Newest> = HashMap::new();
    let (mut answers, mut rows, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    for ask in asks {
        if !seen.insert(ask.key.text()) {
            // The same occurrence twice in one batch is one.
            answers.push(Answer::Decided);
            continue;
        }
        let known = known.get(ask.key.text());
        match known.and_then(|k| before(k.window_fired, k.decision.is_some())) {
            Some(answer) => answers.push(answer),
            None => {
                let times = match buckets.entry(bucket(ask)) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(new) => new.insert(newest(tx, ask).await?),
                };
                let count = times.add(ask.at, ask.count, ask.minutes, ask.refire);
                answers.push(Answer::Counted(count));
                rows.push(EventRow {
                    id: Id(ids()),
                    automation_id: ask.automation,
                    trigger_id: ask.trigger.to_owned(),
                    event_id: ask.event.to_owned(),
                    context_key: ask.partition.clone().map(Text::new),
                    occurred_at: ask.at,
                    recorded_at: now,
                });
            }
        }
    }
    if !rows.is_empty() {
        tx.sql(INSERT).rows(&rows).execute().await?;
    }
    Ok(answers)
}

/// As many as the answer can depend on.
async fn newest(tx: &mut Tx, ask: &Ask<'_>) -> Result<Newest, DbError> {
    let times: Vec<Ts> = tx
        .sql(NEWEST)
        .bind(ask.automation)
        .bind(ask.trigger.to_owned())
        .bind(ask.event.to_owned())
        .bind(concurrency::index_key(ask.partition.as_deref()))
        .bind(i64::from(ask.count) + 1)
        .all()
        .await?;
    Ok(Newest::of(times))
}
