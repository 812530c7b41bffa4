//! From what the engine's parts decide to entries: one call at each place that decides.

use super::{
    Entry,
    ruling::{Cancelled, Dropped, Ruling, Scene},
};
use crate::{
    automations::Automation,
    dwell::Dwell,
    fire::{Candidate, Firing, LedgerKey, Occurrence, Started, firings},
    gates::decide::Verdict,
    shared::Shared,
    walk::view::Base,
};
use automation_core::{AutomationId, DwellId, builtin::STATE_EVENT, definition::Refire};
use automation_entity::EntityChanged;
use plugin_api::{Actor, Ts, Tx};
use std::{collections::HashSet, sync::Arc};

/// The entry of a gate that said no; none while the occurrence goes on to a dwell or a run.
pub fn gate_said_no(firing: &Firing, verdict: &Verdict, base: &Base, at: Ts) -> Option<Entry> {
    let scene = || {
        let program = &firing.automation.program;
        Scene::new(program, firing.trigger, base.clone())
    };
    let ruling = match verdict {
        Verdict::WindowHeld { n, partition } => {
            let trigger = &firing.automation.program.triggers[firing.trigger];
            let window = trigger.window.as_ref()?;
            Ruling::WindowHeld {
                count: u64::from(*n),
                needed: window.count,
                minutes: window.minutes,
                once: window.refire == Refire::Once,
                partition: partition.clone(),
            }
        }
        verdict => of_gates(verdict, scene)?,
    };
    Some(Entry::of(firing, at, ruling))
}

/// As a ruling; none for a verdict that is not a no.
fn of_gates(verdict: &Verdict, scene: impl FnOnce() -> Box<Scene>) -> Option<Ruling> {
    Some(match verdict {
        Verdict::ConfigGate => Ruling::ConfigGate { error: None },
        Verdict::ConfigError(error) => Ruling::ConfigGate {
            error: Some(error.clone()),
        },
        Verdict::FilterFalse => Ruling::FilterFalse(scene()),
        Verdict::FilterError(error) => Ruling::FilterError {
            error: error.clone(),
            scene: scene(),
        },
        Verdict::InvalidFor(error) => Ruling::DwellDropped(Dropped::InvalidFor(error.clone())),
        Verdict::ConditionFalse { index } => Ruling::ConditionFalse {
            index: *index,
            scene: scene(),
        },
        Verdict::ConditionError { index, message } => Ruling::ConditionError {
            index: *index,
            error: message.clone(),
            scene: scene(),
        },
        Verdict::Duplicate => Ruling::Duplicate,
        Verdict::Arm { .. }
        | Verdict::Pass
        | Verdict::Count { .. }
        | Verdict::WindowHeld { .. } => return None,
    })
}

/// Hands over the noes of a batch, once `tx` commits. A no of the conditions counts only where the
/// ledger took it (`fresh`): otherwise the occurrence was decided before.
pub fn conditions_said_no(
    shared: &Shared,
    tx: &mut Tx,
    mut noes: Vec<Entry>,
    mut fresh: HashSet<String>,
) {
    for entry in &mut noes {
        let conditions = matches!(
            entry.ruling,
            Ruling::ConditionFalse { .. } | Ruling::ConditionError { .. }
        );
        if conditions {
            let subject = &entry.subject;
            let key = LedgerKey::new(
                subject.automation(),
                subject.trigger_id(),
                subject.occurrence(),
            );
            if !fresh.remove(key.text()) {
                entry.ruling = Ruling::Duplicate;
            }
        }
    }
    shared.decisions.record_all_in(tx, noes);
}

/// What became of candidates for runs.
pub fn started(shared: &Shared, tx: &mut Tx, candidates: &[Candidate], answers: &[Started]) {
    let at = shared.clock.now();
    let entries = candidates
        .iter()
        .zip(answers)
        .map(|(candidate, answer)| {
            let definition = &candidate.automation.program.definition;
            let ruling = match answer {
                Started::Run(run) => Ruling::Started { run: *run },
                Started::Queued { run, ahead } => Ruling::Queued {
                    run: *run,
                    ahead: *ahead,
                },
                Started::Loop => {
                    let chain = candidate.cause.as_ref().map(|c| c.chain.as_slice());
                    let chain = chain.unwrap_or_default();
                    let chain: Vec<AutomationId> =
                        chain.iter().map(|id| AutomationId::from(*id)).collect();
                    Ruling::Loop {
                        again: !definition.allow_reentry
                            && chain.contains(&candidate.automation.id),
                        chain,
                    }
                }
                Started::Cooldown { until } => Ruling::Cooldown { until: *until },
                Started::Refused => Ruling::Refused {
                    mode: definition.mode,
                    max_runs: definition.max_runs,
                },
                Started::Duplicate => Ruling::Duplicate,
            };
            Entry::of_candidate(candidate, at, ruling)
        })
        .collect();
    shared.decisions.record_all_in(tx, entries);
}

/// An event that disabled automations listen to.
pub fn disabled(shared: &Shared, event: &str, occurrence: &str, context_key: Option<&str>) {
    let automations = shared.automations.disabled_for_event(event);
    if automations.is_empty() {
        return;
    }
    let met = met(shared, event, occurrence, context_key);
    let entries = automations
        .iter()
        .flat_map(|a| all_disabled(a, &met))
        .collect();
    shared.decisions.record_all(entries);
}

/// The same for an event that was derived from a change, once `tx` commits.
pub fn changed_disabled(shared: &Shared, tx: &mut Tx, event: &str, changed: &EntityChanged) {
    let automations = shared.automations.disabled_for_event(event);
    would_be_asked(shared, tx, event, changed, &automations);
}

/// The same for disabled automations with an `automation.state` trigger on what was changed.
pub fn state_disabled(shared: &Shared, tx: &mut Tx, changed: &EntityChanged) {
    let automations = shared.automations.disabled_for_state(changed);
    would_be_asked(shared, tx, STATE_EVENT, changed, &automations);
}

fn would_be_asked(
    shared: &Shared,
    tx: &mut Tx,
    event: &str,
    changed: &EntityChanged,
    automations: &[Arc<Automation>],
) {
    if automations.is_empty() {
        return;
    }
    let occurrence = changed.change_id.to_string();
    let met = met(shared, event, &occurrence, Some(&changed.id));
    let entries = automations
        .iter()
        .flat_map(|a| all_disabled(a, &met))
        .collect();
    shared.decisions.record_all_in(tx, entries);
}

/// The automation of a job, when it has been disabled since the job was made.
pub fn not_enabled(
    shared: &Shared,
    tx: &mut Tx,
    automation: AutomationId,
    event: &str,
    changed: &EntityChanged,
) {
    if let Some(automation) = shared.automations.get(automation) {
        let met = met(
            shared,
            event,
            &changed.change_id.to_string(),
            Some(&changed.id),
        );
        let entries = all_disabled(&automation, &met).collect();
        shared.decisions.record_all_in(tx, entries);
    }
}

/// An occurrence as far as an entry tells it.
fn met(
    shared: &Shared,
    event: &str,
    occurrence: &str,
    context_key: Option<&str>,
) -> Arc<Occurrence> {
    Arc::new(Occurrence {
        id: occurrence.to_owned(),
        at: shared.clock.now(),
        event: event.to_owned(),
        payload: Arc::default(),
        actor: Actor::system(),
        context_key: context_key.map(str::to_owned),
        entity: None,
        cause: None,
    })
}

fn all_disabled(
    automation: &Arc<Automation>,
    met: &Arc<Occurrence>,
) -> impl Iterator<Item = Entry> + use<> {
    let at = met.at;
    firings(automation, met)
        .into_iter()
        .map(move |f| Entry::of(&f, at, Ruling::Disabled))
}

/// Dwells that ended at their time, with why; those that `mine` took are told.
pub fn claimed(shared: &Shared, tx: &mut Tx, ended: Vec<(DwellId, Entry)>, mine: &[DwellId]) {
    let entries = ended
        .into_iter()
        .filter(|(id, _)| mine.contains(id))
        .map(|(_, entry)| entry)
        .collect();
    shared.decisions.record_all_in(tx, entries);
}

/// Why a dwell whose time has come gives no run: for [`claimed`]. Without a verdict of the
/// conditions it is over, or what armed it is not there any more.
pub fn dropped(shared: &Shared, dwell: &Dwell, over: bool, at: Ts) -> (DwellId, Entry) {
    let why = if over {
        Dropped::Over(dwell.armed_status.clone())
    } else if shared.automations.enabled(dwell.automation_id).is_none() {
        Dropped::Disabled
    } else {
        Dropped::TriggerChanged
    };
    (
        dwell.id,
        Entry::of_dwell(dwell, at, Ruling::DwellDropped(why)),
    )
}

/// A dwell whose time has come while the conditions say no: for [`claimed`].
pub fn left(
    dwell: &Dwell,
    automation: &Automation,
    trigger: usize,
    verdict: &Verdict,
    base: Base,
    at: Ts,
) -> Option<(DwellId, Entry)> {
    let ruling = of_gates(verdict, || Scene::new(&automation.program, trigger, base))?;
    Some((dwell.id, Entry::of_dwell(dwell, at, ruling)))
}

/// Dwells that went because their automation was disabled.
pub fn switched_off(shared: &Shared, dwells: &[Dwell]) {
    let at = shared.clock.now();
    let entries = dwells
        .iter()
        .map(|d| Entry::of_dwell(d, at, Ruling::DwellCancelled(Cancelled::Disabled)))
        .collect();
    shared.decisions.record_all(entries);
}
