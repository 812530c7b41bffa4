//! The task of one walking run.

use super::{
    call,
    world::{Calling, Looking, World},
};
use crate::{
    automations::Program,
    commit::{Fence, RunCommit, RunHead, Verdict, build::BuildCx},
    guards::{self, Guard},
    store::runs::RunRecord,
    walk::{
        decide::{self, Act, Cx, Decision, Event, Rest, Write},
        tree::Walk,
        view::Base,
    },
};
use automation_core::{LockId, RunId, registry::Cancel};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};
use tokio::sync::{Notify, watch};

/// A run in memory, with its lease.
pub struct LiveRun {
    /// Ids.
    pub head: RunHead,
    /// The fence.
    pub epoch: i64,
    /// The definition it is pinned to.
    pub program: Arc<Program>,
    /// Trigger, start and live state.
    pub base: Arc<Base>,
    /// Tree and variables.
    pub walk: Walk,
    /// Its row still says `waiting`.
    pub resumed: bool,
    /// What to do first: acts of a fresh run, or an event for one that is picked up.
    pub first: First,
}

/// How a driver begins.
pub enum First {
    /// The first decision was made and committed with the run's creation.
    Acts(Vec<Act>),
    /// The node that drove it died, or gave it back.
    Recover,
    /// A lock of it was fired.
    Fired,
}

/// Drives a run until it rests, ends, or is lost.
pub(crate) async fn drive<W: World>(
    world: Arc<W>,
    run: LiveRun,
    mut stopped: watch::Receiver<bool>,
    cancel: Cancel,
    nudge: Arc<Notify>,
) {
    let (id, epoch) = (run.head.run_id, run.epoch);
    // The run's secrets live until its driver ends, not until its status changes (`dispatch §20`).
    let secrets = world.secrets(id);
    let fresh = matches!(run.first, First::Fired);
    let mut driver = Driver {
        world: world.clone(),
        run,
        cancel,
        nudge,
        pending: Vec::new(),
        logs: call::Lines::default(),
        last_fired: None,
        fresh,
        flight: FuturesUnordered::new(),
    };
    tokio::select! {
        biased;
        () = async { if stopped.wait_for(|s| *s).await.is_err() { std::future::pending().await } } => {
            tracing::debug!(run_id = %id, "The driver stops: the run is no longer its business.");
        }
        () = driver.run() => {}
    }
    world.leave(id, epoch);
    if driver.flight.is_empty() {
        return;
    }
    // A call in flight is not aborted, only told; its result is discarded (`dispatch §15`).
    let mut flight = driver.flight;
    world.spawn(Box::pin(async move {
        while flight.next().await.is_some() {}
        drop(secrets);
    }));
}

struct Driver<W> {
    world: Arc<W>,
    run: LiveRun,
    cancel: Cancel,
    /// Told when a lock of the run was fired while this driver holds it.
    nudge: Arc<Notify>,
    /// Writes that may share a later commit.
    pending: Vec<Write>,
    /// Run-log lines of actions since the last commit.
    logs: call::Lines,
    /// The lock whose firing was decided last.
    last_fired: Option<LockId>,
    /// Live state was read when the run was picked up, just now.
    fresh: bool,
    flight: FuturesUnordered<BoxFuture<'static, Option<Event>>>,
}

impl<W: World> Driver<W> {
    async fn run(&mut self) {
        let first = std::mem::replace(&mut self.run.first, First::Recover);
        let goes_on = match first {
            First::Acts(acts) => {
                self.perform(acts);
                true
            }
            First::Recover => self.step(Event::Recovered).await,
            First::Fired => self.fired().await,
        };
        if !goes_on {
            return;
        }
        loop {
            let mixed = self.run.walk.rests_in_part();
            let goes_on = tokio::select! {
                biased;
                event = self.flight.next() => match event.flatten() {
                    Some(event) => self.step(event).await,
                    // Nothing is left to do, or nothing may be begun any more.
                    None => return,
                },
                // One branch rests while another one walks: its wait need not last until that ends.
                () = self.nudge.notified(), if mixed => match self.next_fired().await {
                    Some(event) => self.step(event).await,
                    None => true,
                },
            };
            if !goes_on {
                return;
            }
        }
    }

    /// One event: decide, commit, perform. False: the driver is done with this run.
    async fn step(&mut self, event: Event) -> bool {
        let mut decided = self.decide(event);
        loop {
            let must_commit = decided.must_commit();
            self.pending.append(&mut decided.writes);
            if !must_commit && self.logs.is_empty() {
                self.perform(decided.then);
                return true;
            }
            if guards::taken_out(Guard::CommitBeforeAct) {
                let acts = std::mem::take(&mut decided.then);
                self.perform(acts);
            }
            match self.commit(decided.rest.clone()).await {
                Some(Verdict::Held) => {
                    if self.world.is_closing() {
                        // A checkpoint is reached; whoever takes the lease over recovers from it.
                        // Nothing is begun any more, but what other branches have begun is waited
                        // for, or the next node would do it again beside them.
                        return !self.flight.is_empty();
                    }
                    self.perform(decided.then);
                    return true;
                }
                Some(Verdict::Fired) => match self.next_fired().await {
                    Some(event) => decided = self.decide(event),
                    None => return false,
                },
                _ => return false,
            }
        }
    }

    async fn fired(&mut self) -> bool {
        match self.next_fired().await {
            Some(event) => self.step(event).await,
            // Somebody was quicker: back to rest.
            None => self.commit(Rest::Suspended).await == Some(Verdict::Fired),
        }
    }

    /// The oldest fired lock that the tree still waits for.
    async fn next_fired(&mut self) -> Option<Event> {
        match self.world.oldest_fired(self.id()).await {
            Ok(event) => {
                if let Some(Event::Fired { lock, .. }) = &event {
                    // It is still there although it was decided: the tree does not wait for it, so
                    // it must not keep the run awake.
                    if self.last_fired.replace(*lock) == Some(*lock) {
                        self.pending.push(Write::Unlock(*lock));
                    }
                    // What is behind the wait sees the state as it is now (`dispatch §10`, site R).
                    if !std::mem::take(&mut self.fresh) {
                        self.run.base = self.world.renewed(&self.run).await;
                    }
                }
                event
            }
            Err(error) => {
                tracing::error!(run_id = %self.id(), %error, "Fired locks could not be read; the lease runs out and the run is tried again.");
                None
            }
        }
    }

    fn id(&self) -> RunId {
        self.run.head.run_id
    }

    /// A panic in a decision fails the run: it must never stay `running` because a step threw
    /// (`dispatch §9.6`).
    fn decide(&mut self, event: Event) -> Decision {
        let world = &self.world;
        let ids = || world.uuid();
        let cx = Cx {
            program: &self.run.program,
            registries: world.registries(),
            filters: world.filters(),
            context_key: self.run.head.context_key.as_deref(),
            base: &self.run.base,
            now: world.now(),
            ids: &ids,
            step_budget: world.step_budget(),
        };
        let walk = &mut self.run.walk;
        catch_unwind(AssertUnwindSafe(|| decide::decide(walk, event, &cx))).unwrap_or_else(|_| {
            tracing::error!(run_id = %self.run.head.run_id, "A decision of the walker panicked; the run fails.");
            internal_error()
        })
    }

    async fn commit(&mut self, rest: Rest) -> Option<Verdict> {
        let world = &self.world;
        let ids = || world.uuid();
        let now = world.now();
        let masks = world.masks(self.run.head.run_id);
        let mut commit = RunCommit::new(
            self.run.head.clone(),
            Fence::Epoch(self.run.epoch),
            &self.run.walk,
            std::mem::take(&mut self.pending),
            rest,
            &BuildCx {
                now,
                ids: &ids,
                masks: &masks,
            },
        );
        commit.resumed = self.run.resumed;
        for line in self.logs.take() {
            commit.log(
                world.uuid(),
                line.at,
                Some(line.path),
                line.level,
                masks.mask_text(line.message),
            );
        }
        match world.commit(commit).await {
            Ok(verdict) => {
                match verdict {
                    Verdict::Lost => {
                        tracing::debug!(run_id = %self.run.head.run_id, "The run was cancelled, deleted or taken over; its driver stops.");
                    }
                    Verdict::Finished => world.finished(&self.run),
                    _ => self.run.resumed = false,
                }
                Some(verdict)
            }
            Err(error) => {
                tracing::error!(run_id = %self.run.head.run_id, %error, "A checkpoint could not be written; the lease runs out and the run is recovered.");
                None
            }
        }
    }

    fn perform(&mut self, acts: Vec<Act>) {
        for act in acts {
            let future: BoxFuture<'static, Option<Event>> = match act {
                Act::Call {
                    path,
                    action,
                    config,
                    attempt,
                    locals,
                } => {
                    let facts = call::RunFacts {
                        head: self.run.head.clone(),
                        epoch: self.run.epoch,
                        base: self.run.base.clone(),
                        locals,
                        cancel: self.cancel.clone(),
                        logs: self.logs.clone(),
                    };
                    let calling = Calling {
                        path,
                        action,
                        config,
                        attempt,
                    };
                    self.world.call(facts, calling)
                }
                Act::Read {
                    path,
                    guard,
                    locals,
                } => {
                    let look = Looking {
                        path,
                        guard,
                        locals,
                    };
                    Box::pin(self.world.read(&self.run, look).map(Some))
                }
            };
            self.flight.push(future);
        }
    }
}

/// The decision that ends a run because the engine itself failed.
pub(crate) fn internal_error() -> Decision {
    Decision {
        writes: Vec::new(),
        then: Vec::new(),
        rest: Rest::Finished {
            status: "failed",
            code: Some("internal_error"),
            message: Some("the engine failed while walking this run".into()),
        },
    }
}

/// The run's row as a base scope (`dispatch §10`, sites F and R).
pub fn base_of(record: &RunRecord, live: Arc<crate::walk::view::Live>) -> Base {
    Base {
        trigger: Arc::new(serde_json::json!({
            "id": record.trigger_id,
            "event": record.trigger_event_id,
            "eventId": record.trigger_event_id,
            "actor": record.actor.0,
            "payload": record.trigger_payload.0,
        })),
        now: Arc::new(serde_json::Value::String(record.started_at.to_text())),
        live,
    }
}
