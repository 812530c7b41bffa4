//! Pruning and the ring find their rows through indexes, on both engines (issue 3 E).

use plugin_api::{Id, Ts, db::Query, db::Sql};
use test_kit::{TestDb, both_engines};
use uuid::Uuid;

plugin_api::row! { struct SqlitePlan { detail: String } }

/// A statement as one that only shows its plan.
fn explained(sql: Sql) -> Sql {
    let leak = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    Sql {
        sqlite: leak(format!("explain query plan {}", sql.sqlite)),
        postgres: leak(format!("explain {}", sql.postgres)),
    }
}

/// Every statement with arguments; one that is missing here fails the test.
fn bind<'q>(name: &str, q: Query<'q>) -> Query<'q> {
    let id = Id(Uuid::from_u128(1));
    let ids = [Uuid::from_u128(1), Uuid::from_u128(2)];
    let at = Ts::from_millis(1_000_000);
    match name {
        "AUTOMATIONS" => q.bind(id).bind(5_i64),
        "NEWEST_DOOMED" => q.bind(5_i64).bind(at).ids(&ids),
        "DOOMED" => q
            .bind(id)
            .bind(at)
            .bind(id)
            .bind(at)
            .bind(id)
            .bind(at)
            .bind(at)
            .bind(5_i64),
        "DELETE_LOGS" | "DELETE_ARTIFACTS" | "DELETE_STEPS" | "CUT_LOGS" | "SURPLUS_VERSIONS"
        | "PRUNE" => q.bind(5_i64).ids(&ids),
        "DELETE_RUNS" => q.ids(&ids),
        "DELETE_VERSIONS" => q.bind(id).bind(5_i64).bind(5_i64),
        "OLD_DECISIONS" => q.bind(id).bind(5_i64).ids(&ids),
        "PRUNE_LEDGER" | "PRUNE_WINDOWS" => q.bind(at).bind(5_i64),
        "LIST" => q
            .bind(id)
            .bind(id)
            .bind(None::<String>)
            .bind(None::<String>)
            .bind(None::<Ts>)
            .bind(5_i64),
        other => panic!("no arguments for {other}"),
    }
}

both_engines! {
    async fn no_statement_of_pruning_reads_a_table_through(db: TestDb) {
        // Connections that take an index wherever there is one: small tables are read through otherwise.
        let indexed = db.db().pinned(1);
        for (name, sql) in automation_dispatch::bounded_statements() {
            let query = bind(name, indexed.sql(explained(sql)));
            let plan: Vec<String> = if db.is_postgres() {
                query.all().await.unwrap_or_else(|e| panic!("{name}: {e}"))
            } else {
                let rows: Vec<SqlitePlan> = query.all().await.unwrap_or_else(|e| panic!("{name}: {e}"));
                rows.into_iter().map(|r| r.detail).collect()
            };
            for line in &plan {
                let scan = line.contains("Seq Scan") || (line.starts_with("SCAN ") && !scans_arguments(line));
                assert!(!scan, "{name}:\n{}", plan.join("\n"));
            }
            assert!(!plan.is_empty());
        }
    }
}

/// The list that a batch is handed is read through, and nothing else.
fn scans_arguments(line: &str) -> bool {
    line.contains("VIRTUAL TABLE") || line == "SCAN CONSTANT ROW"
}

/// What may read a table through, or all runs of a status, and why.
const READ_THROUGH: &[&str] = &[
    // A page of all runs, newest first.
    "LIST",
    // Once at the start and at the stop.
    "RELEASE_ALL",
    "RELEASE_DEAD",
    // Runs that walk, or wait for their turn: few, however many wait for something else.
    "FAIL_STATELESS",
    "FIRST_EXPIRY",
    "OF_DISABLED",
    "QUEUES",
    "STALLED",
];

/// SQLite's planner knows nothing of how many rows there are; without care it takes the index on a
/// run's status, and a commit of one run reads every run that waits.
#[tokio::test]
async fn no_statement_depends_on_how_many_runs_wait() {
    let db = TestDb::sqlite().await;
    for (name, sql) in automation_dispatch::statements() {
        let numbers = (1..10).filter(|n| sql.sqlite.contains(&format!("${n}")));
        let query = numbers.fold(db.db().sql(explained(sql)), |q, _| q.bind("[]".to_owned()));
        let rows: Vec<SqlitePlan> = query.all().await.unwrap_or_else(|e| panic!("{name}: {e}"));
        let through = rows.iter().any(|r| {
            let line = r.detail.as_str();
            line.contains("runs_status_idx (status=?)")
                || (line.starts_with("SCAN ") && !scans_arguments(line))
        });
        let plan: Vec<&String> = rows.iter().map(|r| &r.detail).collect();
        assert!(!through || READ_THROUGH.contains(&name), "{name}: {plan:?}");
    }
}
