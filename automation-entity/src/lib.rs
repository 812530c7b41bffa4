//! Reactive entities: how a plugin's own state becomes reactive.
//!
//! A plugin owns its state; this crate stores no copy of it. Every write goes through an
//! [`EntityHandle`], which compares the state before with the state after and records the difference:
//! rows in the transition log, and one [`EntityChanged`] in the outbox. The outbox loop hands changes,
//! in commit order per entity, to the router of the dispatch engine and to subscribers.
//!
//! - Plugins start at [`ENTITY`], the extension point: define kinds, derive trigger events, subscribe.
//! - The engine's plugin owns an [`EntityEngine`] and takes it through `install`, `bind`, `start`.
//! - Expressions see live state through scope enrichment; waits are woken by references found in
//!   their text.
//!
//! What holds always: no committed write is reported as failed because history failed; an equal write
//! leaves nothing; one change has one id in every redelivery; nothing that left the handle of a run's
//! write contains that run's secrets; no read depends on the node that serves it.

mod canonical;
mod change;
mod derive;
mod diff;
mod engine;
mod error;
mod handle;
mod health;
mod intent;
mod intents;
mod kind;
mod options;
mod outbox;
mod point;
mod recording;
pub mod refs;
mod register;
mod retention;
mod scope;
mod settle;
mod sql_store;
mod state;
mod store;
mod subscribe;
mod with_write;
mod write;

pub use canonical::{canonical, field_text, same};
pub use change::{EntityChanged, split_ref};
pub use diff::{Diff, State, diff};
pub(crate) use engine::ENGINE;
pub use engine::{EntityDeps, EntityEngine, EntityOptions};
pub use error::{DefineError, MutateError, ReadError};
pub use handle::EntityHandle;
pub use health::{HEALTH_READER, HealthReader, HealthState};
pub use intent::Intent;
pub use options::{Delivery, KindOptions, MutateOpts, NonReactive, NonReactiveTable, VerifyReads};
pub use outbox::ChangeRouter;
pub use point::{DefineCall, Derive, ENTITY, EntityCall, EntityExtension, EntityPoint, MapPayload};
pub use recording::{FieldTransition, Recording, TOMBSTONE};
pub use retention::prune;
pub use scope::{Ask, Resolved};
pub use settle::{Settled, SettledEntity};
pub use sql_store::{SqlStore, transitions};
pub use state::{EntityRead, EntityState, ErasedKind, Reading, reader};
pub use store::{Newest, Transition, TransitionFilter, TransitionStore};
pub use subscribe::{ChangeHandler, ChangeSubscription};
pub use with_write::{with_entity_remove, with_entity_write};
pub use write::Reseed;

/// The hint topic that wakes the outbox loop.
pub const OUTBOX_HINT: &str = "outbox";

/// Every statement of the crate, for the test that prepares them on both engines (decision 15).
pub fn statements() -> Vec<(&'static str, plugin_api::db::Sql)> {
    [sql_store::ALL, outbox::ALL, retention::ALL].concat()
}
