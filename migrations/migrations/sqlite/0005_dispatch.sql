-- Runs, their steps, waits and dwells (dispatch §3.2–3.8, 3.10, 3.11).
create table automation_runs(
  id text primary key, automation_id text not null references automations(id) on delete cascade,
  trigger_id text not null, trigger_event_id text not null, trigger_payload text not null, context_key text,
  status text not null, error_code text, error_message text, actor text not null, definition_version integer not null,
  cause text, dedup_key text unique, mask_incomplete integer not null default 0, started_at integer not null, finished_at integer
) without rowid;
create index automation_runs_automation_idx on automation_runs(automation_id, started_at);
create index automation_runs_status_idx on automation_runs(status);
create index automation_runs_context_key_idx on automation_runs(automation_id, context_key);
-- What the concurrency check reads: active runs only, however long the history is.
create index automation_runs_active_idx on automation_runs(automation_id, coalesce('k:' || context_key, '-')) where status in ('pending', 'running', 'waiting');
-- Active runs by age, however long the history is.
create index automation_runs_age_idx on automation_runs(started_at) where status in ('pending', 'running', 'waiting');
-- Runs that wait for their turn, oldest first.
create index automation_runs_pending_idx on automation_runs(automation_id, started_at, id) where status = 'pending';
create table automation_run_steps(
  id text primary key, run_id text not null references automation_runs(id) on delete cascade,
  action_path text not null, action_id text, action_kind text not null, provider_action_id text,
  status text not null, attempts integer not null, error_code text, error_message text, result_payload text,
  started_at integer not null, finished_at integer, unique(run_id, action_path)
) without rowid;
create table automation_artifacts(
  id text primary key, automation_id text not null references automations(id) on delete cascade,
  run_id text not null references automation_runs(id) on delete cascade,
  step_id text not null unique references automation_run_steps(id) on delete cascade,
  action_id text, artifact_type text not null, data text not null, context_key text, closed_at integer, created_at integer not null
) without rowid;
create index automation_artifacts_context_lookup_idx on automation_artifacts(automation_id, context_key, artifact_type, created_at);
create index automation_artifacts_action_lookup_idx on automation_artifacts(automation_id, action_id, created_at);
create index automation_artifacts_open_idx on automation_artifacts(automation_id, closed_at);
create index automation_artifacts_run_idx on automation_artifacts(run_id);
create table automation_wait_locks(
  id text primary key, run_id text not null references automation_runs(id) on delete cascade,
  action_path text not null, kind text not null, event_id text not null, context_key text, filter_template text,
  wait_config text, timeout_at integer, created_at integer not null, fired_at integer, fire_reason text,
  resume_payload text, next_check_at integer, checked_at integer, unique(run_id, action_path)
) without rowid;
create index automation_wait_locks_event_lookup_idx on automation_wait_locks(event_id, context_key);
create index automation_wait_locks_timeout_idx on automation_wait_locks(timeout_at);
create index automation_wait_locks_kind_idx on automation_wait_locks(kind, checked_at);
create index automation_wait_locks_next_check_idx on automation_wait_locks(next_check_at);
create index automation_wait_locks_fired_idx on automation_wait_locks(fired_at) where fired_at is not null;
create table automation_wake_index(
  id text primary key, wait_lock_id text not null references automation_wait_locks(id) on delete cascade, ref text not null,
  unique(wait_lock_id, ref)
) without rowid;
create index automation_wake_index_ref_idx on automation_wake_index(ref);
create table automation_run_state(
  run_id text primary key references automation_runs(id) on delete cascade,
  scope_snapshot text not null, last_action_path text, last_heartbeat_at integer not null, updated_at integer not null,
  lease_owner text, lease_expires_at integer, lease_epoch integer not null default 0, cursors text not null default '[]'
) without rowid;
create index automation_run_state_heartbeat_idx on automation_run_state(last_heartbeat_at);
create table automation_dwell_timers(
  id text primary key, automation_id text not null references automations(id) on delete cascade,
  trigger_id text not null, event_id text not null, context_key text, armed_status text, armed_ref text,
  trigger_hash text not null, payload_snapshot text not null, actor_snapshot text not null, cause text,
  fire_at integer not null, created_at integer not null
) without rowid;
-- SQL holds nulls distinct; the key must hold for the null context key too.
create unique index automation_dwell_timers_key_unique on automation_dwell_timers(automation_id, trigger_id, coalesce('k:' || context_key, '-'));
create index automation_dwell_timers_fire_at_idx on automation_dwell_timers(fire_at);
create index automation_dwell_timers_context_idx on automation_dwell_timers(context_key);
-- One row for each occurrence that counts towards a window (dispatch §3.9); `context_key` is the partition.
create table automation_window_events(
  id text primary key, automation_id text not null references automations(id) on delete cascade,
  trigger_id text not null, event_id text not null, context_key text, occurred_at integer not null, recorded_at integer not null
) without rowid;
create index automation_window_events_count_idx on automation_window_events(automation_id, trigger_id, event_id, coalesce('k:' || context_key, '-'), occurred_at);
create index automation_window_events_prune_idx on automation_window_events(recorded_at);
create table automation_occurrences(
  key text primary key, automation_id text not null references automations(id) on delete cascade,
  window_fired integer, decision text, run_id text, decided_at integer not null
) without rowid;
create index automation_occurrences_decided_idx on automation_occurrences(decided_at);
create index automation_occurrences_automation_idx on automation_occurrences(automation_id);
create table automation_run_logs(
  id text primary key, run_id text not null references automation_runs(id) on delete cascade,
  action_path text, at integer not null, level text not null, message text not null
) without rowid;
create index automation_run_logs_run_idx on automation_run_logs(run_id, id);
