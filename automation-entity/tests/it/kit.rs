//! An engine on a test database, with hooks and queues that only remember.

use automation_core::registry::Registries;
use automation_entity::*;
use plugin_api::{
    Actor, BoxError, Conn, Db, PluginId, Services, Tx,
    extension::Points,
    hints::{HintListener, Hints},
    hook::{HookBus, HookError, HookMode, RawHookHandler},
    queue::*,
    service::{AnyService, ServiceError, ServiceLookup},
    status::StatusBoard,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};
use test_kit::{TestDb, VirtualClock};

/// A thing with a status, kept in the table `things`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Thing {
    pub status: String,
    pub region: Option<String>,
    pub extra: Option<Value>,
}

impl EntityState for Thing {
    const KIND: &'static str = "thing";
    fn validate(&self) -> Result<(), String> {
        match self.status.as_str() {
            "refused" => Err("this status is refused".into()),
            _ => Ok(()),
        }
    }
}

pub fn thing(status: &str) -> Thing {
    Thing {
        status: status.into(),
        region: None,
        extra: None,
    }
}

plugin_api::statements! {
    pub MAKE = "create table if not exists things (id text primary key, doc text not null)";
    pub PUT = "insert into things (id, doc) values ($1, $2) on conflict (id) do update set doc = excluded.doc";
    pub DELETE = "delete from things where id = $1";
    pub GET = {
        sqlite: "select id, doc from things where id in (select value from json_each($1))",
        postgres: "select id, doc from things where id = any($1)",
    };
    pub COUNT = "select count(*) from things";
    pub OUTBOX = {
        sqlite: "select payload from entity_outbox order by seq",
        postgres: "select payload::text from signalbox.entity_outbox order by seq",
    };
    pub TRANSITIONS = {
        sqlite: "select entity_id || '.' || field || ': ' || coalesce(from_value, '-') || ' > ' || to_value from entity_transitions order by id",
        postgres: "select entity_id || '.' || field || ': ' || coalesce(from_value, '-') || ' > ' || to_value from signalbox.entity_transitions order by id",
    };
    pub INTENTS = "select count(*) from signalbox.entity_intents";
    pub INTENT_TEXTS = {
        sqlite: "select coalesce(prev, '') || hidden || actor from entity_intents",
        postgres: "select coalesce(prev::text, '') || hidden::text || actor::text from signalbox.entity_intents",
    };
    pub GARBLE = {
        sqlite: "update entity_outbox set payload = '{\"kind\":\"thing\"}' where seq = $1",
        postgres: "update signalbox.entity_outbox set payload = '{\"kind\":\"thing\"}' where seq = $1",
    };
    pub MAKE_NEWER = {
        sqlite: "update entity_outbox set payload = json_set(payload, '$.v', 2) where seq = $1",
        postgres: "update signalbox.entity_outbox set payload = (payload::jsonb || '{\"v\":2}')::json where seq = $1",
    };
    pub MAKE_KNOWN = {
        sqlite: "update entity_outbox set payload = json_remove(payload, '$.v') where seq = $1",
        postgres: "update signalbox.entity_outbox set payload = (payload::jsonb - 'v')::json where seq = $1",
    };
    pub ATTEMPTS = "select coalesce(max(attempts), 0) from signalbox.entity_outbox";
    pub CLEAR_OUTBOX = "delete from signalbox.entity_outbox";
    pub CLEAR_LOG = "delete from signalbox.entity_transitions";
    pub CLEAR_THINGS = "delete from things";
    pub SEQS = "select seq from signalbox.entity_outbox order by seq";
}

/// Reads things.
pub struct Things;

#[async_trait::async_trait]
impl EntityRead<Thing> for Things {
    async fn read(
        &self,
        mut at: Conn<'_>,
        ids: &[String],
    ) -> Result<HashMap<String, Thing>, BoxError> {
        plugin_api::row! { struct Row { id: String, doc: String } }
        let rows: Vec<Row> = at.sql(GET).texts(ids).all().await?;
        rows.into_iter()
            .map(|r| Ok((r.id, serde_json::from_str(&r.doc)?)))
            .collect()
    }
}

/// Writes a thing in a transaction.
pub async fn put(tx: &mut Tx, id: &str, thing: &Thing) -> Result<(), BoxError> {
    let doc = serde_json::to_string(thing)?;
    tx.sql(PUT).bind(id.to_owned()).bind(doc).execute().await?;
    Ok(())
}

/// Writes a thing in a transaction of its own.
pub async fn put_alone(db: &Db, id: &str, thing: &Thing) -> Result<(), BoxError> {
    let doc = serde_json::to_string(thing)?;
    db.sql(PUT).bind(id.to_owned()).bind(doc).execute().await?;
    Ok(())
}

pub async fn delete(tx: &mut Tx, id: &str) -> Result<(), BoxError> {
    tx.sql(DELETE).bind(id.to_owned()).execute().await?;
    Ok(())
}

/// Hints inside this process; listeners start woken.
#[derive(Default)]
pub struct LocalHints(Mutex<HashMap<String, Vec<Arc<tokio::sync::Notify>>>>);

impl Hints for LocalHints {
    fn notify(&self, topic: &str) {
        for n in self.0.lock().unwrap().get(topic).into_iter().flatten() {
            n.notify_one();
        }
    }
    fn listen(&self, topic: &str) -> HintListener {
        let notify = Arc::new(tokio::sync::Notify::new());
        notify.notify_one();
        self.0
            .lock()
            .unwrap()
            .entry(topic.into())
            .or_default()
            .push(notify.clone());
        HintListener { notify }
    }
}

type Wired = (PluginId, HookMode, Arc<dyn RawHookHandler>);

/// A bus that delivers at once and keeps what failed.
#[derive(Default)]
pub struct Bus {
    wired: Mutex<Vec<(String, Wired)>>,
    pub emitted: Mutex<Vec<(String, Value)>>,
}

struct Ends;
#[async_trait::async_trait]
impl Unsubscribe for Ends {
    async fn unsubscribe(&self) {}
}

#[async_trait::async_trait]
impl HookBus for Bus {
    async fn emit(
        &self,
        by: &PluginId,
        hook: &str,
        payload: Value,
        actor: Actor,
        _tx: Option<&mut Tx>,
    ) -> Result<(), HookError> {
        assert!(hook.starts_with(by.as_str()), "only the owner emits");
        self.emitted
            .lock()
            .unwrap()
            .push((hook.into(), payload.clone()));
        let wired: Vec<Wired> = {
            let all = self.wired.lock().unwrap();
            all.iter()
                .filter(|w| w.0 == hook)
                .map(|w| w.1.clone())
                .collect()
        };
        for (_, mode, handler) in wired {
            let meta = plugin_api::hook::EventMeta {
                actor: actor.clone(),
                emitted_at: plugin_api::Ts::from_millis(0),
                delivery_id: "d".into(),
                cause: None,
            };
            let tries = match mode {
                HookMode::WorkQueue {
                    retries: Retries::Limited(n),
                    ..
                } => n + 1,
                _ => 1,
            };
            for _ in 0..tries {
                if handler.handle(payload.clone(), meta.clone()).await.is_ok() {
                    break;
                }
            }
        }
        Ok(())
    }
    async fn emit_local(&self, _: &PluginId, _: &str, _: Value, _: Actor) -> Result<(), HookError> {
        Ok(())
    }
    async fn subscribe(
        &self,
        by: &PluginId,
        hook: &str,
        mode: HookMode,
        handler: Arc<dyn RawHookHandler>,
    ) -> Result<Subscription, HookError> {
        self.wired
            .lock()
            .unwrap()
            .push((hook.into(), (by.clone(), mode, handler)));
        Ok(Arc::new(Ends))
    }
}

/// Queues that take everything and do nothing.
pub struct NoQueues;
#[async_trait::async_trait]
impl QueueManager for NoQueues {
    async fn enqueue(&self, _: &str, _: Vec<NewJob>) -> Result<Vec<String>, QueueError> {
        Ok(Vec::new())
    }
    async fn enqueue_in(
        &self,
        _: &mut Tx,
        _: &str,
        _: Vec<NewJob>,
    ) -> Result<Vec<String>, QueueError> {
        Ok(Vec::new())
    }
    async fn consume(&self, _: &str, _: Consumer) -> Result<Subscription, QueueError> {
        Ok(Arc::new(Ends))
    }
    async fn schedule(&self, _: &str, _: Recurring) -> Result<(), QueueError> {
        Ok(())
    }
    async fn cancel_recurring(&self, _: &str, _: &str) -> Result<(), QueueError> {
        Ok(())
    }
    async fn list_recurring(&self, _: &str) -> Result<Vec<RecurringDetails>, QueueError> {
        Ok(Vec::new())
    }
    async fn recurring_details(
        &self,
        _: &str,
        _: &str,
    ) -> Result<Option<RecurringDetails>, QueueError> {
        Ok(None)
    }
    fn in_flight(&self, _: &str) -> usize {
        0
    }
    async fn stats(&self, _: &str) -> Result<QueueStats, QueueError> {
        Ok(QueueStats::default())
    }
    async fn depths(&self) -> Result<Vec<QueueDepth>, QueueError> {
        Ok(Vec::new())
    }
    async fn test_connection(&self) -> Result<(), QueueError> {
        Ok(())
    }
    async fn stop(&self) {}
}

/// Services by id.
#[derive(Default)]
pub struct Lookup(pub Mutex<BTreeMap<&'static str, AnyService>>);
impl ServiceLookup for Lookup {
    fn lookup(
        &self,
        service: &'static str,
        consumer: &PluginId,
    ) -> Result<AnyService, ServiceError> {
        let all = self.0.lock().unwrap();
        all.get(service).cloned().ok_or(ServiceError::Unknown {
            service,
            consumer: consumer.clone(),
        })
    }
}

/// A router that remembers, and fails for chosen ids.
#[derive(Default)]
pub struct Routed {
    pub changes: Mutex<Vec<EntityChanged>>,
    pub poisoned: Mutex<Vec<String>>,
}
#[async_trait::async_trait]
impl ChangeRouter for Routed {
    async fn route(&self, _: &mut Tx, changes: &[EntityChanged]) -> Result<(), BoxError> {
        let poisoned = self.poisoned.lock().unwrap().clone();
        if let Some(bad) = changes.iter().find(|c| poisoned.contains(&c.id)) {
            assert!(bad.id != "panics", "{} is poisoned", bad.id);
            return Err(format!("{} is poisoned", bad.id).into());
        }
        self.changes.lock().unwrap().extend(changes.to_vec());
        Ok(())
    }
}
impl Routed {
    pub fn ids(&self) -> Vec<String> {
        self.changes
            .lock()
            .unwrap()
            .iter()
            .map(|c| c.id.clone())
            .collect()
    }
    pub fn count(&self) -> usize {
        self.changes.lock().unwrap().len()
    }
}

pub static OWNER: PluginId = PluginId::new("things");

/// One node: an engine, its points and its collaborators.
pub struct Node {
    pub engine: Arc<EntityEngine>,
    pub points: Points,
    pub clock: Arc<VirtualClock>,
    pub hints: Arc<LocalHints>,
    pub bus: Arc<Bus>,
    pub secrets: Arc<plugin_api::masking::RunSecretRegistry>,
    pub services: Arc<Lookup>,
    pub routed: Arc<Routed>,
    pub db: Db,
}

impl Node {
    /// A node whose engine has registered, but is not bound.
    pub fn registered(db: &Db) -> Self {
        Self::with(
            db,
            EntityOptions {
                verify_reads: VerifyReads::Fail,
                ..EntityOptions::default()
            },
        )
    }

    pub fn with(db: &Db, options: EntityOptions) -> Self {
        let engine = EntityEngine::new(options, Arc::new(Registries::default()));
        let node = Self {
            points: Points::default(),
            clock: VirtualClock::new(),
            hints: Arc::default(),
            bus: Arc::default(),
            secrets: Arc::default(),
            services: Arc::default(),
            routed: Arc::default(),
            db: db.clone(),
            engine,
        };
        node.points
            .implement::<EntityPoint>(&PluginId::new("automation"), node.engine.clone())
            .unwrap();
        node
    }

    pub fn bind(&self) {
        self.bind_with(Arc::new(SqlStore::new(self.db.clone())));
    }

    pub fn bind_with(&self, store: Arc<dyn TransitionStore>) {
        let db = self.db.clone();
        self.engine.bind(EntityDeps {
            database_of: Arc::new(move |_| db.clone()),
            db: self.db.clone(),
            clock: self.clock.clone(),
            hints: self.hints.clone(),
            hooks: self.bus.clone(),
            queues: Arc::new(NoQueues),
            services: Services::new(self.services.clone(), PluginId::new("automation")),
            status: StatusBoard::default(),
            secrets: self.secrets.clone(),
            store,
        });
    }

    /// The extension point as a plugin sees it.
    pub fn point<'a>(&self, plugin: &'a PluginId) -> EntityExtension<'a> {
        self.points.front::<EntityPoint>(plugin, false)
    }

    /// A bound node with the kind `thing` and its table.
    pub async fn of_things(db: &TestDb, options: KindOptions) -> (Self, EntityHandle<Thing>) {
        Self::of_things_on(db.db(), options).await
    }

    pub async fn of_things_on(db: &Db, options: KindOptions) -> (Self, EntityHandle<Thing>) {
        db.sql(MAKE).execute().await.unwrap();
        let node = Self::registered(db);
        let handle = node.point(&OWNER).define(options, Things).unwrap();
        node.bind();
        (node, handle)
    }

    pub async fn start(&self) {
        self.engine.start(self.routed.clone()).await.unwrap();
    }

    pub async fn outbox(&self) -> Vec<EntityChanged> {
        let texts: Vec<String> = self.db.sql(OUTBOX).all().await.unwrap();
        texts
            .iter()
            .map(|t| serde_json::from_str(t).unwrap())
            .collect()
    }

    /// How often the worst row of the outbox has failed.
    pub async fn attempts(&self) -> i64 {
        self.db.sql(ATTEMPTS).one().await.unwrap()
    }

    pub async fn transitions(&self) -> Vec<String> {
        self.db.sql(TRANSITIONS).all().await.unwrap()
    }
}

/// Writes a thing by `mutate_in`.
pub async fn set(
    handle: &EntityHandle<Thing>,
    id: &str,
    thing: Thing,
) -> Result<Thing, MutateError> {
    handle
        .mutate_in(id, MutateOpts::default(), async |tx| {
            put(tx, id, &thing).await?;
            Ok(thing)
        })
        .await
}

/// Removes a thing by `remove_in`.
pub async fn unset(handle: &EntityHandle<Thing>, id: &str) -> Result<(), MutateError> {
    handle
        .remove_in(id, MutateOpts::default(), async |tx| delete(tx, id).await)
        .await
}
