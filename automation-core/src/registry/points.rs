//! The extension points of the registries, and the registries themselves.

use super::{ActionDef, ArtifactTypeDef, FilterDef, StarterDef, TriggerDef};
use plugin_api::{
    BoxError, PluginId,
    config::ConfigError,
    extension::{Calls, ExtensionPoint, Implements, Point},
};
use std::sync::{Arc, RwLock};

macro_rules! point {
    ($(#[$m:meta])* $point:ident, $konst:ident, $front:ident, $id:literal, $def:ty) => {
        $(#[$m])*
        pub struct $point;
        $(#[$m])*
        pub const $konst: ExtensionPoint<$point> = ExtensionPoint::new();
        impl Point for $point {
            const ID: &'static str = $id;
            type Call = $def;
            type Front<'a> = $front<'a>;
            fn front(calls: Calls<'_, Self>) -> $front<'_> {
                $front(calls)
            }
        }
        $(#[$m])*
        pub struct $front<'a>(Calls<'a, $point>);
        impl $front<'_> {
            /// Registers under the calling plugin; works before and after the engine exists.
            pub fn register(&self, def: $def) -> Result<(), BoxError> {
                self.0.send(def)
            }
        }
        impl Implements<$point> for Arc<Registries> {
            fn apply(&self, caller: &PluginId, def: $def) -> Result<(), BoxError> {
                Registries::add(self, caller, def)
            }
        }
    };
}
point!(/// Triggers: `automation.triggerExtensionPoint`.
    TriggerPoint, TRIGGERS, Triggers, "automation.triggerExtensionPoint", TriggerDef);
point!(/// Actions: `automation.actionExtensionPoint`.
    ActionPoint, ACTIONS, Actions, "automation.actionExtensionPoint", ActionDef);
point!(/// Artifact types: `automation.artifactTypeExtensionPoint`.
    ArtifactTypePoint, ARTIFACT_TYPES, ArtifactTypes, "automation.artifactTypeExtensionPoint", ArtifactTypeDef);
point!(/// Expression filters: `automation.filterExtensionPoint`.
    FilterPoint, FILTERS, FilterPointFront, "automation.filterExtensionPoint", FilterDef);

point!(/// Starter automations: `automation.starterExtensionPoint`.
    StarterPoint, STARTERS, Starters, "automation.starterExtensionPoint", StarterDef);

/// Why a registration was refused; the boot fails and names the plugin.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Not `^[a-z][a-z0-9_-]*$`, or already qualified.
    #[error(
        "{what} id {id:?} of plugin {plugin} must match ^[a-z][a-z0-9_-]*$ and must not repeat the plugin id"
    )]
    BadId {
        /// `trigger`, `action` or `artifact type`.
        what: &'static str,
        /// The plugin.
        plugin: PluginId,
        /// The id.
        id: String,
    },
    /// Registered before.
    #[error("{what} {id} is registered twice (plugin {plugin})")]
    Duplicate {
        /// What.
        what: &'static str,
        /// The plugin.
        plugin: PluginId,
        /// The qualified id.
        id: String,
    },
    /// The config's migration chain is broken, or an annotation of its schema is wrong
    /// (`plugins §8.1.1`).
    #[error("{what} {id}: {source}")]
    Config {
        /// What.
        what: &'static str,
        /// The qualified id.
        id: String,
        /// The cause.
        source: ConfigError,
    },
    /// `produces` or `consumes` names an artifact type nobody registered.
    #[error("action {action} names artifact type {artifact}, which is not registered")]
    UnknownArtifact {
        /// The action.
        action: String,
        /// The artifact type.
        artifact: String,
    },
}

/// A registration with its qualified id and owner.
pub struct Registered<T> {
    /// `<plugin>.<id>`.
    pub id: String,
    /// Who registered it.
    pub owner: PluginId,
    /// The registration.
    pub def: T,
}
impl<T> std::ops::Deref for Registered<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.def
    }
}

struct List<T>(RwLock<Vec<Arc<Registered<T>>>>);
impl<T> Default for List<T> {
    fn default() -> Self {
        Self(RwLock::new(Vec::new()))
    }
}
impl<T> List<T> {
    fn get(&self, id: &str) -> Option<Arc<Registered<T>>> {
        self.0
            .read()
            .expect("registry")
            .iter()
            .find(|r| r.id == id)
            .cloned()
    }
    fn all(&self) -> Vec<Arc<Registered<T>>> {
        self.0.read().expect("registry").clone()
    }
    fn add(
        &self,
        what: &'static str,
        owner: &PluginId,
        local: &str,
        def: T,
    ) -> Result<(), RegistryError> {
        let b = local.as_bytes();
        let valid = matches!(b.first(), Some(b'a'..=b'z'))
            && b.iter()
                .all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
        if !valid {
            return Err(RegistryError::BadId {
                what,
                plugin: owner.clone(),
                id: local.into(),
            });
        }
        let id = owner.qualify(local);
        let mut list = self.0.write().expect("registry");
        if list.iter().any(|r| r.id == id) {
            return Err(RegistryError::Duplicate {
                what,
                plugin: owner.clone(),
                id,
            });
        }
        list.push(Arc::new(Registered {
            id,
            owner: owner.clone(),
            def,
        }));
        Ok(())
    }
}

/// All registrations of the process.
#[derive(Default)]
pub struct Registries {
    triggers: List<TriggerDef>,
    actions: List<ActionDef>,
    artifact_types: List<ArtifactTypeDef>,
    filters: List<FilterDef>,
    starters: List<StarterDef>,
    pub(super) engine_filters: Arc<template_engine::Filters>,
    pub(super) checks: super::derived::Checks,
}

/// A definition that the registries can take.
trait Entry: Sized {
    fn add_to(self, to: &Registries, owner: &PluginId) -> Result<(), BoxError>;
}
impl Entry for TriggerDef {
    fn add_to(self, to: &Registries, owner: &PluginId) -> Result<(), BoxError> {
        check_config("trigger", owner, &self.id, self.config.as_ref())?;
        let id = self.id.clone();
        Ok(to.triggers.add("trigger", owner, &id, self)?)
    }
}
impl Entry for ActionDef {
    fn add_to(self, to: &Registries, owner: &PluginId) -> Result<(), BoxError> {
        check_config("action", owner, &self.id, Some(&self.config))?;
        for local in self.produces.iter().chain(&self.consumes) {
            if local.contains('.') {
                return Err(RegistryError::BadId {
                    what: "artifact type",
                    plugin: owner.clone(),
                    id: local.clone(),
                }
                .into());
            }
        }
        let id = self.id.clone();
        Ok(to.actions.add("action", owner, &id, self)?)
    }
}
impl Entry for ArtifactTypeDef {
    fn add_to(self, to: &Registries, owner: &PluginId) -> Result<(), BoxError> {
        let id = self.id.clone();
        Ok(to.artifact_types.add("artifact type", owner, &id, self)?)
    }
}
impl Entry for FilterDef {
    fn add_to(self, to: &Registries, owner: &PluginId) -> Result<(), BoxError> {
        super::derived::contribute(&to.engine_filters, owner, &self);
        to.filters
            .0
            .write()
            .expect("registry")
            .push(Arc::new(Registered {
                id: self.name.clone(),
                owner: owner.clone(),
                def: self,
            }));
        Ok(())
    }
}
impl Entry for StarterDef {
    /// Whatever is wrong with one is said when all are judged; a boot does not fail because of it
    /// (`definition §12`).
    fn add_to(self, to: &Registries, owner: &PluginId) -> Result<(), BoxError> {
        let mut list = to.starters.0.write().expect("registry");
        list.push(Arc::new(Registered {
            id: owner.qualify(&self.id),
            owner: owner.clone(),
            def: self,
        }));
        Ok(())
    }
}
fn check_config(
    what: &'static str,
    owner: &PluginId,
    id: &str,
    config: Option<&plugin_api::config::ConfigSchema>,
) -> Result<(), RegistryError> {
    match config.map(|c| c.check()) {
        Some(Err(source)) => Err(RegistryError::Config {
            what,
            id: owner.qualify(id),
            source,
        }),
        _ => Ok(()),
    }
}

impl Registries {
    fn add(&self, owner: &PluginId, def: impl Entry) -> Result<(), BoxError> {
        def.add_to(self, owner)
    }
    /// A trigger by qualified id.
    pub fn trigger(&self, id: &str) -> Option<Arc<Registered<TriggerDef>>> {
        self.triggers.get(id)
    }
    /// All triggers in registration order.
    pub fn triggers(&self) -> Vec<Arc<Registered<TriggerDef>>> {
        self.triggers.all()
    }
    /// An action by qualified id.
    pub fn action(&self, id: &str) -> Option<Arc<Registered<ActionDef>>> {
        self.actions.get(id)
    }
    /// All actions in registration order.
    pub fn actions(&self) -> Vec<Arc<Registered<ActionDef>>> {
        self.actions.all()
    }
    /// An artifact type by qualified id.
    pub fn artifact_type(&self, id: &str) -> Option<Arc<Registered<ArtifactTypeDef>>> {
        self.artifact_types.get(id)
    }
    /// All artifact types in registration order.
    pub fn artifact_types(&self) -> Vec<Arc<Registered<ArtifactTypeDef>>> {
        self.artifact_types.all()
    }
    /// Filters contributed by plugins, in registration order.
    pub fn plugin_filters(&self) -> Vec<Arc<Registered<FilterDef>>> {
        self.filters.all()
    }
    /// Starter automations, in registration order.
    pub fn starters(&self) -> Vec<Arc<Registered<StarterDef>>> {
        self.starters.all()
    }
    /// To be called when every plugin is ready: every `produces` and `consumes` names a registered
    /// type (`plugins §15.6`).
    pub fn check_artifact_names(&self) -> Result<(), RegistryError> {
        for a in self.actions() {
            for local in a.produces.iter().chain(&a.consumes) {
                let artifact = a.owner.qualify(local);
                if self.artifact_type(&artifact).is_none() {
                    return Err(RegistryError::UnknownArtifact {
                        action: a.id.clone(),
                        artifact,
                    });
                }
            }
        }
        Ok(())
    }
}
