//! Databases, fail points and logs.

use plugin_api::{db::Sql, fail};
use test_kit::{Logs, TestDb, both_engines, prepare_all};

const COUNT: Sql = Sql {
    sqlite: "select count(*) from schema_migrations where owner = 'framework'",
    postgres: "select count(*) from signalbox.schema_migrations where owner = 'framework'",
};

both_engines! {
    async fn a_database_has_the_frameworks_tables(db: TestDb) {
        let n: i64 = db.reopen().await.sql(COUNT).one().await.unwrap();
        assert_eq!(n, migrations::FRAMEWORK.len() as i64);
    }

    async fn prepare_all_names_every_bad_statement(db: TestDb) {
        let bad = Sql { sqlite: "select nonsense from core_configs", postgres: "select nonsense from signalbox.core_configs" };
        let found = plugin_api::spawn({
            let db = db.db().clone();
            async move { prepare_all(&db, &[("COUNT", COUNT), ("BAD", bad)]).await }
        }).await;
        let panic = found.expect_err("a bad statement fails").into_panic();
        let text = panic.downcast_ref::<String>().unwrap();
        assert!(text.contains("1 of 2") && text.contains("BAD: "), "{text}");
    }
}

#[tokio::test]
async fn fail_points_fail_hang_and_die_only_in_their_scope() {
    let scope = fail::Scope::default();
    scope.arm("kit.test", fail::Action::Error(1));
    assert_eq!(fail::point("kit.test").await, Ok(()));
    scope
        .run(async {
            let task = plugin_api::spawn(fail::point("kit.test"));
            assert_eq!(task.await.unwrap(), Err(fail::Injected("kit.test")));
            assert_eq!(fail::point("kit.test").await, Ok(()));
        })
        .await;
    assert_eq!(scope.visits("kit.test"), 2);

    scope.arm("kit.test", fail::Action::Hang);
    let mut task = None;
    scope
        .run(async { task = Some(plugin_api::spawn(fail::point("kit.test"))) })
        .await;
    let task = task.expect("just started");
    test_kit::eventually(
        async || scope.visits("kit.test") == 3,
        "the task at the point",
    )
    .await;
    assert!(!task.is_finished());
    scope.kill();
    assert!(task.await.unwrap_err().is_cancelled());
}

#[tokio::test]
async fn logs_record_tasks_of_their_span_only() {
    let (mine, other) = (Logs::new(), Logs::new());
    mine.record(async {
        let task = plugin_api::spawn(async { tracing::warn!(number = 7, "Something happened.") });
        task.await.unwrap();
    })
    .await;
    tracing::warn!("Outside.");
    assert_eq!(
        mine.find(tracing::Level::WARN, "Something happened. number=7")
            .len(),
        1
    );
    assert_eq!(mine.lines().len(), 1);
    assert!(other.lines().is_empty());
}
