//! Transactions of the model. As on Postgres at read-committed: reads see what is committed when they
//! run, locks are held until the end, and what is written becomes visible at once at the commit. On
//! the other engine a transaction is alone.

use super::super::{
    Node,
    exec::{Core, When},
    invariants,
};
use automation_core::{AutomationId, DwellId, LockId, RunId};
use plugin_api::queue::NewJob;
use std::collections::{BTreeMap, BTreeSet};

/// What a transaction can hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// SQLite: the writer.
    Writer,
    /// An advisory lock.
    Section(String),
    State(RunId),
    Run(RunId),
    Dwell(DwellId),
    OneDwell(String),
    Ledger(String),
    Dedup(String),
    Job(u64),
    Change(u64),
}

/// Nothing of it was written; who asked tries again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aborted;

type Write = Box<dyn FnOnce(&mut Core) + Send>;
type After = Box<dyn FnOnce() + Send>;

/// What an injected fault does to a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitFault {
    /// The node dies before it.
    CrashBefore,
    /// The node dies after it, before its effects.
    CrashAfter,
    /// It is refused.
    Refused,
    /// It happens, and its answer is lost.
    ReplyLost,
    /// The node is held up right after it, before its effects.
    HeldUp(i64),
    /// It takes long; nothing is wrong with that.
    Slow(i64),
}

/// An open transaction.
pub struct Tx {
    node: Node,
    id: u64,
    what: &'static str,
    deletions: u64,
    writes: Vec<Write>,
    after: Vec<After>,
    mine: BTreeSet<Key>,
    /// Marks made here: visible to this transaction only.
    pub fired: BTreeSet<LockId>,
    /// Dwells armed here, by their unique key.
    pub armed: BTreeSet<String>,
    /// Automations that its rows refer to.
    refers: BTreeSet<AutomationId>,
    /// Leases taken here.
    pub acquired: BTreeMap<RunId, i64>,
}

/// How long a transaction waits for a lock.
const PATIENCE: i64 = 5_000;

impl Tx {
    /// Begins.
    pub async fn begin(node: &Node, what: &'static str) -> Result<Tx, Aborted> {
        let (id, deletions) = {
            let mut core = node.sim.core();
            (core.number(), core.store.deletions)
        };
        let mut tx = Tx {
            deletions,
            node: node.clone(),
            id,
            what,
            writes: Vec::new(),
            after: Vec::new(),
            mine: BTreeSet::new(),
            fired: BTreeSet::new(),
            armed: BTreeSet::new(),
            refers: BTreeSet::new(),
            acquired: BTreeMap::new(),
        };
        if node.sim.one_writer {
            tx.take(Key::Writer).await?;
        } else {
            node.pause().await;
        }
        Ok(tx)
    }

    /// A statement boundary.
    pub async fn statement(&mut self) {
        if !self.node.sim.one_writer {
            self.node.pause().await;
        }
    }

    async fn take(&mut self, key: Key) -> Result<(), Aborted> {
        if self.mine.contains(&key) {
            return Ok(());
        }
        let until = self.node.sim.core().now + PATIENCE;
        let when = When::Lock(key.clone(), self.id, until);
        if self.node.sim.leaf(self.node.n, when).await {
            self.mine.insert(key);
            Ok(())
        } else {
            Err(Aborted)
        }
    }

    /// Waits for a lock and keeps it until the end. A lone writer needs none.
    pub async fn lock(&mut self, key: Key) -> Result<(), Aborted> {
        if self.node.sim.one_writer {
            Ok(())
        } else {
            self.take(key).await
        }
    }

    /// True when it has this lock.
    pub fn holds(&self, key: &Key) -> bool {
        self.mine.contains(key)
    }

    /// Takes a lock if it is free: `for update skip locked`.
    pub fn try_lock(&mut self, key: Key) -> bool {
        let mut core = self.node.sim.core();
        if core.store.is_locked(&key) {
            return false;
        }
        core.store.lock(key.clone(), self.id);
        drop(core);
        self.mine.insert(key);
        true
    }

    /// Looks at what is committed.
    pub fn see<T>(&self, f: impl FnOnce(&mut Core) -> T) -> T {
        f(&mut self.node.sim.core())
    }

    /// Writes at the commit.
    pub fn write(&mut self, f: impl FnOnce(&mut Core) + Send + 'static) {
        self.writes.push(Box::new(f));
    }

    /// A row that is written refers to an automation: a foreign key.
    pub fn refer(&mut self, to: AutomationId) {
        self.refers.insert(to);
    }

    /// Enqueues at the commit.
    pub fn enqueue(&mut self, queue: &'static str, job: NewJob) {
        self.write(move |core| core.enqueue(queue, job));
    }

    /// Does something once it has committed.
    pub fn after_commit(&mut self, f: impl FnOnce() + Send + 'static) {
        self.after.push(Box::new(f));
    }

    /// Commits, and performs what is to follow.
    pub async fn commit(mut self) -> Result<(), Aborted> {
        self.node.pause().await;
        let fault = {
            let mut core = self.node.sim.core();
            core.store.plan.commit_fault()
        };
        match fault {
            Some(CommitFault::CrashBefore) => self.die("before").await,
            Some(CommitFault::Slow(ms)) => {
                let at = self.node.sim.core().now + ms;
                self.node.sim.leaf(self.node.n, When::At(at)).await;
            }
            Some(CommitFault::Refused) => {
                let (what, n) = (self.what, self.node.n);
                let mut core = self.node.sim.core();
                core.tell(|| format!("n{n} {what}: commit refused"));
                if what == "renew" {
                    // A lease that cannot be renewed runs out under its driver.
                    let now = core.now;
                    core.store.memory.disturbed(n, now);
                }
                return Err(Aborted);
            }
            _ => {}
        }
        {
            let mut core = self.node.sim.core();
            let (what, n) = (self.what, self.node.n);
            let gone = self
                .refers
                .iter()
                .any(|a| !core.store.automations.contains_key(a));
            if gone || core.store.deletions != self.deletions {
                core.tell(|| format!("n{n} {what}: refused, an automation was deleted"));
                return Err(Aborted);
            }
            core.tell(|| format!("n{n} {what}: commit"));
            for write in std::mem::take(&mut self.writes) {
                write(&mut core);
            }
            core.store.unlock_all(self.id);
            invariants::committed(&mut core);
        }
        match fault {
            Some(CommitFault::CrashAfter) => self.die("after").await,
            Some(CommitFault::ReplyLost) => {
                let n = self.node.n;
                let mut core = self.node.sim.core();
                let now = core.now;
                core.store.memory.disturbed(n, now);
                core.tell(|| format!("n{n} reply of the commit lost"));
                return Err(Aborted);
            }
            Some(CommitFault::HeldUp(ms)) => {
                let n = self.node.n;
                {
                    let mut core = self.node.sim.core();
                    let now = core.now;
                    core.store.memory.disturbed(n, now);
                    core.nodes[n].paused_until = now + ms;
                    core.tell(|| format!("n{n} held up for {ms} ms after its commit"));
                }
                self.node.pause().await;
            }
            _ => {}
        }
        for after in std::mem::take(&mut self.after) {
            after();
        }
        Ok(())
    }

    async fn die(&mut self, when: &str) {
        let n = self.node.n;
        {
            let mut core = self.node.sim.core();
            let what = self.what;
            core.tell(|| format!("n{n} dies {when} the commit of {what}"));
            core.dying.push(n);
        }
        std::future::pending::<()>().await;
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        if let Ok(mut core) = self.node.sim.core.lock() {
            core.store.unlock_all(self.id);
        }
    }
}

impl Core {
    /// Puts a job into its queue.
    pub fn enqueue(&mut self, queue: &'static str, job: NewJob) {
        let number = self.number();
        let run_at = job.run_at.map_or(self.now, |at| at.millis());
        if self.store.plan.lose(queue) {
            self.tell(|| format!("a job of {queue} is lost"));
            return;
        }
        let job = super::Job {
            queue,
            job_id: job.job_id.unwrap_or_else(|| format!("job-{number}")),
            data: job.data,
            run_at: run_at.max(self.now) + self.store.plan.delay(),
            attempts: 0,
            enqueued_at: self.now,
        };
        self.store.enqueue(number, job);
    }
}
