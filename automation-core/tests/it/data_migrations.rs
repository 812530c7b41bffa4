//! Data migrations of stored automations, on both engines (`definition §16`, `domains §4.10`).

use crate::support::registries;
use automation_core::AutomationId;
use automation_core::store::{
    AutomationStore, DataReport, NewAutomation, Source, Status, StoreError, data,
};
use automation_core::validate::Capabilities;
use plugin_api::hints::{HintListener, Hints};
use plugin_api::{Actor, Clock};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use test_kit::{TestDb, VirtualClock, both_engines, prepare_all};

struct NoHints;
impl Hints for NoHints {
    fn notify(&self, _: &str) {}
    fn listen(&self, _: &str) -> HintListener {
        HintListener {
            notify: Arc::default(),
        }
    }
}

plugin_api::statements! {
    ENABLE = "update signalbox.automations set status = 'enabled' where id = $1";
    RECORDED = "select name from signalbox.schema_migrations where owner = 'automation-data' order by number";
    FORGET = "delete from signalbox.schema_migrations where owner = 'automation-data'";
}

struct Old {
    store: AutomationStore,
    clock: Arc<VirtualClock>,
}

impl Old {
    fn of(db: &TestDb) -> Self {
        let clock = VirtualClock::new();
        let store = AutomationStore::new(
            db.db().clone(),
            clock.clone(),
            Arc::new(NoHints),
            registries(),
            Arc::new(Capabilities::all()),
        );
        Self { store, clock }
    }

    /// Stores a row as an older release may have left it.
    async fn row(&self, db: &TestDb, definition: Value, managed_by: Option<&str>) -> AutomationId {
        let new = NewAutomation {
            status: Status::Disabled,
            managed_by: managed_by.map(str::to_owned),
            ..NewAutomation::of(Source::Value(definition))
        };
        let made = self.store.create(new, &Actor::system()).await.unwrap();
        let id = made.automation.id;
        db.db().sql(ENABLE).bind(id).execute().await.unwrap();
        id
    }
}

fn flapping(rest: Value) -> Value {
    let mut trigger = json!({"event": "healthcheck.flapping_detected"});
    if let (Value::Object(t), Value::Object(rest)) = (&mut trigger, rest) {
        t.extend(rest);
    }
    json!({"name": "A", "triggers": [trigger, {"event": "incident.created", "filter": "trigger.payload.x"}]})
}

both_engines! {
    async fn definition_18_33_the_flapping_trigger_is_rewritten_once(db: TestDb) {
        let old = Old::of(&db);
        let plain = old.row(&db, flapping(json!({"config": {"transitions": 5}})), None).await;
        let own = json!({"id": "f", "filter": "trigger.payload.y", "for": {"minutes": 5}});
        let own = old.row(&db, flapping(own), None).await;
        let other = old.row(&db, json!({"name": "A", "triggers": [{"event": "incident.created"}]}), None).await;
        let waits = json!({
            "name": "A", "triggers": [{"event": "incident.created"}],
            "actions": [{"wait_for_trigger": {"event": "healthcheck.flapping_detected"}}],
        });
        let waits = old.row(&db, waits, None).await;
        let before = old.store.get(other).await.unwrap();
        let generation = old.store.generation().await.unwrap();
        old.clock.advance(Duration::from_secs(60));
        let report = old.store.migrate_data().await.unwrap();
        let expect = DataReport {
            rewritten: vec![plain, own],
            filters_replaced: vec![own],
            left: vec![waits],
            deleted: Vec::new(),
        };
        assert_eq!(report, expect);
        let row = old.store.get(plain).await.unwrap();
        assert_eq!(row.definition["triggers"][0], json!({
            "id": "healthcheck_flapping_detected",
            "event": "healthcheck.system_health_changed",
            "filter": "trigger.payload.newStatus != \"healthy\"",
            "window": {"count": 5, "minutes": 60, "refire": "once"},
        }));
        assert_eq!(row.definition["triggers"][1]["filter"], "trigger.payload.x");
        assert_eq!(row.trigger_events, ["healthcheck.system_health_changed", "incident.created"]);
        assert_eq!((row.version, row.definition_version, row.updated_at), (2, 2, old.clock.now()));
        let version = old.store.version(plain, 2).await.unwrap().unwrap();
        assert_eq!((version.definition, version.actor), (row.definition.clone(), Actor::system()));
        assert!(old.store.validate(&Source::Value(row.definition.clone())).is_valid());
        let kept = old.store.get(own).await.unwrap();
        assert_eq!(kept.definition["triggers"][0]["id"], "f");
        assert_eq!(kept.definition["triggers"][0]["for"], json!({"minutes": 5}));
        assert_eq!(old.store.get(other).await.unwrap(), before);
        // Other nodes see that there is something new.
        let changed = old.store.changed_since(generation).await.unwrap();
        let changed: Vec<AutomationId> = changed.iter().map(|r| r.id).collect();
        assert_eq!((changed.len(), changed.contains(&plain), changed.contains(&own)), (2, true, true));

        // Recorded: the second boot does nothing; and done twice nevertheless it changes nothing.
        let recorded: Vec<String> = db.db().sql(RECORDED).all().await.unwrap();
        assert_eq!(recorded, ["0001_flapping", "0002_auto_incident"]);
        assert_eq!(old.store.migrate_data().await.unwrap(), DataReport::default());
        db.db().sql(FORGET).execute().await.unwrap();
        let again = old.store.migrate_data().await.unwrap();
        assert_eq!((again.rewritten.len(), again.left), (0, vec![waits]));
        assert_eq!(old.store.get(plain).await.unwrap(), row);
    }

    async fn domains_4_10_automations_made_by_older_releases_are_deleted_once(db: TestDb) {
        let old = Old::of(&db);
        let simple = || json!({"name": "A", "triggers": [{"event": "incident.created"}]});
        let gone = old.row(&db, simple(), Some("auto-incident:payments")).await;
        let mut kept = Vec::new();
        for managed_by in [None, Some("gitops"), Some("auto-incident"), Some("AUTO-INCIDENT:x"), Some("my-auto-incident:x")] {
            kept.push(old.row(&db, simple(), managed_by).await);
        }
        let generation = old.store.generation().await.unwrap();
        let report = old.store.migrate_data().await.unwrap();
        assert_eq!(report.deleted, [gone]);
        assert!(matches!(old.store.get(gone).await, Err(StoreError::NotFound(_))));
        assert!(old.store.generation().await.unwrap() > generation);
        let mut ids = old.store.ids().await.unwrap();
        ids.sort();
        assert_eq!(ids, kept);
        // One made later is somebody's own.
        let later = old.row(&db, simple(), Some("auto-incident:later")).await;
        assert_eq!(old.store.migrate_data().await.unwrap(), DataReport::default());
        assert!(old.store.get(later).await.is_ok());
    }

    async fn two_nodes_that_boot_together_migrate_once(db: TestDb) {
        let old = Old::of(&db);
        let id = old.row(&db, flapping(json!({})), None).await;
        let (a, b) = tokio::join!(old.store.migrate_data(), old.store.migrate_data());
        let both = [a.unwrap().rewritten, b.unwrap().rewritten].concat();
        assert_eq!(both, [id]);
        assert_eq!(old.store.get(id).await.unwrap().version, 2);
    }

    async fn every_statement_prepares(db: TestDb) {
        prepare_all(db.db(), &data::statements()).await;
    }
}
