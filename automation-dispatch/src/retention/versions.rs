//! Old versions of definitions (`dispatch §3.1`): all but the newest 50, except those a run refers to.
//! Which those are is told from the index on runs alone, and only for automations that have more.

use super::{BATCH, Job, sql};
use automation_core::{AutomationId, store::KEPT_VERSIONS};
use plugin_api::db::DbError;

plugin_api::row! {
    /// The newest version that is not among those always kept.
    struct Surplus {
        automation_id: AutomationId,
        version: i64,
    }
}

/// Deletes; answers how many versions.
pub(super) async fn prune(job: &Job) -> Result<u64, DbError> {
    let (mut after, mut gone) = (uuid::Uuid::nil(), 0);
    while let Some(page) = job.page(&mut after).await? {
        let query = job.db.sql(sql::SURPLUS_VERSIONS).bind(KEPT_VERSIONS);
        let found: Vec<Surplus> = query.ids(&page).all().await?;
        for one in found {
            loop {
                let query = job.db.sql(sql::DELETE_VERSIONS).bind(one.automation_id);
                let n = query.bind(one.version).bind(BATCH).execute().await?;
                gone += n;
                if !job.goes_on(n).await {
                    break;
                }
            }
        }
    }
    Ok(gone)
}
