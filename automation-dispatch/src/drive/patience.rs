//! Reading although the database is away for a moment.

use automation_core::store::StoreError;
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
    of_database(error).is_some_and(is_unavailable)
}

/// The error of the database that is behind an error, if it is one of those.
pub(crate) fn of_database<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a DbError> {
    let mut cause = Some(error);
    while let Some(e) = cause {
        // The store's error shows the database's as its own, so it is not among its sources.
        if let Some(StoreError::Db(e)) = e.downcast_ref() {
            return Some(e);
        }
        if let Some(e) = e.downcast_ref() {
            return Some(e);
        }
        cause = e.source();
    }
    None
}

/// True when reading again will not help: there is no database that failed, or it answered with
/// something that cannot be read.
pub(crate) fn for_good(error: &(dyn Error + 'static)) -> bool {
    of_database(error).is_none_or(|e| {
        matches!(
            e,
            DbError::Decode(_) | DbError::ColumnDecode { .. } | DbError::TypeNotFound { .. }
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_database_is_seen_behind_the_error_of_a_store() {
        let away = || DbError::PoolTimedOut;
        assert!(unavailable(&away()));
        assert!(unavailable(&StoreError::from(away())));
        let boxed: BoxError = "the stored version does not compile".into();
        assert!(!unavailable(&*boxed) && for_good(&*boxed));
        assert!(!for_good(&StoreError::from(away())));
    }
}
