//! What has run for sure, and who can have started the run, at each action (`definition §14.2`,
//! `§14.5`).

use crate::definition::{Action, ActionKind, Definition, Repeat};
use crate::scope::{Subscribed, TriggerSet, entering};
use std::collections::HashSet;

/// What holds at one action.
pub(super) struct Place<'d> {
    /// Ids of actions that have run before it for sure: those before it in every list on the way to
    /// it. Nothing leaks out of `choose`, `parallel` and `repeat`; a preceding `sequence` contributes
    /// its content; disabled actions contribute nothing.
    pub before: HashSet<&'d str>,
    /// The triggers a run that gets here can have been started by.
    pub triggers: TriggerSet,
    /// Inside a loop.
    pub in_loop: bool,
    /// Of a loop: ids that have run for sure after a pass, `before` included.
    pub after_pass: Option<HashSet<&'d str>>,
}

/// The places of all actions, in the order of the outline's.
pub(super) fn places(definition: &Definition) -> Vec<Place<'_>> {
    let subscribed = Subscribed::new(definition);
    let here = Here {
        triggers: subscribed.all(),
        in_loop: false,
    };
    let mut walk = Walk {
        subscribed,
        places: Vec::new(),
    };
    walk.list(&definition.actions, &HashSet::new(), here);
    walk.places
}

/// What a walk carries down.
#[derive(Clone, Copy)]
struct Here {
    triggers: TriggerSet,
    in_loop: bool,
}

struct Walk<'d> {
    subscribed: Subscribed,
    places: Vec<Place<'d>>,
}

impl<'d> Walk<'d> {
    /// Walks a list; answers what has run for sure behind it.
    fn list(
        &mut self,
        actions: &'d [Action],
        given: &HashSet<&'d str>,
        here: Here,
    ) -> HashSet<&'d str> {
        let mut sure = given.clone();
        for action in actions {
            let contributes = self.action(action, &sure, here);
            if action.enabled {
                sure.extend(contributes);
            }
        }
        sure
    }

    /// Walks an action; answers what it contributes to what follows it.
    fn action(
        &mut self,
        action: &'d Action,
        sure: &HashSet<&'d str>,
        here: Here,
    ) -> HashSet<&'d str> {
        let index = self.places.len();
        self.places.push(Place {
            before: sure.clone(),
            triggers: here.triggers,
            in_loop: here.in_loop,
            after_pass: None,
        });
        let mut out: HashSet<&'d str> = action.id.as_deref().into_iter().collect();
        match &action.kind {
            ActionKind::Choose {
                branches,
                otherwise,
            } => {
                let (sets, left) = entering(branches, here.triggers, &self.subscribed);
                for (b, triggers) in branches.iter().zip(sets) {
                    self.list(&b.sequence, sure, Here { triggers, ..here });
                }
                let left = Here {
                    triggers: left,
                    ..here
                };
                self.list(otherwise.as_deref().unwrap_or_default(), sure, left);
            }
            ActionKind::Parallel(list) => {
                for a in list {
                    self.action(a, sure, here);
                }
            }
            ActionKind::Repeat { sequence, mode } => {
                let inside = Here {
                    in_loop: true,
                    ..here
                };
                let after = self.list(sequence, sure, inside);
                if matches!(mode, Repeat::Until { .. }) {
                    self.places[index].after_pass = Some(after);
                }
            }
            ActionKind::Sequence(list) => out.extend(self.list(list, sure, here)),
            _ => {}
        }
        out
    }
}
