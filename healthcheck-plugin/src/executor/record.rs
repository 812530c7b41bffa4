//! What follows a run, in this order (`healthcheck §5.3`): its row, the hourly bucket and the
//! system's history together with the entity change; the hooks; the signal.
//!
//! All but the signal is one transaction, so a run that is stored has told everybody who must know,
//! and a run that was cut off by a crash has told nobody.

use super::run::Outcome;
use crate::{
    entity::{Cause, Writer, before_write},
    events::{CHECK_COMPLETED, CHECK_FAILED, CheckEvent},
    status::Status,
    store::{
        aggregates::{self, Sample},
        claims::{self, Claim},
        runs::{self, Run},
    },
};
use automation_entity::{MutateError, MutateOpts};
use plugin_api::{
    Actor, BoxError, Clock, Conn, Db, Doc, Id, RequestContext, Text, Ts, Tx, hook::Hooks,
    masking::MaskSet, signal::Signals,
};
use serde_json::json;
use std::{sync::Arc, time::Duration};

/// How often a run is tried to be recorded while others keep its system locked.
const TRIES: u32 = 4;
/// For how long a waiting run says that it still has its claim, and how often it does. A node that dies
/// meanwhile keeps others from the check no longer than that.
const HOLD_MS: i64 = 30_000;
const SAY_EVERY: Duration = Duration::from_secs(5);

/// Records outcomes.
#[derive(Clone)]
pub struct Recorder {
    /// The plugin's database.
    pub db: Db,
    /// The gate of `health`.
    pub writer: Writer,
    /// Time and ids.
    pub clock: Arc<dyn Clock>,
    /// The plugin's hooks.
    pub hooks: Hooks,
    /// Nudges to open pages.
    pub signals: Arc<dyn Signals>,
}

/// Whether a run was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// With everything that follows from it.
    Yes,
    /// No: its claim had passed to another run, or its assignment is gone.
    Dropped,
}

/// Names for people.
pub struct Names {
    /// The system's, if the catalog knows it.
    pub system: Option<String>,
    /// The configuration's.
    pub configuration: String,
}

impl Recorder {
    /// Records a run, as the system, whoever asked for it; what led to it goes on in the events and the
    /// change of health that come of it. While others keep the system locked it is tried again: a run
    /// is stored with everything that follows from it or not at all, because one that was stored
    /// without would hide the change of health it makes from the next.
    ///
    /// # Errors
    /// When the database refuses, or the system stayed locked for too long; nothing was stored then,
    /// and the next run finds health as it was.
    pub async fn record(
        &self,
        claim: &Claim,
        names: &Names,
        outcome: &Outcome,
        cause: Option<plugin_api::Cause>,
    ) -> Result<Recorded, BoxError> {
        let context = RequestContext {
            cause: cause.map(Arc::new),
            ..RequestContext::system()
        };
        let recorded = match context.scope(self.keep_storing(claim, outcome)).await {
            Ok(recorded) => recorded,
            Err(error) => {
                // Nothing will be recorded under it any more. If that fails too, it expires.
                claims::give_back(Conn::Db(&self.db), claim).await.ok();
                return Err(error.into());
            }
        };
        if recorded == Recorded::Yes {
            self.signal(claim, names, outcome);
        }
        Ok(recorded)
    }

    /// Stores the run as soon as its system is free, within [`TRIES`]. A claim that expired while its run
    /// waits would let the next run overtake it, so it is prolonged beside the waiting.
    async fn keep_storing(
        &self,
        claim: &Claim,
        outcome: &Outcome,
    ) -> Result<Recorded, MutateError> {
        tokio::select! {
            biased;
            done = self.try_storing(claim, outcome) => done,
            never = self.keep_claim(claim) => never,
        }
    }

    /// Prolongs the claim for as long as it is held; never ends.
    async fn keep_claim(&self, claim: &Claim) -> Result<Recorded, MutateError> {
        loop {
            self.clock.sleep(SAY_EVERY).await;
            let held = claims::renew(Conn::Db(&self.db), claim, self.clock.now(), HOLD_MS).await;
            match held {
                Ok(true) => {}
                // It has passed to another run, or the recording gives it back this moment: it will tell.
                Ok(false) => std::future::pending().await,
                Err(error) => {
                    tracing::warn!(%error, system_id = claim.system_id, configuration_id = %claim.configuration_id, "The claim of a run that waits could not be prolonged; it is tried again.");
                }
            }
        }
    }

    async fn try_storing(&self, claim: &Claim, outcome: &Outcome) -> Result<Recorded, MutateError> {
        for tried in 1..TRIES {
            match self.store(claim, outcome).await {
                Err(MutateError::Busy { .. }) => tracing::warn!(
                    system_id = claim.system_id, configuration_id = %claim.configuration_id, tried,
                    "The health of a system stayed locked; its run is recorded once it is free."
                ),
                done => return done,
            }
        }
        self.store(claim, outcome).await
    }

    async fn store(&self, claim: &Claim, outcome: &Outcome) -> Result<Recorded, MutateError> {
        let cause = Cause {
            opts: MutateOpts::by(Actor::system()),
            configuration_id: Some(claim.configuration_id),
            is_run: true,
        };
        let held = claims::renew(Conn::Db(&self.db), claim, self.clock.now(), HOLD_MS).await;
        if !held.map_err(before_write)? {
            return Ok(Recorded::Dropped);
        }
        let systems = [claim.system_id.clone()];
        let _turns = self.writer.turns(&systems).await?;
        let mut tx = self.writer.begin().await?;
        let event = self
            .writer
            .write_with(&mut tx, &systems, cause, async |tx: &mut Tx| {
                if !claims::give_back(Conn::Tx(tx), claim).await? {
                    return Ok(None);
                }
                let event = self.event(claim, outcome);
                self.insert(tx, claim, outcome, event.timestamp).await?;
                self.add_to_bucket(tx, claim, outcome, event.timestamp)
                    .await?;
                Ok(Some(event))
            })
            .await?;
        let Some(event) = event else {
            return Ok(Recorded::Dropped);
        };
        let emitted = async {
            self.hooks
                .emit_in(&mut tx, &CHECK_COMPLETED, &event)
                .await?;
            if event.status != Status::Healthy {
                self.hooks.emit_in(&mut tx, &CHECK_FAILED, &event).await?;
            }
            Ok::<_, BoxError>(())
        };
        emitted.await.map_err(MutateError::Apply)?;
        let committed = tx.commit().await;
        committed.map_err(|e| MutateError::Apply(Box::new(e)))?;
        Ok(Recorded::Yes)
    }

    /// Called under the system's lock, so that runs of a system are ordered by their instants.
    fn event(&self, claim: &Claim, outcome: &Outcome) -> CheckEvent {
        let configuration_id = claim.configuration_id.to_string();
        CheckEvent {
            system_id: claim.system_id.clone(),
            check_id: configuration_id.clone(),
            configuration_id,
            status: outcome.status,
            latency_ms: outcome.latency_ms,
            result: outcome.collectors.clone(),
            timestamp: self.clock.now(),
        }
    }

    async fn insert(
        &self,
        tx: &mut Tx,
        claim: &Claim,
        outcome: &Outcome,
        at: Ts,
    ) -> plugin_api::db::Result<()> {
        let run = Run {
            id: Id(self.clock.new_uuid()),
            configuration_id: claim.configuration_id,
            system_id: Text::new(claim.system_id.as_str()),
            status: outcome.status.as_str().to_owned(),
            latency_ms: outcome.latency_ms,
            result: Some(Doc(outcome.result.clone())),
            timestamp: at,
        };
        runs::insert(Conn::Tx(tx), &run).await
    }

    async fn add_to_bucket(
        &self,
        tx: &mut Tx,
        claim: &Claim,
        outcome: &Outcome,
        at: Ts,
    ) -> plugin_api::db::Result<()> {
        let sample = Sample {
            system_id: &claim.system_id,
            configuration_id: claim.configuration_id,
            at,
            status: outcome.status,
            latency_ms: outcome.latency_ms,
            collectors: outcome.collectors.as_ref(),
        };
        aggregates::add(Conn::Tx(tx), Id(self.clock.new_uuid()), &sample).await
    }

    fn signal(&self, claim: &Claim, names: &Names, outcome: &Outcome) {
        let payload = json!({
            "systemId": claim.system_id,
            "systemName": names.system,
            "configurationId": claim.configuration_id,
            "configurationName": names.configuration,
            "status": outcome.status,
            "latencyMs": outcome.latency_ms,
        });
        // An outcome carries no secrets any more.
        let payload = MaskSet::empty().mask_json(payload);
        self.signals.broadcast("healthcheck.run_completed", payload);
    }
}
