//! A kind without the type of its state: what handle, engine and scope share.

use crate::{
    diff::State,
    error::DefineError,
    options::{KindOptions, VerifyReads},
    state::{EntityRead, EntityState, Erase, ErasedKind, ErasedRead, on},
    store::TransitionStore,
    write::{Deferred, EntityLocks, Recovery},
};
use plugin_api::{
    BoxError, Clock, Db, PluginId, hints::Hints, masking::RunSecretRegistry, status::LoopReporter,
};
use serde_json::Value;
use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

/// What every kind of one engine shares once it is bound.
pub(crate) struct Shared {
    pub store: Arc<dyn TransitionStore>,
    pub clock: Arc<dyn Clock>,
    pub hints: Arc<dyn Hints>,
    pub secrets: Arc<RunSecretRegistry>,
    pub locks: Arc<EntityLocks>,
    /// A pool of its own for the locks of writes whose plugin commits on its own; only where other
    /// nodes can exist.
    pub lock_db: Option<Db>,
    pub deferred: Deferred,
    /// Where failed recordings are reported.
    pub recordings: LoopReporter,
    pub recovery: Recovery,
    pub verify: VerifyReads,
}

/// A kind's way to the engine.
pub(crate) struct Bound {
    /// The owner's handle.
    pub db: Db,
    pub shared: Arc<Shared>,
}

/// One defined kind.
pub(crate) struct KindCore {
    kind: String,
    owner: PluginId,
    schema: Value,
    fields: Vec<String>,
    options: KindOptions,
    read: Arc<dyn ErasedRead>,
    bound: OnceLock<Bound>,
}

impl KindCore {
    pub fn of<S: EntityState>(
        kind: &str,
        owner: PluginId,
        options: KindOptions,
        read: Arc<dyn EntityRead<S>>,
    ) -> Self {
        let schema = schemars::schema_for!(S).to_value();
        let fields = properties(&schema).unwrap_or_default();
        Self {
            kind: kind.to_owned(),
            owner,
            schema,
            fields,
            options,
            read: Erase::erase(read),
            bound: OnceLock::new(),
        }
    }

    pub fn options(&self) -> KindOptions {
        self.options
    }
    pub fn bound(&self) -> Option<&Bound> {
        self.bound.get()
    }
    /// Binding twice keeps the first.
    pub fn bind(&self, bound: Bound) {
        let _ = self.bound.set(bound);
    }
    pub fn has_field(&self, field: &str) -> bool {
        self.fields.iter().any(|f| f == field)
    }

    /// The current state of one entity.
    pub async fn read_state(&self, id: &str) -> Result<Option<State>, BoxError> {
        match self.read_values(&[id.to_owned()]).await?.remove(id) {
            None => Ok(None),
            Some(Value::Object(state)) => Ok(Some(state)),
            Some(_) => Err(format!("the state of {}:{id} is not an object", self.kind).into()),
        }
    }

    /// What a definition must satisfy on its own (`entity §3`).
    pub fn check(&self) -> Result<(), DefineError> {
        let (plugin, kind) = (self.owner.clone(), self.kind.clone());
        if !is_kind(&kind) {
            return Err(DefineError::InvalidKind { plugin, kind });
        }
        let fields = match properties(&self.schema) {
            Ok(fields) => fields,
            Err(got) => return Err(DefineError::StateNotObject { plugin, kind, got }),
        };
        match fields.into_iter().find(|f| f.starts_with("@@")) {
            Some(field) => Err(DefineError::ReservedField {
                plugin,
                kind,
                field,
            }),
            None => Ok(()),
        }
    }
}

#[async_trait::async_trait]
impl ErasedKind for KindCore {
    fn kind(&self) -> &str {
        &self.kind
    }
    fn owner(&self) -> &PluginId {
        &self.owner
    }
    fn schema(&self) -> &Value {
        &self.schema
    }
    fn fields(&self) -> &[String] {
        &self.fields
    }
    async fn read_values(&self, ids: &[String]) -> Result<HashMap<String, Value>, BoxError> {
        let bound = self
            .bound
            .get()
            .ok_or_else(|| format!("entity kind {} cannot be read before `init`", self.kind))?;
        self.read.read(on(&bound.db), ids).await
    }
}

fn is_kind(text: &str) -> bool {
    let b = text.as_bytes();
    matches!(b.first(), Some(b'a'..=b'z'))
        && b.len() <= 64
        && b.iter()
            .all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

/// The named fields at the root of a schema, or what it is instead.
fn properties(schema: &Value) -> Result<Vec<String>, String> {
    let mut root = schema;
    // A transparent wrapper refers to what it wraps.
    if let Some(name) = root.get("$ref").and_then(Value::as_str) {
        let pointer = name.trim_start_matches('#');
        root = schema.pointer(pointer).unwrap_or(root);
    }
    let named = root.get("properties").and_then(Value::as_object);
    match (root.get("type").and_then(Value::as_str), named) {
        (Some("object"), Some(named)) if !named.is_empty() => Ok(named.keys().cloned().collect()),
        (Some("object"), _) => Err("an object without named fields".to_owned()),
        (Some(other), _) => Err(format!("of type {other}")),
        (None, _) if root.get("anyOf").or(root.get("oneOf")).is_some() => {
            Err("one of several shapes".to_owned())
        }
        (None, _) => Err("of no single type".to_owned()),
    }
}
