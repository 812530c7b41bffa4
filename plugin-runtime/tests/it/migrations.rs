//! Migrations as the boot runs them.

use migrations::{MigrateError, Migrator, Owner, State};
use plugin_api::{Migration, db::Sql, fail};
use plugin_runtime::BootError;
use std::time::Duration;
use test_kit::{Kit, TestDb, TestPlugin, VirtualClock, both_engines, eventually, stays, within};

const fn migration(number: u32, name: &'static str, text: &'static str) -> Migration {
    Migration {
        number,
        name,
        sqlite: text,
        postgres: text,
    }
}

const ONE: Migration = migration(
    1,
    "0001_things",
    "create table mine_things (id bigint primary key); create table mine_words (id bigint primary key)",
);
const ONE_CHANGED: Migration = migration(
    1,
    "0001_things",
    "create table mine_things (id bigint primary key, x text)",
);
const TWO: Migration = migration(
    2,
    "0002_more",
    "alter table mine_things add column name text",
);
const BROKEN: Migration = migration(
    2,
    "0002_more",
    "create table mine_late (id bigint primary key); insert into nowhere values (1)",
);

static FIRST: &[Migration] = &[ONE];
static BOTH: &[Migration] = &[ONE, TWO];
static CHANGED: &[Migration] = &[ONE_CHANGED];
static FAILING: &[Migration] = &[ONE, BROKEN];
static OLDER: &[Migration] = &[migration(1, "0001_one", "select 1")];
static NEWER: &[Migration] = &[
    migration(1, "0001_one", "select 1"),
    migration(2, "0002_two", "select 2"),
];
static OTHER: &[Migration] = &[migration(1, "0001_one", "select 11")];
static GAP: &[Migration] = &[ONE, migration(3, "0003_gap", "select 1")];

async fn boot(db: &TestDb, list: &'static [Migration]) -> Result<(), BootError> {
    let plugin = TestPlugin::new("mine").register(move |env| {
        env.migrations(list);
        Ok(())
    });
    let node = Kit::new(db).await.plugin(plugin).try_boot().await?;
    node.shutdown().await;
    Ok(())
}

/// What a program hears that waits for the lock while another one applies all of its own list.
async fn waited(
    db: &TestDb,
    id: &'static str,
    mine: &'static [Migration],
    theirs: &'static [Migration],
) -> Result<usize, MigrateError> {
    let run = |db, list, scope: &fail::Scope| {
        let scope = scope.clone();
        plugin_api::spawn(async move {
            let owner = Owner::plugin(&plugin_api::PluginId::new(id), list);
            let migrator = Migrator::new(db, VirtualClock::new());
            scope.run(migrator.run(&owner)).await.map(|r| r.applied)
        })
    };
    let (first, second) = (fail::Scope::default(), fail::Scope::default());
    first.arm(fail::COMMIT, fail::Action::Hang);
    let other = run(db.reopen().await, theirs, &first);
    let about = async || first.visits(fail::COMMIT) == 1;
    eventually(about, "the other has the lock").await;
    second.arm(fail::COMMITTED, fail::Action::Hang);
    let waits = run(db.reopen().await, mine, &second);
    // Two reads to see how it stands, then the transaction that takes the lock.
    let begins = async || second.visits(fail::DATABASE) >= 3;
    eventually(begins, "it found something to do").await;
    first.disarm(fail::COMMIT);
    let through = async || second.visits(fail::COMMITTED) == 1;
    eventually(through, "it found nothing to do any more").await;
    let applied = within(other, "the other").await.unwrap().unwrap();
    assert_eq!(applied, theirs.len());
    second.disarm(fail::COMMITTED);
    within(waits, "who waited").await.unwrap()
}

async fn states(db: &TestDb, list: &'static [Migration]) -> Vec<State> {
    let owner = Owner::plugin(&plugin_api::PluginId::new("mine"), list);
    let migrator = Migrator::new(db.db().clone(), VirtualClock::new());
    let lines = migrator.status(&owner).await.unwrap();
    lines.into_iter().map(|l| l.state).collect()
}

const LATE: Sql = Sql {
    sqlite: "select count(*) from sqlite_master where name = 'mine_late'",
    postgres: "select count(*) from pg_tables where tablename = 'mine_late'",
};
const PLACE: Sql = Sql {
    sqlite: "select 'plugin_mine'",
    postgres: "select schemaname::text from pg_tables where tablename = 'mine_things'",
};

both_engines! {
    async fn a_running_node_says_that_a_newer_program_has_migrated_its_database(db: TestDb) {
        let plugin = TestPlugin::new("mine").register(|env| {
            env.migrations(FIRST);
            Ok(())
        });
        let node = Kit::new(&db).await.plugin(plugin).boot().await;
        let readiness = node.runtime().readiness();
        let schema = async || {
            let report = readiness.report().await;
            assert!(report.ready, "an older node goes on");
            report.probes.into_iter().find(|p| p.name == "core.schema").expect("the probe")
        };
        assert!(schema().await.ok);
        let newer = Owner::plugin(&plugin_api::PluginId::new("mine"), BOTH);
        Migrator::new(db.db().clone(), VirtualClock::new()).run(&newer).await.unwrap();
        node.clock().advance(Duration::from_secs(1));
        let probe = schema().await;
        assert!(!probe.ok && probe.message.is_some_and(|m| m.contains("mine/2") && m.contains("newer")));
        if db.is_postgres() {
            // Where other nodes can be, it is looked for, and told once.
            let told = || node.logs().find(tracing::Level::WARN, "older than its database").len();
            for _ in 0..3 {
                eventually(async || node.clock().next_wake().is_some(), "it waits for the next look").await;
                node.clock().advance(Duration::from_secs(300));
                eventually(async || told() == 1, "the warning").await;
            }
            assert!(stays(async || told() == 1).await);
        }
        node.shutdown().await;
    }

    async fn plugins_19_29_who_waited_for_another_program_to_migrate_checks_what_it_did(db: TestDb) {
        let error = waited(&db, "one", OLDER, NEWER).await.expect_err("no boot");
        assert!(matches!(&error, MigrateError::Newer { number: 2, .. }), "{error}");
        let error = waited(&db, "two", OLDER, OTHER).await.expect_err("no boot");
        assert!(matches!(&error, MigrateError::Changed { number: 1, .. }), "{error}");
        assert_eq!(waited(&db, "three", OLDER, OLDER).await.expect("the same program"), 0);
    }

    async fn plugins_19_29_failing_and_changed_migrations_stop_the_boot(db: TestDb) {
        let now = VirtualClock::new();
        let now = State::Applied(plugin_api::Clock::now(&*now));
        boot(&db, FIRST).await.unwrap();
        assert_eq!(db.db().sql(PLACE).one::<String>().await.unwrap(), "plugin_mine");

        let error = boot(&db, FAILING).await.expect_err("no boot");
        let BootError::Migrate { plugin, source: MigrateError::Failed { number: 2, .. } } = &error else {
            panic!("{error}");
        };
        assert_eq!(plugin.as_str(), "mine");
        assert!(error.to_string().contains("mine/2 (0002_more)"), "{error}");
        assert_eq!(db.db().sql(LATE).one::<i64>().await.unwrap(), 0);
        assert_eq!(states(&db, FAILING).await, [now.clone(), State::Pending]);

        let error = boot(&db, CHANGED).await.expect_err("no boot");
        assert!(matches!(&error, BootError::Migrate { source: MigrateError::Changed { number: 1, .. }, .. }), "{error}");

        boot(&db, BOTH).await.unwrap();
        boot(&db, BOTH).await.unwrap();
        assert_eq!(states(&db, BOTH).await, [now.clone(), now]);

        // An older program must not run on what it does not know.
        let error = boot(&db, FIRST).await.expect_err("no boot");
        assert!(matches!(&error, BootError::Migrate { source: MigrateError::Newer { number: 2, .. }, .. }), "{error}");
        let error = boot(&db, GAP).await.expect_err("no boot");
        assert!(matches!(&error, BootError::Migrate { source: MigrateError::Numbering { expected: 2, found: 3, .. }, .. }), "{error}");
    }
}

async fn runs_once_for_many(db: TestDb) {
    let owner = Owner::framework();
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let (db, owner) = (db.reopen().await, owner.clone());
        tasks.push(plugin_api::spawn(async move {
            Migrator::new(db, VirtualClock::new())
                .run(&owner)
                .await
                .map(|r| r.applied)
        }));
    }
    let mut applied = 0;
    for task in tasks {
        applied += task.await.unwrap().unwrap();
    }
    assert_eq!(applied, owner.migrations.len());
    let migrator = Migrator::new(db.db().clone(), VirtualClock::new());
    assert_eq!(migrator.verify(&owner).await.unwrap(), 0);
    assert_eq!(migrator.run(&owner).await.unwrap().applied, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_start_together_migrate_once_sqlite() {
    runs_once_for_many(TestDb::empty_sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_start_together_migrate_once_postgres() {
    runs_once_for_many(TestDb::empty_postgres().await).await;
}
