//! Extension points: one plugin implements, any plugin calls, in any order (`plugins §4`).
//!
//! A call is data, so a call made before the implementation exists is kept and replayed in call
//! order once it does. Authors see a [`Point::Front`] whose generic methods build the call; what
//! crosses to the implementation is object-safe.

use crate::{error::BoxError, plugin::PluginId};
use std::{
    any::Any,
    marker::PhantomData,
    sync::{Arc, Mutex},
};

/// A typed extension point.
pub trait Point: Sized + Send + Sync + 'static {
    /// Its id, such as `automation.entity`.
    const ID: &'static str;
    /// One call as data.
    type Call: Send + 'static;
    /// What callers see; usually a struct around [`Calls`].
    type Front<'a>;
    /// Makes the front for one caller.
    fn front(calls: Calls<'_, Self>) -> Self::Front<'_>;
}

/// The implementing side of a point.
pub trait Implements<P: Point>: Send + Sync + 'static {
    /// Applies one call of a plugin; ownership is stamped from `caller`. An error fails the boot
    /// and names the caller.
    fn apply(&self, caller: &PluginId, call: P::Call) -> Result<(), BoxError>;
}

/// The constant by which plugins name a point: `pub const ENTITY: ExtensionPoint<EntityPoint> = ExtensionPoint::new();`
pub struct ExtensionPoint<P>(PhantomData<fn() -> P>);

impl<P: Point> ExtensionPoint<P> {
    /// The reference to a point.
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}
impl<P: Point> Default for ExtensionPoint<P> {
    fn default() -> Self {
        Self::new()
    }
}

/// What can go wrong with points at boot.
#[derive(Debug, thiserror::Error)]
pub enum ExtensionError {
    /// Two plugins implement one point.
    #[error(
        "extension point {point} already has an implementation; {second} must not register another"
    )]
    SecondImplementation {
        /// The point.
        point: &'static str,
        /// The plugin that came second.
        second: PluginId,
    },
    /// A replayed call failed in the implementation.
    #[error("a call of plugin {caller} to extension point {point} failed: {source}")]
    Replay {
        /// The point.
        point: &'static str,
        /// The plugin that made the call.
        caller: PluginId,
        /// The implementation's error.
        source: BoxError,
    },
    /// Calls are pending although every plugin has registered.
    #[error("extension point {point} has no implementation, but was called by {callers:?}")]
    NoImplementation {
        /// The point.
        point: &'static str,
        /// The calling plugins.
        callers: Vec<PluginId>,
    },
}

struct Slot<P: Point> {
    state: Mutex<SlotState<P>>,
}
struct SlotState<P: Point> {
    implementation: Option<Arc<dyn Implements<P>>>,
    pending: Vec<(PluginId, P::Call, bool)>,
}

trait AnySlot: Any + Send + Sync {
    fn unanswered(&self) -> Vec<PluginId>;
    fn drop_optional(&self) -> usize;
    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}
impl<P: Point> AnySlot for Slot<P> {
    fn unanswered(&self) -> Vec<PluginId> {
        let s = self.state.lock().expect("slot");
        let mut callers: Vec<PluginId> = s
            .pending
            .iter()
            .filter(|c| !c.2)
            .map(|c| c.0.clone())
            .collect();
        callers.dedup();
        callers
    }
    fn drop_optional(&self) -> usize {
        let mut s = self.state.lock().expect("slot");
        let before = s.pending.len();
        s.pending.retain(|c| !c.2);
        before - s.pending.len()
    }
    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// The way from one caller to a point.
pub struct Calls<'a, P: Point> {
    slot: Arc<Slot<P>>,
    caller: &'a PluginId,
    optional: bool,
}

impl<P: Point> Calls<'_, P> {
    /// The calling plugin.
    pub fn caller(&self) -> &PluginId {
        self.caller
    }
    /// Applies the call now, or keeps it until the implementation is registered.
    pub fn send(&self, call: P::Call) -> Result<(), BoxError> {
        let implementation = {
            let mut s = self.slot.state.lock().expect("slot");
            match &s.implementation {
                Some(i) => i.clone(),
                None => {
                    s.pending.push((self.caller.clone(), call, self.optional));
                    return Ok(());
                }
            }
        };
        implementation.apply(self.caller, call)
    }
}

/// All points of one host. Owned by the runtime, used through the phase contexts.
#[derive(Default)]
pub struct Points(Mutex<Vec<(&'static str, Arc<dyn AnySlot>)>>);

impl Points {
    fn slot<P: Point>(&self) -> Arc<Slot<P>> {
        let mut slots = self.0.lock().expect("points");
        let slot = match slots.iter().find(|(id, _)| *id == P::ID) {
            Some((_, s)) => s.clone(),
            None => {
                let s: Arc<dyn AnySlot> = Arc::new(Slot::<P> {
                    state: Mutex::new(SlotState {
                        implementation: None,
                        pending: Vec::new(),
                    }),
                });
                slots.push((P::ID, s.clone()));
                s
            }
        };
        drop(slots);
        slot.as_any()
            .downcast()
            .unwrap_or_else(|_| panic!("extension point id {} is used by two types", P::ID))
    }

    /// The front of a point for one caller. `optional` calls are dropped when nobody implements it.
    pub fn front<'a, P: Point>(&self, caller: &'a PluginId, optional: bool) -> P::Front<'a> {
        P::front(Calls {
            slot: self.slot::<P>(),
            caller,
            optional,
        })
    }

    /// Registers the implementation and replays what was kept.
    pub fn implement<P: Point>(
        &self,
        by: &PluginId,
        implementation: Arc<dyn Implements<P>>,
    ) -> Result<(), ExtensionError> {
        let slot = self.slot::<P>();
        let pending = {
            let mut s = slot.state.lock().expect("slot");
            if s.implementation.is_some() {
                return Err(ExtensionError::SecondImplementation {
                    point: P::ID,
                    second: by.clone(),
                });
            }
            s.implementation = Some(implementation.clone());
            std::mem::take(&mut s.pending)
        };
        for (caller, call, _) in pending {
            implementation
                .apply(&caller, call)
                .map_err(|source| ExtensionError::Replay {
                    point: P::ID,
                    caller: caller.clone(),
                    source,
                })?;
        }
        Ok(())
    }

    /// To be called when every plugin has registered: drops optional calls, and fails for the
    /// first point that was called and has no implementation.
    pub fn finish(&self) -> Result<(), ExtensionError> {
        for (point, slot) in self.0.lock().expect("points").iter() {
            let dropped = slot.drop_optional();
            if dropped > 0 {
                tracing::debug!(
                    point,
                    dropped,
                    "Optional calls to an extension point without implementation were dropped."
                );
            }
            let callers = slot.unanswered();
            if !callers.is_empty() {
                return Err(ExtensionError::NoImplementation { point, callers });
            }
        }
        Ok(())
    }
}
