//! From occurrences to runs and dwells: one transaction for a batch of firings.
//!
//! Whatever makes an automation fire – an entity change, a hook, a tick, an expired dwell, a person –
//! ends here. [`fire`] reads live state, asks the gates, and writes what they decided: the ledger
//! row that makes a redelivery harmless (`dispatch §3.10`), and with it the dwell or the run. The
//! first decision of a new run is made here too and committed with its creation, so that its driver
//! begins with the first action's call.

mod begin;
pub(crate) mod decide;
pub(crate) mod ledger;
mod start;

pub use begin::{Beginning, begin, launch};
#[cfg(any(test, feature = "sim"))]
pub(crate) use begin::{Begun, wait};
pub use decide::Started;
pub use ledger::{Decision, LedgerKey};
pub use start::{Candidate, start};
#[cfg(any(test, feature = "sim"))]
pub(crate) use start::{beginning, bucket, bucket_of};

use decide::Outcome;

use crate::{
    automations::Automation,
    dwell,
    gates::decide::{self as gates, Verdict},
    scope,
    shared::Shared,
    walk::view::{Base, Live, View},
    why, window,
};
use automation_core::compiled::CompiledTrigger;
use plugin_api::{Actor, Cause, Ts, Tx, queue::JobError};
use serde_json::{Value, json};
use std::{collections::HashMap, sync::Arc};
use template_engine::Env;

/// One emission of an event (`dispatch §5.2`).
#[derive(Clone, Debug)]
pub struct Occurrence {
    /// Stable across redelivery.
    pub id: String,
    /// The event's own time.
    pub at: Ts,
    /// Qualified event id.
    pub event: String,
    /// What it carries.
    pub payload: Arc<Value>,
    /// Who caused it.
    pub actor: Actor,
    /// The domain entity it is about.
    pub context_key: Option<String>,
    /// Kind and id of the changed entity, for entity-driven triggers.
    pub entity: Option<(String, String)>,
    /// What led to it, when a run did.
    pub cause: Option<Cause>,
}

/// One trigger of one automation meets one occurrence.
#[derive(Clone)]
pub struct Firing {
    /// The automation.
    pub automation: Arc<Automation>,
    /// Position of the trigger.
    pub trigger: usize,
    /// The occurrence.
    pub occurrence: Arc<Occurrence>,
}

/// Every firing of an occurrence at an automation: its triggers on that event, in order.
pub fn firings(automation: &Arc<Automation>, occurrence: &Arc<Occurrence>) -> Vec<Firing> {
    automation
        .program
        .triggers
        .iter()
        .enumerate()
        .filter(|(_, t)| t.event == occurrence.event)
        .map(|(trigger, _)| Firing {
            automation: automation.clone(),
            trigger,
            occurrence: occurrence.clone(),
        })
        .collect()
}

/// What became of a firing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fired {
    /// The gate of this name said no, or failed ([`why::Ruling::gate`]).
    Blocked(&'static str),
    /// A dwell is armed, by this firing or by one before it; or it was decided before.
    Armed,
    /// What its bucket said.
    Start(Started),
}

/// The scope root `trigger`.
pub fn trigger_scope(id: &str, event: &str, actor: &Actor, payload: &Value) -> Value {
    json!({"id": id, "event": event, "eventId": event, "actor": actor, "payload": payload})
}

/// What gates and run begin with.
struct Judged {
    firing: Firing,
    payload: Arc<Value>,
    base: Base,
    verdict: Verdict,
}

impl Judged {
    fn trigger(&self) -> &CompiledTrigger {
        &self.firing.automation.program.triggers[self.firing.trigger]
    }

    /// Under which its decision is recorded.
    fn key(&self) -> LedgerKey {
        let id = &self.firing.occurrence.id;
        LedgerKey::new(self.firing.automation.id, &self.trigger().id, id)
    }
}

/// Lets firings happen in `tx`: gates, ledger, dwells, runs; one answer each. New runs are driven once
/// it commits.
pub async fn fire(
    shared: &Arc<Shared>,
    tx: &mut Tx,
    firings: &[Firing],
) -> Result<Vec<Fired>, JobError> {
    let now = shared.clock.now();
    let mut judged = judge(shared, firings, now).await;
    count(shared, tx, &mut judged, now).await?;
    let mut fired = vec![Fired::Armed; firings.len()];
    let (mut decisions, mut noes) = (Vec::new(), Vec::new());
    let (mut arms, mut candidates, mut starting) = (Vec::new(), Vec::new(), Vec::new());
    for (at, j) in judged.into_iter().enumerate() {
        tell(&j);
        if let Some(no) = why::gate_said_no(&j.firing, &j.verdict, &j.base, now) {
            fired[at] = Fired::Blocked(no.gate().unwrap_or_default());
            noes.push(no);
        }
        let automation = &j.firing.automation;
        let trigger = &automation.program.triggers[j.firing.trigger];
        match decide::outcome(&j.verdict, trigger) {
            Outcome::Arm(millis) => arms.push(dwell::Arm {
                key: j.key(),
                firing: j.firing,
                payload: j.payload,
                fire_at: now.plus_millis(millis),
            }),
            Outcome::Start => {
                let cooldown = cooldown(shared, automation, trigger, &j.base, now);
                let key = j.key();
                candidates.push(Candidate::of(j.firing, key, j.payload, j.base, cooldown));
                starting.push(at);
            }
            Outcome::Record(decision) => decisions.push((j.key(), decision)),
            Outcome::OwnNo => dwell::own_gate_said_no(shared, tx, &j.firing).await?,
            Outcome::Nothing => {}
        }
    }
    let fresh = ledger::write(tx, now, &decisions).await?;
    why::conditions_said_no(shared, tx, noes, fresh);
    if !arms.is_empty() {
        dwell::arm(shared, tx, now, arms).await?;
    }
    if !candidates.is_empty() {
        let answers = start(shared, tx, candidates).await?;
        for (at, answer) in starting.into_iter().zip(answers) {
            fired[at] = Fired::Start(answer);
        }
    }
    Ok(fired)
}

/// The trigger's `cooldown`; one that gives no valid duration does not hold anything back.
pub fn cooldown(
    shared: &Shared,
    automation: &Automation,
    trigger: &CompiledTrigger,
    base: &Base,
    now: Ts,
) -> Option<i64> {
    let cooldown = trigger.cooldown.as_ref()?;
    let env = Env::new(&shared.filters, now.timestamp());
    match cooldown.millis(&view(base), &env) {
        Ok(Some(millis)) => Some(millis),
        invalid => {
            let error = invalid.err().map(|e| e.to_string());
            tracing::warn!(automation = %automation.id, trigger = trigger.id, error, "cooldown gives no number of seconds from 1 to 2592000 (30 days); the trigger does not cool down.");
            None
        }
    }
}

/// The scope of a trigger: nothing of a run.
pub(crate) fn view(base: &Base) -> View<'_> {
    let empty = scope::nothing();
    View {
        base,
        live: &base.live,
        variables: empty,
        artifacts: empty,
        repeat: None,
        resume: None,
    }
}

/// Gate 3, for those that have got so far, and what is behind it.
async fn count(
    shared: &Arc<Shared>,
    tx: &mut Tx,
    judged: &mut [Judged],
    now: Ts,
) -> Result<(), JobError> {
    let counted: Vec<usize> = (0..judged.len())
        .filter(|i| matches!(judged[*i].verdict, Verdict::Count { .. }))
        .collect();
    if counted.is_empty() {
        return Ok(());
    }
    let keys: Vec<LedgerKey> = counted.iter().map(|i| judged[*i].key()).collect();
    let asks: Vec<window::Ask<'_>> = counted
        .iter()
        .zip(&keys)
        .filter_map(|(i, key)| {
            let j = &judged[*i];
            let trigger = j.trigger();
            let (Verdict::Count { partition }, Some(window)) = (&j.verdict, &trigger.window) else {
                return None;
            };
            Some(window::Ask {
                key,
                automation: j.firing.automation.id,
                trigger: &trigger.id,
                event: &trigger.event,
                partition: partition.clone(),
                at: j.firing.occurrence.at,
                count: window.count,
                minutes: window.minutes,
                refire: window.refire,
            })
        })
        .collect();
    let answers = window::count(tx, now, &|| shared.clock.new_uuid(), &asks).await?;
    drop(asks);
    for (i, answer) in counted.into_iter().zip(answers) {
        let j = &mut judged[i];
        let program = &j.firing.automation.program;
        let trigger = &program.triggers[j.firing.trigger];
        let partition = match &j.verdict {
            Verdict::Count { partition } => partition.clone(),
            _ => None,
        };
        let env = Env::new(&shared.filters, now.timestamp());
        j.verdict = match answer {
            window::Answer::Decided => Verdict::Duplicate,
            window::Answer::Counted(c) if !c.fires => Verdict::WindowHeld { n: c.n, partition },
            window::Answer::Counted(_) => {
                gates::after_window(program, trigger, &view(&j.base), &env)
            }
        };
    }
    Ok(())
}

/// Gate 1, and the scope of the others without live state.
fn begin_judging(shared: &Shared, firings: &[Firing], now: Ts) -> Vec<Judged> {
    let instant = Arc::new(Value::String(now.to_text()));
    // Most of a thousand automations on one event look at the same scope. A payload is of one
    // occurrence, and stays where it is as long as what was judged.
    let mut scopes: HashMap<(*const Value, &str), Arc<Value>> = HashMap::new();
    let mut registered = HashMap::new();
    firings
        .iter()
        .map(|f| {
            let trigger = &f.automation.program.triggers[f.trigger];
            let registered = registered
                .entry(trigger.event.as_str())
                .or_insert_with(|| shared.registries.trigger(&trigger.event));
            let gate = registered.as_ref().and_then(|r| r.evaluate_config.as_ref());
            let (payload, verdict) = match gates::config_gate(gate, trigger, &f.occurrence.payload)
            {
                Ok(payload) => (payload, Verdict::Pass),
                Err(verdict) => (Arc::default(), verdict),
            };
            let o = &f.occurrence;
            let scope = scopes
                .entry((Arc::as_ptr(&payload), &trigger.id))
                .or_insert_with(|| {
                    Arc::new(trigger_scope(&trigger.id, &o.event, &o.actor, &payload))
                });
            let base = Base {
                trigger: scope.clone(),
                now: instant.clone(),
                live: Live::none(),
            };
            Judged {
                firing: f.clone(),
                payload,
                base,
                verdict,
            }
        })
        .collect()
}

async fn judge(shared: &Arc<Shared>, firings: &[Firing], now: Ts) -> Vec<Judged> {
    let mut judged = begin_judging(shared, firings, now);
    let asks: Vec<scope::Ask<'_>> = judged
        .iter()
        .filter(|j| j.verdict == Verdict::Pass)
        .map(|j| {
            let program = &j.firing.automation.program;
            scope::Ask {
                reads: if program.triggers[j.firing.trigger].dwell.is_some() {
                    &program.reads.triggers[j.firing.trigger]
                } else {
                    &program.reads.gates[j.firing.trigger]
                },
                program,
                context_key: j.firing.occurrence.context_key.as_deref(),
                base: &j.base,
                locals: None,
                changed: &[],
            }
        })
        .collect();
    let mut lives = scope::read(shared, &asks).await.into_iter();
    for j in judged.iter_mut().filter(|j| j.verdict == Verdict::Pass) {
        j.base.live = lives.next().unwrap_or_default();
        let program = &j.firing.automation.program;
        let trigger = &program.triggers[j.firing.trigger];
        let key = j.firing.occurrence.context_key.as_deref();
        let env = Env::new(&shared.filters, now.timestamp());
        j.verdict = gates::before_window(program, trigger, key, &view(&j.base), &env);
    }
    judged
}

/// Noes are silent but for debugging; failures of gates are warnings that name the gate.
fn tell(j: &Judged) {
    let automation = j.firing.automation.id;
    let trigger = &j.firing.automation.program.triggers[j.firing.trigger].id;
    let occurrence = &j.firing.occurrence.id;
    match j.verdict.error() {
        Some((gate, error)) => {
            tracing::warn!(%automation, trigger, gate, error, occurrence, "A gate failed; the firing is dropped.");
        }
        None => {
            tracing::debug!(%automation, trigger, verdict = ?j.verdict, occurrence, at = %j.firing.occurrence.at, "The gates have decided.");
        }
    }
}
