-- Runs, their steps, waits and dwells (dispatch §3.2–3.8, 3.10, 3.11).
create table signalbox.automation_runs(
  id uuid primary key, automation_id uuid not null references signalbox.automations(id) on delete cascade,
  trigger_id text not null, trigger_event_id text not null, trigger_payload json not null, context_key text,
  status text not null, error_code text, error_message text, actor json not null, definition_version bigint not null,
  cause json, dedup_key text unique, mask_incomplete boolean not null default false, started_at timestamptz not null, finished_at timestamptz
);
create index automation_runs_automation_idx on signalbox.automation_runs(automation_id, started_at);
create index automation_runs_status_idx on signalbox.automation_runs(status);
create index automation_runs_context_key_idx on signalbox.automation_runs(automation_id, context_key);
-- What the concurrency check reads: active runs only, however long the history is.
create index automation_runs_active_idx on signalbox.automation_runs(automation_id, coalesce('k:' || context_key, '-')) where status in ('pending', 'running', 'waiting');
-- Active runs by age, however long the history is.
create index automation_runs_age_idx on signalbox.automation_runs(started_at) where status in ('pending', 'running', 'waiting');
-- Runs that wait for their turn, oldest first.
create index automation_runs_pending_idx on signalbox.automation_runs(automation_id, started_at, id) where status = 'pending';
create table signalbox.automation_run_steps(
  id uuid primary key, run_id uuid not null references signalbox.automation_runs(id) on delete cascade,
  action_path text not null, action_id text, action_kind text not null, provider_action_id text,
  status text not null, attempts bigint not null, error_code text, error_message text, result_payload json,
  started_at timestamptz not null, finished_at timestamptz, unique(run_id, action_path)
);
create table signalbox.automation_artifacts(
  id uuid primary key, automation_id uuid not null references signalbox.automations(id) on delete cascade,
  run_id uuid not null references signalbox.automation_runs(id) on delete cascade,
  step_id uuid not null unique references signalbox.automation_run_steps(id) on delete cascade,
  action_id text, artifact_type text not null, data json not null, context_key text, closed_at timestamptz, created_at timestamptz not null
);
create index automation_artifacts_context_lookup_idx on signalbox.automation_artifacts(automation_id, context_key, artifact_type, created_at);
create index automation_artifacts_action_lookup_idx on signalbox.automation_artifacts(automation_id, action_id, created_at);
create index automation_artifacts_open_idx on signalbox.automation_artifacts(automation_id, closed_at);
create index automation_artifacts_run_idx on signalbox.automation_artifacts(run_id);
create table signalbox.automation_wait_locks(
  id uuid primary key, run_id uuid not null references signalbox.automation_runs(id) on delete cascade,
  action_path text not null, kind text not null, event_id text not null, context_key text, filter_template text,
  wait_config json, timeout_at timestamptz, created_at timestamptz not null, fired_at timestamptz, fire_reason text,
  resume_payload json, next_check_at timestamptz, checked_at timestamptz, unique(run_id, action_path)
);
create index automation_wait_locks_event_lookup_idx on signalbox.automation_wait_locks(event_id, context_key);
create index automation_wait_locks_timeout_idx on signalbox.automation_wait_locks(timeout_at);
create index automation_wait_locks_kind_idx on signalbox.automation_wait_locks(kind, checked_at);
create index automation_wait_locks_next_check_idx on signalbox.automation_wait_locks(next_check_at);
create index automation_wait_locks_fired_idx on signalbox.automation_wait_locks(fired_at) where fired_at is not null;
create table signalbox.automation_wake_index(
  id uuid primary key, wait_lock_id uuid not null references signalbox.automation_wait_locks(id) on delete cascade, ref text not null,
  unique(wait_lock_id, ref)
);
create index automation_wake_index_ref_idx on signalbox.automation_wake_index(ref);
create table signalbox.automation_run_state(
  run_id uuid primary key references signalbox.automation_runs(id) on delete cascade,
  scope_snapshot json not null, last_action_path text, last_heartbeat_at timestamptz not null, updated_at timestamptz not null,
  lease_owner text, lease_expires_at timestamptz, lease_epoch bigint not null default 0, cursors json not null default '[]'
);
create index automation_run_state_heartbeat_idx on signalbox.automation_run_state(last_heartbeat_at);
create table signalbox.automation_dwell_timers(
  id uuid primary key, automation_id uuid not null references signalbox.automations(id) on delete cascade,
  trigger_id text not null, event_id text not null, context_key text, armed_status text, armed_ref text,
  trigger_hash text not null, payload_snapshot json not null, actor_snapshot json not null, cause json,
  fire_at timestamptz not null, created_at timestamptz not null
);
-- SQL holds nulls distinct; the key must hold for the null context key too.
create unique index automation_dwell_timers_key_unique on signalbox.automation_dwell_timers(automation_id, trigger_id, coalesce('k:' || context_key, '-'));
create index automation_dwell_timers_fire_at_idx on signalbox.automation_dwell_timers(fire_at);
create index automation_dwell_timers_context_idx on signalbox.automation_dwell_timers(context_key);
-- One row for each occurrence that counts towards a window (dispatch §3.9); `context_key` is the partition.
create table signalbox.automation_window_events(
  id uuid primary key, automation_id uuid not null references signalbox.automations(id) on delete cascade,
  trigger_id text not null, event_id text not null, context_key text, occurred_at timestamptz not null, recorded_at timestamptz not null
);
create index automation_window_events_count_idx on signalbox.automation_window_events(automation_id, trigger_id, event_id, coalesce('k:' || context_key, '-'), occurred_at);
create index automation_window_events_prune_idx on signalbox.automation_window_events(recorded_at);
create table signalbox.automation_occurrences(
  key text primary key, automation_id uuid not null references signalbox.automations(id) on delete cascade,
  window_fired bigint, decision text, run_id uuid, decided_at timestamptz not null
);
create index automation_occurrences_decided_idx on signalbox.automation_occurrences(decided_at);
create index automation_occurrences_automation_idx on signalbox.automation_occurrences(automation_id);
create table signalbox.automation_run_logs(
  id uuid primary key, run_id uuid not null references signalbox.automation_runs(id) on delete cascade,
  action_path text, at timestamptz not null, level text not null, message text not null
);
create index automation_run_logs_run_idx on signalbox.automation_run_logs(run_id, id);
