//! The run log keeps its newest lines (`dispatch §3.11`): what a batch adds at one end it takes away
//! at the other, in the same transaction. A commit without log lines costs nothing; for others the
//! look is as long as the log, which is short for most runs and bounded for all.

use plugin_api::{Tx, db::DbError};

/// Lines kept of each run's log.
pub const LINES: i64 = 1000;

plugin_api::statements! {
    /// All but the newest `$1` lines of each run of `$2`.
    pub CUT_LOGS = {
        sqlite: "delete from automation_run_logs where id in (select l.id from json_each($2) r join automation_run_logs l on l.run_id = r.value and l.id <= (select n.id from automation_run_logs n where n.run_id = r.value order by n.id desc limit 1 offset $1))",
        postgres: "delete from signalbox.automation_run_logs where id in (select l.id from unnest($2::uuid[]) as r(id) cross join lateral (select n.id from signalbox.automation_run_logs n where n.run_id = r.id order by n.id desc limit 1 offset $1) c join signalbox.automation_run_logs l on l.run_id = r.id and l.id <= c.id)",
    };
}

/// Cuts the logs of these runs, to which this transaction has added lines.
pub async fn cut(tx: &mut Tx, mut runs: Vec<uuid::Uuid>) -> Result<(), DbError> {
    runs.dedup();
    if runs.is_empty() {
        return Ok(());
    }
    let query = tx.sql(CUT_LOGS).bind(LINES).ids(&runs);
    query.execute().await.map(drop)
}
