//! What one change leaves behind: rows of the transition log and one outgoing change, both masked.

use crate::{
    canonical::field_text,
    change::EntityChanged,
    diff::{State, diff},
};
use plugin_api::{Actor, Cause, Ts, masking::MaskSet};
use serde_json::Value;
use uuid::Uuid;

/// The pseudo-field of the row that marks the end of a life (`entity §8.2`).
pub const TOMBSTONE: &str = "@@tombstone";

/// One row of the transition log, without what it shares with its change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldTransition {
    /// The field, or [`TOMBSTONE`].
    pub field: String,
    /// Field text before; none on create and on a tombstone.
    pub from_value: Option<String>,
    /// Field text after.
    pub to_value: String,
}

/// A change ready to be stored. The only way to one masks the states it was made of, so a store that
/// takes a `Recording` cannot leak (`secrets §11.7`).
#[derive(Clone, Debug)]
pub struct Recording {
    change: EntityChanged,
    rows: Vec<FieldTransition>,
    settles_intent: bool,
}

/// Everything of a change but its states.
#[derive(Clone, Debug)]
pub(crate) struct Stamp {
    pub kind: String,
    pub id: String,
    pub actor: Actor,
    pub at: Ts,
    pub change_id: Uuid,
    pub cause: Option<Cause>,
    /// The kind is durable, so the recording also deletes the intent of this change.
    pub settles_intent: bool,
}

impl Recording {
    /// Compares two unmasked states; none when nothing changed. Existence is a change even when all
    /// fields are null (`entity §6.10`). The diff runs on what is, masking on what leaves (§7.6, §9).
    pub(crate) fn of(
        stamp: Stamp,
        prev: Option<State>,
        next: Option<State>,
        masks: &MaskSet,
    ) -> Option<Self> {
        let found = diff(prev.as_ref(), next.as_ref());
        if prev.is_some() == next.is_some() && found.changed_fields.is_empty() {
            return None;
        }
        let mask = |state: State| masks.mask_json(Value::Object(state)).into_inner();
        let (prev, next) = (prev.map(mask), next.map(mask));
        let rows = rows(&found.changed_fields, prev.as_ref(), next.as_ref());
        // The signal of a tombstone is `next = null`.
        let delta = match &next {
            Some(_) => mask(found.delta),
            None => Value::Object(State::new()),
        };
        Some(Self {
            rows,
            settles_intent: stamp.settles_intent,
            change: EntityChanged {
                kind: stamp.kind,
                id: stamp.id,
                prev,
                next,
                delta,
                changed_fields: found.changed_fields,
                actor: stamp.actor,
                occurred_at: stamp.at,
                change_id: stamp.change_id,
                cause: stamp.cause,
            },
        })
    }

    /// Makes storing it delete the intent of its change.
    pub(crate) fn settle_intent(&mut self) {
        self.settles_intent = true;
    }

    /// The outgoing change.
    pub fn change(&self) -> &EntityChanged {
        &self.change
    }
    /// The rows of the transition log.
    pub fn rows(&self) -> &[FieldTransition] {
        &self.rows
    }
    /// True when storing it must also delete the intent of its change.
    pub fn settles_intent(&self) -> bool {
        self.settles_intent
    }
}

fn rows(changed: &[String], prev: Option<&Value>, next: Option<&Value>) -> Vec<FieldTransition> {
    let Some(next) = next else {
        return vec![FieldTransition {
            field: TOMBSTONE.to_owned(),
            from_value: None,
            to_value: "removed".to_owned(),
        }];
    };
    changed
        .iter()
        .map(|field| FieldTransition {
            field: field.clone(),
            from_value: prev.map(|state| field_text(state.get(field))),
            to_value: field_text(next.get(field)),
        })
        .collect()
}
