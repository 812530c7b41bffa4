//! What happens at a tick.

use super::{
    SecretSource,
    record::{Names, Recorded, Recorder},
    run::{Outcome, admit, execute},
    schedule::Tick,
};
use crate::{
    store::{
        assignments,
        claims::{self, Claim},
    },
    strategies::Strategies,
};
use async_trait::async_trait;
use catalog_common::SYSTEMS;
use plugin_api::{
    BoxError, Clock, Conn, Db, Id, Services,
    queue::{Job, JobError, JobHandler},
};
use serde::Serialize;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// A claim outlives its run's time limit by this long, for closing; recording prolongs it.
const GRACE_MS: i64 = 5_000;

/// What this process's executor has done since it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ExecutorStats {
    /// Runs recorded.
    pub recorded: u64,
    /// Ticks skipped because a run of the assignment was in flight (`healthcheck §5.1.5`).
    pub skipped_in_flight: u64,
    /// Ticks that came so late that the next one was due.
    pub missed: u64,
    /// Runs that could not be recorded.
    pub lost: u64,
}

#[derive(Default)]
struct Counters {
    recorded: AtomicU64,
    skipped_in_flight: AtomicU64,
    missed: AtomicU64,
    lost: AtomicU64,
}

/// Handles ticks. Clones share their counters.
#[derive(Clone)]
pub struct Worker {
    db: Db,
    clock: Arc<dyn Clock>,
    strategies: Arc<Strategies>,
    services: Services,
    recorder: Recorder,
    counters: Arc<Counters>,
}

impl Worker {
    /// A worker over the plugin's tables.
    pub fn new(
        db: Db,
        clock: Arc<dyn Clock>,
        strategies: Arc<Strategies>,
        services: Services,
        recorder: Recorder,
    ) -> Self {
        Self {
            db,
            clock,
            strategies,
            services,
            recorder,
            counters: Arc::default(),
        }
    }

    /// The counters now.
    pub fn stats(&self) -> ExecutorStats {
        ExecutorStats {
            recorded: self.counters.recorded.load(Relaxed),
            skipped_in_flight: self.counters.skipped_in_flight.load(Relaxed),
            missed: self.counters.missed.load(Relaxed),
            lost: self.counters.lost.load(Relaxed),
        }
    }

    async fn tick(&self, tick: &Tick, job: &Job) -> Result<(), BoxError> {
        let at = Conn::Db(&self.db);
        let joined = assignments::joined(at, &tick.system_id, tick.configuration_id).await?;
        let Some(joined) = joined.filter(|j| j.enabled) else {
            return Ok(());
        };
        if joined.configuration.paused || !joined.local {
            return Ok(());
        }
        let stored = joined.configuration.plan().map_err(|e| e.to_string());
        let plan = stored.and_then(|plan| plan.migrated(&self.strategies));
        // Before the claim, which would expire meanwhile, and before the tick is called late: ticks that
        // wait for longer than their interval must not pile up.
        let places = match &plan {
            Ok(plan) => admit(&self.strategies, plan).await,
            Err(_) => None,
        };
        let late_ms = self.clock.now().millis() - job.due_at.millis();
        if !tick.extra && late_ms >= joined.configuration.interval_seconds * 1000 {
            self.counters.missed.fetch_add(1, Relaxed);
            return Ok(());
        }
        let claim = Claim {
            system_id: tick.system_id.clone(),
            configuration_id: tick.configuration_id,
            owner: Id(self.clock.new_uuid()),
        };
        let limit = plan.as_ref().map_or(0, |p| p.timeout_ms());
        let lease_ms = i64::try_from(limit).unwrap_or(i64::MAX / 2) + GRACE_MS;
        let now = self.clock.now();
        if !claims::take(Conn::Db(&self.db), &claim, now, lease_ms).await? {
            self.counters.skipped_in_flight.fetch_add(1, Relaxed);
            tracing::debug!(
                system_id = tick.system_id, configuration_id = %tick.configuration_id,
                "A tick found a run of its check in flight and was skipped."
            );
            return Ok(());
        }
        let outcome = match plan {
            Ok(plan) => {
                let secrets = SecretSource::new(self.services.clone());
                execute(&self.strategies, &secrets, &self.clock, &plan, places).await
            }
            Err(error) => Outcome::internal(format!("the stored check cannot be read: {error}")),
        };
        let names = Names {
            system: self.system_name(&tick.system_id),
            configuration: joined.configuration.name.into_string(),
        };
        let cause = tick.cause.clone();
        let recorded = self.recorder.record(&claim, &names, &outcome, cause);
        match recorded.await? {
            Recorded::Yes => self.counters.recorded.fetch_add(1, Relaxed),
            Recorded::Dropped => {
                tracing::info!(
                    system_id = tick.system_id, configuration_id = %tick.configuration_id,
                    "A run was not recorded: its assignment is gone, or a later run took its place."
                );
                self.counters.lost.fetch_add(1, Relaxed)
            }
        };
        Ok(())
    }

    fn system_name(&self, system_id: &str) -> Option<String> {
        let systems = self.services.optional(&SYSTEMS).ok().flatten()?;
        systems.name(system_id)
    }
}

#[async_trait]
impl JobHandler for Worker {
    /// Never fails: a failing check is a result, and a tick that could not be handled is followed
    /// by the next.
    async fn handle(&self, job: Job) -> Result<(), JobError> {
        let tick: Tick = job.decode()?;
        if let Err(error) = self.tick(&tick, &job).await {
            self.counters.lost.fetch_add(1, Relaxed);
            tracing::error!(
                %error, system_id = tick.system_id, configuration_id = %tick.configuration_id,
                "A check could not be run or recorded."
            );
        }
        Ok(())
    }
}
