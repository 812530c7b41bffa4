//! Stage 2: jobs in batches, and emissions of hooks one by one, to firings and wakes.

use super::job::{DispatchJob, GROUP, QUEUE};
use crate::{
    automations::Automation,
    dwell,
    fire::{Firing, Occurrence, fire, firings},
    shared::Shared,
    version::Known,
    waits::{
        RecheckAsk, Rechecked,
        event::{self, EventAsk},
        recheck,
    },
    why,
};
use automation_core::{AutomationId, RunId};
use automation_entity::EntityChanged;
use plugin_api::{
    Ts, Tx,
    hook::{EventMeta, RawHookHandler},
    queue::{BatchHandler, Consumer, Job, JobError, NewJob, QueueError, Subscription, Verdict},
};
use serde::Deserialize;
use serde_json::Value;
use std::{collections::HashMap, sync::Arc};

/// Jobs of one transaction at most.
const BATCH: usize = 200;

/// Firings decided at a stretch: bounds what a batch of jobs with many automations each holds.
const FIRINGS: usize = 1024;

/// How soon a decision that waits for a woken run is looked at again.
const SETTLE_MS: i64 = 20;

struct Stage2(Arc<Shared>);

/// Starts consuming dispatch jobs.
pub async fn run(shared: &Arc<Shared>) -> Result<Subscription, QueueError> {
    let consumer = Consumer::batch(GROUP, BATCH, Arc::new(Known(Stage2(shared.clone()))));
    shared.queues.consume(QUEUE, consumer).await
}

/// A batch of jobs, sorted by what they ask for; positions say which verdict is theirs.
#[derive(Default)]
struct Sorted {
    triggers: Vec<Triggered>,
    /// Parts of trigger jobs, to be handled as jobs of their own.
    parts: Vec<NewJob>,
    event_wakes: Vec<EventAsk>,
    wakes: Vec<(usize, RecheckAsk)>,
    keys: Vec<String>,
}

/// A trigger job: its position, what happened, and whom it concerns.
struct Triggered {
    at: usize,
    occurrence: Arc<Occurrence>,
    automations: Vec<Arc<Automation>>,
    /// Waits that it may end have begun by then; none: they have been looked for already.
    waits_until: Option<Ts>,
}

#[async_trait::async_trait]
impl BatchHandler for Stage2 {
    async fn handle(&self, tx: &mut Tx, jobs: &[Job]) -> Result<Vec<Verdict>, JobError> {
        let shared = &self.0;
        shared.automations.refresh().await?;
        let mut verdicts: Vec<Verdict> = jobs.iter().map(|_| Verdict::Done).collect();
        let mut sorted = self.sort(tx, jobs, &mut verdicts);
        // Waits first: of other automations by their own jobs, of an automation that is triggered
        // here by the trigger job (`dispatch §5.7`).
        let own = own_locks(tx, &sorted.triggers).await?;
        sorted.event_wakes.extend(own);
        let woken = event::wake(shared, tx, &sorted.event_wakes).await?;
        let now = shared.clock.now();
        let mut all = Vec::new();
        for of_job in sorted.triggers {
            let (busy, free): (Vec<_>, Vec<_>) = of_job.automations.into_iter().partition(|a| {
                woken.contains_key(&a.id) || shared.settling.is_busy(a.id, &shared.drivers, now)
            });
            if !busy.is_empty() {
                let ids: Vec<AutomationId> = busy.iter().map(|a| a.id).collect();
                let later = DispatchJob::put_off(&jobs[of_job.at].data, &ids);
                sorted.parts.push(later.at(now.plus_millis(SETTLE_MS)));
            }
            all.extend(free.iter().flat_map(|a| firings(a, &of_job.occurrence)));
        }
        settle(shared, tx, woken);
        if !sorted.parts.is_empty() {
            let parts = std::mem::take(&mut sorted.parts);
            shared.queues.enqueue_in(tx, QUEUE, parts).await?;
        }
        for some in all.chunks(FIRINGS) {
            fire(shared, tx, some).await?;
        }
        let (positions, asks): (Vec<usize>, Vec<RecheckAsk>) = sorted.wakes.into_iter().unzip();
        let answers = recheck(shared, tx, &asks).await?;
        for (at, answer) in positions.into_iter().zip(answers) {
            if answer == Rechecked::Inconclusive {
                verdicts[at] = Verdict::Failed(JobError::retry(
                    "state that the wait reads could not be read",
                ));
            }
        }
        sorted.keys.sort_unstable();
        sorted.keys.dedup();
        for key in sorted.keys {
            dwell::inverse_cancel(shared, tx, &key).await?;
        }
        Ok(verdicts)
    }
}

impl Stage2 {
    fn sort(&self, tx: &mut Tx, jobs: &[Job], verdicts: &mut [Verdict]) -> Sorted {
        let shared = &self.0;
        let mut sorted = Sorted::default();
        for (at, job) in jobs.iter().enumerate() {
            match DispatchJob::deserialize(&job.data) {
                // It failed as a whole: one of them must not stop or delay the others.
                Ok(DispatchJob::Trigger { automation_ids, .. })
                    if job.attempt > 1 && automation_ids.len() > 1 =>
                {
                    let each = automation_ids.chunks(1);
                    let each = each.map(|id| DispatchJob::part(&job.data, id));
                    sorted.parts.extend(each);
                }
                Ok(DispatchJob::Trigger {
                    automation_ids,
                    event_id,
                    changed,
                    woken,
                    ..
                }) => {
                    let mut automations = Vec::with_capacity(automation_ids.len());
                    for id in automation_ids {
                        let enabled = shared.automations.enabled(id);
                        if enabled.is_none() {
                            why::not_enabled(shared, tx, id, &event_id, &changed);
                            tracing::debug!(automation = %id, "The automation of a job is gone or disabled.");
                        }
                        automations.extend(enabled);
                    }
                    if automations.is_empty() {
                        continue;
                    }
                    match of_change(shared, event_id, changed) {
                        Ok(occurrence) => sorted.triggers.push(Triggered {
                            at,
                            occurrence,
                            automations,
                            waits_until: (!woken).then_some(job.enqueued_at),
                        }),
                        Err(e) => verdicts[at] = Verdict::Failed(e),
                    }
                }
                Ok(DispatchJob::Wake {
                    wait_lock_id,
                    changed,
                    ..
                }) => sorted.wakes.push((
                    at,
                    RecheckAsk {
                        lock: wait_lock_id,
                        changed: Some((changed.kind, changed.id)),
                    },
                )),
                Ok(DispatchJob::EventWake {
                    wait_lock_id,
                    event_id,
                    changed,
                    ..
                }) => match of_change(shared, event_id, changed) {
                    Ok(occurrence) => sorted.event_wakes.push(EventAsk {
                        lock: wait_lock_id,
                        occurrence,
                    }),
                    Err(e) => verdicts[at] = Verdict::Failed(e),
                },
                Ok(DispatchJob::InverseCancel { context_key }) => sorted.keys.push(context_key),
                Err(error) => {
                    tracing::warn!(job_id = job.job_id, %error, "A malformed dispatch job was dropped.");
                }
            }
        }
        sorted
    }
}

/// The locks of triggered automations' own runs that wait for the very event that triggers them. A
/// wait that began after the change was routed waits for the next one: otherwise one event would end
/// every wait of a run that waits for it several times (`dispatch §14.2`).
async fn own_locks(tx: &mut Tx, triggers: &[Triggered]) -> Result<Vec<EventAsk>, JobError> {
    let first: Vec<(&Triggered, Ts)> = triggers
        .iter()
        .filter_map(|t| Some((t, t.waits_until?)))
        .collect();
    let pairs: Vec<event::Pair<'_>> = first
        .iter()
        .map(|(t, _)| {
            (
                t.occurrence.event.as_str(),
                t.occurrence.context_key.as_deref(),
            )
        })
        .collect();
    let awaiting = event::awaiting(tx, &pairs).await?;
    let mut asks = Vec::new();
    for (triggered, routed) in first {
        let occurrence = &triggered.occurrence;
        let key = (occurrence.event.clone(), occurrence.context_key.clone());
        let locks = awaiting.get(&key).into_iter().flatten();
        let own = locks.filter(|l| {
            let automations = &triggered.automations;
            l.created_at <= routed && automations.iter().any(|a| a.id == l.automation_id)
        });
        asks.extend(own.map(|lock| EventAsk {
            lock: lock.id,
            occurrence: occurrence.clone(),
        }));
    }
    Ok(asks)
}

/// Once the wakes are committed and their runs are driven, decisions of their automations wait.
fn settle(shared: &Arc<Shared>, tx: &mut Tx, woken: HashMap<AutomationId, Vec<RunId>>) {
    if woken.is_empty() {
        return;
    }
    let shared = shared.clone();
    tx.after_commit(move || shared.settling.woken(shared.clock.now(), &woken));
}

/// The occurrence of a derived event. A mapper that fails never succeeds: no retry (`entity §13.6`).
fn of_change(
    shared: &Shared,
    event: String,
    changed: EntityChanged,
) -> Result<Arc<Occurrence>, JobError> {
    let payload = shared.entities.payload(&changed, &event).map_err(|error| {
        tracing::error!(event, change_id = %changed.change_id, %error, "The payload of an event could not be made from its change.");
        JobError::Permanent(error)
    })?;
    Ok(Arc::new(Occurrence {
        id: changed.change_id.to_string(),
        at: changed.occurred_at,
        event,
        payload: Arc::new(payload),
        actor: changed.actor,
        context_key: Some(changed.id.clone()),
        entity: Some((changed.kind, changed.id)),
        cause: changed.cause,
    }))
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
        why::disabled(
            shared,
            &self.event,
            &meta.delivery_id,
            context_key.as_deref(),
        );
        let occurrence = Arc::new(Occurrence {
            id: meta.delivery_id,
            at: meta.emitted_at,
            event: self.event.clone(),
            payload: Arc::new(payload),
            actor: meta.actor,
            context_key: context_key.clone(),
            entity: None,
            cause: meta.cause,
        });
        wake_waiting(shared, &occurrence).await?;
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

/// Step 1 of `dispatch §5.4`: waits for this event, in a transaction of their own, and then until the
/// runs that were woken rest, before anything else is decided on the event.
async fn wake_waiting(shared: &Arc<Shared>, occurrence: &Arc<Occurrence>) -> Result<(), JobError> {
    let mut tx = shared.db.begin().await?;
    let pair = (occurrence.event.as_str(), occurrence.context_key.as_deref());
    let awaiting = event::awaiting(&mut tx, &[pair]).await?;
    let asks: Vec<EventAsk> = awaiting
        .into_values()
        .flatten()
        .map(|lock| EventAsk {
            lock: lock.id,
            occurrence: occurrence.clone(),
        })
        .collect();
    if asks.is_empty() {
        tx.rollback().await?;
        return Ok(());
    }
    let woken = event::wake(shared, &mut tx, &asks).await?;
    let automations: Vec<AutomationId> = woken.keys().copied().collect();
    settle(shared, &mut tx, woken);
    tx.commit().await?;
    for automation in automations {
        shared.settling.rest(shared, automation).await;
    }
    Ok(())
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
