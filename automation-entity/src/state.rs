//! What a plugin says of one kind of entity: the shape of its state and how to read it.
//!
//! The plugin owns the state (`entity §2`): nothing here stores a copy of it. [`EntityRead`] is the
//! only way to current state, so it must answer from shared durable storage, never from memory.

use plugin_api::{BoxError, Conn, db::Db};
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{
    collections::{HashMap, HashSet},
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
};

/// The reactive part of an entity: a struct with named fields. Keep it small: what an automation may
/// read. Instants serialise as UTC ISO texts with milliseconds.
pub trait EntityState:
    Serialize + DeserializeOwned + JsonSchema + Clone + Send + Sync + 'static
{
    /// The globally unique kind, `^[a-z][a-z0-9_-]{0,63}$`.
    const KIND: &'static str;
    /// What the types cannot say. A state it refuses is neither recorded nor emitted.
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

/// Reads current state from shared durable storage (`entity §4`).
///
/// Inside `mutate_in` it is called with the transaction, so that `prev` is exact; elsewhere with the
/// owner's database handle. Called with 1 to 500 different ids; unknown ids are left out of the answer.
#[async_trait::async_trait]
pub trait EntityRead<S>: Send + Sync + 'static {
    /// The states of the entities that exist.
    async fn read(&self, at: Conn<'_>, ids: &[String]) -> Result<HashMap<String, S>, BoxError>;
}

/// The future of a reader written as a closure.
pub type Reading<'a, S> =
    Pin<Box<dyn Future<Output = Result<HashMap<String, S>, BoxError>> + Send + 'a>>;

/// Closures are readers; see [`reader`].
#[async_trait::async_trait]
impl<S, F> EntityRead<S> for F
where
    S: EntityState,
    F: for<'a> Fn(Conn<'a>, Vec<String>) -> Reading<'a, S> + Send + Sync + 'static,
{
    async fn read(&self, at: Conn<'_>, ids: &[String]) -> Result<HashMap<String, S>, BoxError> {
        self(at, ids.to_vec()).await
    }
}

/// Lets a closure be a reader: `reader(|at, ids| Box::pin(async move { … }))`. Does nothing; its
/// signature tells the compiler that the closure takes a place of any lifetime.
pub fn reader<S, F>(f: F) -> F
where
    S: EntityState,
    F: for<'a> Fn(Conn<'a>, Vec<String>) -> Reading<'a, S> + Send + Sync + 'static,
{
    f
}

/// Most ids of one read.
const READ_LIMIT: usize = 500;

/// Reads any number of ids in any order and number; answers only what was asked for (`entity §4.3`).
pub(crate) async fn read_many<S: Send + 'static>(
    read: &dyn EntityRead<S>,
    mut at: Conn<'_>,
    ids: &[String],
) -> Result<HashMap<String, S>, BoxError> {
    let mut seen = HashSet::with_capacity(ids.len());
    let ids: Vec<String> = ids.iter().filter(|id| seen.insert(*id)).cloned().collect();
    let mut found = HashMap::with_capacity(ids.len());
    for chunk in ids.chunks(READ_LIMIT) {
        let states = read.read(at.reborrow(), chunk).await?;
        found.extend(states.into_iter().filter(|(id, _)| seen.contains(id)));
    }
    Ok(found)
}

/// A reader with the type of its state forgotten.
#[async_trait::async_trait]
pub(crate) trait ErasedRead: Send + Sync {
    async fn read(&self, at: Conn<'_>, ids: &[String]) -> Result<HashMap<String, Value>, BoxError>;
}

pub(crate) struct Erase<S>(Arc<dyn EntityRead<S>>, PhantomData<fn() -> S>);

impl<S: EntityState> Erase<S> {
    pub(crate) fn erase(read: Arc<dyn EntityRead<S>>) -> Arc<dyn ErasedRead> {
        Arc::new(Self(read, PhantomData))
    }
}

#[async_trait::async_trait]
impl<S: EntityState> ErasedRead for Erase<S> {
    async fn read(&self, at: Conn<'_>, ids: &[String]) -> Result<HashMap<String, Value>, BoxError> {
        let states = read_many(&*self.0, at, ids).await?;
        states
            .into_iter()
            .map(|(id, state)| Ok((id, serde_json::to_value(state)?)))
            .collect()
    }
}

/// A kind as the engine and the API see it.
#[async_trait::async_trait]
pub trait ErasedKind: Send + Sync {
    /// The kind.
    fn kind(&self) -> &str;
    /// The plugin that defined it.
    fn owner(&self) -> &plugin_api::PluginId;
    /// JSON Schema of the state.
    fn schema(&self) -> &Value;
    /// Names of the state's fields, in the schema's order.
    fn fields(&self) -> &[String];
    /// Current states of the entities that exist, unmasked. Errors with the reader's own error, or
    /// before the kind is bound (`init`).
    async fn read_values(&self, ids: &[String]) -> Result<HashMap<String, Value>, BoxError>;
}

/// Where a kind's state is read when no transaction is at hand.
pub(crate) fn on(db: &Db) -> Conn<'_> {
    Conn::Db(db)
}
