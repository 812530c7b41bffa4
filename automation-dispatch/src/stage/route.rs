//! Stage 1: from changes to jobs, on rows only.

use super::job::{DispatchJob, QUEUE, TOGETHER};
use crate::{
    automations::Automation,
    dwell,
    shared::Shared,
    store::locks::{self, WokenRecord},
    waits::event,
    why,
};
use automation_core::{LockId, RunId, builtin::STATE_EVENT};
use automation_entity::{ChangeRouter, EntityChanged};
use plugin_api::{BoxError, Tx, queue::NewJob};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// The engine's router.
pub struct Router(pub Arc<Shared>);

#[async_trait::async_trait]
impl ChangeRouter for Router {
    async fn route(&self, tx: &mut Tx, changes: &[EntityChanged]) -> Result<(), BoxError> {
        let shared = &self.0;
        let derived: Vec<Vec<String>> = changes.iter().map(|c| shared.entities.derive(c)).collect();
        let (generation, woken) = woken(tx, changes).await?;
        // Nothing was edited: no look at the automations at all (`entity §22.15`).
        shared.automations.refresh_to(generation).await?;
        let mut pairs: Vec<event::Pair<'_>> = Vec::new();
        for (change, events) in changes.iter().zip(&derived) {
            pairs.extend(
                events
                    .iter()
                    .map(|e| (e.as_str(), Some(change.id.as_str()))),
            );
        }
        let awaiting = event::awaiting(tx, &pairs).await?;
        let mut keys: Vec<String> = changes.iter().map(|c| c.id.clone()).collect();
        keys.sort_unstable();
        keys.dedup();
        let armed: HashSet<String> = dwell::inverse_check(tx, &keys).await?.into_iter().collect();
        let mut jobs: Vec<NewJob> = Vec::new();
        for (change, events) in changes.iter().zip(&derived) {
            let entity_ref = change.entity_ref();
            for lock in concerned(&woken, change) {
                let job = DispatchJob::Wake {
                    run_id: lock.run_id,
                    wait_lock_id: lock.id,
                    entity_ref: entity_ref.clone(),
                    changed: change.clone(),
                };
                jobs.push(job.enqueue(change.change_id)?);
            }
            for event in events {
                why::changed_disabled(shared, tx, event, change);
                let waiting = awaiting.get(&(event.clone(), Some(change.id.clone())));
                for lock in waiting.into_iter().flatten() {
                    let job = DispatchJob::EventWake {
                        run_id: lock.run_id,
                        wait_lock_id: lock.id,
                        event_id: event.clone(),
                        entity_ref: entity_ref.clone(),
                        changed: change.clone(),
                    };
                    jobs.push(job.enqueue(change.change_id)?);
                }
                for job in triggers(&shared.automations.for_event(event), event, change) {
                    jobs.push(job.enqueue(change.change_id)?);
                }
            }
            // No deriver answers `automation.state`: whoever named the kind, or the entity, is asked.
            why::state_disabled(shared, tx, change);
            for job in triggers(&shared.automations.for_state(change), STATE_EVENT, change) {
                jobs.push(job.enqueue(change.change_id)?);
            }
            if armed.contains(&change.id) {
                let job = DispatchJob::InverseCancel {
                    context_key: change.id.clone(),
                };
                jobs.push(job.enqueue(change.change_id)?);
            }
        }
        if !jobs.is_empty() {
            shared.queues.enqueue_in(tx, QUEUE, jobs).await?;
        }
        Ok(())
    }
}

/// Jobs for the automations that an event concerns.
fn triggers(
    automations: &[Arc<Automation>],
    event: &str,
    change: &EntityChanged,
) -> impl Iterator<Item = DispatchJob> {
    automations.chunks(TOGETHER).map(|together| {
        let automation_ids = together.iter().map(|a| a.id).collect();
        DispatchJob::Trigger {
            automation_ids,
            event_id: event.to_owned(),
            entity_ref: change.entity_ref(),
            changed: change.clone(),
            woken: false,
        }
    })
}

/// A lock that a change may end.
struct Woken {
    id: LockId,
    run_id: RunId,
}

/// The generation of the automations, and `until` locks by the ref that wakes them.
async fn woken(
    tx: &mut Tx,
    changes: &[EntityChanged],
) -> Result<(i64, HashMap<String, Vec<Woken>>), BoxError> {
    let mut refs: Vec<String> = Vec::with_capacity(changes.len() * 2);
    for c in changes {
        refs.push(c.entity_ref());
        refs.push(format!("{}:*", c.kind));
    }
    refs.sort_unstable();
    refs.dedup();
    let found: Vec<WokenRecord> = tx.sql(locks::WOKEN).texts(&refs).all().await?;
    let mut generation = 0;
    let mut by_ref: HashMap<String, Vec<Woken>> = HashMap::new();
    for row in found {
        generation = row.generation.unwrap_or(generation);
        if let (Some(id), Some(run_id), Some(entity_ref)) = (row.id, row.run_id, row.entity_ref) {
            let lock = Woken { id, run_id };
            by_ref.entry(entity_ref).or_default().push(lock);
        }
    }
    Ok((generation, by_ref))
}

/// The locks a change concerns, each once, in the order they were made.
fn concerned<'w>(woken: &'w HashMap<String, Vec<Woken>>, change: &EntityChanged) -> Vec<&'w Woken> {
    let mut seen: HashSet<LockId> = HashSet::new();
    [change.entity_ref(), format!("{}:*", change.kind)]
        .iter()
        .filter_map(|r| woken.get(r))
        .flatten()
        .filter(|lock| seen.insert(lock.id))
        .collect()
}
