//! What `automation.state` needs of the entity layer: which kinds there are, and whether a field
//! still has the value it changed to (`definition §10.8`).

use async_trait::async_trait;
use automation_core::{
    builtin::{StateKinds, StatePayload},
    registry::{Hold, HoldAnswer, HoldAsk},
};
use automation_entity::{EntityEngine, Newest, TransitionStore, field_text, same};
use plugin_api::{BoxError, Ts};
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::HashMap,
    sync::{Arc, OnceLock, Weak},
};

/// The entity layer behind the trigger. The trigger lives in a registry that the engine itself
/// holds, so the way back is a weak one.
pub struct States {
    entities: Weak<EntityEngine>,
    history: OnceLock<Arc<dyn TransitionStore>>,
}

impl States {
    /// Over an engine; ages are known from [`States::bind`] on.
    pub fn new(entities: &Arc<EntityEngine>) -> Arc<Self> {
        Arc::new(Self {
            entities: Arc::downgrade(entities),
            history: OnceLock::new(),
        })
    }

    /// The log to read ages from, on connections that may be taken beside a held transaction.
    pub fn bind(&self, history: Arc<dyn TransitionStore>) {
        let _ = self.history.set(history);
    }

    /// Since when a field has a value: when it last got it, or, for null, when its entity ended.
    /// None when the log does not say.
    async fn since(&self, asked: &StatePayload) -> Option<Ts> {
        let history = self.history.get()?;
        match history.newest(&asked.kind, &asked.id, &asked.field).await {
            Ok(Some(Newest::Value(text, at))) if text == field_text(Some(&asked.to)) => Some(at),
            Ok(Some(Newest::Ended(at))) if asked.to.is_null() => Some(at),
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(kind = asked.kind, id = asked.id, field = asked.field, %error, "The age of a value could not be read; the dwell counts as held.");
                None
            }
        }
    }
}

impl StateKinds for States {
    fn kinds(&self) -> Vec<String> {
        let Some(entities) = self.entities.upgrade() else {
            return Vec::new();
        };
        let kinds = entities.kinds();
        kinds.iter().map(|k| k.kind().to_owned()).collect()
    }

    fn schema(&self, kind: &str) -> Option<Arc<Value>> {
        let kind = self.entities.upgrade()?.kind(kind)?;
        Some(Arc::new(kind.schema().clone()))
    }
}

#[async_trait]
impl Hold for States {
    async fn check(&self, asks: &[HoldAsk]) -> Result<Vec<HoldAnswer>, BoxError> {
        let Some(entities) = self.entities.upgrade() else {
            return Err("the entity engine is gone".into());
        };
        let asked: Vec<Option<StatePayload>> = asks
            .iter()
            .map(|a| StatePayload::deserialize(&a.payload).ok())
            .collect();
        let mut ids: HashMap<&str, Vec<String>> = HashMap::new();
        for a in asked.iter().flatten() {
            ids.entry(&a.kind).or_default().push(a.id.clone());
        }
        // None: the kind cannot be read, so nothing can be said of it (`dispatch §6.3`: fail open).
        let mut current: HashMap<&str, Option<HashMap<String, Value>>> = HashMap::new();
        for (kind, mut ids) in ids {
            ids.sort_unstable();
            ids.dedup();
            let read = match entities.kind(kind) {
                Some(erased) => erased.read_values(&ids).await,
                None => Err("no plugin has this kind".into()),
            };
            let states = read.inspect_err(|error| {
                tracing::warn!(kind, %error, "State could not be read; dwells on it count as held.");
            });
            current.insert(kind, states.ok());
        }
        let mut answers = Vec::with_capacity(asks.len());
        for asked in &asked {
            let Some(asked) = asked else {
                answers.push(UNKNOWN);
                continue;
            };
            let Some(states) = current.get(asked.kind.as_str()).and_then(Option::as_ref) else {
                answers.push(UNKNOWN);
                continue;
            };
            let now = states.get(&asked.id).and_then(|s| s.get(&asked.field));
            let holds = same(now.unwrap_or(&Value::Null), &asked.to);
            answers.push(HoldAnswer {
                holds,
                since: if holds { self.since(asked).await } else { None },
            });
        }
        Ok(answers)
    }
}

/// Counts as held, for want of knowledge.
const UNKNOWN: HoldAnswer = HoldAnswer {
    holds: true,
    since: None,
};
