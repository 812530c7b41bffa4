//! What lives with its node: the node's own mark, and its broadcast groups (`plugins §6.5`).
//!
//! Where nodes share a database, a node says every 20 s that it lives (see [`super::pulse`]); one that
//! has been silent for 60 s is dead, and its groups go, with their backlog. Where one process owns the
//! database nobody else can be alive, so nothing beats: what other processes left behind goes when the
//! barrier opens.

use super::sql;
use crate::queue::REGISTER_GROUP;
use plugin_api::{
    Clock, Db, Text, Ts,
    db::{DbError, Engine, Tx},
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard},
};

/// The queue of a node's own mark, which is kept as a group of no queue.
const NO_QUEUE: &str = "";

pub(super) struct Broadcasts {
    db: Db,
    clock: Arc<dyn Clock>,
    node: String,
    /// (queue, group) of this node.
    groups: Mutex<BTreeSet<(String, String)>>,
}

impl Broadcasts {
    pub fn new(db: Db, clock: Arc<dyn Clock>, node: String) -> Self {
        Self {
            db,
            clock,
            node,
            groups: Mutex::default(),
        }
    }

    fn groups(&self) -> MutexGuard<'_, BTreeSet<(String, String)>> {
        self.groups.lock().expect("no panic while held")
    }

    /// Marks the node as alive before it stores anything that lives with it.
    pub async fn arrive(&self) -> Result<(), DbError> {
        self.join(NO_QUEUE, &self.node).await
    }

    /// Registers a group of this node.
    pub async fn join(&self, queue: &str, group: &str) -> Result<(), DbError> {
        self.register(queue, group).await?;
        self.groups().insert((queue.to_owned(), group.to_owned()));
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
        if queue != NO_QUEUE {
            tx.sql(REGISTER_GROUP)
                .bind(queue)
                .bind(group)
                .bind(now)
                .execute()
                .await?;
        }
        tx.commit().await
    }

    /// Removes one group of this node.
    pub async fn leave(&self, queue: &str, group: &str) -> Result<(), DbError> {
        let group = (queue.to_owned(), group.to_owned());
        self.groups().remove(&group);
        self.remove(vec![group]).await
    }

    /// Removes every group of this node, and its mark.
    pub async fn leave_all(&self) -> Result<(), DbError> {
        let groups = std::mem::take(&mut *self.groups());
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
        finish(tx, gone).await.map(drop)
    }

    /// Says that the node lives, again with all its groups if others have buried it.
    pub async fn alive(&self, now: Ts) -> Result<(), DbError> {
        let groups = self.groups().clone();
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
        Ok(())
    }

    /// Removes the nodes that have been silent since then; true when there were any.
    pub async fn bury(&self, silent_since: Ts) -> Result<bool, DbError> {
        let mut tx = self.db.begin().await?;
        let gone: Vec<sql::Expired> = tx.sql(sql::EXPIRE).bind(silent_since).all().await?;
        finish(tx, gone).await
    }
}

async fn finish(mut tx: Tx, gone: Vec<sql::Expired>) -> Result<bool, DbError> {
    if gone.is_empty() {
        tx.rollback().await?;
        return Ok(false);
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
    let groups = rows.iter().filter(|g| g.queue.as_str() != NO_QUEUE).count();
    tracing::info!(
        groups,
        "Nodes that are gone were removed, with their broadcast groups."
    );
    Ok(true)
}

async fn drop_groups(tx: &mut Tx, rows: &[sql::Group]) -> Result<(), DbError> {
    tx.sql(sql::DROP_GROUPS).rows(rows).execute().await?;
    tx.sql(sql::DROP_BACKLOG).rows(rows).execute().await?;
    Ok(())
}
