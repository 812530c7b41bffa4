//! The boot (`plugins §2–3`): all plugins through all phases, or an error naming plugin and phase.
//!
//! ```text
//!  register (host order) ─▶ order by dependencies ─▶ each: migrations, init, observers
//!     ─▶ access rules announced ─▶ each: after_plugins_ready ─▶ hook barrier opens
//!     ─▶ on_started callbacks ─▶ ready
//! ```

use crate::{
    BootError, Builder, ConfigKey, Runtime,
    builder::Parts,
    clock_sync,
    config::claim,
    host::{Host, guarded, guarded_async},
    order,
    runtime::Booted,
};
use migrations::{Migrator, Owner};
use plugin_api::{
    BootEvent, InitCtx, Kernel, Plugin, PluginId, ReadyCtx, RegisterEnv, Registered, db::Engine,
    phases::BootObserver, status::NodeStatus,
};
use std::{collections::HashSet, sync::Arc};

pub(crate) async fn boot(builder: Builder) -> Result<Runtime, BootError> {
    let (mut parts, plugins) = builder.assemble()?;
    let key = parts.config_key.take();
    let mut runtime = Runtime::new(parts);
    match phases(&mut runtime, plugins, key).await {
        Ok(()) => {
            describe(&runtime);
            runtime.host.readiness.ready();
            tracing::info!(
                plugins = runtime.plugins.len(),
                node = runtime.host.node_id,
                "The boot is complete."
            );
            Ok(runtime)
        }
        Err(error) => {
            tracing::error!(phase = error.phase(), %error, "The boot failed.");
            runtime
                .take_down(plugin_api::core::ShutdownReason::Error)
                .await;
            Err(error)
        }
    }
}

async fn phases(
    runtime: &mut Runtime,
    plugins: Vec<Box<dyn Plugin>>,
    key: Option<ConfigKey>,
) -> Result<(), BootError> {
    let host = runtime.host.clone();
    let registered = register(&host, plugins)?;
    let registered = sort(&host, registered)?;
    let migrator = Migrator::new(host.db.clone(), host.clock.clone());
    migrator
        .run(&Owner::framework())
        .await
        .map_err(|e| BootError::Framework {
            what: "the framework's migrations",
            source: Box::new(e),
        })?;
    sync_clock(runtime).await?;
    if let Some(key) = key {
        let claimed = claim::claim(&host.db, &*host.clock, &key).await;
        claimed.map_err(|e| BootError::Framework {
            what: "the key of secret config fields",
            source: e.into(),
        })?;
    }
    for plugin in registered {
        migrate(&host, &migrator, &plugin.id).await?;
        // From here on it must be cleaned up, even if `init` fails half-way.
        runtime.plugins.push(plugin);
        let Booted { id, plugin } = runtime.plugins.last().expect("just pushed");
        init(&host, id, &**plugin).await?;
    }
    if host.clustered {
        let watch = crate::schema::watch(host.me.clone());
        runtime.tasks.push(plugin_api::spawn(watch));
    }
    announce_access_rules(&host, &runtime.plugins);
    for Booted { id, plugin } in &runtime.plugins {
        let ctx = ReadyCtx::new(host.clone(), id.clone());
        guarded_async(plugin.after_plugins_ready(&ctx))
            .await
            .map_err(|source| BootError::Ready {
                plugin: id.clone(),
                source,
            })?;
    }
    runtime
        .bus
        .open_barrier()
        .await
        .map_err(|e| BootError::Framework {
            what: "opening the hook barrier",
            source: Box::new(e),
        })?;
    start(&host).await
}

fn describe(runtime: &Runtime) {
    let host = &runtime.host;
    host.status.describe(NodeStatus {
        node_id: host.node_id.clone(),
        storage: match host.db.engine() {
            Engine::Sqlite => "sqlite",
            Engine::Postgres => "postgres",
        },
        clustered: host.clustered,
        started_at: host.clock.now(),
        plugins: runtime.plugins.iter().map(|p| p.id.to_string()).collect(),
    });
}

fn register(host: &Arc<Host>, plugins: Vec<Box<dyn Plugin>>) -> Result<Vec<Booted>, BootError> {
    let mut seen = HashSet::new();
    for plugin in &plugins {
        let plugin = plugin.metadata().id;
        if !plugin.is_valid() {
            return Err(BootError::MalformedId { plugin });
        }
        // Two ids that differ only in `-` and `_` would share a schema, but `_` is not allowed.
        if !seen.insert(plugin.clone()) {
            return Err(BootError::DuplicateId { plugin });
        }
    }
    let kernel: Arc<dyn Kernel> = host.clone();
    let mut registered = Vec::with_capacity(plugins.len());
    for plugin in plugins {
        let id = plugin.metadata().id;
        let mut env = RegisterEnv::new(&kernel, id.clone());
        let plugin =
            guarded(|| plugin.register(&mut env)).map_err(|source| BootError::Register {
                plugin: id.clone(),
                source,
            })?;
        registered.push(Booted { id, plugin });
    }
    host.points.finish()?;
    Ok(registered)
}

/// Providers before consumers.
fn sort(host: &Host, registered: Vec<Booted>) -> Result<Vec<Booted>, BootError> {
    let ids: Vec<&PluginId> = registered.iter().map(|p| &p.id).collect();
    let needs: Vec<Vec<usize>> = ids
        .iter()
        .map(|id| {
            let providers = host.services.providers_for(id).into_iter();
            providers
                .filter_map(|p| ids.iter().position(|i| **i == p))
                .collect()
        })
        .collect();
    let order = order::order(&needs).map_err(|cycle| BootError::Cycle {
        plugins: cycle.into_iter().map(|i| ids[i].clone()).collect(),
    })?;
    let mut slots: Vec<_> = registered.into_iter().map(Some).collect();
    Ok(order
        .into_iter()
        .map(|i| slots[i].take().expect("an order names each once"))
        .collect())
}

/// Measures the clock before anything is written by it, and keeps measuring.
async fn sync_clock(runtime: &mut Runtime) -> Result<(), BootError> {
    let Some(clock) = runtime.db_clock.clone() else {
        return Ok(());
    };
    clock.measure().await.map_err(|e| BootError::Framework {
        what: "reading the database's clock",
        source: Box::new(e),
    })?;
    let time = runtime.host.clock.clone();
    runtime.tasks.push(plugin_api::spawn(async move {
        loop {
            time.sleep(clock_sync::IDLE).await;
            if let Err(error) = clock.measure().await {
                tracing::warn!(%error, "The database's clock could not be read.");
            }
        }
    }));
    Ok(())
}

async fn migrate(host: &Host, migrator: &Migrator, id: &PluginId) -> Result<(), BootError> {
    let list = {
        let declared = host.declared();
        declared.migrations.get(id).copied()
    };
    let Some(list) = list else {
        return Ok(());
    };
    migrator
        .run(&Owner::plugin(id, list))
        .await
        .map(drop)
        .map_err(|source| BootError::Migrate {
            plugin: id.clone(),
            source,
        })
}

async fn init(host: &Arc<Host>, id: &PluginId, plugin: &dyn Registered) -> Result<(), BootError> {
    let ctx = InitCtx::new(host.clone(), id.clone());
    guarded_async(plugin.init(&ctx))
        .await
        .map_err(|source| BootError::Init {
            plugin: id.clone(),
            source,
        })?;
    if let Some(service) = host.services.missing(id).first() {
        return Err(BootError::NotProvided {
            plugin: id.clone(),
            service,
        });
    }
    let event = BootEvent::PluginInitialized { plugin: id.clone() };
    for (by, observer) in observers(host) {
        // Half-wired state must not run: the first failure halts the boot.
        guarded(|| observer(&event)).map_err(|source| BootError::Observer {
            plugin: id.clone(),
            observer: by,
            source,
        })?;
    }
    Ok(())
}

fn observers(host: &Host) -> Vec<(PluginId, BootObserver)> {
    host.declared().observers.clone()
}

/// Failing observers cost only themselves: consumers can ask for all rules later.
fn announce_access_rules(host: &Host, plugins: &[Booted]) {
    let all = host.rules.all();
    let mut failed = 0;
    for Booted { id, .. } in plugins {
        let rules: Vec<_> = all
            .iter()
            .filter(|(by, _)| by == id)
            .map(|(_, r)| *r)
            .collect();
        if rules.is_empty() {
            continue;
        }
        let event = BootEvent::AccessRulesRegistered {
            plugin: id.clone(),
            rules,
        };
        for (by, observer) in observers(host) {
            if let Err(error) = guarded(|| observer(&event)) {
                failed += 1;
                tracing::error!(observer = %by, plugin = %id, %error, "An observer of core.accessRules.registered failed.");
            }
        }
    }
    if failed > 0 {
        tracing::error!(
            failed,
            "Observers of core.accessRules.registered failed; the boot goes on."
        );
    }
}

async fn start(host: &Host) -> Result<(), BootError> {
    loop {
        // One at a time: a callback may register another.
        let next = {
            let mut declared = host.declared();
            if declared.started.is_empty() {
                return Ok(());
            }
            declared.started.remove(0)
        };
        let (plugin, start) = next;
        guarded_async(async { start().await })
            .await
            .map_err(|source| BootError::Started { plugin, source })?;
    }
}

impl Runtime {
    fn new(parts: Parts) -> Self {
        parts.bus.wake_through(parts.host.hints.clone());
        Self {
            host: parts.host,
            bus: parts.bus,
            db_clock: parts.db_clock,
            #[cfg(feature = "postgres")]
            wire: parts.wire,
            plugins: Vec::new(),
            tasks: Vec::new(),
        }
    }
}
