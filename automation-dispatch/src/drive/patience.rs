//! Reading although the database is away for a moment.

use plugin_api::{
    BoxError, Clock,
    db::{DbError, is_unavailable},
};
use std::{error::Error, future::Future, time::Duration};

/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);

/// Reads, and reads again while the database cannot be reached and the answer is still `wanted`. A run
/// must not fail, nor wait for its lease to end, because of a restart of the database that others get
/// over.
pub(crate) async fn patiently<T, F>(
    clock: &dyn Clock,
    wanted: impl Fn() -> bool + Send,
    mut read: impl FnMut() -> F + Send,
) -> Result<T, BoxError>
where
    F: Future<Output = Result<T, BoxError>> + Send,
{
    loop {
        match read().await {
            Err(error) if unavailable(&*error) && wanted() => {
                tracing::warn!(%error, "What a run needs cannot be read; it is tried again.");
                clock.sleep(PAUSE).await;
            }
            done => return done,
        }
    }
}

/// Whether an error comes from a database that is not there.
fn unavailable(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(e) = cause {
        if e.downcast_ref::<DbError>().is_some_and(is_unavailable) {
            return true;
        }
        cause = e.source();
    }
    false
}
