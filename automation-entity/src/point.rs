//! The extension point `automation.entity` (`entity §11`).
//!
//! Plugins call it in `register` or `init`, before or after the engine has registered: a call is data
//! and is replayed. What it answers – a handle, a subscription – is alive at once and becomes usable
//! when the engine binds it. A refused call fails the boot and names the caller.

use crate::{
    change::EntityChanged,
    handle::EntityHandle,
    kind::KindCore,
    options::{Delivery, KindOptions, NonReactive},
    state::{EntityRead, EntityState},
    subscribe::{ChangeHandler, ChangeSubscription},
};
use plugin_api::{
    BoxError,
    extension::{Calls, ExtensionPoint, Point},
    hook::EventMeta,
    queue::JobError,
};
use serde_json::Value;
use std::{future::Future, sync::Arc};

/// The point's type.
pub struct EntityPoint;

/// `automation.entity`: `env.extension(&ENTITY).define::<Incident>(KindOptions::default(), reader)?`.
pub const ENTITY: ExtensionPoint<EntityPoint> = ExtensionPoint::new();

/// Derives the qualified ids of the trigger events a change means. Pure and synchronous.
pub type Derive = fn(&EntityChanged) -> Vec<&'static str>;

/// Builds `trigger.payload` of one derived event.
pub type MapPayload = Arc<dyn Fn(&EntityChanged, &str) -> Result<Value, BoxError> + Send + Sync>;

/// One call as data.
pub enum EntityCall {
    #[doc(hidden)]
    Define(DefineCall),
    /// A change deriver.
    Deriver {
        /// The kind.
        kind: String,
        /// Tells derivers of one plugin and kind apart.
        name: &'static str,
        /// All it may answer.
        events: &'static [&'static str],
        /// The code.
        derive: Derive,
    },
    /// A payload mapper.
    Mapper {
        /// The kind.
        kind: String,
        /// The code.
        map: MapPayload,
    },
    /// A subscription.
    Subscribe {
        /// The kind.
        kind: String,
        /// Who handles.
        delivery: Delivery,
        /// The code.
        handler: Arc<dyn ChangeHandler>,
        /// The caller's end.
        subscription: ChangeSubscription,
    },
    /// A table that is not reactive.
    NonReactive {
        /// The table.
        table: String,
        /// Why.
        reason: NonReactive,
        /// For people.
        note: String,
    },
}

/// A definition on its way to the engine.
pub struct DefineCall(pub(crate) Arc<KindCore>);

impl Point for EntityPoint {
    const ID: &'static str = "automation.entity";
    type Call = EntityCall;
    type Front<'a> = EntityExtension<'a>;
    fn front(calls: Calls<'_, Self>) -> EntityExtension<'_> {
        EntityExtension(calls)
    }
}

/// What plugins see of the point.
pub struct EntityExtension<'a>(Calls<'a, EntityPoint>);

impl EntityExtension<'_> {
    /// Defines the kind `S::KIND`; `read` is its only way to current state (`entity §3–4`).
    ///
    /// # Errors
    /// [`DefineError`](crate::DefineError), now or, when the engine registers later, as a failed boot.
    pub fn define<S: EntityState>(
        &self,
        options: KindOptions,
        read: impl EntityRead<S>,
    ) -> Result<EntityHandle<S>, BoxError> {
        self.define_as(S::KIND, options, read)
    }

    /// As [`EntityExtension::define`] under a kind that generic code computes.
    ///
    /// # Errors
    /// As there.
    pub fn define_as<S: EntityState>(
        &self,
        kind: &str,
        options: KindOptions,
        read: impl EntityRead<S>,
    ) -> Result<EntityHandle<S>, BoxError> {
        let read: Arc<dyn EntityRead<S>> = Arc::new(read);
        let owner = self.0.caller().clone();
        let core = Arc::new(KindCore::of(kind, owner, options, read.clone()));
        self.0.send(EntityCall::Define(DefineCall(core.clone())))?;
        Ok(EntityHandle::new(core, read))
    }

    /// Registers a deriver: which trigger events, by qualified id, a change of the kind means
    /// (`entity §13`). `events` lists all it may answer; the boot checks that such triggers exist. The
    /// same name twice for one kind runs once; a deriver that panics is skipped.
    ///
    /// # Errors
    /// A blank kind.
    pub fn change_deriver(
        &self,
        kind: &str,
        name: &'static str,
        events: &'static [&'static str],
        derive: Derive,
    ) -> Result<(), BoxError> {
        self.0.send(EntityCall::Deriver {
            kind: kind.to_owned(),
            name,
            events,
            derive,
        })
    }

    /// Registers the kind's payload mapper: `trigger.payload` of a derived event. Without one it is
    /// the generic shape of `entity §13.5`.
    ///
    /// # Errors
    /// A blank kind, or another mapper of the same kind.
    pub fn payload_mapper(&self, kind: &str, map: MapPayload) -> Result<(), BoxError> {
        self.0.send(EntityCall::Mapper {
            kind: kind.to_owned(),
            map,
        })
    }

    /// Subscribes to the changes of a kind of any plugin, each at least once, handed over in commit
    /// order per entity (`entity §12`). A malformed payload is dropped with a warning. Dropping the answer
    /// changes nothing; it ends by [`ChangeSubscription::unsubscribe`] or at shutdown.
    ///
    /// # Errors
    /// A blank kind or worker group, or a group the plugin uses already.
    pub fn on_entity_changed<F, Fut>(
        &self,
        kind: &str,
        delivery: Delivery,
        handler: F,
    ) -> Result<ChangeSubscription, BoxError>
    where
        F: Fn(EntityChanged, EventMeta) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), JobError>> + Send + 'static,
    {
        let subscription = ChangeSubscription::default();
        self.0.send(EntityCall::Subscribe {
            kind: kind.to_owned(),
            delivery,
            handler: Arc::new(handler),
            subscription: subscription.clone(),
        })?;
        Ok(subscription)
    }

    /// Declares that a table's content is not reactive, and why; for the lint and the documentation.
    ///
    /// # Errors
    /// A blank table.
    pub fn declare_non_reactive_state(
        &self,
        table: &str,
        reason: NonReactive,
        note: &str,
    ) -> Result<(), BoxError> {
        self.0.send(EntityCall::NonReactive {
            table: table.to_owned(),
            reason,
            note: note.to_owned(),
        })
    }
}
