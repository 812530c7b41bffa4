//! The engine at work on something small: a kind of entity, an action that notes when it is called, and the clock of the
//! machine. What a plugin would do besides is left out, so that figures are the engine's.

mod action;
mod backlog;
mod plugin;
mod progress;
mod thing;

use plugin::Ping;
pub use progress::{Progress, Ticket, Timing};

use crate::{
    database::Scratch,
    load::{self, Rate},
    samples::Samples,
    stopwatch::{self, Moment, pause},
};
use anyhow::{Context, Result, anyhow};
use automation_core::{
    AutomationId,
    store::{NewAutomation, Source, StoreError},
};
use automation_dispatch::{AutomationPlugin, ENGINE, Engine};
use automation_entity::{EntityHandle, MutateOpts};
use plugin_api::{
    Actor, Db, PluginId, SystemClock, hints::Hints, hook::Hooks, queue::QueueManager,
};
use plugin_runtime::{Runtime, ShutdownReason};
use std::{
    future::Future,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};
use thing::Thing;

/// The automation that most workloads run: one action for each tick of a thing.
pub const ONE_ACTION: &str = "triggers: [{event: bench.ticked}]\nconcurrency_scope: context_key\nactions: [{action: bench.call, config: {}}]";

/// What the plugin hands out during the boot.
#[derive(Default)]
struct Parts {
    things: OnceLock<EntityHandle<Thing>>,
    hooks: OnceLock<Hooks>,
    queues: OnceLock<Arc<dyn QueueManager>>,
    hints: OnceLock<Arc<dyn Hints>>,
}

/// One node.
pub struct World {
    runtime: Runtime,
    engine: Arc<Engine>,
    db: Db,
    clock: Arc<SystemClock>,
    parts: Arc<Parts>,
    progress: Arc<Progress>,
    listener: tokio::task::JoinHandle<()>,
    /// How long the boot took.
    pub boot: Duration,
    ticks: AtomicI64,
}

plugin_api::statements! {
    /// Runs that are not over, changes and jobs on their way: 0 when everything has been done.
    UNDONE = "select (select count(*) from signalbox.automation_runs where status in ('pending', 'running'))
        + (select count(*) from signalbox.entity_outbox)
        + (select count(*) from signalbox.queue_jobs where state <> 1)";
    /// Runs that wait.
    WAITING = "select count(*) from signalbox.automation_runs where status = 'waiting'";
    /// Dwells that are armed.
    ARMED = "select count(*) from signalbox.automation_dwell_timers";
}

impl World {
    /// Boots a node on a database, with its tables made where they are missing.
    ///
    /// # Errors
    /// When the boot fails.
    pub async fn boot(scratch: &Scratch) -> Result<Self> {
        Self::join(scratch, Arc::default()).await
    }

    /// As [`World::boot`], for a node that shares the work, and its progress, with others.
    ///
    /// # Errors
    /// When the boot fails.
    pub async fn join(scratch: &Scratch, progress: Arc<Progress>) -> Result<Self> {
        let db = scratch.open().await?;
        let clock = SystemClock::new();
        let parts: Arc<Parts> = Arc::default();
        let plugin = plugin::BenchPlugin::new(parts.clone(), progress.clone());
        let begun = Moment::now();
        let runtime = Runtime::builder(db.clone())
            .system_clock(clock.clone())
            .plugin(Box::new(AutomationPlugin::default()))
            .plugin(Box::new(plugin))
            .boot()
            .await?;
        let boot = begun.elapsed();
        let engine = runtime.services(PluginId::new("bench")).get(&ENGINE)?;
        let listener = progress.listen(&*runtime.signals(), db.clone());
        Ok(Self {
            runtime,
            engine,
            db,
            clock,
            parts,
            progress,
            listener,
            boot,
            ticks: AtomicI64::new(0),
        })
    }

    /// The framework's database.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<SystemClock> {
        &self.clock
    }

    /// Who was called, and what has ended.
    pub fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// Queues.
    ///
    /// # Errors
    /// When the plugin was not initialised.
    pub fn queues(&self) -> Result<Arc<dyn QueueManager>> {
        self.parts.queues.get().cloned().context("no queues")
    }

    /// Stores an enabled automation; `body` is YAML without the name.
    ///
    /// # Errors
    /// What validation says, in one line, or what the database says.
    pub async fn automation(&self, body: &str) -> Result<AutomationId> {
        let new = NewAutomation::of(Source::Text(format!("name: bench\n{body}")));
        match self
            .engine
            .automations()
            .create(new, &Actor::system())
            .await
        {
            Ok(stored) => Ok(stored.automation.id),
            Err(StoreError::Invalid(issues)) => Err(match issues.first_error() {
                Some(d) => anyhow!("{} ({})", d.message, d.code),
                None => anyhow!("the definition has errors"),
            }),
            Err(e) => Err(e.into()),
        }
    }

    /// Changes a thing to a status and a new number; ends when that is committed.
    ///
    /// # Errors
    /// When the write is refused.
    pub async fn change(&self, id: &str, status: &str) -> Result<()> {
        let things = self.parts.things.get().context("no things")?;
        let thing = Thing {
            status: status.to_owned(),
            n: self.ticks.fetch_add(1, Ordering::Relaxed),
        };
        let apply = async |tx: &mut plugin_api::Tx| {
            tx.sql(thing::PUT)
                .bind(id.to_owned())
                .bind(thing.status.clone())
                .bind(thing.n)
                .execute()
                .await?;
            Ok(thing.clone())
        };
        things.mutate_in(id, MutateOpts::default(), apply).await?;
        Ok(())
    }

    /// Ticks a thing and waits until the run that comes of it is over.
    ///
    /// # Errors
    /// When the write is refused, or the run is not over in time.
    pub async fn tick(&self, id: &str) -> Result<Timing> {
        self.tick_to(id, "up").await
    }

    /// As [`World::tick`], with the status the thing gets.
    ///
    /// # Errors
    /// As there.
    pub async fn tick_to(&self, id: &str, status: &str) -> Result<Timing> {
        let ticket = self.progress.expect(id)?;
        self.change(id, status).await?;
        ticket.follow(Moment::now()).await
    }

    /// Emits a hook about a thing and waits until the run that comes of it is over.
    ///
    /// # Errors
    /// As [`World::tick`].
    pub async fn ping(&self, id: &str) -> Result<Timing> {
        let hooks = self.parts.hooks.get().context("no hooks")?;
        let ticket = self.progress.expect(id)?;
        let payload = Ping {
            thing: id.to_owned(),
        };
        hooks.emit(&plugin::PING, &payload).await?;
        ticket.follow(Moment::now()).await
    }

    /// Keeps so many events in flight for a time, each about a thing of its own and followed until its run is over.
    /// Answers also how long they took from their commit to the call of their action.
    ///
    /// # Errors
    /// The first error of an event.
    pub async fn sustain<F, Fut>(
        self: &Arc<Self>,
        in_flight: usize,
        time: Duration,
        event: F,
    ) -> Result<(Rate, Samples)>
    where
        F: Fn(Arc<World>, String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Timing>> + Send,
    {
        let calls: Arc<Mutex<Samples>> = Arc::default();
        let (world, taken) = (self.clone(), calls.clone());
        let rate = load::closed(in_flight, time, move |client, _| {
            let (calls, event) = (calls.clone(), event(world.clone(), thing(client)));
            async move {
                let timing = event.await?;
                calls.lock().expect("samples").push(timing.call);
                Ok(1)
            }
        })
        .await?;
        let calls = std::mem::take(&mut *taken.lock().expect("samples"));
        Ok((rate, calls))
    }

    /// Makes things that do not exist yet, so that what is measured later changes them.
    ///
    /// # Errors
    /// When the write is refused.
    pub async fn make_things(&self, names: impl Iterator<Item = String>) -> Result<()> {
        for name in names {
            self.change(&name, "up").await?;
        }
        self.settle().await
    }

    /// Waits until no change, job or run is on its way; runs that wait may stay.
    ///
    /// # Errors
    /// When that does not come about in time.
    pub async fn settle(&self) -> Result<()> {
        self.until("everything to be done", UNDONE, |n| n == 0)
            .await
    }

    /// Waits until so many runs wait.
    ///
    /// # Errors
    /// When that does not come about in time.
    pub async fn until_waiting(&self, runs: i64) -> Result<()> {
        self.until("runs to wait", WAITING, |n| n == runs).await
    }

    /// Waits until so many dwells are armed.
    ///
    /// # Errors
    /// When that does not come about in time.
    pub async fn until_armed(&self, dwells: i64) -> Result<()> {
        self.until("dwells", ARMED, |n| n == dwells).await
    }

    async fn until(
        &self,
        what: &str,
        sql: plugin_api::db::Sql,
        wanted: impl Fn(i64) -> bool,
    ) -> Result<()> {
        stopwatch::within(what, async {
            while !wanted(self.db.sql(sql).one().await?) {
                pause(Duration::from_millis(2)).await;
            }
            Ok(())
        })
        .await?
    }

    /// As [`World::shutdown`], of a node that nobody else uses any more.
    pub async fn close(world: Arc<World>) {
        match Arc::try_unwrap(world) {
            Ok(world) => world.shutdown().await,
            // The process is about to end with it.
            Err(_) => eprintln!("A node is still in use and was not shut down."),
        }
    }

    /// Stops in good order.
    pub async fn shutdown(self) {
        self.listener.abort();
        self.runtime.shutdown(ShutdownReason::Manual).await;
        self.db.close().await;
    }
}

/// The name of the nth thing.
pub fn thing(n: impl std::fmt::Display) -> String {
    format!("t{n}")
}
