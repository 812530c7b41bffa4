//! The promise of a durable kind (`entity §8.8`): before the plugin commits on its own, the state
//! before is stored. If the process dies in between, recovery compares it with what it finds.

use crate::{
    canonical::{canonical, same},
    diff::State,
};
use plugin_api::{Actor, Ts, locks::key_hash, masking::MaskSet};
use serde_json::Value;
use uuid::Uuid;

/// A write that has begun and is not recorded yet. It holds no secret of its run: fields that
/// masking changes are kept masked, beside a digest that still tells whether they changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Intent {
    /// The kind.
    pub kind: String,
    /// The id.
    pub id: String,
    /// The id the change will have.
    pub change_id: Uuid,
    /// The masked state before; none: the entity did not exist.
    pub prev: Option<Value>,
    /// Digests of the canonical form of the fields that masking changed.
    pub hidden: State,
    /// Who writes.
    pub actor: Actor,
    /// On whose behalf.
    pub run_id: Option<Uuid>,
    /// When it was stored.
    pub created_at: Ts,
}

fn digest(value: &Value) -> Value {
    key_hash(&canonical(value)).into()
}

impl Intent {
    pub(crate) fn conceal(prev: Option<&State>, masks: &MaskSet) -> (Option<Value>, State) {
        let Some(prev) = prev else {
            return (None, State::new());
        };
        let masked = masks.mask_json(Value::Object(prev.clone())).into_inner();
        let hidden = prev
            .iter()
            .filter(|(name, value)| masked.get(*name) != Some(*value))
            .map(|(name, value)| (name.clone(), digest(value)))
            .collect();
        (Some(masked), hidden)
    }

    /// The state before, as far as it can be compared with `current`: a hidden field that did not
    /// change is shown as it is now.
    pub(crate) fn prev_against(&self, current: Option<&State>) -> Option<State> {
        let Some(Value::Object(mut prev)) = self.prev.clone() else {
            return None;
        };
        for (name, was) in &self.hidden {
            let now = current.and_then(|c| c.get(name)).unwrap_or(&Value::Null);
            if same(&digest(now), was) {
                prev.insert(name.clone(), now.clone());
            }
        }
        Some(prev)
    }
}
