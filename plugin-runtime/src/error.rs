//! Why a boot failed. Every error says which plugin and which phase (`plugins §3.3`).

use migrations::MigrateError;
use plugin_api::{BoxError, PluginId, extension::ExtensionError};

/// Why a boot failed; nothing stays started.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The id has another form than `^[a-z][a-z0-9-]{0,63}$`, or is reserved.
    #[error(
        "plugin id `{plugin}` is not allowed: it must be a lower-case letter followed by at most 63 lower-case letters, digits or `-`, and not `core`"
    )]
    MalformedId {
        /// The id.
        plugin: PluginId,
    },
    /// Two plugins have one id.
    #[error("two plugins have the id `{plugin}`")]
    DuplicateId {
        /// The id.
        plugin: PluginId,
    },
    /// A plugin's `register` failed.
    #[error("plugin {plugin} failed in register: {source}")]
    Register {
        /// The plugin.
        plugin: PluginId,
        /// Its error.
        source: BoxError,
    },
    /// An extension point was called and nobody implements it.
    #[error("after register: {0}")]
    Extension(#[from] ExtensionError),
    /// Plugins wait for each other.
    #[error("plugins depend on each other in a circle: {}", circle(.plugins))]
    Cycle {
        /// The members, each needing a service of the next.
        plugins: Vec<PluginId>,
    },
    /// The framework's own start failed: its migrations, its clock, its key.
    #[error("{what}: {source}")]
    Framework {
        /// What was being done.
        what: &'static str,
        /// The cause.
        source: BoxError,
    },
    /// A plugin's migrations failed.
    #[error("plugin {plugin} failed in its migrations: {source}")]
    Migrate {
        /// The plugin.
        plugin: PluginId,
        /// The cause; names number and file.
        source: MigrateError,
    },
    /// A plugin's `init` failed.
    #[error("plugin {plugin} failed in init: {source}")]
    Init {
        /// The plugin.
        plugin: PluginId,
        /// Its error.
        source: BoxError,
    },
    /// Declared in `register`, not provided by the end of `init`.
    #[error("plugin {plugin} declared service {service} but did not provide it by the end of init")]
    NotProvided {
        /// The plugin.
        plugin: PluginId,
        /// The service.
        service: &'static str,
    },
    /// An observer of `core.plugin.initialized` failed.
    #[error(
        "plugin {observer} failed in its observer of core.plugin.initialized for plugin {plugin}: {source}"
    )]
    Observer {
        /// The plugin that had been initialised.
        plugin: PluginId,
        /// Whose observer.
        observer: PluginId,
        /// Its error.
        source: BoxError,
    },
    /// A plugin's `after_plugins_ready` failed.
    #[error("plugin {plugin} failed in after_plugins_ready: {source}")]
    Ready {
        /// The plugin.
        plugin: PluginId,
        /// Its error.
        source: BoxError,
    },
    /// What a plugin left for the end of the boot failed.
    #[error("plugin {plugin} failed in on_started: {source}")]
    Started {
        /// The plugin.
        plugin: PluginId,
        /// Its error.
        source: BoxError,
    },
}

fn circle(plugins: &[PluginId]) -> String {
    let mut names: Vec<&str> = plugins.iter().map(PluginId::as_str).collect();
    names.extend(plugins.first().map(PluginId::as_str));
    names.join(" → ")
}

impl BootError {
    /// The phase that failed.
    pub fn phase(&self) -> &'static str {
        match self {
            Self::MalformedId { .. } | Self::DuplicateId { .. } => "metadata",
            Self::Register { .. } | Self::Extension(_) | Self::Cycle { .. } => "register",
            Self::Framework { .. } => "framework",
            Self::Migrate { .. } => "migrations",
            Self::Init { .. } | Self::NotProvided { .. } | Self::Observer { .. } => "init",
            Self::Ready { .. } => "after_plugins_ready",
            Self::Started { .. } => "on_started",
        }
    }

    /// The plugin that failed; none when it was the framework or several plugins together.
    pub fn plugin(&self) -> Option<&PluginId> {
        match self {
            Self::MalformedId { plugin }
            | Self::DuplicateId { plugin }
            | Self::Register { plugin, .. }
            | Self::Migrate { plugin, .. }
            | Self::Init { plugin, .. }
            | Self::NotProvided { plugin, .. }
            | Self::Observer {
                observer: plugin, ..
            }
            | Self::Ready { plugin, .. }
            | Self::Started { plugin, .. } => Some(plugin),
            Self::Extension(_) | Self::Cycle { .. } | Self::Framework { .. } => None,
        }
    }
}
