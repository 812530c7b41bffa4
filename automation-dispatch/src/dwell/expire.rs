//! Expired dwells: re-confirm, conditions, then claim and run in one transaction (`dispatch §6.2`).

use super::{
    decide::{Expiry, expiry},
    hold, rows,
    rows::{Dwell, NewDwell},
    timer,
};
use crate::{
    automations::Automation,
    fire::{Candidate, cooldown, start, trigger_scope},
    gates::decide::{Verdict, conditions},
    scope,
    shared::Shared,
    version::Known,
    walk::view::{Base, Live, View},
    why::{self, Entry, Ruling},
};
use automation_core::DwellId;
use plugin_api::{
    Actor, Text, Ts, Tx, fail,
    queue::{
        BatchHandler, Consumer, Job, JobError, QueueError, Subscription, Verdict as JobVerdict,
    },
};
use serde_json::Value;
use std::{collections::HashMap, sync::Arc, time::Duration};
use template_engine::Env;

/// What became of one dwell of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Over: fired, dropped, or gone before.
    Done,
    /// Not due before this instant.
    NotBefore(Ts),
}

/// Handles dwells by id; one outcome each, in order.
pub async fn expire(
    shared: &Arc<Shared>,
    tx: &mut Tx,
    ids: &[DwellId],
) -> Result<Vec<Outcome>, JobError> {
    fail::point("dispatch.expire").await?;
    let now = shared.clock.now();
    let plain: Vec<uuid::Uuid> = ids.iter().map(|i| i.uuid()).collect();
    let found: Vec<Dwell> = tx.sql(rows::LOAD).ids(&plain).all().await?;
    shared.automations.refresh().await?;
    let (mut drops, mut told) = (Vec::new(), Vec::new());
    let (mut due, mut triggers) = (Vec::new(), Vec::new());
    let mut early: HashMap<DwellId, Ts> = HashMap::new();
    for dwell in found {
        if dwell.fire_at > now {
            early.insert(dwell.id, dwell.fire_at);
        } else if let Some(trigger) = armed_trigger(shared, &dwell) {
            due.push(dwell);
            triggers.push(trigger);
        } else {
            // Before its standing: what was left and re-entered would be armed again for a trigger
            // that is not there any more.
            told.push(why::dropped(shared, &dwell, false, now));
            drops.push(dwell.id);
        }
    }
    let standings = hold::standings(shared, &due).await;
    let (mut rearms, mut fires) = (Vec::new(), Vec::new());
    for ((dwell, standing), (automation, trigger)) in due.into_iter().zip(standings).zip(triggers) {
        match expiry(&standing, dwell.created_at, dwell.fire_at, now) {
            Expiry::Early => {
                early.insert(dwell.id, dwell.fire_at);
            }
            Expiry::Drop => {
                told.push(why::dropped(shared, &dwell, true, now));
                drops.push(dwell.id);
            }
            Expiry::Rearm { fire_at } => rearms.push((dwell, fire_at)),
            Expiry::Proceed => fires.push((dwell, automation, trigger)),
        }
    }
    let mine = rows::claim(tx, &drops).await?;
    why::claimed(shared, tx, told, &mine);
    for id in mine {
        tracing::debug!(dwell = %id, "An expired dwell was dropped: it does not hold any more, or its trigger has changed.");
    }
    rearm(shared, tx, rearms).await?;
    fire(shared, tx, now, fires).await?;
    Ok(ids
        .iter()
        .map(|id| {
            early
                .get(id)
                .map_or(Outcome::Done, |at| Outcome::NotBefore(*at))
        })
        .collect())
}

/// The enabled automation and the position of its unchanged trigger.
fn armed_trigger(shared: &Shared, dwell: &Dwell) -> Option<(Arc<Automation>, usize)> {
    let automation = shared.automations.enabled(dwell.automation_id)?;
    let armed = (&*dwell.trigger_id, &*dwell.event_id, &*dwell.trigger_hash);
    let at = super::decide::armed_trigger(&automation.program.triggers, armed)?;
    Some((automation, at))
}

/// Left and re-entered: a row of its own, with a timer of its own.
async fn rearm(
    shared: &Arc<Shared>,
    tx: &mut Tx,
    rearms: Vec<(Dwell, Ts)>,
) -> Result<(), JobError> {
    for (dwell, fire_at) in rearms {
        if rows::claim(tx, &[dwell.id]).await?.is_empty() {
            continue;
        }
        let ruling = Ruling::DwellArmed {
            until: fire_at,
            again: true,
        };
        let entry = Entry::of_dwell(&dwell, shared.clock.now(), ruling);
        shared.decisions.record_in(tx, entry);
        // The new row counts from the instant the status was entered again.
        let length = dwell.fire_at.millis() - dwell.created_at.millis();
        let row = NewDwell {
            id: DwellId::new(&*shared.clock),
            automation_id: dwell.automation_id,
            trigger_id: dwell.trigger_id,
            event_id: dwell.event_id,
            context_key: dwell.context_key.map(Text::new),
            armed_status: dwell.armed_status,
            armed_ref: dwell.armed_ref,
            trigger_hash: dwell.trigger_hash,
            payload_snapshot: dwell.payload_snapshot,
            actor_snapshot: dwell.actor_snapshot,
            cause: dwell.cause,
            fire_at,
            created_at: fire_at.plus_millis(-length),
        };
        let job = timer(row.id, fire_at);
        if !rows::insert(tx, &[row]).await?.is_empty() {
            shared
                .queues
                .enqueue_in(tx, super::QUEUE, vec![job])
                .await?;
        }
    }
    Ok(())
}

async fn fire(
    shared: &Arc<Shared>,
    tx: &mut Tx,
    now: Ts,
    fires: Vec<(Dwell, Arc<Automation>, usize)>,
) -> Result<(), JobError> {
    if fires.is_empty() {
        return Ok(());
    }
    let bases: Vec<(Base, Actor)> = fires.iter().map(|(d, ..)| base(d, now)).collect();
    let asks: Vec<scope::Ask<'_>> = fires
        .iter()
        .zip(&bases)
        .map(|((dwell, automation, trigger), (base, _))| scope::Ask {
            reads: &automation.program.reads.expiries[*trigger],
            program: &automation.program,
            context_key: dwell.context_key.as_deref(),
            base,
            locals: None,
            changed: &[],
        })
        .collect();
    let lives = scope::read(shared, &asks).await;
    let (mut drops, mut candidates) = (Vec::new(), Vec::new());
    let mut told = Vec::new();
    let empty = scope::nothing();
    let env = Env::new(&shared.filters, now.timestamp());
    for (((dwell, automation, trigger), (mut base, actor)), live) in
        fires.into_iter().zip(bases).zip(lives)
    {
        base.live = live;
        let view = View {
            base: &base,
            live: &base.live,
            variables: empty,
            artifacts: empty,
            repeat: None,
            resume: None,
        };
        let verdict = conditions(&automation.program, &view, &env);
        if verdict != Verdict::Pass {
            if let Some((gate, error)) = verdict.error() {
                tracing::warn!(automation = %automation.id, trigger = dwell.trigger_id, gate, error, "A gate failed; the dwell is dropped.");
            }
            told.extend(why::left(&dwell, &automation, trigger, &verdict, base, now));
            drops.push(dwell.id);
            continue;
        }
        let trigger = &automation.program.triggers[trigger];
        candidates.push((
            dwell.id,
            Candidate {
                occurrence: format!("dwell:{}", dwell.id),
                cause: dwell.cause.as_ref().and_then(|c| c.decode().ok()),
                cooldown_ms: cooldown(shared, &automation, trigger, &base, now),
                trigger_id: trigger.id.clone(),
                event: trigger.event.clone(),
                payload: Arc::new(dwell.payload_snapshot.0),
                actor,
                context_key: dwell.context_key,
                dedup_key: Some(format!("dwell:{}", dwell.id)),
                ledger: None,
                gated: true,
                base,
                automation,
            },
        ));
    }
    let dropped = rows::claim(tx, &drops).await?;
    why::claimed(shared, tx, told, &dropped);
    // The claim is the fence: whoever deletes the row creates the run, in one transaction.
    let ids: Vec<DwellId> = candidates.iter().map(|c| c.0).collect();
    let mine = rows::claim(tx, &ids).await?;
    let candidates: Vec<Candidate> = candidates
        .into_iter()
        .filter(|(id, _)| mine.contains(id))
        .map(|(_, c)| c)
        .collect();
    start(shared, tx, candidates).await?;
    Ok(())
}

fn base(dwell: &Dwell, now: Ts) -> (Base, Actor) {
    let (actor, sound) = Actor::from_stored(&dwell.actor_snapshot.0);
    if !sound {
        tracing::warn!(dwell = %dwell.id, "The stored actor of a dwell is malformed; the system acts instead.");
    }
    let base = Base {
        trigger: Arc::new(trigger_scope(
            &dwell.trigger_id,
            &dwell.event_id,
            &actor,
            &dwell.payload_snapshot.0,
        )),
        now: Arc::new(Value::String(now.to_text())),
        live: Live::none(),
    };
    (base, actor)
}

struct Timers(Arc<Shared>);

#[async_trait::async_trait]
impl BatchHandler for Timers {
    async fn handle(&self, tx: &mut Tx, jobs: &[Job]) -> Result<Vec<JobVerdict>, JobError> {
        let ids: Vec<Option<DwellId>> = jobs.iter().map(dwell_id).collect();
        let known: Vec<DwellId> = ids.iter().flatten().copied().collect();
        let mut outcomes = expire(&self.0, tx, &known).await?.into_iter();
        let now = self.0.clock.now();
        Ok(ids
            .iter()
            .map(|id| match id.and_then(|_| outcomes.next()) {
                Some(Outcome::NotBefore(at)) => {
                    let wait = (at.millis() - now.millis()).max(1) as u64;
                    JobVerdict::Failed(JobError::Defer(Duration::from_millis(wait)))
                }
                _ => JobVerdict::Done,
            })
            .collect())
    }
}

fn dwell_id(job: &Job) -> Option<DwellId> {
    let id = job.data.get("dwellId").and_then(Value::as_str);
    let parsed = id.and_then(|t| t.parse().ok());
    if parsed.is_none() {
        tracing::warn!(job_id = job.job_id, "A malformed dwell job was dropped.");
    }
    parsed
}

/// Starts consuming dwell timers.
pub async fn run(shared: &Arc<Shared>) -> Result<Subscription, QueueError> {
    let handler = Arc::new(Known(Timers(shared.clone())));
    let consumer = Consumer::batch(super::GROUP, 100, handler);
    shared.queues.consume(super::QUEUE, consumer).await
}
