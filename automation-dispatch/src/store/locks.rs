//! Wait locks: finding the ones a change or a timer concerns, and firing them.

use automation_core::{AutomationId, LockId, RunId};
use plugin_api::{Doc, Ts};

plugin_api::row! {
    /// A lock with what evaluating it needs.
    #[derive(Clone, Debug)]
    pub struct LockRecord {
        /// Its id.
        pub id: LockId,
        /// Its run.
        pub run_id: RunId,
        /// Path of the wait.
        pub action_path: String,
        /// `delay`, `until` or `trigger`.
        pub kind: String,
        /// Kind `until`: condition and policy.
        pub wait_config: Option<Doc>,
        /// Deadline.
        pub timeout_at: Option<Ts>,
        /// Fired already.
        pub fired_at: Option<Ts>,
        /// Kind `until`: when it is looked at next without a change.
        pub next_check_at: Option<Ts>,
        /// The run's automation.
        pub automation_id: AutomationId,
        /// The run's status.
        pub status: String,
        /// The run's checkpoint; none when it has no state row.
        pub scope_snapshot: Option<Doc>,
    }
}

impl LockRecord {
    /// True when its run has ended: the lock is a left-over.
    pub fn is_over(&self) -> bool {
        let ended = ["success", "failed", "cancelled", "skipped"];
        ended.contains(&self.status.as_str())
    }
}

plugin_api::row! {
    /// A lock that waits for an event.
    #[derive(Clone, Debug)]
    pub struct AwaitingRecord {
        /// The lock.
        pub id: LockId,
        /// Its run.
        pub run_id: RunId,
        /// The run's automation.
        pub automation_id: AutomationId,
        /// The event it waits for.
        pub event_id: String,
        /// The key it waits for.
        pub context_key: Option<String>,
        /// When the wait began.
        pub created_at: Ts,
    }
}

plugin_api::statements! {
    /// `trigger` locks on these events with these keys; the caller pairs them.
    pub AWAITING = {
        sqlite: "select l.id, l.run_id, r.automation_id, l.event_id, l.context_key, l.created_at from automation_wait_locks l join automation_runs r on r.id = l.run_id where l.event_id in (select value from json_each($1)) and l.context_key in (select value from json_each($2)) and l.kind = 'trigger' and l.fired_at is null order by l.created_at, l.id",
        postgres: "select l.id, l.run_id, r.automation_id, l.event_id, l.context_key, l.created_at from signalbox.automation_wait_locks l join signalbox.automation_runs r on r.id = l.run_id where l.event_id = any($1) and l.context_key = any($2) and l.kind = 'trigger' and l.fired_at is null order by l.created_at, l.id",
    };
    /// `trigger` locks on these events without a key.
    pub AWAITING_KEYLESS = {
        sqlite: "select l.id, l.run_id, r.automation_id, l.event_id, l.context_key, l.created_at from automation_wait_locks l join automation_runs r on r.id = l.run_id where l.event_id in (select value from json_each($1)) and l.context_key is null and l.kind = 'trigger' and l.fired_at is null order by l.created_at, l.id",
        postgres: "select l.id, l.run_id, r.automation_id, l.event_id, l.context_key, l.created_at from signalbox.automation_wait_locks l join signalbox.automation_runs r on r.id = l.run_id where l.event_id = any($1) and l.context_key is null and l.kind = 'trigger' and l.fired_at is null order by l.created_at, l.id",
    };
    pub LOAD = {
        sqlite: "select l.id, l.run_id, l.action_path, l.kind, l.wait_config, l.timeout_at, l.fired_at, l.next_check_at, r.automation_id, r.status, s.scope_snapshot from automation_wait_locks l join automation_runs r on r.id = l.run_id left join automation_run_state s on s.run_id = l.run_id where l.id in (select value from json_each($1))",
        postgres: "select l.id, l.run_id, l.action_path, l.kind, l.wait_config, l.timeout_at, l.fired_at, l.next_check_at, r.automation_id, r.status, s.scope_snapshot from signalbox.automation_wait_locks l join signalbox.automation_runs r on r.id = l.run_id left join signalbox.automation_run_state s on s.run_id = l.run_id where l.id = any($1)",
    };
    /// `until` locks that a change of one of these refs concerns; a lock that matches by id and by
    /// wildcard comes once a ref. Beside them one row with the generation of the automations, so that
    /// whoever routes changes knows of every edit without a read of its own.
    pub WOKEN = {
        sqlite: "select value as generation, null as id, null as run_id, null as entity_ref, null as created_at from automation_generation where one = 1 union all select distinct null, l.id, l.run_id, w.ref, l.created_at from automation_wake_index w join automation_wait_locks l on l.id = w.wait_lock_id where w.ref in (select value from json_each($1)) and l.fired_at is null order by 5, 2",
        postgres: "select value as generation, null::uuid as id, null::uuid as run_id, null::text as entity_ref, null::timestamptz as created_at from signalbox.automation_generation where one = 1 union all select distinct null::bigint, l.id, l.run_id, w.ref, l.created_at from signalbox.automation_wake_index w join signalbox.automation_wait_locks l on l.id = w.wait_lock_id where w.ref = any($1) and l.fired_at is null order by 5, 2",
    };
    /// Locks the state rows of runs that are about to be fired, in one order (`dispatch §9.3.5`).
    pub LOCK_STATES = {
        sqlite: "select run_id from automation_run_state where run_id in (select value from json_each($1))",
        postgres: "select run_id from signalbox.automation_run_state where run_id = any($1) order by run_id for update",
    };
    /// The claim of a wait: whoever marks it first wins.
    pub FIRE = {
        sqlite: "update automation_wait_locks set fired_at = $1, fire_reason = r.value->>'reason', resume_payload = case when json_type(r.value, '$.payload') = 'null' then null else r.value->'payload' end from jsonb_each($2) r where automation_wait_locks.id = r.value->>'id' and fired_at is null returning run_id",
        postgres: "update signalbox.automation_wait_locks l set fired_at = $1, fire_reason = r.reason, resume_payload = r.payload from unnest($2::uuid[], $3::text[], $4::json[]) as r(id, reason, payload) where l.id = r.id and l.fired_at is null returning l.run_id",
    };
    pub DELETE_OF_RUN = "delete from signalbox.automation_wait_locks where run_id = $1";
    pub DELETE = "delete from signalbox.automation_wait_locks where id = $1";
    pub OLDEST_FIRED = "select id, action_path, fire_reason, resume_payload from signalbox.automation_wait_locks where run_id = $1 and fired_at is not null order by fired_at, created_at, id limit 1";
}

plugin_api::row! {
    /// A lock that a change concerns, or the generation of the automations.
    pub struct WokenRecord {
        /// The generation; none in the row of a lock.
        pub generation: Option<i64>,
        /// The lock.
        pub id: Option<LockId>,
        /// Its run.
        pub run_id: Option<RunId>,
        /// The ref that matched.
        pub entity_ref: Option<String>,
    }
}
plugin_api::row! {
    /// A lock that was fired.
    pub struct FiredRecord {
        /// The lock.
        pub id: LockId,
        /// Path of the wait.
        pub action_path: String,
        /// Why.
        pub fire_reason: Option<String>,
        /// What the event carried.
        pub resume_payload: Option<Doc>,
    }
}
plugin_api::batch_row! {
    /// A lock to fire.
    pub struct FireRow {
        pub id: LockId,
        pub reason: String,
        pub payload: Option<Doc>,
    }
}
