//! The plugin `automation`: registries, entities and the engine, in the order of their lives.

use crate::{
    automations::Automations,
    builtin::{self, Arming, Cron, Interval, Log, Schedules, States},
    commit::{Applier, Committer},
    drive::{self, LeaseTimes},
    dwell,
    engine::{ENGINE, Engine},
    retention::{self, Retention},
    shared::{Limits, Shared},
    stage, sweep, waits,
    why::{self, Recorder},
};
use async_trait::async_trait;
use automation_core::{
    access,
    builtin::{cron, interval, numeric_state, state},
    registry::{
        ACTIONS, ARTIFACT_TYPES, ActionDef, FILTERS, REGISTRIES, Registries, STARTERS, TRIGGERS,
        TriggerSource,
    },
    starters,
    store::AutomationStore,
    validate::Capabilities,
};
use automation_entity::{EntityDeps, EntityEngine, EntityOptions, SqlStore};
use plugin_api::{
    BoxError, InitCtx, Plugin, PluginId, PluginMetadata, ReadyCtx, RegisterEnv, Registered,
    hook::HookMode, queue::Subscription,
};
use std::sync::{Arc, Mutex, OnceLock};
use tokio::task::JoinHandle;

/// The engine's plugin id; built-in triggers and actions are `automation.…`.
const ID: PluginId = PluginId::new("automation");

/// Connections for set-based statements of walking runs.
const BATCH_CONNECTIONS: u32 = 2;
/// Connections for reads beside a held transaction.
const READ_CONNECTIONS: u32 = 4;

/// What this engine runs; everything else is refused when an automation is enabled.
pub fn capabilities() -> Capabilities {
    Capabilities::all()
}

/// The plugin.
#[derive(Default)]
pub struct AutomationPlugin {
    options: EntityOptions,
    limits: Limits,
    retention: Retention,
    lease: LeaseTimes,
}

impl AutomationPlugin {
    /// With settings of the entity layer.
    pub fn new(options: EntityOptions) -> Self {
        Self {
            options,
            ..Self::default()
        }
    }

    /// With other limits for runs.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// With leases of another length than 60 s: how soon a node that died is noticed.
    pub fn leases(mut self, lease: LeaseTimes) -> Self {
        self.lease = lease;
        self
    }

    /// With settings for how much history is kept.
    pub fn retention(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }
}

impl Plugin for AutomationPlugin {
    fn metadata(&self) -> PluginMetadata {
        PluginMetadata {
            id: ID,
            display_name: "Automations",
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    fn register(
        self: Box<Self>,
        env: &mut RegisterEnv<'_>,
    ) -> Result<Box<dyn Registered>, BoxError> {
        let registries = Arc::new(Registries::default());
        env.implement(&TRIGGERS, Arc::new(registries.clone()))?;
        env.implement(&ACTIONS, Arc::new(registries.clone()))?;
        env.implement(&ARTIFACT_TYPES, Arc::new(registries.clone()))?;
        env.implement(&FILTERS, Arc::new(registries.clone()))?;
        env.implement(&STARTERS, Arc::new(registries.clone()))?;
        let entities = EntityEngine::new(self.options, registries.clone());
        entities.install(env)?;
        env.access_rules(&[access::READ, access::MANAGE, access::ENTITY_READ])?;
        env.provide(&REGISTRIES, registries.clone())?;
        env.provides(&ENGINE)?;
        let schedules = Arc::new(Schedules::default());
        let triggers = env.extension(&TRIGGERS);
        triggers.register(cron(Arc::new(Cron(schedules.clone()))))?;
        triggers.register(interval(Arc::new(Interval(schedules.clone()))))?;
        triggers.register(numeric_state())?;
        let states = States::new(&entities);
        triggers.register(state(states.clone(), states.clone()))?;
        env.extension(&ACTIONS).register(
            ActionDef::new("log", Log)
                .named("Log", "Writes one line to the run log")
                .category("Debugging"),
        )?;
        for starter in starters::core() {
            env.extension(&STARTERS).register(starter)?;
        }
        Ok(Box::new(Running {
            limits: self.limits,
            retention: self.retention,
            registries,
            entities,
            schedules,
            states,
            lease: self.lease,
            shared: OnceLock::new(),
            subscriptions: Mutex::default(),
            tasks: Mutex::default(),
            keeping: Mutex::default(),
        }))
    }
}

struct Running {
    limits: Limits,
    retention: Retention,
    registries: Arc<Registries>,
    entities: Arc<EntityEngine>,
    schedules: Arc<Schedules>,
    states: Arc<States>,
    lease: LeaseTimes,
    shared: OnceLock<Arc<Shared>>,
    subscriptions: Mutex<Vec<Subscription>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    /// Renews the leases; outlives the other tasks.
    keeping: Mutex<Option<JoinHandle<()>>>,
}

#[async_trait]
impl Registered for Running {
    async fn init(&self, ctx: &InitCtx) -> Result<(), BoxError> {
        let deps = EntityDeps::of(ctx);
        self.entities.bind(deps);
        let db = ctx.framework_database();
        let batch = db.pinned(BATCH_CONNECTIONS);
        let reads = db.separate(READ_CONNECTIONS);
        let node: Arc<str> = ctx.node_id().into();
        let applier = Applier {
            node: node.clone(),
            queues: ctx.queues(),
            lease: self.lease,
        };
        let store = AutomationStore::new(
            reads.clone(),
            ctx.clock(),
            ctx.hints(),
            self.registries.clone(),
            Arc::new(capabilities()),
        );
        let history = Arc::new(SqlStore::new(reads.clone()));
        self.states.bind(history.clone());
        let shared = Arc::new(Shared {
            committer: Committer::start(batch.clone(), applier.clone(), ctx.clock()),
            applier,
            batch,
            reads: reads.clone(),
            db,
            clock: ctx.clock(),
            node,
            queues: ctx.queues(),
            hints: ctx.hints(),
            registries: self.registries.clone(),
            entities: self.entities.clone(),
            history,
            secrets: ctx.run_secrets(),
            services: ctx.services(),
            signals: ctx.signals(),
            filters: self.registries.filters().clone(),
            automations: Automations::new(store, self.registries.clone()),
            drivers: drive::Drivers::new(self.lease),
            settling: Default::default(),
            limits: self.limits,
            decisions: Recorder::new(ctx.clock(), self.retention.decisions_per_automation),
            retention: self.retention,
            artifact_checks: Default::default(),
        });
        self.schedules.bind(ctx.queues());
        ctx.provide(
            &ENGINE,
            Arc::new(Engine {
                shared: shared.clone(),
            }),
        )?;
        let _ = self.shared.set(shared);
        Ok(())
    }

    async fn after_plugins_ready(&self, ctx: &ReadyCtx) -> Result<(), BoxError> {
        let shared = self.shared.get().ok_or("the engine was not initialised")?;
        self.registries.check_artifact_names()?;
        if !ctx.clustered() {
            // Nobody else can hold a lease on this database: those there are were left by a crash.
            drive::release_dead(shared).await?;
        }
        shared.automations.store().migrate_data().await?;
        shared.automations.refresh().await?;
        // Subscriptions, consumers, router, sweeper; changes held back since `init` come last
        // (`dispatch §2`).
        self.subscribe(ctx, shared).await?;
        let mut arming = Arming::default();
        arming.reconcile(shared).await?;
        self.schedules.cancel_orphans().await?;
        let mut running = waits::run_timers(shared).await?;
        running.push(dwell::run_timers(shared).await?);
        running.push(builtin::run_ticks(&self.schedules, &shared.queues).await?);
        running.push(stage::run(shared).await?);
        self.subscriptions
            .lock()
            .expect("subscriptions")
            .append(&mut running);
        let report = ctx.status().register("automation.sweep");
        let leases = ctx.status().register("automation.leases");
        let keeping = plugin_api::spawn(drive::keep(shared.clone(), leases));
        *self.keeping.lock().expect("keeping") = Some(keeping);
        self.tasks.lock().expect("tasks").extend([
            plugin_api::spawn(waits::listen(shared.clone())),
            plugin_api::spawn(sweep::run(shared.clone(), report)),
            plugin_api::spawn(builtin::run_arming(shared.clone(), arming)),
            plugin_api::spawn(why::run(
                shared.clone(),
                ctx.status().register("automation.decisions"),
            )),
            plugin_api::spawn(retention::run(
                shared.clone(),
                ctx.status().register("automation.retention"),
            )),
        ]);
        sweep::first(shared).await?;
        let router = Arc::new(stage::Router(shared.clone()));
        self.entities.start(router).await
    }

    /// Intake first, then consumers, then the sweeper; drivers get 10 s to a checkpoint, and their
    /// leases are given back (`dispatch §2`).
    async fn cleanup(&self) -> Result<(), BoxError> {
        let Some(shared) = self.shared.get() else {
            return Ok(());
        };
        self.entities.stop().await;
        let running = std::mem::take(&mut *self.subscriptions.lock().expect("subscriptions"));
        for subscription in running {
            subscription.unsubscribe().await;
        }
        // Before the task that writes them is stopped in the middle of it.
        why::flush(shared).await;
        for task in std::mem::take(&mut *self.tasks.lock().expect("tasks")) {
            task.abort();
        }
        let closed = drive::close(shared).await;
        // Not before: a lease may be shorter than what drivers get, and a call in flight must not be
        // done again by another node meanwhile (`dispatch §9.3`).
        if let Some(keeping) = self.keeping.lock().expect("keeping").take() {
            keeping.abort();
        }
        // What has been decided up to here is told.
        why::flush(shared).await;
        Ok(closed?)
    }
}

impl Running {
    /// One work queue for each hook-backed trigger: one node takes each emission.
    async fn subscribe(&self, ctx: &ReadyCtx, shared: &Arc<Shared>) -> Result<(), BoxError> {
        let bus = ctx.hooks().bus().clone();
        for trigger in self.registries.triggers() {
            if let TriggerSource::Hook { hook } = &trigger.source {
                let mode = HookMode::work_queue(format!("automation-trigger-{}", trigger.id));
                let handler = stage::hook(shared, &trigger.id);
                let subscription = bus.subscribe(&ID, hook, mode, handler).await?;
                self.subscriptions
                    .lock()
                    .expect("subscriptions")
                    .push(subscription);
            }
        }
        Ok(())
    }
}
