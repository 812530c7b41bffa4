//! Waking `wait_for_trigger` locks when their event arrives (`dispatch §14.2`), whatever the source
//! of the event.
//!
//! A lock matches by event id and exact context key; then its filter looks at the arriving event
//! beside the suspended run's own variables and artifacts. The first occurrence that passes wins.

use super::{
    fire::{Mark, fire},
    waiting::{Waiting, load},
};
use crate::{
    fire::{Occurrence, trigger_scope},
    scope,
    shared::Shared,
    store::locks::{self, AwaitingRecord, LockRecord},
    walk::{decide::FireReason, path, view::View},
};
use automation_core::{AutomationId, LockId, RunId, compiled::CompiledKind};
use plugin_api::{Tx, db::DbError, queue::JobError};
use serde_json::Value;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};
use template_engine::Env;

/// A lock that an occurrence may end.
#[derive(Clone)]
pub struct EventAsk {
    /// The lock.
    pub lock: LockId,
    /// What happened.
    pub occurrence: Arc<Occurrence>,
}

/// An event and its context key.
pub type Pair<'a> = (&'a str, Option<&'a str>);

/// `trigger` locks that wait for one of these events with one of these keys, in the order they were
/// made; by event id and key.
pub async fn awaiting(
    tx: &mut Tx,
    wanted: &[Pair<'_>],
) -> Result<HashMap<(String, Option<String>), Vec<AwaitingRecord>>, DbError> {
    let (mut events, mut keys, mut keyless) = (Vec::new(), Vec::new(), Vec::new());
    for (event, key) in wanted {
        match key {
            Some(key) => {
                events.push((*event).to_owned());
                keys.push((*key).to_owned());
            }
            None => keyless.push((*event).to_owned()),
        }
    }
    let mut found: Vec<AwaitingRecord> = Vec::new();
    if !events.is_empty() {
        for list in [&mut events, &mut keys] {
            list.sort_unstable();
            list.dedup();
        }
        let query = tx.sql(locks::AWAITING).texts(&events).texts(&keys);
        found.append(&mut query.all().await?);
    }
    if !keyless.is_empty() {
        found.append(
            &mut tx
                .sql(locks::AWAITING_KEYLESS)
                .texts(&keyless)
                .all()
                .await?,
        );
    }
    let mut by: HashMap<(String, Option<String>), Vec<AwaitingRecord>> = HashMap::new();
    for lock in found {
        let key = (lock.event_id.clone(), lock.context_key.clone());
        by.entry(key).or_default().push(lock);
    }
    Ok(by)
}

/// Fires the locks whose filter passes; answers the runs that were woken, by automation.
pub async fn wake(
    shared: &Arc<Shared>,
    tx: &mut Tx,
    asks: &[EventAsk],
) -> Result<HashMap<AutomationId, Vec<RunId>>, JobError> {
    let mut woken: HashMap<AutomationId, Vec<RunId>> = HashMap::new();
    if asks.is_empty() {
        return Ok(woken);
    }
    let ids: HashSet<LockId> = asks.iter().map(|a| a.lock).collect();
    let ids: Vec<uuid::Uuid> = ids.iter().map(|l| l.uuid()).collect();
    let found: Vec<LockRecord> = tx.sql(locks::LOAD).ids(&ids).all().await?;
    let armed: Vec<LockRecord> = found
        .into_iter()
        .filter(|l| l.kind == "trigger" && l.fired_at.is_none() && !l.is_over())
        .collect();
    let (waiting, unfit) = load(shared, tx, armed, |kind| {
        matches!(kind, CompiledKind::WaitForTrigger { .. })
    })
    .await?;
    let mut marks: Vec<Mark> = unfit
        .into_iter()
        .map(|lock| Mark {
            run_id: lock.run_id,
            lock: lock.id,
            reason: FireReason::Invalid,
            payload: None,
        })
        .collect();
    let waiting: HashMap<LockId, Waiting> = waiting.into_iter().map(|w| (w.lock.id, w)).collect();
    let mut fired = HashSet::new();
    for ask in asks {
        let Some(wait) = waiting.get(&ask.lock) else {
            continue;
        };
        if !fired.contains(&ask.lock) && passes(shared, wait, &ask.occurrence).await {
            fired.insert(ask.lock);
            let run = wait.record.id;
            woken
                .entry(wait.record.automation_id)
                .or_default()
                .push(run);
            marks.push(Mark {
                run_id: run,
                lock: ask.lock,
                reason: FireReason::Event,
                payload: Some(Value::clone(&ask.occurrence.payload)),
            });
        }
    }
    fire(shared, tx, marks).await?;
    Ok(woken)
}

/// The filter at site L: the run's scope with `trigger` as the arriving event, under the id `wait`.
async fn passes(shared: &Arc<Shared>, wait: &Waiting, occurrence: &Occurrence) -> bool {
    let action = path::action(&wait.program.actions, &wait.lock.action_path);
    let Some(CompiledKind::WaitForTrigger {
        filter: Some(filter),
        ..
    }) = action.map(|a| &a.kind)
    else {
        return true;
    };
    let mut base = wait.base.clone();
    base.trigger = Arc::new(trigger_scope(
        "wait",
        &occurrence.event,
        &occurrence.actor,
        &occurrence.payload,
    ));
    let reads = wait.program.wait_reads(&wait.lock.action_path);
    let ask = scope::Ask {
        reads: &reads,
        program: &wait.program,
        context_key: wait.record.context_key.as_deref(),
        base: &base,
        locals: Some(&wait.locals),
        changed: &[],
    };
    let live = scope::read(shared, &[ask]).await.pop().unwrap_or_default();
    let view = View::of(&base, &live, &wait.locals);
    let env = Env::new(&shared.filters, shared.clock.now().timestamp());
    match filter.test(&view, &env) {
        Ok(passes) => passes,
        Err(error) => {
            tracing::warn!(lock = %wait.lock.id, run_id = %wait.record.id, event = occurrence.event, %error, "The filter of a waiting run failed; the event does not wake it.");
            false
        }
    }
}
