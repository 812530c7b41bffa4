//! Stage 1: from changes to jobs, on rows only.

use super::job::{DispatchJob, QUEUE, TOGETHER};
use crate::{
    dwell,
    shared::Shared,
    store::locks::{self, WokenRecord},
    waits::event,
    why,
};
use automation_core::LockId;
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
        // Nothing derived: no look at the automations at all (`entity §22.15`).
        if derived.iter().any(|events| !events.is_empty()) {
            shared.automations.refresh().await?;
        }
        let woken = woken(tx, changes).await?;
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
                for together in shared.automations.for_event(event).chunks(TOGETHER) {
                    let job = DispatchJob::Trigger {
                        automation_ids: together.iter().map(|a| a.id).collect(),
                        event_id: event.clone(),
                        entity_ref: entity_ref.clone(),
                        changed: change.clone(),
                    };
                    jobs.push(job.enqueue(change.change_id)?);
                }
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

/// `until` locks by the ref that wakes them.
async fn woken(
    tx: &mut Tx,
    changes: &[EntityChanged],
) -> Result<HashMap<String, Vec<WokenRecord>>, BoxError> {
    let mut refs: Vec<String> = Vec::with_capacity(changes.len() * 2);
    for c in changes {
        refs.push(c.entity_ref());
        refs.push(format!("{}:*", c.kind));
    }
    refs.sort_unstable();
    refs.dedup();
    let found: Vec<WokenRecord> = tx.sql(locks::WOKEN).texts(&refs).all().await?;
    let mut by_ref: HashMap<String, Vec<WokenRecord>> = HashMap::new();
    for lock in found {
        by_ref
            .entry(lock.entity_ref.clone())
            .or_default()
            .push(lock);
    }
    Ok(by_ref)
}

/// The locks a change concerns, each once, in the order they were made.
fn concerned<'w>(
    woken: &'w HashMap<String, Vec<WokenRecord>>,
    change: &EntityChanged,
) -> Vec<&'w WokenRecord> {
    let mut seen: HashSet<LockId> = HashSet::new();
    [change.entity_ref(), format!("{}:*", change.kind)]
        .iter()
        .filter_map(|r| woken.get(r))
        .flatten()
        .filter(|lock| seen.insert(lock.id))
        .collect()
}
