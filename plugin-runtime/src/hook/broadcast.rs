//! Broadcast groups live with their node (`plugins §6.5`).
//!
//! While a node has any, it says every 20 s that it lives, and removes the groups of nodes that have
//! been silent for 60 s, with their backlog. Where one process owns the database nobody else can be
//! alive, so nothing beats: what other processes left behind goes when the barrier opens.

use super::sql;
use crate::queue::REGISTER_GROUP;
use plugin_api::{
    Clock, Db, Text, Ts,
    db::{DbError, Engine, Tx},
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};
use tokio::sync::watch;

const BEAT_MS: i64 = 20_000;
const SILENT_MS: i64 = 60_000;

pub(super) struct Broadcasts {
    db: Db,
    clock: Arc<dyn Clock>,
    node: String,
    /// (queue, group) of this node.
    groups: Mutex<BTreeSet<(String, String)>>,
    /// True while the node has groups and is not stopped.
    beating: watch::Sender<bool>,
}

impl Broadcasts {
    pub fn new(db: Db, clock: Arc<dyn Clock>, node: String) -> Arc<Self> {
        Arc::new(Self {
            db,
            clock,
            node,
            groups: Mutex::default(),
            beating: watch::Sender::new(false),
        })
    }

    /// Registers a group of this node.
    pub async fn join(self: &Arc<Self>, queue: &str, group: &str) -> Result<(), DbError> {
        self.register(queue, group).await?;
        {
            let mut groups = self.groups.lock().expect("no panic while held");
            groups.insert((queue.to_owned(), group.to_owned()));
        }
        if self.db.engine() == Engine::Postgres && !self.beating.send_replace(true) {
            plugin_api::spawn(self.clone().beat());
        }
        Ok(())
    }

    async fn register(&self, queue: &str, group: &str) -> Result<(), DbError> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        tx.sql(sql::BROADCAST)
            .bind(queue)
            .bind(group)
            .bind(self.node.as_str())
            .bind(now)
            .execute()
            .await?;
        tx.sql(REGISTER_GROUP)
            .bind(queue)
            .bind(group)
            .bind(now)
            .execute()
            .await?;
        tx.commit().await
    }

    /// Removes one group of this node.
    pub async fn leave(&self, queue: &str, group: &str) -> Result<(), DbError> {
        {
            let mut groups = self.groups.lock().expect("no panic while held");
            groups.remove(&(queue.to_owned(), group.to_owned()));
            if groups.is_empty() {
                self.beating.send_replace(false);
            }
        }
        self.remove(vec![(queue.to_owned(), group.to_owned())])
            .await
    }

    /// Removes every group of this node.
    pub async fn leave_all(&self) -> Result<(), DbError> {
        self.beating.send_replace(false);
        let groups = std::mem::take(&mut *self.groups.lock().expect("no panic while held"));
        self.remove(groups.into_iter().collect()).await
    }

    async fn remove(&self, groups: Vec<(String, String)>) -> Result<(), DbError> {
        if groups.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = groups
            .into_iter()
            .map(|(queue, grp)| sql::Group {
                queue: Text::new(queue),
                grp: Text::new(grp),
            })
            .collect();
        let mut tx = self.db.begin().await?;
        tx.sql(sql::LEAVE).rows(&rows).execute().await?;
        drop_groups(&mut tx, &rows).await?;
        tx.commit().await
    }

    /// Where one process owns the database: what earlier processes left behind goes.
    pub async fn bury_predecessors(&self) -> Result<(), DbError> {
        if self.db.engine() == Engine::Postgres {
            return Ok(());
        }
        let mut tx = self.db.begin().await?;
        let gone: Vec<sql::Expired> = tx
            .sql(sql::EXPIRE_OTHERS)
            .bind(self.node.as_str())
            .all()
            .await?;
        finish(tx, gone).await
    }

    async fn beat(self: Arc<Self>) {
        let mut beating = self.beating.subscribe();
        let mut last = self.clock.now();
        loop {
            tokio::select! {
                () = self.clock.sleep_until(last.plus_millis(BEAT_MS)) => {}
                _ = beating.wait_for(|b| !b) => return,
            }
            // Who was seen since our own last beat is alive, however long this process stood still.
            let silent_since = last.plus_millis(BEAT_MS - SILENT_MS);
            last = self.clock.now();
            if let Err(error) = self.live(last, silent_since).await {
                tracing::warn!(node = self.node, %error, "The node could not say that it lives; tried again in 20 s.");
            }
        }
    }

    async fn live(&self, now: Ts, silent_since: Ts) -> Result<(), DbError> {
        let groups = self.groups.lock().expect("no panic while held").clone();
        let node = self.node.as_str();
        let seen = self
            .db
            .sql(sql::BEAT)
            .bind(node)
            .bind(now)
            .execute()
            .await?;
        if seen < groups.len() as u64 {
            tracing::warn!(
                node,
                "The node was taken for dead and lost the backlog of its broadcasts."
            );
            for (queue, group) in &groups {
                self.register(queue, group).await?;
            }
        }
        let mut tx = self.db.begin().await?;
        let gone: Vec<sql::Expired> = tx.sql(sql::EXPIRE).bind(silent_since).all().await?;
        finish(tx, gone).await
    }
}

async fn finish(mut tx: Tx, gone: Vec<sql::Expired>) -> Result<(), DbError> {
    if gone.is_empty() {
        return tx.rollback().await;
    }
    let rows: Vec<_> = gone
        .into_iter()
        .map(|g| sql::Group {
            queue: g.queue,
            grp: g.grp,
        })
        .collect();
    drop_groups(&mut tx, &rows).await?;
    tx.commit().await?;
    tracing::info!(
        groups = rows.len(),
        "Broadcast groups of nodes that are gone were removed."
    );
    Ok(())
}

async fn drop_groups(tx: &mut Tx, rows: &[sql::Group]) -> Result<(), DbError> {
    tx.sql(sql::DROP_GROUPS).rows(rows).execute().await?;
    tx.sql(sql::DROP_BACKLOG).rows(rows).execute().await?;
    Ok(())
}
