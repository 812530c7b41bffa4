//! Rows that go by age alone: the occurrence ledger, and what windows have counted.

use super::{BATCH, Job, one_batch, sql};
use crate::shared::Shared;
use plugin_api::{
    BoxError,
    db::{DbError, Sql},
};
use std::sync::Arc;

/// How long decisions of the ledger are remembered, and occurrences counted (`dispatch §1`); not a
/// setting, because it is what makes a redelivery harmless, and equals the longest window.
const KEPT_MS: i64 = 24 * 3_600_000;

/// What goes by age.
pub(super) const ALL: [Sql; 2] = [sql::PRUNE_LEDGER, sql::PRUNE_WINDOWS];

/// One batch of one of them.
pub(super) async fn batch(job: &Job, prune: Sql) -> Result<u64, DbError> {
    let before = job.now.plus_millis(-KEPT_MS);
    job.db.sql(prune).bind(before).bind(BATCH).execute().await
}

/// All of one of them that is too old.
pub(super) async fn prune(job: &Job, prune: Sql) -> Result<u64, DbError> {
    let mut gone = 0;
    loop {
        let n = batch(job, prune).await?;
        gone += n;
        if !job.goes_on(n).await {
            return Ok(gone);
        }
    }
}

/// What one cycle of the sweeper prunes (`dispatch §21.4`): one batch. The hourly pass takes the rest.
///
/// # Errors
/// When the database refuses.
pub async fn in_sweep(shared: &Arc<Shared>) -> Result<u64, BoxError> {
    one_batch(shared).await
}
