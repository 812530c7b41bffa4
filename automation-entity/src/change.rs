//! One real difference of one entity, as it travels (`entity §10`).

use plugin_api::{Actor, Cause, Ts, locks::key_hash};
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use serde_json::{Map, Value};
use uuid::Uuid;

/// The form in which changes travel; a later one will say so as `v`.
pub(crate) const FORM: i64 = 1;

/// A change. JSON keys are camelCase; unknown fields are ignored when reading, a missing or mistyped
/// required one makes the document malformed, and whoever reads it drops it with a warning.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EntityChanged {
    /// The kind.
    pub kind: String,
    /// The id inside the kind; may contain colons.
    pub id: String,
    /// State before, an object; none: the entity was created.
    pub prev: Option<Value>,
    /// State after, an object; none: a tombstone.
    pub next: Option<Value>,
    /// New values of the changed fields; empty for a tombstone.
    pub delta: Value,
    /// Names of the changed fields in byte order; of a tombstone the non-null fields of `prev`.
    pub changed_fields: Vec<String>,
    /// Who did it.
    pub actor: Actor,
    /// When it was recorded.
    #[serde(with = "plugin_api::values::rfc3339")]
    pub occurred_at: Ts,
    /// Made once per change; the same in every redelivery.
    pub change_id: Uuid,
    /// What led to it, when a run did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
}

impl EntityChanged {
    /// `<kind>:<id>`.
    pub fn entity_ref(&self) -> String {
        format!("{}:{}", self.kind, self.id)
    }
    /// True for the change that created the entity.
    pub fn is_create(&self) -> bool {
        self.prev.is_none()
    }
    /// True when the entity ceased to exist.
    pub fn is_tombstone(&self) -> bool {
        self.next.is_none()
    }
    /// A field of the state before; none also when the field is null.
    pub fn prev_field(&self, name: &str) -> Option<&Value> {
        field(self.prev.as_ref(), name)
    }
    /// A field of the state after; none also when the field is null.
    pub fn next_field(&self, name: &str) -> Option<&Value> {
        field(self.next.as_ref(), name)
    }
    /// True when the field is among the changed ones.
    pub fn changed(&self, name: &str) -> bool {
        self.changed_fields.iter().any(|f| f == name)
    }
}

fn field<'a>(state: Option<&'a Value>, name: &str) -> Option<&'a Value> {
    state?.get(name).filter(|v| !v.is_null())
}

/// Splits `<kind>:<id>` at the first colon; none when there is no colon or a part is empty.
pub fn split_ref(text: &str) -> Option<(&str, &str)> {
    let (kind, id) = text.split_once(':')?;
    (!kind.is_empty() && !id.is_empty()).then_some((kind, id))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    kind: String,
    id: String,
    #[serde(deserialize_with = "state")]
    prev: Option<Value>,
    #[serde(deserialize_with = "state")]
    next: Option<Value>,
    delta: Map<String, Value>,
    changed_fields: Vec<String>,
    actor: Actor,
    #[serde(with = "plugin_api::values::rfc3339")]
    occurred_at: Ts,
    change_id: Option<Uuid>,
    #[serde(default)]
    cause: Option<Cause>,
}

/// An object or null; must be present.
fn state<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Value>, D::Error> {
    match Value::deserialize(d)? {
        Value::Null => Ok(None),
        object @ Value::Object(_) => Ok(Some(object)),
        _ => Err(D::Error::custom("expected an object or null")),
    }
}

impl<'de> Deserialize<'de> for EntityChanged {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let w = Wire::deserialize(d)?;
        if w.kind.is_empty() || w.id.is_empty() {
            return Err(D::Error::custom("`kind` and `id` must not be empty"));
        }
        // Payloads from before change ids: an id that every redelivery makes again.
        let change_id = w.change_id.unwrap_or_else(|| {
            let entity = key_hash(&format!("{}:{}", w.kind, w.id));
            Uuid::from_u64_pair(w.occurred_at.millis() as u64, entity as u64)
        });
        Ok(Self {
            kind: w.kind,
            id: w.id,
            prev: w.prev,
            next: w.next,
            delta: Value::Object(w.delta),
            changed_fields: w.changed_fields,
            actor: w.actor,
            occurred_at: w.occurred_at,
            change_id,
            cause: w.cause,
        })
    }
}
