//! The rows of the ring.

use automation_core::{AutomationId, RunId};
use plugin_api::{Db, Doc, Id, Text, Ts, Tx, db::DbError};

plugin_api::batch_row! {
    /// A decision to keep.
    pub(super) struct DecisionRow {
        pub automation_id: AutomationId,
        pub id: Id,
        pub at: Ts,
        pub occurrence: Text,
        pub trigger_id: String,
        pub context_key: Option<Text>,
        pub verdict: String,
        pub gate: Option<String>,
        pub detail: Doc,
        pub run_id: Option<RunId>,
    }
}
plugin_api::row! {
    /// A decision as it was kept; texts and detail are masked.
    #[derive(Clone, Debug)]
    pub struct DecisionRecord {
        /// Orders decisions.
        pub id: Id,
        /// When it was decided.
        pub at: Ts,
        /// Which emission of the event (`dispatch §5.2`): `dwell:<id>` for an expired dwell.
        pub occurrence: String,
        /// Effective trigger id.
        pub trigger_id: String,
        /// The domain entity it is about.
        pub context_key: Option<String>,
        /// A name of [`Ruling::verdict`](super::Ruling::verdict).
        pub verdict: String,
        /// The gate that decided; none when all were passed.
        pub gate: Option<String>,
        /// What the verdict carries; `facts` explains a false filter or condition.
        pub detail: Doc,
        /// The run it made.
        pub run_id: Option<RunId>,
    }
}

/// Which decisions to list.
#[derive(Clone, Debug, Default)]
pub struct DecisionFilter {
    /// About this entity.
    pub context_key: Option<String>,
    /// With this verdict.
    pub verdict: Option<String>,
    /// Not before this instant.
    pub since: Option<Ts>,
}

plugin_api::statements! {
    /// What belongs to an automation that was deleted meanwhile is left out.
    pub INSERT = {
        sqlite: "insert into automation_decisions(automation_id, id, at, occurrence, trigger_id, context_key, verdict, gate, detail, run_id) select r.value->>'automation_id', r.value->>'id', r.value->>'at', r.value->>'occurrence', r.value->>'trigger_id', r.value->>'context_key', r.value->>'verdict', r.value->>'gate', r.value->'detail', r.value->>'run_id' from jsonb_each($1) r where exists (select 1 from automations a where a.id = r.value->>'automation_id') on conflict do nothing",
        postgres: "insert into signalbox.automation_decisions(automation_id, id, at, occurrence, trigger_id, context_key, verdict, gate, detail, run_id) select r.* from unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::json[], $10::uuid[]) as r(automation_id, id, at, occurrence, trigger_id, context_key, verdict, gate, detail, run_id) where exists (select 1 from signalbox.automations a where a.id = r.automation_id) on conflict do nothing",
    };
    /// All but the newest `$1` of each automation of `$2`.
    pub PRUNE = {
        sqlite: "delete from automation_decisions where (automation_id, id) in (select d.automation_id, d.id from json_each($2) a join automation_decisions d on d.automation_id = a.value and d.id <= (select n.id from automation_decisions n where n.automation_id = a.value order by n.id desc limit 1 offset $1))",
        postgres: "delete from signalbox.automation_decisions where (automation_id, id) in (select d.automation_id, d.id from unnest($2::uuid[]) as a(id) cross join lateral (select n.id from signalbox.automation_decisions n where n.automation_id = a.id order by n.id desc limit 1 offset $1) c join signalbox.automation_decisions d on d.automation_id = a.id and d.id <= c.id for update of d skip locked)",
    };
    /// Newest first. `$2` below, `$3` context key, `$4` verdict, `$5` since: each null for all; `$6` how many.
    pub LIST = {
        sqlite: "select id, at, occurrence, trigger_id, context_key, verdict, gate, detail, run_id from automation_decisions where automation_id = $1 and id < $2 and ($3 is null or context_key = $3) and ($4 is null or verdict = $4) and ($5 is null or at >= $5) order by id desc limit $6",
        postgres: "select id, at, occurrence, trigger_id, context_key, verdict, gate, detail, run_id from signalbox.automation_decisions where automation_id = $1 and id < $2 and ($3::text is null or context_key = $3) and ($4::text is null or verdict = $4) and ($5::timestamptz is null or at >= $5) order by id desc limit $6",
    };
}

/// Keeps decisions.
pub(super) async fn insert(tx: &mut Tx, rows: &[DecisionRow]) -> Result<(), DbError> {
    tx.sql(INSERT).rows(rows).execute().await.map(drop)
}

/// Cuts the rings of automations to their newest `keep`; answers how many rows went.
pub(crate) async fn prune(db: &Db, automations: &[uuid::Uuid], keep: u32) -> Result<u64, DbError> {
    db.sql(PRUNE)
        .bind(i64::from(keep))
        .ids(automations)
        .execute()
        .await
}

/// A page of the ring, newest first, below an id.
pub(super) async fn list(
    db: &Db,
    automation: AutomationId,
    filter: &DecisionFilter,
    before: Option<Id>,
    limit: u32,
) -> Result<Vec<DecisionRecord>, DbError> {
    db.sql(LIST)
        .bind(automation)
        .bind(before.unwrap_or(Id(uuid::Uuid::max())))
        .bind(filter.context_key.clone().map(Text::new))
        .bind(filter.verdict.clone())
        .bind(filter.since)
        .bind(i64::from(limit))
        .all()
        .await
}
