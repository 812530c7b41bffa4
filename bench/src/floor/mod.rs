//! What the database gives to a program written by hand for one purpose.
//!
//! Such a program needs the fewest rows with which a change becomes a finished run that survives a crash: an event, a run
//! and a step. Events come in; taking one deletes it and inserts a running run with a running step; when the action is
//! done, both are updated. That is three commits, whoever does it. **Floor A** makes them one by one at sixteen clients;
//! **floor B** makes them for a hundred events at a time. Neither looks anything up, evaluates, locks or calls anything.

mod batches;
mod singles;

use crate::{
    database::{Client, Scratch, Target},
    load::{self, Rate},
};
use anyhow::Result;
use std::{sync::Arc, time::Duration};
use tokio::sync::Mutex;

/// The name of [`Floor::a`] in rows.
pub const A: &str = "floor A";
/// The name of [`Floor::b`] in rows.
pub const B: &str = "floor B";

/// Clients of floor A.
const SINGLE_CLIENTS: usize = 16;
/// Clients of floor B: more do not make it faster.
const BATCH_CLIENTS: usize = 4;
/// Events of one commit of floor B.
const BATCH: u64 = 100;

const TABLES: [&str; 2] = [
    "create table floor_events (id text primary key, kind text not null, entity_id text not null, payload text not null, created_at integer not null) without rowid;
    create table floor_runs (id text primary key, status text not null, payload text not null, started_at integer not null, finished_at integer) without rowid;
    create table floor_steps (id text primary key, run_id text not null, path text not null, status text not null, started_at integer not null, finished_at integer) without rowid;
    create index floor_steps_run on floor_steps (run_id)",
    "create table floor_events (id uuid primary key, kind text not null, entity_id text not null, payload json not null, created_at timestamptz not null);
    create table floor_runs (id uuid primary key, status text not null, payload json not null, started_at timestamptz not null, finished_at timestamptz);
    create table floor_steps (id uuid primary key, run_id uuid not null, path text not null, status text not null, started_at timestamptz not null, finished_at timestamptz);
    create index floor_steps_run on floor_steps (run_id)",
];

/// The two floors, on a database of their own.
pub struct Floor {
    scratch: Scratch,
    clients: Vec<Arc<Mutex<Client>>>,
}

impl Floor {
    /// Makes the tables.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn new(target: Target) -> Result<Self> {
        let scratch = Scratch::create(target).await?;
        let mut clients = scratch.clients(SINGLE_CLIENTS).await?;
        clients[0]
            .script(TABLES[usize::from(target.is_postgres())])
            .await?;
        let clients = clients.into_iter();
        let clients = clients.map(|c| Arc::new(Mutex::new(c))).collect();
        Ok(Self { scratch, clients })
    }

    /// Floor A: events a second, one by one.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn a(&self, time: Duration) -> Result<Rate> {
        let clients = self.clients.clone();
        load::closed(SINGLE_CLIENTS, time, move |client, _| {
            let client = clients[client].clone();
            async move { singles::event(&mut *client.lock().await).await }
        })
        .await
    }

    /// Floor B: events a second, in batches.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn b(&self, time: Duration) -> Result<Rate> {
        let clients = self.clients.clone();
        load::closed(BATCH_CLIENTS, time, move |client, _| {
            let client = clients[client].clone();
            async move { batches::events(&mut *client.lock().await, BATCH).await }
        })
        .await
    }

    /// Removes the database.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn discard(self) -> Result<()> {
        drop(self.clients);
        self.scratch.discard().await
    }
}

/// What an event carries: of the size of an ordinary entity change.
pub fn payload() -> serde_json::Value {
    serde_json::json!({
        "kind": "thing", "id": "t0", "prev": {"status": "up", "n": 1}, "next": {"status": "up", "n": 2},
        "delta": {"n": 2}, "changedFields": ["n"], "actor": {"type": "system", "id": "system"},
        "occurredAt": "2026-01-15T12:00:00.000Z", "changeId": "019bc2a0-0000-7000-8000-000000000000",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_floors_leave_finished_runs_and_no_events() {
        let mut targets = vec![Target::Sqlite];
        if std::env::var(crate::database::POSTGRES_VARIABLE).is_ok() {
            targets.push(Target::Postgres);
        }
        for target in targets {
            let floor = Floor::new(target).await.unwrap();
            let a = floor.a(Duration::from_millis(20)).await.unwrap();
            let b = floor.b(Duration::from_millis(20)).await.unwrap();
            let db = floor.scratch.open().await.unwrap();
            let count = async |sql: &'static str| -> i64 {
                let sql = plugin_api::db::Sql {
                    sqlite: sql,
                    postgres: Box::leak(sql.replace("from ", "from public.").into_boxed_str()),
                };
                db.sql(sql).one().await.unwrap()
            };
            let done = (a.done + b.done) as i64;
            assert!(done >= 16 + 400);
            assert_eq!(count("select count(*) from floor_events").await, 0);
            for finished in [
                "select count(*) from floor_runs where status = 'success' and finished_at is not null",
                "select count(*) from floor_steps where status = 'success' and finished_at is not null",
            ] {
                assert_eq!(count(finished).await, done);
            }
            db.close().await;
            floor.discard().await.unwrap();
        }
    }
}
