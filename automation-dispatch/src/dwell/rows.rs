//! The rows of armed dwells.

use automation_core::{AutomationId, DwellId};
use plugin_api::{Doc, Text, Ts, Tx, db::DbError};

plugin_api::batch_row! {
    /// A dwell to arm.
    pub struct NewDwell {
        pub id: DwellId,
        pub automation_id: AutomationId,
        pub trigger_id: String,
        pub event_id: String,
        pub context_key: Option<Text>,
        pub armed_status: Option<String>,
        pub armed_ref: Option<String>,
        pub trigger_hash: String,
        pub payload_snapshot: Doc,
        pub actor_snapshot: Doc,
        pub cause: Option<Doc>,
        pub fire_at: Ts,
        pub created_at: Ts,
    }
}
plugin_api::batch_row! {
    /// What a dwell is to be armed by, where another one is in the way.
    pub struct Successor {
        pub automation_id: AutomationId,
        pub trigger_id: String,
        pub context_key: Option<Text>,
        pub trigger_hash: String,
        /// The version of the automation that the trigger is of.
        pub version: i64,
    }
}
plugin_api::row! {
    /// An armed dwell (`dispatch §3.8`).
    #[derive(Clone, Debug)]
    pub struct Dwell {
        /// Its id.
        pub id: DwellId,
        /// The automation.
        pub automation_id: AutomationId,
        /// Effective trigger id.
        pub trigger_id: String,
        /// Qualified event id.
        pub event_id: String,
        /// What it is about.
        pub context_key: Option<String>,
        /// Status when it was armed, where one could be read.
        pub armed_status: Option<String>,
        /// The entity that was read.
        pub armed_ref: Option<String>,
        /// The trigger as it was then.
        pub trigger_hash: String,
        /// The payload it was armed with.
        pub payload_snapshot: Doc,
        /// Who caused it.
        pub actor_snapshot: Doc,
        /// What led to it.
        pub cause: Option<Doc>,
        /// Its end.
        pub fire_at: Ts,
        /// When it was armed.
        pub created_at: Ts,
    }
}

plugin_api::statements! {
    pub INSERT = {
        sqlite: "insert into automation_dwell_timers(id, automation_id, trigger_id, event_id, context_key, armed_status, armed_ref, trigger_hash, payload_snapshot, actor_snapshot, cause, fire_at, created_at) select value->>'id', value->>'automation_id', value->>'trigger_id', value->>'event_id', value->>'context_key', value->>'armed_status', value->>'armed_ref', value->>'trigger_hash', value->'payload_snapshot', value->'actor_snapshot', case when json_type(value, '$.cause') = 'null' then null else value->'cause' end, value->>'fire_at', value->>'created_at' from jsonb_each($1) where true on conflict do nothing returning id",
        postgres: "insert into signalbox.automation_dwell_timers(id, automation_id, trigger_id, event_id, context_key, armed_status, armed_ref, trigger_hash, payload_snapshot, actor_snapshot, cause, fire_at, created_at) select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::json[], $10::json[], $11::json[], $12::timestamptz[], $13::timestamptz[]) on conflict do nothing returning id",
    };
    pub LOAD = {
        sqlite: "select id, automation_id, trigger_id, event_id, context_key, armed_status, armed_ref, trigger_hash, payload_snapshot, actor_snapshot, cause, fire_at, created_at from automation_dwell_timers where id in (select value from json_each($1))",
        postgres: "select id, automation_id, trigger_id, event_id, context_key, armed_status, armed_ref, trigger_hash, payload_snapshot, actor_snapshot, cause, fire_at, created_at from signalbox.automation_dwell_timers where id = any($1)",
    };
    /// Armed for a context key before an instant.
    pub OF_CONTEXT = "select id, automation_id, trigger_id, event_id, context_key, armed_status, armed_ref, trigger_hash, payload_snapshot, actor_snapshot, cause, fire_at, created_at from signalbox.automation_dwell_timers where context_key = $1 and created_at < $2";
    pub CONTEXTS = {
        sqlite: "select distinct context_key from automation_dwell_timers where context_key in (select value from json_each($1))",
        postgres: "select distinct context_key from signalbox.automation_dwell_timers where context_key = any($1)",
    };
    /// The claim: only who deletes a row may act on it.
    pub CLAIM = {
        sqlite: "delete from automation_dwell_timers where id in (select value from json_each($1)) returning id",
        postgres: "delete from signalbox.automation_dwell_timers where id in (select id from signalbox.automation_dwell_timers where id = any($1) order by id for update) returning id",
    };
    pub DELETE_BY_KEY = {
        sqlite: "delete from automation_dwell_timers where automation_id = $1 and trigger_id = $2 and coalesce('k:' || context_key, '-') = coalesce('k:' || $3, '-')",
        postgres: "delete from signalbox.automation_dwell_timers where automation_id = $1 and trigger_id = $2 and coalesce('k:' || context_key, '-') = coalesce('k:' || $3::text, '-')",
    };
    /// Takes the dwells that an older form of a trigger left where its newer form wants to arm; who
    /// still works with an older version of the automation takes nothing.
    pub SUPERSEDE = {
        sqlite: "delete from automation_dwell_timers where id in (select d.id from jsonb_each($1) r cross join automations a on a.id = r.value->>'automation_id' cross join automation_dwell_timers d on d.automation_id = a.id and d.trigger_id = r.value->>'trigger_id' and coalesce('k:' || d.context_key, '-') = coalesce('k:' || (r.value->>'context_key'), '-') where a.definition_version = r.value->>'version' and d.trigger_hash <> r.value->>'trigger_hash') returning id, automation_id, trigger_id, event_id, context_key, armed_status, armed_ref, trigger_hash, payload_snapshot, actor_snapshot, cause, fire_at, created_at",
        postgres: "delete from signalbox.automation_dwell_timers where id in (select d.id from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[]) as r(automation_id, trigger_id, context_key, trigger_hash, version) join signalbox.automations a on a.id = r.automation_id and a.definition_version = r.version join signalbox.automation_dwell_timers d on d.automation_id = r.automation_id and d.trigger_id = r.trigger_id and coalesce('k:' || d.context_key, '-') = coalesce('k:' || r.context_key, '-') where d.trigger_hash <> r.trigger_hash order by d.id for update of d) returning id, automation_id, trigger_id, event_id, context_key, armed_status, armed_ref, trigger_hash, payload_snapshot, actor_snapshot, cause, fire_at, created_at",
    };
    pub OF_KEY = {
        sqlite: "select fire_at from automation_dwell_timers where automation_id = $1 and trigger_id = $2 and coalesce('k:' || context_key, '-') = coalesce('k:' || $3, '-')",
        postgres: "select fire_at from signalbox.automation_dwell_timers where automation_id = $1 and trigger_id = $2 and coalesce('k:' || context_key, '-') = coalesce('k:' || $3::text, '-')",
    };
    pub DUE = "select id from signalbox.automation_dwell_timers where fire_at <= $1 order by fire_at, id limit $2";
    pub OF_AUTOMATION = "select id, automation_id, trigger_id, event_id, context_key, armed_status, armed_ref, trigger_hash, payload_snapshot, actor_snapshot, cause, fire_at, created_at from signalbox.automation_dwell_timers where automation_id = $1 order by fire_at, id";
    /// Disabling an automation ends what it has armed (`dispatch §6.5`).
    pub DELETE_OF_DISABLED = "delete from signalbox.automation_dwell_timers where automation_id in (select id from signalbox.automations where status = 'disabled') returning id, automation_id, trigger_id, event_id, context_key, armed_status, armed_ref, trigger_hash, payload_snapshot, actor_snapshot, cause, fire_at, created_at";
}

/// Inserts what is not there; answers what was inserted.
pub(super) async fn insert(tx: &mut Tx, rows: &[NewDwell]) -> Result<Vec<DwellId>, DbError> {
    tx.sql(INSERT).rows(rows).all().await
}

/// Takes the dwells in the way of edited triggers; answers them.
pub(super) async fn supersede(
    tx: &mut Tx,
    successors: &[Successor],
) -> Result<Vec<Dwell>, DbError> {
    if successors.is_empty() {
        return Ok(Vec::new());
    }
    tx.sql(SUPERSEDE).rows(successors).all().await
}

/// Takes rows; answers those that this call took.
pub(super) async fn claim(tx: &mut Tx, ids: &[DwellId]) -> Result<Vec<DwellId>, DbError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<uuid::Uuid> = ids.iter().map(|i| i.uuid()).collect();
    tx.sql(CLAIM).ids(&ids).all().await
}

/// Deletes the dwell of a key; true when there was one.
pub(super) async fn delete_by_key(
    tx: &mut Tx,
    automation: AutomationId,
    trigger: &str,
    context_key: Option<&str>,
) -> Result<bool, DbError> {
    tx.sql(DELETE_BY_KEY)
        .bind(automation)
        .bind(trigger.to_owned())
        .bind(context_key.map(Text::new))
        .execute()
        .await
        .map(|n| n > 0)
}

/// When the dwell of a key ends; none when none is armed.
pub async fn ends_at(
    tx: &mut Tx,
    automation: AutomationId,
    trigger: &str,
    context_key: Option<&str>,
) -> Result<Option<Ts>, DbError> {
    tx.sql(OF_KEY)
        .bind(automation)
        .bind(trigger.to_owned())
        .bind(context_key.map(Text::new))
        .optional()
        .await
}
