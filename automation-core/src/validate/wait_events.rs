//! Whether the event of a `wait_for_trigger` can ever end it (`dispatch §5.4`, `§14.2`).
//!
//! A wait is ended by an emission of its event with its own context key, and null equals only null.
//! So an event that is made for one automation at a time never ends a wait, and neither does one
//! whose key cannot be the one that is waited for.

use super::Subject;
use super::outline::ActionAt;
use super::places::Place;
use super::triggers::has_context;
use crate::builtin::STATE_EVENT;
use crate::definition::ActionKind;
use crate::diagnostic::{Diagnostic, Diagnostics, Path};
use crate::registry::{Registered, TriggerDef, TriggerSource};
use std::sync::Arc;

pub(super) fn check(s: &Subject<'_>, out: &mut Diagnostics) {
    for (at, place) in s.outline.actions.iter().zip(s.places) {
        let ActionKind::WaitForTrigger {
            event,
            timeout_seconds,
            context_key,
            ..
        } = &at.action.kind
        else {
            continue;
        };
        let Some(awaited) = s.registries.trigger(event) else {
            continue;
        };
        let never = never_comes(&awaited)
            .or_else(|| keys_differ(s, place, &awaited, context_key.is_some()));
        match never {
            Some((message, help)) if timeout_seconds.is_none() => {
                let message = format!("{message}, and there is no timeout: it would wait for ever");
                out.push(Diagnostic::error("wait_never_wakes", path(at), message).help(help));
            }
            Some((message, help)) => {
                let message = format!("{message}: only the timeout ends this wait");
                out.push(Diagnostic::warning("wait_only_times_out", path(at), message).help(help));
            }
            None if context_key.is_none() => {
                if let Some((message, help)) = kinds_differ(s, place, &awaited) {
                    let d = Diagnostic::warning("wait_key_mismatch", path(at), message);
                    out.push(d.help(help));
                }
            }
            None => {}
        }
    }
}

fn path(at: &ActionAt<'_>) -> Path {
    let mut path = at.path.clone();
    path.push("wait_for_trigger".into());
    path
}

/// What is wrong and what to do about it.
type Finding = (String, String);

/// Events that reach one trigger of one automation and nobody who waits.
fn never_comes(awaited: &Registered<TriggerDef>) -> Option<Finding> {
    if matches!(awaited.source, TriggerSource::Setup(_)) {
        let message = format!(
            "`{}` fires only the automation it is set up for, never a wait",
            awaited.id
        );
        return Some((message, "use `delay`, or `wait_until` with a `time`".into()));
    }
    (awaited.id == STATE_EVENT).then(|| {
        let message = format!("`{STATE_EVENT}` needs a config, which a wait has not");
        let help = "use `wait_until` with `state.<kind>[id].<field>`".into();
        (message, help)
    })
}

/// The triggers that can have started a run that gets here; none when one is unknown.
fn starters(s: &Subject<'_>, place: &Place<'_>) -> Option<Vec<Arc<Registered<TriggerDef>>>> {
    let triggers = place.triggers.iter();
    let all: Option<Vec<_>> = triggers
        .map(|i| s.registries.trigger(&s.definition.triggers[i].event))
        .collect();
    all.filter(|list| !list.is_empty())
}

const GIVE_KEY: &str = "give `context_key`, the id of what the event is about";

/// The key that is waited for is null where the event's never is, or the other way round. `given`: the
/// wait names a key of its own.
fn keys_differ(
    s: &Subject<'_>,
    place: &Place<'_>,
    awaited: &Registered<TriggerDef>,
    given: bool,
) -> Option<Finding> {
    let keyless = || {
        let message = format!(
            "`{}` is about nothing in particular, so it has no context key to wait for",
            awaited.id
        );
        (message, "wait for another event".to_owned())
    };
    if given {
        return (!has_context(awaited)).then(keyless);
    }
    let starters = starters(s, place)?;
    let always = |t: &Registered<TriggerDef>| matches!(t.source, TriggerSource::EntityDriven);
    if always(awaited) && starters.iter().all(|t| !has_context(t)) {
        let message = format!(
            "`{}` is always about something, and what starts this run is not, so their context keys are never equal",
            awaited.id
        );
        return Some((message, GIVE_KEY.into()));
    }
    if !has_context(awaited) && starters.iter().all(|t| always(t)) {
        return Some(keyless());
    }
    None
}

/// Both have a key, but of different things as far as their labels tell.
fn kinds_differ(
    s: &Subject<'_>,
    place: &Place<'_>,
    awaited: &Registered<TriggerDef>,
) -> Option<Finding> {
    // `automation.state` is about entities of any kind.
    let label = |t: &Registered<TriggerDef>| {
        let label = t.context_key_label.clone();
        label.filter(|_| t.id != STATE_EVENT)
    };
    let wanted = label(awaited)?;
    let starters = starters(s, place)?;
    let labels: Option<Vec<String>> = starters.iter().map(|t| label(t)).collect();
    let labels = labels?;
    if labels.contains(&wanted) {
        return None;
    }
    let message = format!(
        "the context key of `{}` is that of a {wanted}, and this run's that of a {}: they are hardly ever equal",
        awaited.id, labels[0]
    );
    Some((message, GIVE_KEY.into()))
}
