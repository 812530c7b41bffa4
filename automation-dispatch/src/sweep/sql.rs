//! What is due, by category.

plugin_api::statements! {
    pub DUE_LOCKS = "select id from signalbox.automation_wait_locks where fired_at is null and (timeout_at <= $1 or next_check_at <= $1) order by coalesce(timeout_at, next_check_at), id limit $2";
    pub UNCHECKED_LOCKS = "select id from signalbox.automation_wait_locks where kind = 'until' and fired_at is null and checked_at <= $1 order by checked_at, id limit $2";
    /// From the fired locks, of which there are few, to their runs.
    pub FIRED_WITHOUT_DRIVER = "select s.run_id from signalbox.automation_run_state s where s.run_id in (select l.run_id from signalbox.automation_wait_locks l where l.fired_at is not null) and (s.lease_owner is null or s.lease_expires_at <= $1) limit $2";
    pub STALLED = "select r.id from signalbox.automation_runs r join signalbox.automation_run_state s on s.run_id = r.id where r.status = 'running' and (s.lease_owner is null or s.lease_expires_at <= $1) order by s.last_heartbeat_at, r.id limit $2";
    pub FIRST_EXPIRY = "select min(s.lease_expires_at) from signalbox.automation_runs r join signalbox.automation_run_state s on s.run_id = r.id where r.status = 'running' and s.lease_owner <> $1";
    /// Creation writes both rows in one transaction, so this is damage from outside; a run younger
    /// than a lease is left alone.
    pub FAIL_STATELESS = {
        sqlite: "update automation_runs set status = 'failed', error_code = 'state_missing', error_message = 'the stored state of the run is missing', finished_at = $1 where status = 'running' and started_at <= $2 and not exists (select 1 from automation_run_state s where s.run_id = automation_runs.id)",
        postgres: "update signalbox.automation_runs a set status = 'failed', error_code = 'state_missing', error_message = 'the stored state of the run is missing', finished_at = $1 where status = 'running' and started_at <= $2 and not exists (select 1 from signalbox.automation_run_state s where s.run_id = a.id)",
    };
    /// By age, not by status: most runs that are not over are young.
    pub TOO_OLD = {
        sqlite: "select id from automation_runs indexed by automation_runs_age_idx where status in ('pending', 'running', 'waiting') and started_at <= $1 order by started_at limit $2",
        postgres: "select id from signalbox.automation_runs where status in ('pending', 'running', 'waiting') and started_at <= $1 order by started_at limit $2",
    };
}
