//! Advisory locks.

use plugin_api::{
    BoxError, Tx,
    core::LOCKS,
    db::Sql,
    locks::{LockError, Locks},
};
use std::sync::{Arc, Mutex};
use test_kit::{Kit, Node, TestDb, both_engines, eventually, within};

const KEY: &str = "mine.election";

fn locks(node: &Node) -> Locks {
    node.service("mine", &LOCKS).unwrap()
}

const CREATE: &str = "create table mine_things (id bigint primary key, name text not null)";
plugin_api::statements! {
    FIND = "select count(*) from mine_things where name = $1";
    NEXT = "select count(*) from mine_things";
    INSERT = "insert into mine_things (id, name) values ($1, $2)";
}
const KILL: Sql = Sql {
    sqlite: "select 1",
    postgres: "select count(pg_terminate_backend(pid)) from pg_locks where locktype = 'advisory' and pid <> pg_backend_pid() and database = (select oid from pg_database where datname = current_database())",
};

both_engines! {
    async fn plugins_19_27_a_guard_excludes_until_released_dropped_or_dead(db: TestDb) {
        let node = Kit::new(&db).await.boot().await;
        let locks = locks(&node);
        let guard = locks.try_acquire(KEY).await.unwrap().expect("free");
        assert!(locks.try_acquire(KEY).await.unwrap().is_none());
        assert!(locks.try_acquire("mine.other").await.unwrap().is_some());
        within(guard.release(), "the release").await;
        let guard = locks.try_acquire(KEY).await.unwrap().expect("free after release");
        drop(guard);
        eventually(async || locks.try_acquire(KEY).await.unwrap().is_some(), "free after drop").await;

        if db.is_postgres() {
            let guard = test_kit::until(async || locks.try_acquire(KEY).await.unwrap(), "the lock").await;
            assert_eq!(db.db().sql(KILL).one::<i64>().await.unwrap(), 1);
            within(guard.lost(), "the holder hears of it").await;
            eventually(async || locks.try_acquire(KEY).await.unwrap().is_some(), "free after a killed connection").await;
        }
        node.shutdown().await;
    }

    async fn plugins_19_28_concurrent_find_then_create_makes_one_row(db: TestDb) {
        let node = Kit::new(&db).await.boot().await;
        let mine = node.runtime().kernel().plugin_database(&plugin_api::PluginId::new("mine"));
        if db.is_postgres() {
            db.db().script("create schema plugin_mine").await.unwrap();
        }
        mine.script(CREATE).await.unwrap();
        let tasks: Vec<_> = (0..2).map(|_| {
            let locks = locks(&node);
            plugin_api::spawn(async move {
                // The plugin's own tables, without a schema in front.
                locks.with_xact_lock("mine.dedupe:x", Box::new(|tx| Box::pin(find_or_create(tx)))).await
            })
        }).collect();
        for task in tasks {
            within(task, "the section").await.unwrap().unwrap();
        }
        assert_eq!(mine.sql(FIND).bind("x".to_owned()).one::<i64>().await.unwrap(), 1);

        // A failing section leaves nothing and frees the lock.
        let failed = locks(&node).with_xact_lock("mine.dedupe:x", Box::new(|tx| Box::pin(async move {
            tx.sql(INSERT).bind(99i64).bind("y".to_owned()).execute().await?;
            Err("not like this".into())
        }))).await;
        assert!(matches!(&failed, Err(LockError::Section(_))), "{failed:?}");
        assert_eq!(mine.sql(FIND).bind("y".to_owned()).one::<i64>().await.unwrap(), 0);
        node.shutdown().await;
    }

    async fn a_task_that_waits_for_itself_gets_an_error(db: TestDb) {
        let node = Kit::new(&db).await.boot().await;
        let outer = locks(&node);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let inner = (outer.clone(), seen.clone());
        let nested = outer.with_xact_lock(KEY, Box::new(move |_| Box::pin(async move {
            let again = inner.0.with_xact_lock(KEY, Box::new(|_| Box::pin(async { Ok(()) }))).await;
            inner.1.lock().unwrap().push(matches!(again, Err(LockError::Reentrant { .. })));
            Ok(())
        })));
        within(nested, "the nested section").await.unwrap();

        let guarded = (outer.clone(), seen.clone());
        let task = plugin_api::spawn(async move {
            let _guard = guarded.0.try_acquire(KEY).await.unwrap().expect("free");
            let again = guarded.0.with_xact_lock(KEY, Box::new(|_| Box::pin(async { Ok(()) }))).await;
            guarded.1.lock().unwrap().push(matches!(again, Err(LockError::Reentrant { .. })));
        });
        within(task, "the guarded task").await.unwrap();
        assert_eq!(*seen.lock().unwrap(), [true, true]);
        node.shutdown().await;
    }

    async fn a_section_waits_for_a_guard(db: TestDb) {
        let node = Kit::new(&db).await.boot().await;
        let locks = locks(&node);
        let guard = locks.try_acquire(KEY).await.unwrap().expect("free");
        let waiting = locks.clone();
        let section = plugin_api::spawn(async move {
            waiting.with_xact_lock(KEY, Box::new(|_| Box::pin(async { Ok(()) }))).await
        });
        assert!(test_kit::stays(async || !section.is_finished()).await);
        guard.release().await;
        within(section, "the section").await.unwrap().unwrap();
        node.shutdown().await;
    }
}

async fn find_or_create(tx: &mut Tx) -> Result<(), BoxError> {
    if tx.sql(FIND).bind("x".to_owned()).one::<i64>().await? == 0 {
        // Time for the other to come in between, if it could.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        let id: i64 = tx.sql(NEXT).one().await?;
        tx.sql(INSERT)
            .bind(id)
            .bind("x".to_owned())
            .execute()
            .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exhausted_lock_pool_is_busy_and_starves_no_work() {
    let db = TestDb::postgres().await;
    let node = Kit::new(&db).await.boot().await;
    let locks = locks(&node);
    let mut guards = Vec::new();
    let refused = loop {
        match locks.try_acquire(&format!("mine.{}", guards.len())).await {
            Ok(guard) => guards.push(guard.expect("free")),
            Err(error) => break error,
        }
    };
    assert!(matches!(&refused, LockError::Busy { .. }), "{refused}");
    assert!(
        node.runtime().readiness().report().await.ready,
        "work goes on"
    );
    guards.pop().unwrap().release().await;
    let again = locks.try_acquire("mine.again").await.unwrap();
    assert!(again.is_some());
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_node_leaves_no_lock_behind() {
    let db = TestDb::postgres().await;
    let [first, second] = Kit::two_nodes(&db, |_| Vec::new()).await;
    let held = first
        .run(locks(&first).try_acquire(KEY))
        .await
        .unwrap()
        .expect("free");
    assert!(locks(&second).try_acquire(KEY).await.unwrap().is_none());
    first.kill();
    drop(held);
    eventually(
        async || locks(&second).try_acquire(KEY).await.unwrap().is_some(),
        "the lock of the killed node",
    )
    .await;
    second.shutdown().await;
}
