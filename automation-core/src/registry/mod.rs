//! The four registries (`plugins §15`): triggers, actions, artifact types, expression filters; and
//! beside them starter automations, which are made of what is registered.
//!
//! Plugins fill them through extension points; the engine implements the points with [`Registries`]
//! and everybody reads them through one shared, plain-code view. Registrations give local ids, the
//! registry prefixes the caller's plugin id.

mod action;
mod artifact;
mod derived;
mod filter;
mod points;
mod starter;
mod trigger;

pub use action::{
    Action, ActionCx, ActionDef, ActionResult, ActionScope, Cancel, ErasedAction, LogLevel, RunLog,
};
pub use artifact::ArtifactTypeDef;
pub use filter::FilterDef;
pub use points::{
    ACTIONS, ARTIFACT_TYPES, ActionPoint, Actions, ArtifactTypePoint, ArtifactTypes, FILTERS,
    FilterPoint, FilterPointFront, Registered, Registries, RegistryError, STARTERS, StarterPoint,
    Starters, TRIGGERS, TriggerPoint, Triggers,
};
pub use starter::StarterDef;
pub use trigger::{
    CheckConfig, ConfigGate, ConfigIssue, ContextKeyFn, EvaluateConfig, Fire, Hold, HoldAnswer,
    HoldAsk, Teardown, TriggerDef, TriggerIdentity, TriggerSetup, TriggerSource,
};

use plugin_api::ServiceRef;

/// The read view of the registries, published by the engine (`plugins §5.4`).
pub const REGISTRIES: ServiceRef<Registries> = ServiceRef::new("automation.registries");
