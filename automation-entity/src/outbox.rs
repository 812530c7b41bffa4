//! From the outbox to whoever cares (`entity §10`): the first loop of the pipeline.
//!
//! A pass takes a batch of rows, routes them, stores them for subscribers and deletes them, all in one
//! transaction, so a change leaves the outbox only when its effects are stored. Changes of one entity
//! go in commit order: a row is not taken while an older one of its entity is parked, or held by
//! another node. A batch that fails is made smaller until the bad row stands alone; that row is
//! parked with growing pauses, for ever, and delays nobody but later changes of its own entity. A row
//! in a newer form than this program knows is parked as well, and stays for a newer node.

use crate::{
    ENGINE, OUTBOX_HINT,
    change::{EntityChanged, FORM},
    engine::{EntityDeps, EntityEngine},
    intents,
    subscribe::hook_of,
};
use futures::FutureExt;
use plugin_api::{
    BoxError, Clock, Db, Ts, Tx,
    db::{DbError, is_unavailable},
    hints::HintListener,
    hook::{HookBus, NewEvent},
    skew::{self, Newer},
    status::LoopReporter,
};
use serde::Deserialize;
use std::{error::Error, panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tokio::sync::watch;

/// Decides what a change means to the dispatch engine (Stage 1).
#[async_trait::async_trait]
pub trait ChangeRouter: Send + Sync + 'static {
    /// Stores the effects of a batch inside the transaction that takes it from the outbox. Changes of
    /// one entity come in commit order. An error rolls everything back; it is tried again for ever,
    /// so the effects of one change must be harmless to repeat (job ids carry its `change_id`).
    async fn route(&self, tx: &mut Tx, changes: &[EntityChanged]) -> Result<(), BoxError>;
}

plugin_api::row! {
    struct Taken {
        seq: i64,
        change_id: plugin_api::Id,
        payload: Option<String>,
    }
}

plugin_api::statements! {
    /// Takes and deletes up to `$2` rows that are due at `$1`. On Postgres a row that another node
    /// holds is skipped, and one whose older sibling is not part of this batch is answered without
    /// payload and stays. Parked rows and older siblings are looked up once for the batch, so that a
    /// long backlog, of many entities or of one, costs no more than a short one.
    TAKE = {
        sqlite: "delete from entity_outbox where seq in (
                select o.seq from entity_outbox o where (o.retry_at is null or o.retry_at <= $1)
                and not exists (select 1 from entity_outbox e where e.retry_at > $1
                    and e.kind = o.kind and e.entity_id = o.entity_id and e.seq < o.seq)
                order by o.seq limit $2)
            returning seq, change_id, payload",
        postgres: "with parked as materialized (
                select kind, entity_id, seq from signalbox.entity_outbox where retry_at > $1),
            held as (
                select o.seq, o.kind, o.entity_id from signalbox.entity_outbox o
                where (o.retry_at is null or o.retry_at <= $1)
                and not exists (select 1 from parked e
                    where e.kind = o.kind and e.entity_id = o.entity_id and e.seq < o.seq)
                order by o.seq limit $2 for update of o skip locked),
            older as materialized (
                select e.kind, e.entity_id, e.seq from (
                    select kind, entity_id, max(seq) as newest from held group by kind, entity_id) h
                join signalbox.entity_outbox e on e.kind = h.kind and e.entity_id = h.entity_id and e.seq < h.newest
                where not exists (select 1 from held b where b.seq = e.seq)),
            gone as (
                delete from signalbox.entity_outbox o using held h where o.seq = h.seq
                and not exists (select 1 from older e
                    where e.kind = h.kind and e.entity_id = h.entity_id and e.seq < h.seq)
                returning o.seq, o.change_id, o.payload)
            select h.seq, coalesce(g.change_id, '00000000-0000-0000-0000-000000000000'::uuid) as change_id, g.payload::text as payload
            from held h left join gone g on g.seq = h.seq order by h.seq",
    };
    /// Parks the first due row after it failed alone.
    PARK = {
        sqlite: "update entity_outbox set attempts = attempts + 1,
                retry_at = $1 + min(60000, 1000 * (1 << min(attempts, 6)))
            where seq = $2 returning attempts",
        postgres: "update signalbox.entity_outbox set attempts = attempts + 1,
                retry_at = $1::timestamptz + least(60000, 1000 * (1 << least(attempts, 6)::int)) * interval '1 millisecond'
            where seq = $2 returning attempts",
    };
    /// The first parked row's time.
    NEXT = "select min(retry_at) from signalbox.entity_outbox where retry_at is not null";
}

/// Largest batch.
const BATCH: i64 = 256;
/// Pause while another node holds an older change of an entity we want to take.
const BEHIND_OTHERS: Duration = Duration::from_millis(50);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What a pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Pass {
    routed: u64,
    /// Rows held back because another node has an older change of their entity.
    behind: u64,
}

/// The error of a pass, with the first row it had taken.
struct Failed {
    error: BoxError,
    first: Option<i64>,
    taken: usize,
    /// The database is not there: nothing is wrong with the rows.
    unavailable: bool,
    /// Rows that only a newer program can read; the others are sound.
    newer: Vec<i64>,
}

impl From<DbError> for Failed {
    fn from(e: DbError) -> Self {
        Self {
            unavailable: is_unavailable(&e),
            error: e.into(),
            first: None,
            taken: 0,
            newer: Vec::new(),
        }
    }
}

/// The running loop.
pub(crate) struct Outbox {
    stop: watch::Sender<bool>,
    task: tokio::sync::Mutex<Option<tokio::task::JoinHandle<()>>>,
}

struct Loop {
    engine: Arc<EntityEngine>,
    db: Db,
    clock: Arc<dyn Clock>,
    bus: Arc<dyn HookBus>,
    router: Arc<dyn ChangeRouter>,
    status: LoopReporter,
    /// Rows may be parked: their time must be asked for.
    parked: bool,
}

impl Outbox {
    /// Starts the loop with a full scan.
    pub fn start(
        engine: Arc<EntityEngine>,
        deps: &EntityDeps,
        router: Arc<dyn ChangeRouter>,
    ) -> Self {
        let listener = deps.hints.listen(OUTBOX_HINT);
        let (stop, stopped) = watch::channel(false);
        let worker = Loop {
            db: deps.db.pinned(2),
            clock: deps.clock.clone(),
            bus: deps.hooks.clone(),
            router,
            status: deps.status.register("automation.outbox"),
            engine: engine.clone(),
            parked: true,
        };
        let recovery = intents::run(engine, deps.clock.clone(), stopped.clone());
        let task = plugin_api::spawn(async move {
            tokio::join!(worker.run(listener, stopped), recovery);
        });
        Self {
            stop,
            task: tokio::sync::Mutex::new(Some(task)),
        }
    }

    /// Ends after the running pass.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        if let Some(task) = self.task.lock().await.take() {
            task.await.ok();
        }
    }
}

impl Loop {
    async fn run(mut self, listener: HintListener, mut stopped: watch::Receiver<bool>) {
        loop {
            let deadline = self.drain(&stopped).await;
            let due = async {
                match deadline {
                    Some(at) => self.clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                _ = stopped.wait_for(|s| *s) => return,
                () = listener.wait() => {}
                () = due => {}
            }
        }
    }

    /// Passes until nothing is left to take; answers when to look again without a hint. What is
    /// committed meanwhile brings a hint of its own.
    async fn drain(&mut self, stopped: &watch::Receiver<bool>) -> Option<Ts> {
        let (mut limit, mut pause) = (BATCH, FIRST_PAUSE);
        while !*stopped.borrow() {
            match self.pass(limit).await {
                Ok(pass) => {
                    self.status.pass(self.clock.now(), pass.routed, None);
                    pause = FIRST_PAUSE;
                    if (pass.routed as i64) < limit {
                        return self.next(pass.behind > 0).await;
                    }
                    limit = (limit * 2).min(BATCH);
                }
                Err(failed) => {
                    self.status.failed(self.clock.now(), &failed.error);
                    if failed.unavailable {
                        tracing::warn!(error = %failed.error, pause_ms = pause.as_millis() as u64, "The outbox cannot be read; changes wait.");
                        let until = self.after(pause);
                        pause = (pause * 2).min(LONGEST_PAUSE);
                        let mut stopped = stopped.clone();
                        tokio::select! {
                            _ = stopped.wait_for(|s| *s) => {}
                            () = self.clock.sleep_until(until) => {}
                        }
                    } else if !failed.newer.is_empty() {
                        if let Err(error) = self.leave(&failed).await {
                            tracing::warn!(%error, "Changes of a newer form could not be parked.");
                            return Some(self.after(LONGEST_PAUSE));
                        }
                    } else if failed.taken > 1 {
                        limit = (failed.taken as i64 / 2).max(1);
                    } else if let Err(error) = self.park(failed).await {
                        tracing::warn!(%error, "A change that could not be routed could not be parked either.");
                        return Some(self.after(LONGEST_PAUSE));
                    }
                }
            }
        }
        None
    }

    fn after(&self, pause: Duration) -> Ts {
        self.clock.now().plus_millis(pause.as_millis() as i64)
    }

    async fn next(&mut self, behind: bool) -> Option<Ts> {
        let parked = match self.parked {
            false => None,
            true => match self.db.sql(NEXT).one::<Option<Ts>>().await {
                Ok(at) => at,
                Err(_) => Some(self.after(LONGEST_PAUSE)),
            },
        };
        self.parked = parked.is_some();
        let retry = behind.then(|| self.after(BEHIND_OTHERS));
        [parked, retry].into_iter().flatten().min()
    }

    /// One batch, one transaction.
    async fn pass(&self, limit: i64) -> Result<Pass, Failed> {
        let mut tx = self.db.begin().await?;
        let query = tx.sql(TAKE).bind(self.clock.now()).bind(limit);
        let mut rows: Vec<Taken> = query.replanned().all().await?;
        rows.sort_unstable_by_key(|r| r.seq);
        let behind = rows.iter().filter(|r| r.payload.is_none()).count() as u64;
        rows.retain(|r| r.payload.is_some());
        if rows.is_empty() {
            tx.rollback().await.ok();
            return Ok(Pass { routed: 0, behind });
        }
        let mut changes: Vec<EntityChanged> = Vec::with_capacity(rows.len());
        let mut newer: Vec<(i64, Newer)> = Vec::new();
        for row in &rows {
            match decode(row) {
                Ok(change) => changes.extend(change),
                Err(e) => newer.push((row.seq, e)),
            }
        }
        if let Some((first, error)) = newer.first() {
            tx.rollback().await.ok();
            return Err(Failed {
                first: Some(*first),
                error: Box::new(error.clone()),
                taken: rows.len(),
                unavailable: false,
                newer: newer.into_iter().map(|(seq, _)| seq).collect(),
            });
        }
        let done = async {
            plugin_api::fail::point("entity.route").await?;
            // A panic of the router is the fault of a row, and must not end the loop.
            let routed = AssertUnwindSafe(self.router.route(&mut tx, &changes)).catch_unwind();
            routed
                .await
                .unwrap_or_else(|_| Err("the router panicked".into()))?;
            self.publish(&mut tx, &changes).await
        };
        let done = match done.await {
            Ok(()) => tx.commit().await.map_err(BoxError::from),
            Err(error) => {
                // Waited for, or the next pass would skip the rows as somebody else's.
                tx.rollback().await.ok();
                Err(error)
            }
        };
        match done {
            Ok(()) => Ok(Pass {
                routed: rows.len() as u64,
                behind,
            }),
            Err(error) => Err(Failed {
                unavailable: unavailable(&*error),
                error,
                first: rows.first().map(|r| r.seq),
                taken: rows.len(),
                newer: Vec::new(),
            }),
        }
    }

    /// Stores the changes for the subscribers of their kinds.
    async fn publish(&self, tx: &mut Tx, changes: &[EntityChanged]) -> Result<(), BoxError> {
        let mut kinds: Vec<&str> = Vec::new();
        for change in changes {
            if !kinds.contains(&&*change.kind) && self.engine.has_subscribers(&change.kind) {
                kinds.push(&change.kind);
            }
        }
        for kind in kinds {
            let own = changes.iter().filter(|c| c.kind == kind);
            // A subscriber that writes goes on with the chain that led to the change.
            let events = own.map(|c| {
                Ok(NewEvent {
                    payload: serde_json::to_value(c)?,
                    actor: c.actor.clone(),
                    cause: c.cause.clone(),
                })
            });
            let events = events.collect::<Result<_, serde_json::Error>>()?;
            self.bus
                .emit_all(&ENGINE, &hook_of(kind), events, tx)
                .await?;
        }
        Ok(())
    }

    /// Parks the rows that only a newer program can read.
    async fn leave(&mut self, failed: &Failed) -> Result<(), DbError> {
        self.parked = true;
        for seq in &failed.newer {
            let query = self.db.sql(PARK).bind(self.clock.now()).bind(*seq);
            let _: Option<i64> = query.optional().await?;
        }
        tracing::warn!(rows = failed.newer.len(), error = %failed.error, "An entity change cannot be read by this node.");
        Ok(())
    }

    async fn park(&mut self, failed: Failed) -> Result<(), DbError> {
        let Some(seq) = failed.first else {
            // Not the fault of a row: the statement itself was refused.
            return Err(DbError::Protocol(failed.error.to_string()));
        };
        self.parked = true;
        let query = self.db.sql(PARK).bind(self.clock.now()).bind(seq);
        let attempts: Option<i64> = query.optional().await?;
        tracing::error!(seq, attempts, error = %failed.error, "A change could not be routed; it is tried again.");
        Ok(())
    }
}

/// Whether an error comes from a database that is not there.
fn unavailable(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(e) = cause {
        if e.downcast_ref::<DbError>().is_some_and(is_unavailable) {
            return true;
        }
        cause = e.source();
    }
    false
}

/// A row that does not decode never will: it is dropped, as none. One of a newer form is an error.
fn decode(row: &Taken) -> Result<Option<EntityChanged>, Newer> {
    let text = row.payload.as_deref().unwrap_or_default();
    let parsed = serde_json::from_str::<serde_json::Value>(text);
    if let Ok(document) = &parsed {
        skew::check(document, FORM)?;
    }
    match parsed.and_then(EntityChanged::deserialize) {
        Ok(change) => Ok(Some(change)),
        Err(error) => {
            tracing::warn!(seq = row.seq, change_id = %row.change_id, %error, "A malformed entity change was dropped from the outbox.");
            Ok(None)
        }
    }
}
