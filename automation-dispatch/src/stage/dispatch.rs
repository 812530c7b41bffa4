//! Stage 2: jobs in batches, and emissions of hooks one by one, to firings and wakes.

use super::job::{DispatchJob, GROUP, QUEUE};
use crate::{
    automations::Automation,
    dwell,
    fire::{Firing, Occurrence, fire, firings},
    shared::Shared,
    version::Known,
    waits::{RecheckAsk, Rechecked, recheck},
};
use automation_entity::EntityChanged;
use plugin_api::{
    Tx,
    hook::{EventMeta, RawHookHandler},
    queue::{BatchHandler, Consumer, Job, JobError, QueueError, Subscription, Verdict},
};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

/// Jobs of one transaction at most.
const BATCH: usize = 200;

struct Stage2(Arc<Shared>);

/// Starts consuming dispatch jobs.
pub async fn run(shared: &Arc<Shared>) -> Result<Subscription, QueueError> {
    let consumer = Consumer::batch(GROUP, BATCH, Arc::new(Known(Stage2(shared.clone()))));
    shared.queues.consume(QUEUE, consumer).await
}

#[async_trait::async_trait]
impl BatchHandler for Stage2 {
    async fn handle(&self, tx: &mut Tx, jobs: &[Job]) -> Result<Vec<Verdict>, JobError> {
        let shared = &self.0;
        shared.automations.refresh().await?;
        let mut verdicts: Vec<Verdict> = Vec::with_capacity(jobs.len());
        let (mut firings, mut wakes, mut keys) = (Vec::new(), Vec::new(), Vec::new());
        for (at, job) in jobs.iter().enumerate() {
            verdicts.push(Verdict::Done);
            match DispatchJob::deserialize(&job.data) {
                Ok(DispatchJob::Trigger {
                    automation_id,
                    event_id,
                    changed,
                    ..
                }) => match shared.automations.enabled(automation_id) {
                    Some(automation) => match of_change(shared, &automation, event_id, changed) {
                        Ok(mut of_job) => firings.append(&mut of_job),
                        Err(e) => verdicts[at] = Verdict::Failed(e),
                    },
                    None => {
                        tracing::debug!(automation = %automation_id, "The automation of a job is gone or disabled.");
                    }
                },
                Ok(DispatchJob::Wake {
                    wait_lock_id,
                    changed,
                    ..
                }) => wakes.push((
                    at,
                    RecheckAsk {
                        lock: wait_lock_id,
                        changed: Some((changed.kind, changed.id)),
                    },
                )),
                Ok(DispatchJob::InverseCancel { context_key }) => keys.push(context_key),
                Err(error) => {
                    tracing::warn!(job_id = job.job_id, %error, "A malformed dispatch job was dropped.");
                }
            }
        }
        fire(shared, tx, &firings).await?;
        let (positions, asks): (Vec<usize>, Vec<RecheckAsk>) = wakes.into_iter().unzip();
        let answers = recheck(shared, tx, &asks).await?;
        for (at, answer) in positions.into_iter().zip(answers) {
            if answer == Rechecked::Inconclusive {
                verdicts[at] = Verdict::Failed(JobError::retry(
                    "state that the wait reads could not be read",
                ));
            }
        }
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            dwell::inverse_cancel(shared, tx, &key).await?;
        }
        Ok(verdicts)
    }
}

/// The firings of a derived event at one automation. A mapper that fails never succeeds: no retry
/// (`entity §13.6`).
fn of_change(
    shared: &Shared,
    automation: &Arc<Automation>,
    event: String,
    changed: EntityChanged,
) -> Result<Vec<Firing>, JobError> {
    let payload = shared.entities.payload(&changed, &event).map_err(|error| {
        tracing::error!(event, change_id = %changed.change_id, %error, "The payload of an event could not be made from its change.");
        JobError::Permanent(error)
    })?;
    let occurrence = Arc::new(Occurrence {
        id: changed.change_id.to_string(),
        at: changed.occurred_at,
        event,
        payload,
        actor: changed.actor,
        context_key: Some(changed.id.clone()),
        entity: Some((changed.kind, changed.id)),
    });
    Ok(firings(automation, &occurrence))
}

/// Handles the emissions of a hook for one trigger (`dispatch §5.1`).
pub struct Emissions {
    shared: Arc<Shared>,
    event: String,
}

/// The handler behind a hook-backed trigger.
pub fn hook(shared: &Arc<Shared>, event: &str) -> Arc<dyn RawHookHandler> {
    Arc::new(Emissions {
        shared: shared.clone(),
        event: event.to_owned(),
    })
}

#[async_trait::async_trait]
impl RawHookHandler for Emissions {
    async fn handle(&self, payload: Value, meta: EventMeta) -> Result<(), JobError> {
        let shared = &self.shared;
        shared.automations.refresh().await?;
        let context_key = shared
            .registries
            .trigger(&self.event)
            .and_then(|t| t.context_key.as_ref().and_then(|key| key(&payload)));
        let automations = shared.automations.for_event(&self.event);
        let occurrence = Arc::new(Occurrence {
            id: meta.delivery_id,
            at: meta.emitted_at,
            event: self.event.clone(),
            payload,
            actor: meta.actor,
            context_key: context_key.clone(),
            entity: None,
        });
        let all: Vec<Firing> = automations
            .iter()
            .flat_map(|a| firings(a, &occurrence))
            .collect();
        let fired = fire_isolated(shared, &all).await;
        if let Some(key) = context_key {
            shared
                .db
                .tx(async |tx| {
                    if !dwell::inverse_check(tx, std::slice::from_ref(&key))
                        .await?
                        .is_empty()
                    {
                        dwell::inverse_cancel(shared, tx, &key).await?;
                    }
                    Ok::<_, plugin_api::db::DbError>(())
                })
                .await?;
        }
        fired
    }
}

/// All firings in one transaction; if that fails, each automation in its own, so that an error in
/// one neither stops nor repeats the others (`dispatch §5.4`). Answers the last error: a retry of
/// the emission repeats nobody who succeeded, because the ledger knows them.
async fn fire_isolated(shared: &Arc<Shared>, all: &[Firing]) -> Result<(), JobError> {
    if all.is_empty() || fire_in_tx(shared, all).await.is_ok() {
        return Ok(());
    }
    let mut last = Ok(());
    for one in all.chunk_by(|a, b| a.automation.id == b.automation.id) {
        if let Err(error) = fire_in_tx(shared, one).await {
            tracing::error!(automation = %one[0].automation.id, occurrence = one[0].occurrence.id, %error, "A firing failed; other automations are not affected.");
            last = Err(error);
        }
    }
    last
}

/// Fires in a transaction of its own.
pub async fn fire_in_tx(shared: &Arc<Shared>, all: &[Firing]) -> Result<(), JobError> {
    let mut tx = shared.db.begin().await?;
    fire(shared, &mut tx, all).await?;
    tx.commit().await?;
    Ok(())
}
