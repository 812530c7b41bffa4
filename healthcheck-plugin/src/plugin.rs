//! The plugin: what it registers and when.

use crate::{
    MIGRATIONS, actions,
    entity::{Health, HealthRead, Writer},
    executor::{
        record::Recorder,
        schedule::{GROUP, QUEUE, Scheduler},
        worker::Worker,
    },
    provider::Provider,
    routes::{self, CONFIGURATION_MANAGE, CONFIGURATION_READ, DETAILS_READ, STATUS_READ},
    service::Checks,
    store::claims,
    strategies::{Strategies, Strategy},
    triggers::{self, decide},
};
use async_trait::async_trait;
use automation_core::registry::{ACTIONS, ARTIFACT_TYPES, TRIGGERS};
use automation_entity::{
    Delivery, ENTITY, EntityHandle, EntityState, HEALTH_READER, HealthReader, KindOptions,
    NonReactive,
};
use catalog_common::SYSTEMS;
use plugin_api::{
    BoxError, Conn, InitCtx, Plugin, PluginId, PluginMetadata, ReadyCtx, RegisterEnv, Registered,
    queue::{Consumer, JobError, Retries},
};
use std::sync::{Arc, OnceLock};

/// Runs at once per process unless set otherwise (`healthcheck §5.1.5`).
const MAX_CONCURRENT_RUNS: usize = 32;

/// The health check plugin.
pub struct HealthcheckPlugin {
    max_concurrent_runs: usize,
    strategies: Vec<Arc<dyn Strategy>>,
}

impl Default for HealthcheckPlugin {
    fn default() -> Self {
        Self {
            max_concurrent_runs: MAX_CONCURRENT_RUNS,
            strategies: Vec::new(),
        }
    }
}

impl HealthcheckPlugin {
    /// With another limit of runs at once, at least 1 (setting `healthcheck.max_concurrent_runs`).
    pub fn max_concurrent_runs(mut self, n: usize) -> Self {
        self.max_concurrent_runs = n.max(1);
        self
    }
    /// With one more strategy.
    pub fn strategy(mut self, strategy: Arc<dyn Strategy>) -> Self {
        self.strategies.push(strategy);
        self
    }
}

struct Running {
    max_concurrent_runs: usize,
    strategies: Arc<Strategies>,
    handle: EntityHandle<Health>,
    late: OnceLock<(Worker, Scheduler)>,
}

impl Plugin for HealthcheckPlugin {
    fn metadata(&self) -> PluginMetadata {
        PluginMetadata {
            id: PluginId::new("healthcheck"),
            display_name: "Health checks",
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    fn register(
        self: Box<Self>,
        env: &mut RegisterEnv<'_>,
    ) -> Result<Box<dyn Registered>, BoxError> {
        env.migrations(MIGRATIONS);
        env.access_rules(&[
            STATUS_READ,
            CONFIGURATION_READ,
            CONFIGURATION_MANAGE,
            DETAILS_READ,
        ])?;
        env.provides(&HEALTH_READER)?;

        let entities = env.extension(&ENTITY);
        let options = KindOptions {
            durable: true,
            ..KindOptions::default()
        };
        let handle = entities.define::<Health>(options, HealthRead)?;
        entities.change_deriver(Health::KIND, "health", decide::EVENTS, decide::derive)?;
        for (table, note) in [
            (
                "health_check_runs",
                "raw samples; `health` is their aggregate",
            ),
            ("health_check_aggregates", "sums over raw samples"),
        ] {
            entities.declare_non_reactive_state(table, NonReactive::RawSample, note)?;
        }
        for (table, note) in [
            ("health_check_state_transitions", "the history of `health`"),
            ("health_check_claims", "leases of runs in flight"),
            (
                "health_check_configurations",
                "settings; their effect on `health` goes through its handle",
            ),
            (
                "system_health_checks",
                "settings; their effect on `health` goes through its handle",
            ),
        ] {
            entities.declare_non_reactive_state(table, NonReactive::Bookkeeping, note)?;
        }
        for trigger in triggers::all(&env.database()) {
            env.extension(&TRIGGERS).register(trigger)?;
        }
        for artifact in actions::artifact_types() {
            env.extension(&ARTIFACT_TYPES).register(artifact)?;
        }

        let mut strategies = Strategies::built_in(&env.clock());
        for strategy in self.strategies {
            strategies.add(strategy);
        }
        Ok(Box::new(Running {
            max_concurrent_runs: self.max_concurrent_runs,
            strategies: Arc::new(strategies),
            handle,
            late: OnceLock::new(),
        }))
    }
}

#[async_trait]
impl Registered for Running {
    async fn init(&self, ctx: &InitCtx) -> Result<(), BoxError> {
        let (db, clock) = (ctx.database(), ctx.clock());
        let writer = Writer::new(db.clone(), clock.clone(), self.handle.clone());
        let scheduler = Scheduler::new(db.clone(), clock.clone(), ctx.queues());
        let checks = Checks {
            db: db.clone(),
            clock: clock.clone(),
            strategies: self.strategies.clone(),
            writer: writer.clone(),
            scheduler: scheduler.clone(),
            hooks: ctx.hooks(),
            services: ctx.services(),
        };
        let recorder = Recorder {
            db: db.clone(),
            writer,
            clock: clock.clone(),
            hooks: ctx.hooks(),
            signals: ctx.signals(),
        };
        let worker = Worker::new(
            db.clone(),
            clock.clone(),
            self.strategies.clone(),
            ctx.services(),
            recorder,
        );
        let reader: Arc<dyn HealthReader> = Arc::new(Provider::new(db, clock));
        ctx.provide(&HEALTH_READER, reader.clone())?;

        let services = ctx.services();
        let entities = ctx.extension(&ENTITY);
        entities.payload_mapper(
            Health::KIND,
            Arc::new(move |change, _event| {
                // The name comes from a cache, if a catalog is installed.
                let systems = services.optional(&SYSTEMS).ok().flatten();
                let name = systems.and_then(|s| s.name(&change.id));
                triggers::payload(change, name)
            }),
        )?;
        let forgetting = checks.clone();
        entities.on_entity_changed(
            "catalog-system",
            Delivery::WorkQueue {
                worker_group: "system-cleanup".into(),
                retries: Retries::Limited(3),
            },
            move |change, _meta| {
                let checks = forgetting.clone();
                async move {
                    if change.is_tombstone() {
                        checks
                            .forget_system(&change.id)
                            .await
                            .map_err(|e| JobError::Retry(e.into()))?;
                    }
                    Ok(())
                }
            },
        )?;
        for action in actions::all(&checks) {
            ctx.extension(&ACTIONS).register(action)?;
        }
        ctx.routes(routes::routes(checks, reader, worker.clone()))?;
        self.late.set((worker, scheduler)).ok();
        Ok(())
    }

    async fn after_plugins_ready(&self, ctx: &ReadyCtx) -> Result<(), BoxError> {
        let (worker, scheduler) = self.late.get().ok_or("init did not run")?;
        if !ctx.clustered() {
            // No other process can hold a claim.
            claims::clear(Conn::Db(&ctx.database())).await?;
        }
        scheduler.reconcile().await?;
        let consumer = Consumer::each(GROUP, Arc::new(worker.clone()))
            .retries(Retries::Limited(0))
            .concurrency(self.max_concurrent_runs);
        ctx.queues().consume(QUEUE, consumer).await?;
        Ok(())
    }
}
