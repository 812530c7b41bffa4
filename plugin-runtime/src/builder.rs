//! Putting a runtime together: which database, which clock, which plugins.

use crate::{
    BootError, Readiness, Runtime, boot,
    clock_sync::DbClock,
    config::{ConfigKey, SqlConfigStore},
    hints::NodeHints,
    hook::SqlHookBus,
    host::{Declared, Host, LockService},
    locks::MemoryLocks,
    queue::{MemoryQueues, SqlQueues},
    rules::AccessRules,
    schema::SchemaProbe,
    services::ServiceRegistry,
    signals::{SignalBus, SignalTransport},
};
use plugin_api::{
    BoxError, Clock, Db, Kernel, Plugin, StatusBoard, SystemClock,
    config::Configs,
    core::{self, CORE},
    db::{Engine, Sql},
    extension::Points,
    hints::Hints,
    hook::{HookBus, Hooks},
    masking::RunSecretRegistry,
    queue::QueueManager,
    readiness::{Probe, ProbeDef, ProbeResult},
    service::AnyService,
    signal::Signals,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

/// What a runtime is made of. [`Builder::boot`] starts it.
pub struct Builder {
    db: Db,
    clock: Arc<dyn Clock>,
    system_clock: Option<Arc<SystemClock>>,
    readiness: Arc<Readiness>,
    pub(crate) plugins: Vec<Box<dyn Plugin>>,
    config_key: Option<ConfigKey>,
    clustered: bool,
    node_id: Option<String>,
    memory_queues: bool,
    dead_letter_days: Option<u32>,
    transport: Option<Box<dyn SignalTransport>>,
}

/// The runtime's parts that run beside the plugins and end with it.
pub(crate) struct Parts {
    pub host: Arc<Host>,
    pub bus: Arc<SqlHookBus>,
    pub config_key: Option<ConfigKey>,
    pub db_clock: Option<Arc<DbClock>>,
    #[cfg(feature = "postgres")]
    pub wire: Option<crate::hints::wire::Wire>,
}

impl Builder {
    /// On a database, with the machine's clock, which on Postgres follows the database's.
    pub fn new(db: Db) -> Self {
        let clock = SystemClock::new();
        Self {
            clustered: db.engine() == Engine::Postgres,
            readiness: Readiness::new(clock.clone()),
            clock: clock.clone(),
            system_clock: Some(clock),
            db,
            plugins: Vec::new(),
            config_key: None,
            node_id: None,
            memory_queues: false,
            dead_letter_days: None,
            transport: None,
        }
    }

    /// With another clock, such as a test's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.readiness = Readiness::new(clock.clone());
        self.clock = clock;
        self.system_clock = None;
        self
    }
    /// With a given machine's clock, which on Postgres follows the database's.
    pub fn system_clock(self, clock: Arc<SystemClock>) -> Self {
        let mut with = self.clock(clock.clone());
        with.system_clock = Some(clock);
        with
    }
    /// Adds plugins; their order decides wherever dependencies leave a choice.
    pub fn plugins(mut self, plugins: impl IntoIterator<Item = Box<dyn Plugin>>) -> Self {
        self.plugins.extend(plugins);
        self
    }
    /// Adds one plugin.
    pub fn plugin(self, plugin: Box<dyn Plugin>) -> Self {
        self.plugins([plugin])
    }
    /// Encrypts secret config fields. Without a key they cannot be stored or read; with one that is
    /// not the database's the boot is refused ([`crate::config::claim`]).
    pub fn config_key(mut self, key: ConfigKey) -> Self {
        self.config_key = Some(key);
        self
    }
    /// False on Postgres when no other node will ever share the database.
    pub fn clustered(mut self, clustered: bool) -> Self {
        self.clustered = clustered && self.db.engine() == Engine::Postgres;
        self
    }
    /// Names this process; must be unique per start. Default: a fresh id.
    pub fn node_id(mut self, id: impl Into<String>) -> Self {
        self.node_id = Some(id.into());
        self
    }
    /// Keeps jobs in memory instead of the database; refused when clustered.
    pub fn memory_queues(mut self) -> Self {
        self.memory_queues = true;
        self
    }
    /// Keeps dead letters for so many days; 7 by default.
    pub fn dead_letter_days(mut self, days: u32) -> Self {
        self.dead_letter_days = Some(days);
        self
    }
    /// Takes signals to other nodes in another way than Postgres.
    pub fn signal_transport(mut self, transport: Box<dyn SignalTransport>) -> Self {
        self.transport = Some(transport);
        self
    }
    /// The readiness of the runtime to come, so that `/healthz` and `/readyz` answer during the boot.
    pub fn readiness(&self) -> Arc<Readiness> {
        self.readiness.clone()
    }

    /// Boots: every phase of every plugin, or an error naming plugin and phase; then nothing stays
    /// started.
    pub async fn boot(self) -> Result<Runtime, BootError> {
        boot::boot(self).await
    }

    /// Everything a plugin's `register` may see. Touches no database yet, beyond lazy pools.
    pub(crate) fn assemble(self) -> Result<(Parts, Vec<Box<dyn Plugin>>), BootError> {
        let framework = |what: &'static str, source: &str| BootError::Framework {
            what,
            source: BoxError::from(source),
        };
        if self.memory_queues && self.clustered {
            return Err(framework(
                "queues",
                "the memory backend knows only one process; use the SQL backend in a cluster",
            ));
        }
        let (db, clock) = (self.db, self.clock);
        let node_id = self.node_id.unwrap_or_else(|| clock.new_uuid().to_string());
        let net = network(&db, &clock, &node_id, self.clustered, self.transport);
        let status = StatusBoard::default();
        let queues: Arc<dyn QueueManager> = if self.memory_queues {
            MemoryQueues::new(clock.clone())
        } else {
            let queues = SqlQueues::reporting_to(
                status.clone(),
                db.clone(),
                clock.clone(),
                net.hints.clone(),
                node_id.clone(),
            );
            if let Some(days) = self.dead_letter_days {
                queues.keep_dead_letters(days);
            }
            queues
        };
        let bus = SqlHookBus::new(db.clone(), queues.clone(), clock.clone(), node_id.clone());
        let hooks: Arc<dyn HookBus> = bus.clone();
        let configs = Arc::new(SqlConfigStore {
            db: db.clone(),
            clock: clock.clone(),
            key: self.config_key.clone(),
            hooks: Hooks::new(hooks.clone(), CORE),
        });
        let db_clock = match self.system_clock {
            Some(clock) if self.clustered => Some(Arc::new(DbClock::new(db.clone(), clock))),
            _ => None,
        };
        let host = Arc::new_cyclic(|me| Host {
            me: me.clone(),
            points: Points::default(),
            services: ServiceRegistry::default(),
            rules: AccessRules::default(),
            declared: Mutex::new(Declared::default()),
            readiness: self.readiness,
            status,
            locks: lock_service(&db, &clock),
            db,
            plugin_dbs: Mutex::new(HashMap::new()),
            clock,
            queues,
            hooks,
            hints: net.hints,
            configs,
            signals: net.signals,
            run_secrets: Arc::new(RunSecretRegistry::new()),
            clustered: self.clustered,
            node_id,
        });
        let parts = Parts {
            host,
            bus,
            config_key: self.config_key,
            db_clock,
            #[cfg(feature = "postgres")]
            wire: net.wire,
        };
        offer_core(&parts).map_err(|source| BootError::Framework {
            what: "core services",
            source,
        })?;
        Ok((parts, self.plugins))
    }
}

struct Network {
    hints: Arc<dyn Hints>,
    signals: Arc<dyn Signals>,
    #[cfg(feature = "postgres")]
    wire: Option<crate::hints::wire::Wire>,
}

fn network(
    db: &Db,
    clock: &Arc<dyn Clock>,
    node_id: &str,
    clustered: bool,
    transport: Option<Box<dyn SignalTransport>>,
) -> Network {
    #[cfg(feature = "postgres")]
    if clustered {
        use crate::hints::{Topics, wire};
        let topics: Arc<Topics> = Arc::default();
        let outgoing: Arc<wire::Outgoing> = Arc::default();
        let transport = transport.unwrap_or_else(|| Box::new(outgoing.clone()));
        let bus = SignalBus::new(clock.clone(), Some(transport));
        let here = bus.here();
        let wire = wire::Wire::start(db, node_id, topics.clone(), outgoing.clone(), move |s| {
            SignalBus::deliver(&here, s);
        });
        return Network {
            hints: Arc::new(NodeHints::wired(topics, outgoing)),
            signals: Arc::new(bus),
            wire: Some(wire),
        };
    }
    let _ = (db, node_id, clustered);
    Network {
        hints: Arc::new(NodeHints::local()),
        signals: Arc::new(SignalBus::new(clock.clone(), transport)),
        #[cfg(feature = "postgres")]
        wire: None,
    }
}

fn lock_service(db: &Db, clock: &Arc<dyn Clock>) -> LockService {
    #[cfg(feature = "postgres")]
    if let Some(pool) = db.postgres() {
        return LockService::Postgres(crate::locks::PostgresLocks::new(db, pool));
    }
    LockService::Memory(Arc::new(MemoryLocks::new(db.clone(), clock.clone())))
}

/// What the host itself registers under the id `core`.
fn offer_core(parts: &Parts) -> Result<(), BoxError> {
    let host = &parts.host;
    host.access_rules(&CORE, &[core::READ])?;
    let instances = [
        (core::QUEUES.id, AnyService::new(host.queues())),
        (core::SIGNALS.id, AnyService::new(host.signals())),
        (core::CLOCK.id, AnyService::new(host.clock())),
    ];
    for (id, service) in instances {
        host.declare_service(&CORE, id)?;
        host.put_service(&CORE, id, service)?;
    }
    if let Some(clock) = &parts.db_clock {
        let sync: Arc<dyn core::ClockSync> = clock.clone();
        host.declare_service(&CORE, core::CLOCK_SYNC.id)?;
        host.put_service(&CORE, core::CLOCK_SYNC.id, AnyService::new(sync))?;
    }
    // A weak handle: the host owns its factories.
    let per_consumer = |make: fn(&Host, &plugin_api::PluginId) -> AnyService| {
        let me = host.me.clone();
        Arc::new(move |consumer: &plugin_api::PluginId| {
            let host = me.upgrade().expect("the host lives while it is used");
            make(&host, consumer)
        })
    };
    host.declare_service(&CORE, core::DATABASE.id)?;
    host.put_factory(
        &CORE,
        core::DATABASE.id,
        per_consumer(|h, c| AnyService::new(Arc::new(h.plugin_database(c)))),
    )?;
    host.declare_service(&CORE, core::CONFIG.id)?;
    host.put_factory(
        &CORE,
        core::CONFIG.id,
        per_consumer(|h, c| AnyService::new(Arc::new(Configs::new(h.configs(), c.clone())))),
    )?;
    host.declare_service(&CORE, core::LOCKS.id)?;
    host.put_factory(
        &CORE,
        core::LOCKS.id,
        per_consumer(|h, c| AnyService::new(h.locks(c))),
    )?;
    host.readiness(
        &CORE,
        probe("core.database", DatabaseProbe(host.db.clone())),
    )?;
    host.readiness(&CORE, probe("core.queue", QueueProbe(host.queues())))?;
    host.readiness(
        &CORE,
        ProbeDef {
            critical: false,
            ..probe("core.schema", SchemaProbe(host.me.clone()))
        },
    )
}

fn probe(name: &str, probe: impl Probe) -> ProbeDef {
    ProbeDef {
        name: name.into(),
        critical: true,
        probe: Box::new(probe),
    }
}

struct DatabaseProbe(Db);
struct QueueProbe(Arc<dyn QueueManager>);

const PING: Sql = Sql {
    sqlite: "select 1",
    postgres: "select 1::bigint",
};

#[async_trait::async_trait]
impl Probe for DatabaseProbe {
    async fn check(&self) -> ProbeResult {
        answer(
            self.0.sql(PING).one::<i64>().await.is_ok(),
            "the database does not answer",
        )
    }
}
#[async_trait::async_trait]
impl Probe for QueueProbe {
    async fn check(&self) -> ProbeResult {
        answer(
            self.0.test_connection().await.is_ok(),
            "the queue backend does not answer",
        )
    }
}

fn answer(ok: bool, message: &str) -> ProbeResult {
    ProbeResult {
        ok,
        message: (!ok).then(|| message.to_owned()),
    }
}
