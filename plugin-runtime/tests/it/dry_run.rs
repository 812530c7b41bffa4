//! A dry run answers as the request would, and leaves nothing behind.

use axum::{
    body::Body,
    extract::State,
    http::{Method, Request, StatusCode},
};
use plugin_api::{
    AccessRule, Actor, Db, Migration, Principal,
    db::Sql,
    http::{Problem, Routes},
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use test_kit::{Kit, Node, TestDb, TestPlugin, both_engines};
use tower::ServiceExt;

const MANAGE: AccessRule = AccessRule::new("dry.manage", "Write");
const NOTES: &[Migration] = &[Migration {
    number: 1,
    name: "notes",
    sqlite: "create table notes (id text primary key)",
    postgres: "create table notes (id text primary key)",
}];
const INSERT: Sql = Sql {
    sqlite: "insert into notes (id) values ($1)",
    postgres: "insert into notes (id) values ($1)",
};
const RETURNING: Sql = Sql {
    sqlite: "insert into notes (id) values ($1) returning id",
    postgres: "insert into notes (id) values ($1) returning id",
};
const ALL: Sql = Sql {
    sqlite: "select id from notes order by id",
    postgres: "select id from notes order by id",
};

#[derive(Clone)]
struct Notes {
    db: Db,
    told: Arc<AtomicBool>,
}

/// Writes in every way there is: in a transaction, on the pool, in a task of its own.
async fn write(State(notes): State<Notes>) -> Result<String, Problem> {
    let told = notes.told.clone();
    let mut tx = notes.db.begin().await?;
    tx.after_commit(move || told.store(true, Ordering::Relaxed));
    tx.sql(INSERT).bind("in a transaction").execute().await?;
    tx.commit().await?;
    let written = notes.db.sql(INSERT).bind("on the pool").execute().await?;
    let id: String = notes.db.sql(RETURNING).bind("returning").one().await?;
    let db = notes.db.clone();
    let elsewhere =
        plugin_api::spawn(async move { db.sql(INSERT).bind("in a task").execute().await });
    elsewhere.await.map_err(|e| Problem::internal(&e))??;
    Ok(format!("{written} {id}"))
}

async fn boot(db: &TestDb) -> (Node, Notes) {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let sender = std::sync::Mutex::new(Some(sender));
    let sender = Arc::new(sender);
    let plugin = TestPlugin::new("dry")
        .register(|env| {
            env.migrations(NOTES);
            env.access_rules(&[MANAGE])
        })
        .init(move |ctx| {
            let sender = sender.clone();
            Box::pin(async move {
                let notes = Notes {
                    db: ctx.database(),
                    told: Arc::default(),
                };
                let routes = Routes::new()
                    .rehearsable(Method::POST, "/notes", &MANAGE, write)
                    .post("/for-good", &MANAGE, write);
                ctx.routes(routes.with_state(notes.clone()))?;
                if let Some(sender) = sender.lock().expect("a sender").take() {
                    sender.send(notes).ok();
                }
                Ok(())
            })
        });
    let node = Kit::new(db).await.plugin(plugin).boot().await;
    (node, receiver.await.expect("the plugin's state"))
}

async fn post(node: &Node, path: &str, rule: &str) -> StatusCode {
    let mut request = Request::post(format!("/api/v1{path}"))
        .body(Body::empty())
        .expect("a request");
    request.extensions_mut().insert(Principal {
        actor: Actor::system(),
        rules: [rule.to_owned()].into(),
    });
    let answer = node.runtime().router().oneshot(request).await;
    answer.expect("an answer").status()
}

both_engines! {
    async fn nothing_stays_of_a_dry_run(db: TestDb) {
        let (node, notes) = boot(&db).await;
        let stored = async || notes.db.sql(ALL).all::<String>().await.expect("the rows");
        assert_eq!(post(&node, "/notes?dry_run=true", "dry.manage").await, StatusCode::OK);
        assert_eq!(stored().await, Vec::<String>::new());
        assert!(!notes.told.load(Ordering::Relaxed), "what follows a commit does not happen");

        assert_eq!(post(&node, "/notes?dry_run=true", "dry.read").await, StatusCode::FORBIDDEN);
        assert_eq!(post(&node, "/notes?dry_run=1", "dry.manage").await, StatusCode::BAD_REQUEST);
        // A route that never said it could be tried is not called at all.
        assert_eq!(post(&node, "/for-good?dry_run=true", "dry.manage").await, StatusCode::BAD_REQUEST);
        assert_eq!(stored().await, Vec::<String>::new());

        assert_eq!(post(&node, "/notes?dry_run=false", "dry.manage").await, StatusCode::OK);
        assert_eq!(stored().await, ["in a task", "in a transaction", "on the pool", "returning"]);
        assert!(notes.told.load(Ordering::Relaxed));
        // As a dry run it is refused for what is stored now.
        assert_eq!(post(&node, "/notes?dry_run=true", "dry.manage").await, StatusCode::INTERNAL_SERVER_ERROR);
        node.shutdown().await;
    }
}
