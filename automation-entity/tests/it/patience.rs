//! Writing although the database is away for a moment, and how a write that failed is answered.

use crate::kit::*;
use automation_core::registry::Cancel;
use automation_entity::*;
use plugin_api::{
    BoxError,
    db::{DbError, is_unavailable},
    fail,
    http::Problem,
};
use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use test_kit::{TestDb, advance_until, both_engines, eventually, within};

fn busy() -> MutateError {
    MutateError::Busy {
        kind: "thing".into(),
        id: "a".into(),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Own(#[from] DbError);

both_engines! {
    async fn a_write_is_repeated_until_the_database_is_back(db: TestDb) {
        let (node, handle) = Node::of_things(&db, KindOptions::default()).await;
        let (_running, cancel) = Cancel::new();
        let scope = fail::Scope::default();
        let tries = AtomicU32::new(0);
        scope.arm(fail::DATABASE, fail::Action::Error(u32::MAX));
        let write = scope.run(handle.patiently(&cancel, MutateError::is_passing, || {
            tries.fetch_add(1, Ordering::Relaxed);
            set(&handle, "a", thing("open"))
        }));
        let back = async {
            advance_until(&node.clock, Duration::from_secs(1), async || tries.load(Ordering::Relaxed) > 2, "it is tried").await;
            assert_eq!(handle.get("a").await.unwrap(), None);
            scope.disarm(fail::DATABASE);
            advance_until(&node.clock, Duration::from_secs(1), async || handle.get("a").await.unwrap().is_some(), "it is written").await;
        };
        let (written, ()) = within(futures::future::join(write, back), "the write").await;
        assert_eq!(written.unwrap().status, "open");
        assert_eq!(node.outbox().await.len(), 1);
    }

    async fn a_cancelled_run_and_an_error_that_stays_end_the_repeating(db: TestDb) {
        let (_node, handle) = Node::of_things(&db, KindOptions::default()).await;
        let (stop, cancel) = Cancel::new();
        let tries = AtomicU32::new(0);
        let write = handle.patiently(&cancel, MutateError::is_passing, || {
            tries.fetch_add(1, Ordering::Relaxed);
            std::future::ready(Err::<(), _>(busy()))
        });
        let cancelled = async {
            eventually(async || tries.load(Ordering::Relaxed) == 1, "it is tried").await;
            stop.send_replace(true);
        };
        let (ended, ()) = within(futures::future::join(write, cancelled), "the end").await;
        assert!(matches!(ended, Err(MutateError::Busy { .. })));
        assert_eq!(tries.load(Ordering::Relaxed), 1, "the clock has not moved, and nothing is written any more");

        let (_running, cancel) = Cancel::new();
        let refused = handle.patiently(&cancel, MutateError::is_passing, || set(&handle, "a", thing("refused"))).await;
        assert!(matches!(refused, Err(MutateError::InvalidState { .. })));
    }

    async fn api_1_7_a_write_without_a_database_is_answered_unavailable(db: TestDb) {
        let (_node, handle) = Node::of_things(&db, KindOptions::default()).await;
        let scope = fail::Scope::default();
        scope.arm(fail::DATABASE, fail::Action::Error(1));
        let away = scope.run(set(&handle, "a", thing("open"))).await.unwrap_err();
        assert!(matches!(&away, MutateError::Db { source, .. } if is_unavailable(source)), "{away:?}");
        assert_eq!(status(away).0, 503);
    }
}

fn status(e: MutateError) -> (u16, String) {
    let problem = Problem::from(e);
    (problem.status, problem.code)
}

#[test]
fn api_1_7_what_passes_is_unavailable_and_what_stays_is_internal() {
    let away = || DbError::PoolTimedOut;
    let own = |e| -> BoxError { Own(e).into() };
    for e in [
        busy(),
        MutateError::Apply(away().into()),
        MutateError::Apply(own(away())),
        MutateError::Read(own(away())),
    ] {
        assert!(e.is_passing(), "{e}");
        assert_eq!(status(e), (503, "unavailable".into()));
    }
    for e in [
        MutateError::Apply("out of paper".into()),
        MutateError::Read(DbError::RowNotFound.into()),
    ] {
        assert!(!e.is_passing(), "{e}");
        assert_eq!(status(e), (500, "internal".into()));
    }
}
