//! The names an author can use at a place (`definition §14`).
//!
//! A pure function of a document, the registries and a position. The document is taken as it stands,
//! half-typed: what does not read contributes nothing.

use super::contributions::Upstream;
use super::narrow::{Subscribed, TriggerSet, entering_values};
use super::{Entry, trigger::trigger_entry};
use crate::diagnostic::PathSegment;
use crate::registry::Registries;
use serde_json::Value;

/// What a walk to a position has met.
struct Walk<'v> {
    registries: &'v Registries,
    subscribed: Subscribed,
    triggers: TriggerSet,
    upstream: Upstream,
    /// The loop it is in: its `repeat` object.
    within: Option<&'v Value>,
    /// The event whose payload `trigger` is, in the filter of a wait.
    awaited: Option<&'v str>,
    /// Upstream is offered.
    in_run: bool,
}

/// The names in scope at a position; none when the document has no such place.
pub fn entries(
    definition: &Value,
    position: &[PathSegment],
    registries: &Registries,
) -> Option<Vec<Entry>> {
    let subscribed = Subscribed::of(definition);
    let mut walk = Walk {
        registries,
        triggers: subscribed.all(),
        subscribed,
        upstream: Upstream::default(),
        within: None,
        awaited: None,
        in_run: false,
    };
    match position {
        [PathSegment::Key(key), PathSegment::Index(i), ..] if key == "triggers" => {
            definition.get("triggers")?.get(*i)?;
            walk.triggers = TriggerSet::one(*i);
        }
        [PathSegment::Key(key), ..] if key == "conditions" => {}
        [PathSegment::Key(key), rest @ ..] if key == "actions" => {
            walk.in_run = true;
            walk.list(definition.get("actions")?, rest)?;
        }
        _ => return None,
    }
    Some(walk.names(definition))
}

impl<'v> Walk<'v> {
    /// Into a list of actions: those before the step contribute.
    fn list(&mut self, list: &'v Value, path: &[PathSegment]) -> Option<()> {
        let actions = list.as_array()?;
        let [PathSegment::Index(at), rest @ ..] = path else {
            return path.is_empty().then_some(());
        };
        // One behind the last is where the next one will be.
        for before in actions.get(..*at)? {
            self.upstream.add(before, self.registries, false);
        }
        match actions.get(*at) {
            Some(action) => self.action(action, rest),
            None => rest.is_empty().then_some(()),
        }
    }

    /// Into an action.
    fn action(&mut self, action: &'v Value, path: &[PathSegment]) -> Option<()> {
        use PathSegment::{Index, Key};
        match path {
            [Key(choose), Index(i), Key(sequence), rest @ ..]
                if choose == "choose" && sequence == "sequence" =>
            {
                let clauses = action.get("choose")?.as_array()?;
                let clause = clauses.get(*i)?;
                let (sets, _) = entering_values(clauses, self.triggers, &self.subscribed);
                self.triggers = sets[*i];
                self.list(clause.get("sequence")?, rest)
            }
            [Key(otherwise), rest @ ..]
                if otherwise == "else" && action.get("choose").is_some() =>
            {
                let clauses = action.get("choose")?.as_array()?;
                let (_, left) = entering_values(clauses, self.triggers, &self.subscribed);
                self.triggers = left;
                self.list(action.get("else")?, rest)
            }
            // Siblings do not wait for each other.
            [Key(parallel), Index(i), rest @ ..] if parallel == "parallel" => {
                self.action(action.get("parallel")?.get(*i)?, rest)
            }
            [Key(sequence), rest @ ..] if sequence == "sequence" => {
                self.list(action.get("sequence")?, rest)
            }
            [Key(repeat), Key(sequence), rest @ ..]
                if repeat == "repeat" && sequence == "sequence" =>
            {
                let body = action.get("repeat")?;
                self.within = Some(body);
                self.list(body.get("sequence")?, rest)
            }
            [Key(repeat), Key(test), ..]
                if repeat == "repeat" && (test == "while" || test == "until") =>
            {
                self.within = Some(action.get("repeat")?);
                Some(())
            }
            [Key(wait), Key(filter), ..] if wait == "wait_for_trigger" && filter == "filter" => {
                self.awaited = action.get("wait_for_trigger")?.get("event")?.as_str();
                Some(())
            }
            [] => Some(()),
            [Key(field), ..] => action.get(field).map(|_| ()),
            [Index(_), ..] => None,
        }
    }

    fn names(&self, definition: &Value) -> Vec<Entry> {
        let mut out = vec![
            trigger_entry(
                self.registries,
                &self.subscribed,
                self.triggers,
                self.awaited,
            ),
            super::health::health_entry(definition),
            Entry::root("state", "object").describe(
                "State of entities: state.<kind>.<id>.<field>, or state.<kind>[expression].<field>.",
            ),
        ];
        if self.in_run {
            out.push(self.upstream.variables());
            out.push(self.upstream.artifacts());
        }
        if let Some(body) = self.within {
            let mut repeat = Entry::root("repeat", "object");
            let index = Entry::below(&repeat, "index", "integer");
            repeat
                .children
                .push(index.describe("Passes before this one."));
            if body.get("for_each").is_some() {
                let item = Entry::below(&repeat, "item", "any");
                repeat
                    .children
                    .push(item.describe("The element of this pass."));
            }
            out.push(repeat);
        }
        out.push(
            Entry::root("now", "string").describe("When the evaluation or run began, ISO 8601."),
        );
        out
    }
}
