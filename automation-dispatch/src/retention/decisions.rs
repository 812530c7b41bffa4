//! Rings of decisions: cut to their size, which the recorder lets them exceed by a quarter, and
//! emptied of what is too old. Ids carry their instant, so age is a range of the key.

use super::{BATCH, Job, sql};
use crate::why;
use plugin_api::{Id, Ts, db::DbError};

/// Rings cut by one statement: each may be a quarter too long.
const RINGS: usize = 8;

/// Deletes; answers how many decisions.
pub(super) async fn prune(job: &Job) -> Result<u64, DbError> {
    let before = Id(first_id(job.days_ago(job.keep.decisions_days)));
    let (mut after, mut gone) = (uuid::Uuid::nil(), 0);
    while let Some(page) = job.page(&mut after).await? {
        loop {
            let query = job.db.sql(sql::OLD_DECISIONS).bind(before).bind(BATCH);
            let n = query.ids(&page).execute().await?;
            gone += n;
            if !job.goes_on(n).await {
                break;
            }
        }
        for rings in page.chunks(RINGS) {
            gone += why::prune(&job.db, rings, job.keep.decisions_per_automation).await?;
        }
    }
    Ok(gone)
}

/// The smallest id of an instant: UUIDv7 begins with its unix milliseconds.
fn first_id(at: Ts) -> uuid::Uuid {
    uuid::Uuid::from_u128((at.millis().max(0) as u128) << 80)
}
