//! Statements of pruning. Each names at most a few hundred rows, and finds them through an index: a
//! test looks at the plans of both engines.

plugin_api::statements! {
    pub AUTOMATIONS = "select id from signalbox.automations where id > $1 order by id limit $2";
    /// Of each automation of `$3` with a run begun before `$2`: the newest run behind its `$1` newest.
    pub NEWEST_DOOMED = {
        sqlite: "select r.automation_id, r.id, r.started_at from json_each($3) a join automation_runs r on r.id = (select n.id from automation_runs n where n.automation_id = a.value order by n.started_at desc, n.id desc limit 1 offset $1) where exists (select 1 from automation_runs o where o.automation_id = a.value and o.started_at < $2)",
        postgres: "select r.automation_id, r.id, r.started_at from unnest($3::uuid[]) as a(id) cross join lateral (select n.automation_id, n.id, n.started_at from signalbox.automation_runs n where n.automation_id = a.id order by n.started_at desc, n.id desc limit 1 offset $1) r where exists (select 1 from signalbox.automation_runs o where o.automation_id = a.id and o.started_at < $2)",
    };
    /// Runs of automation `$1` behind `($2, $3)` and up to `($4, $5)`, begun and ended before `$6`,
    /// oldest first. The newest open artifact of a context key and type keeps its run until `$7`.
    pub DOOMED = "select r.id, r.started_at from signalbox.automation_runs r where r.automation_id = $1 and r.started_at >= $2 and (r.started_at, r.id) > ($2, $3) and r.started_at <= $4 and (r.started_at, r.id) <= ($4, $5) and r.started_at < $6 and r.finished_at < $6 and not exists (select 1 from signalbox.automation_artifacts a where a.run_id = r.id and a.closed_at is null and a.context_key is not null and a.created_at >= $7 and not exists (select 1 from signalbox.automation_artifacts n where n.automation_id = a.automation_id and n.context_key = a.context_key and n.artifact_type = a.artifact_type and n.closed_at is null and n.created_at >= a.created_at and (n.created_at, n.id) > (a.created_at, a.id))) order by r.started_at, r.id limit $8";
    pub DELETE_LOGS = {
        sqlite: "delete from automation_run_logs where id in (select id from automation_run_logs where run_id in (select value from json_each($2)) limit $1)",
        postgres: "delete from signalbox.automation_run_logs where id in (select id from signalbox.automation_run_logs where run_id = any($2) limit $1 for update skip locked)",
    };
    pub DELETE_ARTIFACTS = {
        sqlite: "delete from automation_artifacts where id in (select id from automation_artifacts where run_id in (select value from json_each($2)) limit $1)",
        postgres: "delete from signalbox.automation_artifacts where id in (select id from signalbox.automation_artifacts where run_id = any($2) limit $1 for update skip locked)",
    };
    pub DELETE_STEPS = {
        sqlite: "delete from automation_run_steps where id in (select id from automation_run_steps where run_id in (select value from json_each($2)) limit $1)",
        postgres: "delete from signalbox.automation_run_steps where id in (select id from signalbox.automation_run_steps where run_id = any($2) limit $1 for update skip locked)",
    };
    /// The status is the fence: a run that is not over stays, whatever chose it.
    pub DELETE_RUNS = {
        sqlite: "delete from automation_runs where id in (select value from json_each($1)) and status in ('success', 'failed', 'cancelled', 'skipped')",
        postgres: "delete from signalbox.automation_runs where id in (select id from signalbox.automation_runs where id = any($1) and status in ('success', 'failed', 'cancelled', 'skipped') order by id for update skip locked)",
    };
    /// Of each automation of `$2`: its newest version behind the `$1` newest.
    pub SURPLUS_VERSIONS = {
        sqlite: "select a.value as automation_id, v.version from json_each($2) a join automation_versions v on v.automation_id = a.value and v.version = (select n.version from automation_versions n where n.automation_id = a.value order by n.version desc limit 1 offset $1)",
        postgres: "select a.id as automation_id, v.version from unnest($2::uuid[]) as a(id) cross join lateral (select n.version from signalbox.automation_versions n where n.automation_id = a.id order by n.version desc limit 1 offset $1) v",
    };
    /// Versions of automation `$1` up to `$2` that no run refers to.
    pub DELETE_VERSIONS = "delete from signalbox.automation_versions where automation_id = $1 and version in (select v.version from signalbox.automation_versions v where v.automation_id = $1 and v.version <= $2 and v.version not in (select r.definition_version from signalbox.automation_runs r where r.automation_id = $1) order by v.version limit $3)";
    /// Decisions of the automations of `$3` with ids below `$1`.
    pub OLD_DECISIONS = {
        sqlite: "delete from automation_decisions where (automation_id, id) in (select d.automation_id, d.id from json_each($3) a join automation_decisions d on d.automation_id = a.value and d.id < $1 limit $2)",
        postgres: "delete from signalbox.automation_decisions where (automation_id, id) in (select d.automation_id, d.id from unnest($3::uuid[]) as a(id) join signalbox.automation_decisions d on d.automation_id = a.id and d.id < $1 limit $2 for update of d skip locked)",
    };
    /// Occurrences recorded before `$1`.
    pub PRUNE_WINDOWS = {
        sqlite: "delete from automation_window_events where id in (select id from automation_window_events where recorded_at < $1 order by recorded_at limit $2)",
        postgres: "delete from signalbox.automation_window_events where id in (select id from signalbox.automation_window_events where recorded_at < $1 order by recorded_at limit $2 for update skip locked)",
    };
    /// Rows decided before `$1`.
    pub PRUNE_LEDGER = {
        sqlite: "delete from automation_occurrences where key in (select key from automation_occurrences where decided_at < $1 order by decided_at limit $2)",
        postgres: "delete from signalbox.automation_occurrences where key in (select key from signalbox.automation_occurrences where decided_at < $1 order by decided_at limit $2 for update skip locked)",
    };
}
