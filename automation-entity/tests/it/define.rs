//! Defining kinds, on a real boot.

use crate::kit::{MAKE, OWNER, Routed, Thing, Things, put, set, thing};
use automation_core::registry::Registries;
use automation_entity::*;
use plugin_api::{
    BoxError, Db, InitCtx, Plugin, PluginId, PluginMetadata, ReadyCtx, RegisterEnv, Tx,
    plugin::Registered,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use test_kit::{Kit, TestDb, both_engines, eventually, eventually_within};

/// The engine as a plugin, with a router that remembers.
pub struct EnginePlugin {
    pub engine: Arc<EntityEngine>,
    pub routed: Arc<Routed>,
}

impl EnginePlugin {
    pub fn new() -> Self {
        let options = EntityOptions {
            verify_reads: VerifyReads::Fail,
            ..EntityOptions::default()
        };
        Self {
            engine: EntityEngine::new(options, Arc::new(Registries::default())),
            routed: Arc::default(),
        }
    }
}

impl Plugin for EnginePlugin {
    fn metadata(&self) -> PluginMetadata {
        metadata("automation")
    }
    fn register(
        self: Box<Self>,
        env: &mut RegisterEnv<'_>,
    ) -> Result<Box<dyn Registered>, BoxError> {
        self.engine.install(env)?;
        Ok(self)
    }
}

#[async_trait::async_trait]
impl Registered for EnginePlugin {
    async fn init(&self, ctx: &InitCtx) -> Result<(), BoxError> {
        self.engine.bind(EntityDeps::of(ctx));
        Ok(())
    }
    async fn after_plugins_ready(&self, ctx: &ReadyCtx) -> Result<(), BoxError> {
        let (engine, routed) = (self.engine.clone(), self.routed.clone());
        ctx.on_started(move || async move { engine.start(routed).await });
        Ok(())
    }
    async fn cleanup(&self) -> Result<(), BoxError> {
        self.engine.stop().await;
        Ok(())
    }
}

pub fn metadata(id: &'static str) -> PluginMetadata {
    PluginMetadata {
        id: PluginId::new(id),
        display_name: "A plugin",
        version: "1.0.0",
    }
}

pub type OnRegister = Box<dyn FnOnce(&mut RegisterEnv<'_>) -> Result<(), BoxError> + Send + Sync>;
pub type OnInit =
    Box<dyn Fn(Db) -> futures::future::BoxFuture<'static, Result<(), BoxError>> + Send + Sync>;

/// What a plugin does when every plugin is ready.
pub type Ready = Box<dyn Fn(&ReadyCtx) -> Result<(), BoxError> + Send + Sync>;

/// A plugin made of closures.
pub struct Made {
    pub id: &'static str,
    pub register: Option<OnRegister>,
    pub init: Option<OnInit>,
    pub ready: Option<Ready>,
}

impl Made {
    pub fn new(
        id: &'static str,
        register: impl FnOnce(&mut RegisterEnv<'_>) -> Result<(), BoxError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            id,
            register: Some(Box::new(register)),
            init: None,
            ready: None,
        }
    }
}

impl Plugin for Made {
    fn metadata(&self) -> PluginMetadata {
        metadata(self.id)
    }
    fn register(
        mut self: Box<Self>,
        env: &mut RegisterEnv<'_>,
    ) -> Result<Box<dyn Registered>, BoxError> {
        self.register.take().expect("registered once")(env)?;
        Ok(self)
    }
}

#[async_trait::async_trait]
impl Registered for Made {
    async fn init(&self, ctx: &InitCtx) -> Result<(), BoxError> {
        match &self.init {
            Some(init) => init(ctx.database()).await,
            None => Ok(()),
        }
    }
    async fn after_plugins_ready(&self, ctx: &ReadyCtx) -> Result<(), BoxError> {
        self.ready.as_ref().map_or(Ok(()), |ready| ready(ctx))
    }
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
struct Named {
    name: String,
}
impl EntityState for Named {
    const KIND: &'static str = "named";
}
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
struct Reserved {
    #[serde(rename = "@@x")]
    x: String,
}
impl EntityState for Reserved {
    const KIND: &'static str = "reserved";
}
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
struct Scalar(String);
impl EntityState for Scalar {
    const KIND: &'static str = "scalar";
}
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
struct OpenMap(HashMap<String, String>);
impl EntityState for OpenMap {
    const KIND: &'static str = "open-map";
}
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum OneOf {
    A { a: String },
    B { b: String },
}
impl EntityState for OneOf {
    const KIND: &'static str = "one-of";
}

struct Nothing;
#[async_trait::async_trait]
impl<S: EntityState> EntityRead<S> for Nothing {
    async fn read(
        &self,
        _: plugin_api::Conn<'_>,
        _: &[String],
    ) -> Result<HashMap<String, S>, BoxError> {
        Ok(HashMap::new())
    }
}

async fn refused(
    db: &TestDb,
    define: impl FnOnce(&EntityExtension<'_>) -> Result<(), BoxError> + Send + Sync + 'static,
    kind: &str,
    why: &str,
) {
    let bad = Made::new("bad-plugin", move |env| define(&env.extension(&ENTITY)));
    let boot = Kit::new(db)
        .await
        .plugin(EnginePlugin::new())
        .plugin(bad)
        .try_boot();
    let error = boot.await.err().expect("the boot fails").to_string();
    for part in ["bad-plugin", kind, why] {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
}

fn define<S: EntityState>(
    kind: &'static str,
) -> impl FnOnce(&EntityExtension<'_>) -> Result<(), BoxError> + Send + Sync {
    move |point| {
        point
            .define_as::<S>(kind, KindOptions::default(), Nothing)
            .map(drop)
    }
}

both_engines! {
    async fn entity_23_1_bad_definitions_fail_the_boot(db: TestDb) {
        refused(&db, define::<Named>(" "), "\" \"", "must match").await;
        refused(&db, define::<Named>("a:b"), "\"a:b\"", "must match").await;
        refused(&db, define::<Scalar>("scalar"), "scalar", "of type string").await;
        refused(&db, define::<OpenMap>("open-map"), "open-map", "without named fields").await;
        refused(&db, define::<OneOf>("one-of"), "one-of", "several shapes").await;
        refused(&db, define::<Reserved>("reserved"), "reserved", "@@x").await;
        let twice = |point: &EntityExtension<'_>| {
            define::<Named>("named")(point)?;
            define::<Named>("named")(point)
        };
        refused(&db, twice, "named", "already defined by plugin bad-plugin").await;
        let blank_deriver = |point: &EntityExtension<'_>| point.change_deriver("", "d", &[], |_| Vec::new());
        refused(&db, blank_deriver, "\"\"", "blank").await;
    }

    async fn entity_11_4_definitions_after_init_are_too_late(db: TestDb) {
        let mut late = Made::new("late", |_| Ok(()));
        late.ready = Some(Box::new(|ctx| define::<Named>("named")(&ctx.extension(&ENTITY))));
        let rules = Made::new("rules", |env| env.access_rules(&[plugin_api::AccessRule::new("rules.read", "Read")]));
        let boot = Kit::new(&db).await.plugin(EnginePlugin::new()).plugin(rules).plugin(late).try_boot();
        let error = boot.await.err().expect("the boot fails").to_string();
        assert!(error.contains("late") && error.contains("`register` or `init`"), "{error}");
    }

    async fn entity_23_2_a_handle_from_before_the_engine_works_after_the_boot(db: TestDb) {
        db.db().sql(MAKE).execute().await.unwrap();
        let kept: Arc<Mutex<Option<EntityHandle<Thing>>>> = Arc::default();
        let early = Made::new("things", {
            let kept = kept.clone();
            move |env| {
                let handle = env.extension(&ENTITY).define(KindOptions::default(), Things)?;
                *kept.lock().unwrap() = Some(handle);
                Ok(())
            }
        });
        let engine = EnginePlugin::new();
        let (core, routed) = (engine.engine.clone(), engine.routed.clone());
        let node = Kit::new(&db).await.plugin(early).plugin(engine).boot().await;
        let handle = kept.lock().unwrap().clone().unwrap();
        own_table(&db).await;
        node.run(set(&handle, "a", thing("open"))).await.unwrap();
        eventually(async || routed.ids() == ["a"], "the change at the router").await;
        assert_eq!(core.kinds().iter().map(|k| k.kind().to_owned()).collect::<Vec<_>>(), ["thing"]);
        assert_eq!(core.kind("thing").unwrap().fields(), ["status", "region", "extra"]);
        node.shutdown().await;
    }

    async fn entity_23_3_mutate_before_init_is_not_ready(db: TestDb) {
        let node = crate::kit::Node::registered(db.db());
        let handle = node.point(&OWNER).define(KindOptions::default(), Things).unwrap();
        let refused = handle.mutate_in("a", MutateOpts::default(), async |_: &mut Tx| unreachable!("apply is not called"));
        assert!(matches!(refused.await, Err(MutateError::NotReady { .. })));
        let refused = handle.remove("a", MutateOpts::default(), async || unreachable!("apply is not called"));
        assert!(matches!(refused.await, Err(MutateError::NotReady { .. })));
        assert!(matches!(handle.get("a").await, Err(ReadError::NotReady { .. })));
    }

    async fn entity_23_12_ten_thousand_changes_of_init_arrive_in_order(db: TestDb) {
        const ROUNDS: usize = 20;
        const EACH: usize = 500;
        const TAIL: usize = 101;
        own_table(&db).await;
        let kept: Arc<Mutex<Vec<EntityHandle<Thing>>>> = Arc::default();
        let mut early = Made::new("things", {
            let kept = kept.clone();
            move |env| {
                for kind in ["thing", "tail"] {
                    let handle = env.extension(&ENTITY).define_as(kind, KindOptions::default(), Things)?;
                    kept.lock().unwrap().push(handle);
                }
                Ok(())
            }
        });
        early.init = Some(Box::new(move |db| {
            let handles = kept.lock().unwrap().clone();
            Box::pin(async move {
                let mut tx = db.begin().await?;
                let ids: Vec<String> = (0..EACH).map(|n| format!("t{n:03}")).collect();
                for round in 0..ROUNDS {
                    let write = handles[0].settle_with(&mut tx, &ids, MutateOpts::default(), async |tx: &mut Tx| {
                        for id in &ids {
                            put(tx, id, &thing(&round.to_string())).await?;
                        }
                        Ok(())
                    });
                    write.await?;
                }
                for n in 0..TAIL {
                    let write = handles[1].mutate_with(&mut tx, "a", MutateOpts::default(), async |tx: &mut Tx| {
                        put(tx, "a", &thing(&n.to_string())).await?;
                        Ok(thing(&n.to_string()))
                    });
                    write.await?;
                }
                tx.commit().await?;
                Ok(())
            })
        }));
        let seen: Arc<Mutex<Vec<EntityChanged>>> = Arc::default();
        let mut last = Made::new("zlast", |_| Ok(()));
        last.ready = Some(Box::new({
            let seen = seen.clone();
            move |ctx| {
                let seen = seen.clone();
                let handler = move |c: EntityChanged, _| {
                    seen.lock().unwrap().push(c);
                    async { Ok(()) }
                };
                ctx.extension(&ENTITY).on_entity_changed("tail", Delivery::work_queue("all"), handler).map(drop)
            }
        }));
        let options = EntityOptions::default();
        let engine = EnginePlugin { engine: EntityEngine::new(options, Arc::new(Registries::default())), routed: Arc::default() };
        let routed = engine.routed.clone();
        let node = Kit::new(&db).await.plugin(engine).plugin(early).plugin(last).boot().await;
        let all = async || routed.count() == ROUNDS * EACH + TAIL && seen.lock().unwrap().len() == TAIL;
        eventually_within(Duration::from_secs(120), all, "all changes at router and subscriber").await;
        let mut newest: HashMap<String, EntityChanged> = HashMap::new();
        for change in routed.changes.lock().unwrap().iter() {
            let before = newest.insert(change.entity_ref(), change.clone());
            assert_eq!(change.prev, before.and_then(|c| c.next), "each follows the one before");
        }
        let statuses: Vec<String> = seen.lock().unwrap().iter().map(|c| c.next.as_ref().unwrap()["status"].as_str().unwrap().to_owned()).collect();
        assert_eq!(statuses, (0..TAIL).map(|n| n.to_string()).collect::<Vec<_>>());
        node.shutdown().await;
    }
}

/// On Postgres a plugin's tables live in its schema: make the one of `things` there.
pub async fn own_table(db: &TestDb) {
    let own = db.db().scoped(&OWNER.schema());
    if db.is_postgres() {
        own.script("create schema if not exists plugin_things")
            .await
            .unwrap();
    }
    own.sql(MAKE).execute().await.unwrap();
    if db.is_postgres() {
        own.close().await;
    }
}
