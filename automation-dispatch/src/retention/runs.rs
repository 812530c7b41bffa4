//! Old runs. Of each automation the newest stay; of the others those that ended long ago go, oldest
//! first, and what hangs on them goes before them, so that no transaction is large because a run was.

use super::{BATCH, Job, sql};
use automation_core::{AutomationId, RunId, compiled::CompiledDuration};
use plugin_api::{Ts, db::DbError};

/// Runs taken at a time.
const RUNS: i64 = 100;
/// The longest duration there is: 30 days.
const LONGEST_MS: i64 = 30 * super::DAY_MS;

plugin_api::row! {
    /// The newest run of an automation that is not among those always kept.
    struct Newest {
        automation_id: AutomationId,
        id: RunId,
        started_at: Ts,
    }
}
plugin_api::row! {
    struct Doomed {
        id: RunId,
        started_at: Ts,
    }
}

/// Deletes; answers how many runs.
pub(super) async fn prune(job: &Job) -> Result<u64, DbError> {
    let before = job.days_ago(job.keep.runs_days);
    let (mut after, mut gone) = (uuid::Uuid::nil(), 0);
    while let Some(page) = job.page(&mut after).await? {
        let newest: Vec<Newest> = job
            .db
            .sql(sql::NEWEST_DOOMED)
            .bind(i64::from(job.keep.runs_per_automation))
            .bind(before)
            .ids(&page)
            .all()
            .await?;
        for one in newest {
            gone += of_automation(job, &one, before).await?;
        }
    }
    Ok(gone)
}

/// How far back a trigger looks for the start it cools down from, in milliseconds: its runs are kept
/// as long.
fn cooldown(job: &Job, automation: AutomationId) -> i64 {
    let Some(automation) = job.shared.automations.get(automation) else {
        return 0;
    };
    let triggers = automation.program.triggers.iter();
    let cooldowns = triggers.filter_map(|t| match t.cooldown.as_ref()? {
        CompiledDuration::Millis(ms) => Some(*ms),
        CompiledDuration::Seconds(_) => Some(LONGEST_MS),
    });
    cooldowns.max().unwrap_or(0)
}

async fn of_automation(job: &Job, newest: &Newest, before: Ts) -> Result<u64, DbError> {
    let cooled = job.now.plus_millis(-cooldown(job, newest.automation_id));
    let before = before.min(cooled);
    let open_since = job.days_ago(job.keep.open_artifacts_days);
    let (mut at, mut id) = (Ts::from_millis(0), RunId::from(uuid::Uuid::nil()));
    let mut gone = 0;
    loop {
        let doomed: Vec<Doomed> = job
            .db
            .sql(sql::DOOMED)
            .bind(newest.automation_id)
            .bind(at)
            .bind(id)
            .bind(newest.started_at)
            .bind(newest.id)
            .bind(before)
            .bind(open_since)
            .bind(RUNS)
            .all()
            .await?;
        let Some(last) = doomed.last() else {
            return Ok(gone);
        };
        (at, id) = (last.started_at, last.id);
        let ids: Vec<uuid::Uuid> = doomed.iter().map(|d| d.id.uuid()).collect();
        gone += with_all_of_it(job, &ids).await?;
        if doomed.len() < RUNS as usize {
            return Ok(gone);
        }
        job.pause().await;
    }
}

/// Log lines, artifacts and steps, then the runs.
async fn with_all_of_it(job: &Job, ids: &[uuid::Uuid]) -> Result<u64, DbError> {
    for part in [sql::DELETE_LOGS, sql::DELETE_ARTIFACTS, sql::DELETE_STEPS] {
        loop {
            let n = job.db.sql(part).bind(BATCH).ids(ids).execute().await?;
            if !job.goes_on(n).await {
                break;
            }
        }
    }
    job.db.sql(sql::DELETE_RUNS).ids(ids).execute().await
}
