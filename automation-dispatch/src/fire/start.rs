//! Admitting runs: what was decided before, what loops, what cools down, and what the bucket says,
//! in one critical section (`dispatch §8`); then the row and the run's first decision, in the same
//! transaction.

use super::{
    Firing,
    begin::{Beginning, begin, launch},
    decide::{self, Seek, Started},
    ledger::{self, Decision, LedgerKey},
};
use crate::{
    automations::Automation,
    cancel,
    commit::{Fence, NewRun, RunHead},
    concurrency::{self, Bucket, Cooling, Occupancy, decide::bucket_key},
    drive, scope,
    shared::Shared,
    walk::view::Base,
    why,
};
use automation_core::{
    RunId,
    definition::{ConcurrencyScope, Mode},
};
use plugin_api::{Actor, Cause, Ts, Tx, fail, queue::JobError};
use serde_json::Value;
use std::{collections::HashMap, sync::Arc};

/// A run that may start.
pub struct Candidate {
    /// Its automation; the version is pinned.
    pub automation: Arc<Automation>,
    /// Effective trigger id.
    pub trigger_id: String,
    /// Qualified event id.
    pub event: String,
    /// What the run sees as `trigger.payload`.
    pub payload: Arc<Value>,
    /// Who caused it.
    pub actor: Actor,
    /// The domain entity it is about.
    pub context_key: Option<String>,
    /// The occurrence it answers.
    pub occurrence: String,
    /// What led to the occurrence.
    pub cause: Option<Cause>,
    /// `cooldown` of the trigger, in milliseconds.
    pub cooldown_ms: Option<i64>,
    /// At most one run has it.
    pub dedup_key: Option<String>,
    /// The decision to record.
    pub ledger: Option<LedgerKey>,
    /// False: loops, cool-down and concurrency do not apply (manual runs).
    pub gated: bool,
    /// The trigger scope; live state is read anew.
    pub base: Base,
}

impl Candidate {
    /// Of a firing that passed its gates, with the payload and the scope that they saw.
    pub(crate) fn of(
        firing: Firing,
        key: LedgerKey,
        payload: Arc<Value>,
        base: Base,
        cooldown_ms: Option<i64>,
    ) -> Self {
        let trigger = &firing.automation.program.triggers[firing.trigger];
        let occurrence = &firing.occurrence;
        Self {
            cooldown_ms,
            trigger_id: trigger.id.clone(),
            event: trigger.event.clone(),
            payload,
            actor: occurrence.actor.clone(),
            context_key: occurrence.context_key.clone(),
            occurrence: occurrence.id.clone(),
            cause: occurrence.cause.clone(),
            dedup_key: Some(key.text().to_owned()),
            ledger: Some(key),
            gated: true,
            base,
            automation: firing.automation,
        }
    }
}

/// Creates what may start; one answer each, in order. Runs are driven once `tx` commits.
pub async fn start(
    shared: &Arc<Shared>,
    tx: &mut Tx,
    candidates: Vec<Candidate>,
) -> Result<Vec<Started>, JobError> {
    fail::point("dispatch.start").await?;
    let proof = drive::Proof::now(&*shared.clock);
    let now = proof.at;
    let ids: Vec<RunId> = candidates
        .iter()
        .map(|_| RunId::new(&*shared.clock))
        .collect();
    concurrency::lock(tx, candidates.iter().filter_map(bucket_of)).await?;
    let fresh = record(tx, now, &candidates, &ids).await?;
    let mut answers = vec![Started::Duplicate; candidates.len()];
    let admitted = admission(shared, tx, now, &candidates, &ids, fresh, &mut answers).await?;
    record_others(tx, now, &candidates, &answers).await?;
    if admitted.is_empty() {
        why::started(shared, tx, &candidates, &answers);
        return Ok(answers);
    }
    let walking: Vec<usize> = admitted
        .iter()
        .copied()
        .filter(|i| !matches!(answers[*i], Started::Queued { .. }))
        .collect();
    let asks: Vec<scope::Ask<'_>> = walking
        .iter()
        .map(|i| {
            let c = &candidates[*i];
            scope::Ask {
                reads: &c.automation.program.reads.run,
                program: &c.automation.program,
                context_key: c.context_key.as_deref(),
                base: &c.base,
                locals: None,
                changed: &[],
            }
        })
        .collect();
    let lives = scope::read(shared, &asks).await;
    let mut lives: HashMap<usize, _> = walking.into_iter().zip(lives).collect();
    let mut begun = Vec::with_capacity(admitted.len());
    let instant = Arc::new(Value::String(now.to_text()));
    for i in &admitted {
        let candidate = &candidates[*i];
        let new = beginning(candidate, ids[*i], now);
        begun.push(match lives.remove(i) {
            Some(live) => {
                let base = Base {
                    live,
                    now: instant.clone(),
                    ..candidate.base.clone()
                };
                begin(&**shared, now, Beginning { base, ..new })
            }
            None => super::begin::wait(&**shared, now, new),
        });
    }
    let made = launch(shared, tx, proof, begun).await?;
    for (i, made) in admitted.into_iter().zip(made) {
        if !made {
            answers[i] = Started::Duplicate;
        }
    }
    why::started(shared, tx, &candidates, &answers);
    Ok(answers)
}

pub(crate) fn beginning(c: &Candidate, run_id: RunId, now: Ts) -> Beginning {
    let automation = c.automation.id;
    let cause = Cause::extend(c.cause.as_ref(), &c.occurrence, automation.uuid());
    Beginning {
        head: RunHead {
            run_id,
            automation_id: automation,
            context_key: c.context_key.clone(),
            cause: Some(Arc::new(cause.clone())),
        },
        fence: Fence::New(NewRun {
            trigger_id: c.trigger_id.clone(),
            event_id: c.event.clone(),
            payload: c.payload.clone(),
            actor: c.actor.clone(),
            definition_version: c.automation.version,
            cause,
            dedup_key: c.dedup_key.clone(),
            started_at: now,
        }),
        program: c.automation.program.clone(),
        base: c.base.clone(),
    }
}

pub(crate) fn bucket_of(c: &Candidate) -> Option<String> {
    let scope = c.automation.program.definition.concurrency_scope;
    c.gated
        .then(|| bucket_key(c.automation.id, scope, c.context_key.as_deref()))
}

/// Records every candidate as started; answers which of them were not decided before.
async fn record(
    tx: &mut Tx,
    now: Ts,
    candidates: &[Candidate],
    ids: &[RunId],
) -> Result<Vec<usize>, JobError> {
    let decisions: Vec<(LedgerKey, Decision)> = candidates
        .iter()
        .zip(ids)
        .filter_map(|(c, id)| c.ledger.clone().map(|k| (k, Decision::RunStarted(*id))))
        .collect();
    let mut fresh = ledger::write(tx, now, &decisions).await?;
    Ok(candidates
        .iter()
        .enumerate()
        .filter(|(_, c)| match &c.ledger {
            // A key that comes twice in one batch is one occurrence: the first has it.
            Some(key) => fresh.remove(key.text()),
            None => true,
        })
        .map(|(i, _)| i)
        .collect())
}

/// Changes the ledger rows of those that did not start at once.
async fn record_others(
    tx: &mut Tx,
    now: Ts,
    candidates: &[Candidate],
    answers: &[Started],
) -> Result<(), JobError> {
    let others: Vec<(LedgerKey, Decision)> = candidates
        .iter()
        .zip(answers)
        .filter_map(|(c, answer)| {
            let decision = match answer {
                Started::Queued { run, .. } => Decision::RunQueued(*run),
                Started::Refused | Started::Loop | Started::Cooldown { .. } => Decision::RunRefused,
                Started::Run(_) | Started::Duplicate => return None,
            };
            Some((c.ledger.clone()?, decision))
        })
        .collect();
    ledger::change(tx, now, &others).await?;
    Ok(())
}

/// Which of them cool down, going by the runs there are.
async fn cooling(
    tx: &mut Tx,
    now: Ts,
    candidates: &[Candidate],
    fresh: &[usize],
) -> Result<HashMap<i64, Ts>, JobError> {
    let asks: Vec<Cooling> = fresh
        .iter()
        .filter_map(|i| {
            let c = &candidates[*i];
            Some(Cooling {
                n: *i as i64,
                automation_id: c.automation.id,
                trigger_id: c.trigger_id.clone(),
                key: concurrency::index_key(c.context_key.as_deref()),
                since: now.plus_millis(-c.cooldown_ms.filter(|_| c.gated)?),
            })
        })
        .collect();
    Ok(concurrency::cooling(tx, &asks).await?)
}

pub(crate) fn bucket(c: &Candidate) -> Bucket {
    Bucket {
        automation: c.automation.id,
        context_key: match c.automation.program.definition.concurrency_scope {
            ConcurrencyScope::Automation => None,
            ConcurrencyScope::ContextKey => Some(c.context_key.clone()),
        },
    }
}

async fn admission(
    shared: &Arc<Shared>,
    tx: &mut Tx,
    now: Ts,
    candidates: &[Candidate],
    ids: &[RunId],
    fresh: Vec<usize>,
    answers: &mut [Started],
) -> Result<Vec<usize>, JobError> {
    let gated = fresh.iter().map(|i| &candidates[*i]).filter(|c| c.gated);
    let buckets: Vec<Bucket> = gated.map(bucket).collect();
    let occupied: HashMap<Bucket, Occupancy> = concurrency::count(tx, &buckets).await?;
    let cooling = cooling(tx, now, candidates, &fresh).await?;
    let asks: Vec<Seek<'_>> = fresh
        .iter()
        .map(|i| {
            let c = &candidates[*i];
            Seek {
                at: *i,
                run: ids[*i],
                automation: c.automation.id,
                definition: &c.automation.program.definition,
                trigger: &c.trigger_id,
                context_key: c.context_key.as_deref(),
                cause: c.cause.as_ref(),
                gated: c.gated,
                cooldown_ms: c.cooldown_ms,
                last_start: cooling.get(&(*i as i64)).copied(),
                bucket: bucket(c),
            }
        })
        .collect();
    let admission = decide::admission(&asks, occupied, now);
    for (i, answer) in admission.answers {
        answers[i] = answer;
        let c = &candidates[i];
        match answer {
            Started::Loop => {
                tracing::warn!(automation = %c.automation.id, trigger = c.trigger_id, cause = ?c.cause, "The firing is refused: runs of this automation led to it.");
            }
            // A queue that is full is told at the usual level (`dispatch §8.2`): whoever chose it counts
            // on every firing.
            Started::Refused if c.automation.program.definition.mode == Mode::Queued => {
                tracing::info!(automation = %c.automation.id, trigger = c.trigger_id, "The firing is refused: the queue of its bucket is full.");
            }
            Started::Refused => {
                tracing::debug!(automation = %c.automation.id, trigger = c.trigger_id, mode = c.automation.program.definition.mode.name(), "The firing is refused: its bucket is busy.");
            }
            _ => {}
        }
    }
    for (bucket, by) in &admission.superseded {
        cancel::supersede(shared, tx, bucket, *by).await?;
    }
    Ok(admission.admitted)
}
