//! The engine's side: what plugins have registered, and its life from `register` to shutdown.

use crate::{
    OUTBOX_HINT,
    change::EntityChanged,
    derive,
    kind::{Bound, KindCore, Shared},
    options::{NonReactiveTable, VerifyReads},
    outbox::{ChangeRouter, Outbox},
    point::ENTITY,
    register::Registered,
    retention,
    sql_store::SqlStore,
    state::ErasedKind,
    store::TransitionStore,
    with_write,
    write::{Reseed, recover},
};
use automation_core::{
    builtin::{STATE_EVENT, state_payload},
    registry::Registries,
};
use plugin_api::{
    BoxError, Clock, Db, InitCtx, PluginId, RegisterEnv, Services, Ts, db::Engine,
    extension::ExtensionError, hints::Hints, hook::HookBus, masking::RunSecretRegistry,
    phases::BootEvent, queue::QueueManager, status::StatusBoard,
};
use serde_json::Value;
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, OnceLock, RwLock},
};

/// The plugin id of the engine; it owns the internal hooks.
pub(crate) const ENGINE: PluginId = PluginId::new("automation");

/// Connections for the locks of writes that commit on their own.
const LOCK_CONNECTIONS: u32 = 8;

/// Settings of the entity layer.
#[derive(Clone, Copy, Debug)]
pub struct EntityOptions {
    /// Compare a read with every write (development, tests).
    pub verify_reads: VerifyReads,
    /// How long transitions are kept; at least 8 (`entity §8.7`).
    pub retention_days: u32,
}

impl Default for EntityOptions {
    fn default() -> Self {
        Self {
            verify_reads: VerifyReads::Off,
            retention_days: 90,
        }
    }
}

/// What the engine needs of its host from `init` on.
pub struct EntityDeps {
    /// The framework's handle.
    pub db: Db,
    /// The handle of a plugin, on which its kinds are read and written.
    pub database_of: Arc<dyn Fn(&PluginId) -> Db + Send + Sync>,
    /// The one clock.
    pub clock: Arc<dyn Clock>,
    /// Hints.
    pub hints: Arc<dyn Hints>,
    /// The hook bus, for subscribers.
    pub hooks: Arc<dyn HookBus>,
    /// Queues, for the daily pruning.
    pub queues: Arc<dyn QueueManager>,
    /// Services, for the optional health reader.
    pub services: Services,
    /// Where loops report.
    pub status: StatusBoard,
    /// Mask sets of runs.
    pub secrets: Arc<RunSecretRegistry>,
    /// Where history goes; [`SqlStore`] outside tests.
    pub store: Arc<dyn TransitionStore>,
}

impl EntityDeps {
    /// Everything from the context of the engine's `init`.
    pub fn of(ctx: &InitCtx) -> Self {
        let db = ctx.framework_database();
        Self {
            database_of: ctx.databases(),
            clock: ctx.clock(),
            hints: ctx.hints(),
            hooks: ctx.hooks().bus().clone(),
            queues: ctx.queues(),
            services: ctx.services(),
            status: ctx.status(),
            secrets: ctx.run_secrets(),
            store: Arc::new(SqlStore::new(db.clone())),
            db,
        }
    }
}

/// What there is from `init` on.
pub(crate) struct Running {
    pub deps: EntityDeps,
    shared: Arc<Shared>,
}

/// The engine behind [`ENTITY`]: registrations, routing of changes, recovery, scope.
pub struct EntityEngine {
    pub(crate) options: EntityOptions,
    pub(crate) registries: Arc<Registries>,
    pub(crate) registered: RwLock<Registered>,
    pub(crate) running: OnceLock<Running>,
    outbox: OnceLock<Outbox>,
    unknown_events: Mutex<HashSet<&'static str>>,
}

impl EntityEngine {
    /// An engine that checks derived events against the trigger registry.
    pub fn new(options: EntityOptions, registries: Arc<Registries>) -> Arc<Self> {
        Arc::new(Self {
            options,
            registries,
            registered: RwLock::default(),
            running: OnceLock::new(),
            outbox: OnceLock::new(),
            unknown_events: Mutex::default(),
        })
    }

    /// In the engine's `register`: implements the point, and closes definitions once every `init` is
    /// done.
    ///
    /// # Errors
    /// When another plugin implements the point, or a replayed call is refused.
    pub fn install(self: &Arc<Self>, env: &mut RegisterEnv<'_>) -> Result<(), ExtensionError> {
        let engine = self.clone();
        env.observe_boot(move |event| {
            if matches!(event, BootEvent::AccessRulesRegistered { .. }) {
                engine.close_definitions();
            }
            Ok(())
        });
        env.implement(&ENTITY, self.clone())
    }

    /// In the engine's `init`, which must come before that of every plugin with entities: from here
    /// on handles work. Changes are kept in the outbox until [`EntityEngine::start`].
    pub fn bind(&self, deps: EntityDeps) {
        let clustered = deps.db.engine() == Engine::Postgres;
        let shared = Arc::new(Shared {
            store: deps.store.clone(),
            clock: deps.clock.clone(),
            hints: deps.hints.clone(),
            secrets: deps.secrets.clone(),
            locks: Arc::default(),
            lock_db: clustered.then(|| deps.db.separate(LOCK_CONNECTIONS)),
            deferred: Default::default(),
            recordings: deps.status.register("automation.entity-recording"),
            recovery: Default::default(),
            verify: self.options.verify_reads,
        });
        // Under the lock that `apply` takes, so that no kind slips through between the two.
        let registered = self.registered.write().expect("registrations");
        let running = self.running.get_or_init(|| Running { deps, shared });
        for kind in &registered.kinds {
            running.bind(kind);
        }
        with_write::engine_is_here();
    }

    /// No kind can be defined from here on (`entity §11.4`).
    pub fn close_definitions(&self) {
        self.registered.write().expect("registrations").closed = true;
    }

    /// Lets recovery capture a run's secrets before it records what that run did.
    pub fn reseed_with(&self, reseed: Arc<dyn Reseed>) {
        if let Some(running) = self.running.get() {
            let _ = running.shared.recovery.reseed.set(reseed);
        }
    }

    /// Last of all, behind the boot barrier: wires the subscribers, settles what a crash left, then
    /// starts to publish. Everything changed since `init`, or left by an earlier process, is in the
    /// outbox and comes first, in order (`entity §10.4–5`).
    ///
    /// # Errors
    /// When a subscription is refused, or before [`EntityEngine::bind`].
    pub async fn start(self: &Arc<Self>, router: Arc<dyn ChangeRouter>) -> Result<(), BoxError> {
        let running = self.running.get().ok_or("the entity engine is not bound")?;
        let pending = {
            let mut registered = self.registered.write().expect("registrations");
            registered.closed = true;
            registered.wired = true;
            std::mem::take(&mut registered.pending)
        };
        for subscription in pending {
            subscription.wire(&*running.deps.hooks).await?;
        }
        self.check_names();
        retention::schedule(self, &running.deps).await?;
        let outbox = Outbox::start(self.clone(), &running.deps, router);
        let _ = self.outbox.set(outbox);
        Ok(())
    }

    /// Stops publishing; what is left stays in the outbox.
    pub async fn stop(&self) {
        if let Some(outbox) = self.outbox.get() {
            outbox.stop().await;
        }
    }

    /// For the sweeper: looks at outbox and intents now.
    pub fn wake(&self) {
        if let Some(running) = self.running.get() {
            running.deps.hints.notify(OUTBOX_HINT);
            running.shared.recovery.wake();
        }
    }

    /// Settles the intents stored before an instant; answers how many changes were recorded and how
    /// many intents could not be settled now.
    ///
    /// # Errors
    /// When the intents cannot be read.
    pub async fn recover(&self, before: Ts) -> Result<(u64, u64), BoxError> {
        let running = self.running.get().ok_or("the entity engine is not bound")?;
        let pass = recover(&running.shared, |kind| self.core(kind), before).await?;
        Ok((pass.recorded, pass.left))
    }

    /// All kinds in registration order.
    pub fn kinds(&self) -> Vec<Arc<dyn ErasedKind>> {
        let registered = self.registered.read().expect("registrations");
        let kinds = registered.kinds.iter().cloned();
        kinds.map(|k| k as Arc<dyn ErasedKind>).collect()
    }

    /// A kind by name.
    pub fn kind(&self, name: &str) -> Option<Arc<dyn ErasedKind>> {
        self.core(name).map(|k| k as Arc<dyn ErasedKind>)
    }

    fn core(&self, name: &str) -> Option<Arc<KindCore>> {
        let registered = self.registered.read().expect("registrations");
        registered.kinds.iter().find(|k| k.kind() == name).cloned()
    }

    /// Tables declared not reactive, in order.
    pub fn non_reactive(&self) -> Vec<NonReactiveTable> {
        let registered = self.registered.read().expect("registrations");
        registered.non_reactive.clone()
    }

    /// The qualified trigger events a change means, in order (`entity §13.2`). An id no registered
    /// trigger has is reported once.
    pub fn derive(&self, change: &EntityChanged) -> Vec<String> {
        let events = {
            let registered = self.registered.read().expect("registrations");
            derive::derive(&registered.derivers, change)
        };
        for event in &events {
            if self.registries.trigger(event).is_none()
                && self.unknown_events.lock().expect("events").insert(event)
            {
                tracing::warn!(kind = %change.kind, event, "A change deriver answers an event that no registered trigger has.");
            }
        }
        events.into_iter().map(str::to_owned).collect()
    }

    /// Every trigger event that a change of the kind can mean, in registration order.
    pub fn trigger_events(&self, kind: &str) -> Vec<&'static str> {
        let registered = self.registered.read().expect("registrations");
        let derivers = registered.derivers.iter().filter(|d| d.kind == kind);
        let mut events = Vec::new();
        for event in derivers.flat_map(|d| d.events) {
            if !events.contains(event) {
                events.push(*event);
            }
        }
        events
    }

    /// `trigger.payload` of a derived event, or of `automation.state`, which no deriver answers.
    ///
    /// # Errors
    /// When the kind's mapper fails; the job must then fail without retry (`entity §13.6`).
    pub fn payload(&self, change: &EntityChanged, event: &str) -> Result<Value, BoxError> {
        if event == STATE_EVENT {
            let (prev, next) = (change.prev.as_ref(), change.next.as_ref());
            let fields = &change.changed_fields;
            return Ok(state_payload(&change.kind, &change.id, prev, next, fields));
        }
        let mapper = {
            let registered = self.registered.read().expect("registrations");
            registered.mappers.get(&change.kind).cloned()
        };
        derive::payload(mapper.as_ref(), change, event)
    }

    /// True when a plugin of this process subscribes to changes of the kind. Nodes of a cluster run
    /// the same plugins, so this tells for all of them.
    pub(crate) fn has_subscribers(&self, kind: &str) -> bool {
        let registered = self.registered.read().expect("registrations");
        registered.subscribed.contains(kind)
    }

    pub(crate) fn shared(&self) -> Option<&Arc<Shared>> {
        self.running.get().map(|r| &r.shared)
    }

    pub(crate) fn services(&self) -> Option<&Services> {
        self.running.get().map(|r| &r.deps.services)
    }
}

impl Running {
    pub fn bind(&self, kind: &KindCore) {
        kind.bind(Bound {
            db: (self.deps.database_of)(kind.owner()),
            shared: self.shared.clone(),
        });
    }
}
