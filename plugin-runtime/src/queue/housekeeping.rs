//! What is kept for 7 days and then goes: dead letters (a setting), jobs of queues without a group,
//! and groups that no node consumed, with their backlog (`plugins §6.5`, `§7.3`, `§7.7`).
//!
//! It runs inside a pass that runs anyway, at most once an hour and first an hour after the start:
//! by then every group that still has a consumer has been seen again.

use super::{decide::KEEP_MS, manager::Core, sql};
use plugin_api::{
    Text, Ts,
    db::{DbError, Sql},
};
use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

const HOUR_MS: i64 = 3_600_000;
/// Rows of one statement: no lock is held for long.
const BATCH: i64 = 500;
/// Batches of one kind in one pass, which belongs to a lane that has other work.
const BATCHES: u32 = 40;

pub(super) struct Housekeeping {
    last: AtomicI64,
    /// How long dead letters are kept.
    dead_ms: AtomicI64,
    /// How many consumers this process has of each (queue, group).
    consumed: Mutex<BTreeMap<(String, String), usize>>,
}

impl Housekeeping {
    pub fn new(now: Ts) -> Self {
        Self {
            last: AtomicI64::new(now.millis()),
            dead_ms: AtomicI64::new(KEEP_MS),
            consumed: Mutex::default(),
        }
    }

    /// Keeps dead letters for so long.
    pub fn keep_dead(&self, ms: i64) {
        self.dead_ms.store(ms, Ordering::Relaxed);
    }

    /// A consumer started.
    pub fn consume(&self, queue: &str, group: &str) {
        let key = (queue.to_owned(), group.to_owned());
        let mut consumed = self.consumed.lock().expect("no panic while held");
        *consumed.entry(key).or_default() += 1;
    }

    /// A consumer ended.
    pub fn forget(&self, queue: &str, group: &str) {
        let key = (queue.to_owned(), group.to_owned());
        let mut consumed = self.consumed.lock().expect("no panic while held");
        if let Some(n) = consumed.get_mut(&key) {
            *n -= 1;
            if *n == 0 {
                consumed.remove(&key);
            }
        }
    }

    /// Does what is to be done, if an hour has passed and no other lane is doing it.
    pub async fn run(&self, core: &Core, now: Ts) -> Result<(), DbError> {
        let last = self.last.load(Ordering::Relaxed);
        let taken = now.millis() - last >= HOUR_MS
            && self
                .last
                .compare_exchange(last, now.millis(), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if !taken {
            return Ok(());
        }
        let seen: Vec<_> = {
            let consumed = self.consumed.lock().expect("no panic while held");
            consumed
                .keys()
                .map(|(queue, grp)| sql::Consumed {
                    queue: Text::new(queue.clone()),
                    grp: Text::new(grp.clone()),
                })
                .collect()
        };
        let before = now.plus_millis(-KEEP_MS);
        let mut tx = core.db.begin().await?;
        if !seen.is_empty() {
            tx.sql(sql::SEEN).bind(now).rows(&seen).execute().await?;
        }
        for prune in [sql::PRUNE_GROUP_JOBS, sql::PRUNE_GROUPS] {
            tx.sql(prune).bind(before).execute().await?;
        }
        tx.commit().await?;
        let dead_before = now.plus_millis(-self.dead_ms.load(Ordering::Relaxed));
        in_batches(core, sql::PRUNE_ORPHANS, before).await?;
        in_batches(core, sql::PRUNE_DEAD, dead_before).await
    }
}

/// Deletes a few hundred rows at a time until there are no more, or enough for this hour.
async fn in_batches(core: &Core, prune: Sql, before: Ts) -> Result<(), DbError> {
    for _ in 0..BATCHES {
        let query = core.db.sql(prune).bind(before).bind(BATCH);
        if query.execute().await? < BATCH as u64 {
            break;
        }
    }
    Ok(())
}
