//! Rows that go by age alone: the occurrence ledger.

use super::{BATCH, Job, one_batch, sql};
use crate::shared::Shared;
use plugin_api::{BoxError, db::DbError};
use std::sync::Arc;

/// How long decisions of the ledger are remembered (`dispatch §1`); not a setting, because it is what
/// makes a redelivery harmless.
const LEDGER_MS: i64 = 24 * 3_600_000;

/// One batch of the ledger.
pub(super) async fn batch(job: &Job) -> Result<u64, DbError> {
    let before = job.now.plus_millis(-LEDGER_MS);
    let query = job.db.sql(sql::PRUNE_LEDGER).bind(before).bind(BATCH);
    query.execute().await
}

/// All of the ledger that is too old.
pub(super) async fn ledger(job: &Job) -> Result<u64, DbError> {
    let mut gone = 0;
    loop {
        let n = batch(job).await?;
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
