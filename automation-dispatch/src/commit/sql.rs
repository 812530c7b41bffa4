//! One statement a table and batch (design §3.2). On SQLite a `+` keeps a condition from choosing the
//! index: rows are found by their ids, however many runs have the status.
//!
//! Order of locks on Postgres: state rows first, sorted, then run rows. Everything that fires,
//! cancels or checkpoints keeps it (`dispatch §9.3.5`).

plugin_api::statements! {
    /// Locks the state rows of runs that are still held under the epochs given, in one order.
    /// What does not come back was lost, cancelled or deleted: its writes are dropped.
    pub HOLD = {
        sqlite: "select s.run_id from automation_run_state s join jsonb_each($2) r on s.run_id = r.value->>'run_id' and s.lease_epoch = r.value->>'epoch' where s.lease_owner = $1",
        postgres: "select s.run_id from signalbox.automation_run_state s join unnest($2::uuid[], $3::bigint[]) as r(run_id, epoch) on s.run_id = r.run_id and s.lease_epoch = r.epoch where s.lease_owner = $1 order by s.run_id for update of s",
    };
    pub INSERT_RUNS = {
        sqlite: "insert into automation_runs(id, automation_id, trigger_id, trigger_event_id, trigger_payload, context_key, status, error_code, error_message, actor, definition_version, cause, dedup_key, started_at, finished_at) select value->>'id', value->>'automation_id', value->>'trigger_id', value->>'trigger_event_id', value->'trigger_payload', value->>'context_key', value->>'status', value->>'error_code', value->>'error_message', value->'actor', value->>'definition_version', case when json_type(value, '$.cause') = 'null' then null else value->'cause' end, value->>'dedup_key', value->>'started_at', value->>'finished_at' from jsonb_each($1) where true on conflict do nothing returning id",
        postgres: "insert into signalbox.automation_runs(id, automation_id, trigger_id, trigger_event_id, trigger_payload, context_key, status, error_code, error_message, actor, definition_version, cause, dedup_key, started_at, finished_at) select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::json[], $6::text[], $7::text[], $8::text[], $9::text[], $10::json[], $11::bigint[], $12::json[], $13::text[], $14::timestamptz[], $15::timestamptz[]) on conflict do nothing returning id",
    };
    /// A pending run whose turn has come (`dispatch §8.5`); whoever changes the row starts it.
    pub START_PENDING = {
        sqlite: "update automation_runs set status = r.value->>'status', error_code = r.value->>'error_code', error_message = r.value->>'error_message', started_at = r.value->>'started_at', finished_at = r.value->>'finished_at' from jsonb_each($1) r where automation_runs.id = r.value->>'id' and +automation_runs.status = 'pending' returning id",
        postgres: "update signalbox.automation_runs a set status = r.status, error_code = r.code, error_message = r.message, started_at = r.started_at, finished_at = r.finished_at from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[]) as r(id, status, code, message, started_at, finished_at) where a.id = r.id and a.status = 'pending' returning a.id",
    };
    pub INSERT_STATES = {
        sqlite: "insert into automation_run_state(run_id, scope_snapshot, last_action_path, last_heartbeat_at, updated_at, lease_owner, lease_expires_at, lease_epoch) select value->>'run_id', value->'scope_snapshot', value->>'last_action_path', value->>'at', value->>'at', value->>'lease_owner', value->>'lease_expires_at', 1 from jsonb_each($1)",
        postgres: "insert into signalbox.automation_run_state(run_id, scope_snapshot, last_action_path, last_heartbeat_at, updated_at, lease_owner, lease_expires_at, lease_epoch) select r.run_id, r.snapshot, r.path, r.at, r.at, r.owner, r.expires, 1 from unnest($1::uuid[], $2::json[], $3::text[], $4::timestamptz[], $5::text[], $6::timestamptz[]) as r(run_id, snapshot, path, at, owner, expires)",
    };
    /// Only for rows locked by [`HOLD`] in the same transaction. A lease that goes on is never
    /// shortened: a renewal may have passed this commit while it waited for the row.
    pub CHECKPOINT = {
        sqlite: "update automation_run_state set scope_snapshot = r.value->'scope_snapshot', last_action_path = r.value->>'last_action_path', cursors = r.value->'cursors', lease_owner = r.value->>'lease_owner', lease_expires_at = max(lease_expires_at, r.value->>'lease_expires_at'), last_heartbeat_at = $2, updated_at = $2 from jsonb_each($3) r where automation_run_state.run_id = r.value->>'run_id' and automation_run_state.lease_owner = $1",
        postgres: "update signalbox.automation_run_state s set scope_snapshot = r.snapshot, last_action_path = r.path, cursors = r.cursors, lease_owner = r.owner, lease_expires_at = case when r.expires is not null then greatest(s.lease_expires_at, r.expires) end, last_heartbeat_at = $2, updated_at = $2 from unnest($3::uuid[], $4::json[], $5::text[], $6::json[], $7::text[], $8::timestamptz[]) as r(run_id, snapshot, path, cursors, owner, expires) where s.run_id = r.run_id and s.lease_owner = $1",
    };
    pub UPSERT_STEPS = {
        sqlite: "insert into automation_run_steps(id, run_id, action_path, action_id, action_kind, provider_action_id, status, attempts, error_code, error_message, result_payload, started_at, finished_at) select value->>'id', value->>'run_id', value->>'action_path', value->>'action_id', value->>'action_kind', value->>'provider_action_id', value->>'status', value->>'attempts', value->>'error_code', value->>'error_message', case when json_type(value, '$.result_payload') = 'null' then null else value->'result_payload' end, value->>'started_at', value->>'finished_at' from jsonb_each($1) where true on conflict(run_id, action_path) do update set status = excluded.status, attempts = max(attempts, excluded.attempts), error_code = coalesce(excluded.error_code, error_code), error_message = coalesce(excluded.error_message, error_message), result_payload = coalesce(excluded.result_payload, result_payload), finished_at = excluded.finished_at",
        postgres: "insert into signalbox.automation_run_steps as s (id, run_id, action_path, action_id, action_kind, provider_action_id, status, attempts, error_code, error_message, result_payload, started_at, finished_at) select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::text[], $10::text[], $11::json[], $12::timestamptz[], $13::timestamptz[]) on conflict(run_id, action_path) do update set status = excluded.status, attempts = greatest(s.attempts, excluded.attempts), error_code = coalesce(excluded.error_code, s.error_code), error_message = coalesce(excluded.error_message, s.error_message), result_payload = coalesce(excluded.result_payload, s.result_payload), finished_at = excluded.finished_at",
    };
    pub UPSERT_ARTIFACTS = {
        sqlite: "insert into automation_artifacts(id, automation_id, run_id, step_id, action_id, artifact_type, data, context_key, closed_at, created_at) select value->>'id', value->>'automation_id', value->>'run_id', value->>'step_id', value->>'action_id', value->>'artifact_type', value->'data', value->>'context_key', value->>'closed_at', value->>'created_at' from jsonb_each($1) where true on conflict(step_id) do update set data = excluded.data, artifact_type = excluded.artifact_type, closed_at = excluded.closed_at, created_at = excluded.created_at",
        postgres: "insert into signalbox.automation_artifacts(id, automation_id, run_id, step_id, action_id, artifact_type, data, context_key, closed_at, created_at) select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::json[], $8::text[], $9::timestamptz[], $10::timestamptz[]) on conflict(step_id) do update set data = excluded.data, artifact_type = excluded.artifact_type, closed_at = excluded.closed_at, created_at = excluded.created_at",
    };
    pub INSERT_LOCKS = {
        sqlite: "insert into automation_wait_locks(id, run_id, action_path, kind, event_id, context_key, filter_template, wait_config, timeout_at, next_check_at, created_at, checked_at) select value->>'id', value->>'run_id', value->>'action_path', value->>'kind', value->>'event_id', value->>'context_key', value->>'filter_template', case when json_type(value, '$.wait_config') = 'null' then null else value->'wait_config' end, value->>'timeout_at', value->>'next_check_at', value->>'created_at', case when value->>'kind' = 'until' then value->>'created_at' end from jsonb_each($1) where true on conflict do nothing",
        postgres: "insert into signalbox.automation_wait_locks(id, run_id, action_path, kind, event_id, context_key, filter_template, wait_config, timeout_at, next_check_at, created_at, checked_at) select r.*, case when r.kind = 'until' then r.created_at end from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::json[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[]) as r(id, run_id, path, kind, event_id, context_key, filter, config, timeout_at, next_check_at, created_at) on conflict do nothing",
    };
    pub INSERT_WAKES = {
        sqlite: "insert into automation_wake_index(id, wait_lock_id, ref) select value->>'id', value->>'wait_lock_id', value->>'entity_ref' from jsonb_each($1) where true on conflict do nothing",
        postgres: "insert into signalbox.automation_wake_index(id, wait_lock_id, ref) select * from unnest($1::uuid[], $2::uuid[], $3::text[]) on conflict do nothing",
    };
    pub DELETE_LOCKS = {
        sqlite: "delete from automation_wait_locks where id in (select value from json_each($1))",
        postgres: "delete from signalbox.automation_wait_locks where id = any($1)",
    };
    pub CHECKED = {
        sqlite: "update automation_wait_locks set checked_at = r.value->>'checked_at', next_check_at = r.value->>'next_check_at' from jsonb_each($1) r where automation_wait_locks.id = r.value->>'id' and fired_at is null",
        postgres: "update signalbox.automation_wait_locks l set checked_at = r.checked_at, next_check_at = r.next_check_at from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[]) as r(id, checked_at, next_check_at) where l.id = r.id and l.fired_at is null",
    };
    /// Runs among these that have a fired lock: they must not rest (`dispatch §9.3.4`).
    pub FIRED_RUNS = {
        sqlite: "select distinct run_id from automation_wait_locks where fired_at is not null and run_id in (select value from json_each($1))",
        postgres: "select distinct run_id from signalbox.automation_wait_locks where fired_at is not null and run_id = any($1)",
    };
    pub SET_WAITING = {
        sqlite: "update automation_runs set status = 'waiting' where +status = 'running' and id in (select value from json_each($1))",
        postgres: "update signalbox.automation_runs set status = 'waiting' where status = 'running' and id = any($1)",
    };
    pub SET_RUNNING = {
        sqlite: "update automation_runs set status = 'running', error_code = null, error_message = null where +status = 'waiting' and id in (select value from json_each($1))",
        postgres: "update signalbox.automation_runs set status = 'running', error_code = null, error_message = null where status = 'waiting' and id = any($1)",
    };
    /// On Postgres with the locks and states of the runs, in one round trip; SQLite changes one table a
    /// statement ([`DELETE_LOCKS_OF_RUNS`], [`DELETE_STATES`]).
    pub FINISH = {
        sqlite: "update automation_runs set status = r.value->>'status', error_code = r.value->>'error_code', error_message = r.value->>'error_message', finished_at = r.value->>'finished_at' from jsonb_each($1) r where automation_runs.id = r.value->>'run_id' and +automation_runs.status in ('running', 'waiting')",
        postgres: "with r as (select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[]) as r(run_id, status, code, message, finished_at)), locks as (delete from signalbox.automation_wait_locks l using r where l.run_id = r.run_id), states as (delete from signalbox.automation_run_state s using r where s.run_id = r.run_id) update signalbox.automation_runs a set status = r.status, error_code = r.code, error_message = r.message, finished_at = r.finished_at from r where a.id = r.run_id and a.status in ('running', 'waiting')",
    };
    pub DELETE_LOCKS_OF_RUNS = {
        sqlite: "delete from automation_wait_locks where run_id in (select value from json_each($1))",
        postgres: "delete from signalbox.automation_wait_locks where run_id = any($1)",
    };
    pub DELETE_STATES = {
        sqlite: "delete from automation_run_state where run_id in (select value from json_each($1))",
        postgres: "delete from signalbox.automation_run_state where run_id = any($1)",
    };
    /// Steps that were open when their run ended otherwise than by walking to its end.
    pub CLOSE_STEPS = {
        sqlite: "update automation_run_steps set status = $1, error_code = $2, error_message = $3, finished_at = $4 where finished_at is null and run_id in (select value from json_each($5))",
        postgres: "update signalbox.automation_run_steps set status = $1, error_code = $2, error_message = $3, finished_at = $4 where finished_at is null and run_id = any($5)",
    };
    pub INSERT_LOGS = {
        sqlite: "insert into automation_run_logs(id, run_id, action_path, at, level, message) select value->>'id', value->>'run_id', value->>'action_path', value->>'at', value->>'level', value->>'message' from jsonb_each($1) where true on conflict do nothing",
        postgres: "insert into signalbox.automation_run_logs(id, run_id, action_path, at, level, message) select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::text[], $6::text[]) on conflict do nothing",
    };
}
