//! `window:` on a trigger (`dispatch §7`): how often it must fire before a run starts.
//!
//! Each qualifying occurrence is one row of its bucket – automation, trigger, event and partition –
//! at the occurrence's own time. Insert and count are one critical section for a bucket, and the
//! ledger row written with them gives a redelivered occurrence its first answer again.

pub mod decide;

use crate::{concurrency, fire::LedgerKey};
use automation_core::{AutomationId, definition::Refire};
use decide::{Count, Newest};
use plugin_api::{Id, Text, Ts, Tx, db::DbError};
use std::collections::{HashMap, HashSet};

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

/// What the gate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The window holds it back, or lets it pass.
    Counted(Count),
    /// This occurrence was decided before.
    Decided,
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
plugin_api::batch_row! {
    struct BucketRow { n: i64, automation_id: AutomationId, trigger_id: String, event_id: String, key: String, most: i64 }
}
plugin_api::row! {
    struct TimeRow { n: i64, occurred_at: Ts }
}
plugin_api::row! {
    struct KnownRow { key: String, window_fired: Option<i64>, decision: Option<String> }
}

plugin_api::statements! {
    pub INSERT = {
        sqlite: "insert into automation_window_events(id, automation_id, trigger_id, event_id, context_key, occurred_at, recorded_at) select value->>'id', value->>'automation_id', value->>'trigger_id', value->>'event_id', value->>'context_key', value->>'occurred_at', value->>'recorded_at' from json_each($1)",
        postgres: "insert into signalbox.automation_window_events(id, automation_id, trigger_id, event_id, context_key, occurred_at, recorded_at) select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[])",
    };
    /// The newest occurrences of each bucket.
    pub NEWEST = {
        sqlite: "select b.value->>'n' as n, e.occurred_at from json_each($1) b join automation_window_events e on e.id in (select i.id from automation_window_events i where i.automation_id = b.value->>'automation_id' and i.trigger_id = b.value->>'trigger_id' and i.event_id = b.value->>'event_id' and coalesce('k:' || i.context_key, '-') = b.value->>'key' order by i.occurred_at desc limit b.value->>'most')",
        postgres: "select b.n, e.occurred_at from unnest($1::bigint[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[]) as b(n, automation_id, trigger_id, event_id, key, most), lateral (select i.occurred_at from signalbox.automation_window_events i where i.automation_id = b.automation_id and i.trigger_id = b.trigger_id and i.event_id = b.event_id and coalesce('k:' || i.context_key, '-') = b.key order by i.occurred_at desc limit b.most) e",
    };
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
    let mut newest = newest(tx, asks).await?;
    let (mut answers, mut rows, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    for ask in asks {
        if !seen.insert(ask.key.text()) {
            // The same occurrence twice in one batch is one.
            answers.push(Answer::Decided);
            continue;
        }
        match known.get(ask.key.text()) {
            Some(KnownRow {
                decision: Some(_), ..
            }) => answers.push(Answer::Decided),
            Some(KnownRow {
                window_fired: Some(fired),
                ..
            }) => {
                answers.push(Answer::Counted(Count {
                    fires: *fired != 0,
                    n: 0,
                }));
            }
            _ => {
                let times = newest.entry(bucket(ask)).or_default();
                answers.push(Answer::Counted(times.add(
                    ask.at,
                    ask.count,
                    ask.minutes,
                    ask.refire,
                )));
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

async fn newest<'a>(tx: &mut Tx, asks: &[Ask<'a>]) -> Result<HashMap<Bucket<'a>, Newest>, DbError> {
    let mut buckets: Vec<(Bucket<'a>, u32)> = Vec::new();
    let mut places: HashMap<Bucket<'a>, usize> = HashMap::new();
    for ask in asks {
        let at = *places.entry(bucket(ask)).or_insert_with(|| {
            buckets.push((bucket(ask), 0));
            buckets.len() - 1
        });
        buckets[at].1 = buckets[at].1.max(ask.count);
    }
    let rows: Vec<BucketRow> = buckets
        .iter()
        .enumerate()
        .map(
            |(n, ((automation, trigger, event, partition), count))| BucketRow {
                n: n as i64,
                automation_id: *automation,
                trigger_id: (*trigger).to_owned(),
                event_id: (*event).to_owned(),
                key: concurrency::index_key(partition.as_deref()),
                most: i64::from(*count) + 1,
            },
        )
        .collect();
    let found: Vec<TimeRow> = tx.sql(NEWEST).rows(&rows).all().await?;
    let mut times: Vec<Vec<Ts>> = vec![Vec::new(); buckets.len()];
    for row in found {
        if let Some(of_bucket) = times.get_mut(row.n as usize) {
            of_bucket.push(row.occurred_at);
        }
    }
    let of = |(b, times): ((Bucket<'a>, u32), Vec<Ts>)| (b.0, Newest::of(times));
    Ok(buckets.into_iter().zip(times).map(of).collect())
}
