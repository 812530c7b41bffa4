//! The store on both engines (`definition §18`, `dispatch §3.1`, `api §1`).

use crate::support::{codes, registries};
use automation_core::AutomationId;
use automation_core::store::{
    AutomationChange, AutomationStore, GroupFilter, Health, ListFilter, NewAutomation, PageAfter,
    Source, Status, StoreError, sql,
};
use automation_core::validate::Capabilities;
use plugin_api::hints::{HintListener, Hints};
use plugin_api::{Actor, Clock, Db};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use test_kit::{TestDb, VirtualClock, both_engines, prepare_all};

#[derive(Default)]
struct CountedHints(AtomicUsize);
impl Hints for CountedHints {
    fn notify(&self, topic: &str) {
        assert_eq!(topic, automation_core::store::TOPIC);
        self.0.fetch_add(1, Ordering::SeqCst);
    }
    fn listen(&self, _: &str) -> HintListener {
        HintListener {
            notify: Arc::default(),
        }
    }
}

struct Fixture {
    db: Db,
    store: AutomationStore,
    hints: Arc<CountedHints>,
    clock: Arc<VirtualClock>,
    actor: Actor,
}

impl Fixture {
    /// Deletes in a transaction of its own.
    async fn delete(&self, id: AutomationId, expected: Option<i64>) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        self.store.delete_in(&mut tx, id, expected).await?;
        Ok(tx.commit().await?)
    }
}

fn fixture(db: &TestDb) -> Fixture {
    let hints = Arc::new(CountedHints::default());
    let clock = VirtualClock::new();
    let store = AutomationStore::new(
        db.db().clone(),
        clock.clone(),
        hints.clone(),
        registries(),
        Arc::new(Capabilities::all()),
    );
    Fixture {
        db: db.db().clone(),
        store,
        hints,
        clock,
        actor: Actor::service("test"),
    }
}

fn yaml(name: &str, action: &str) -> Source {
    Source::Text(format!(
        "name: {name}\ntriggers: [{{ event: incident.created }}]\nactions: [{{ action: {action}, config: {{ message: m }} }}]\n"
    ))
}
fn log(name: &str) -> NewAutomation {
    NewAutomation::of(yaml(name, "automation.log"))
}
fn hints(f: &Fixture) -> usize {
    f.hints.0.load(Ordering::SeqCst)
}

both_engines! {
    async fn every_statement_prepares(db: TestDb) {
        prepare_all(db.db(), sql::ALL).await;
    }

    async fn definition_1_1_name_and_description_are_copied_once(db: TestDb) {
        let f = fixture(&db);
        let source = Source::Text("name: A\ndescription: d\ntriggers: [{ event: incident.created, filter: \"{{ x }}\" }]\n".into());
        let made = f.store.create(NewAutomation::of(source), &f.actor).await.unwrap();
        assert_eq!(codes(&made.issues), ["expression_braces triggers.0.filter", "unknown_root triggers.0.filter"]);
        let row = f.store.get(made.automation.id).await.unwrap();
        assert_eq!(row, made.automation);
        assert_eq!((row.name.as_str(), row.description.as_deref(), row.version), ("A", Some("d"), 1));
        assert_eq!(row.definition["triggers"][0]["filter"], "x");
        assert_eq!(row.trigger_events, ["incident.created"]);
        let rename = AutomationChange { name: Some("B".into()), ..Default::default() };
        let renamed = f.store.update(row.id, Some(1), rename, &f.actor).await.unwrap().automation;
        assert_eq!((renamed.name.as_str(), renamed.version, renamed.definition_version), ("B", 2, 1));
        assert_eq!(renamed.definition["name"], "A");
        assert_eq!(f.store.get(row.id).await.unwrap(), renamed);
    }

    async fn definition_18_26_errors_block_enabled_automations_only(db: TestDb) {
        let f = fixture(&db);
        let refused = f.store.create(NewAutomation::of(yaml("A", "nobody.knows")), &f.actor).await;
        assert!(matches!(&refused, Err(StoreError::Invalid(d)) if codes(d) == ["unknown_action actions.0.action"]), "{refused:?}");
        assert_eq!(hints(&f), 0);
        let draft = NewAutomation { status: Status::Disabled, ..NewAutomation::of(yaml("A", "nobody.knows")) };
        let id = f.store.create(draft, &f.actor).await.unwrap().automation.id;
        let enable = AutomationChange { status: Some(Status::Enabled), ..Default::default() };
        let refused = f.store.update(id, None, enable.clone(), &f.actor).await;
        assert!(matches!(refused, Err(StoreError::Invalid(_))));
        let both = AutomationChange { definition: Some(yaml("A", "automation.log")), ..enable };
        let row = f.store.update(id, None, both, &f.actor).await.unwrap().automation;
        assert_eq!((row.status, row.version, row.definition_version), (Status::Enabled, 2, 2));
        let structural = AutomationChange { status: Some(Status::Disabled), definition: Some(Source::Value(json!({"name": 1}))), ..Default::default() };
        assert!(matches!(f.store.update(id, None, structural, &f.actor).await, Err(StoreError::Invalid(_))));
    }

    async fn api_1_9_a_stale_change_is_refused_and_an_empty_one_writes_nothing(db: TestDb) {
        let f = fixture(&db);
        let id = f.store.create(log("A"), &f.actor).await.unwrap().automation.id;
        let name = |n: &str| AutomationChange { name: Some(n.into()), ..Default::default() };
        f.store.update(id, Some(1), name("B"), &f.actor).await.unwrap();
        let stale = f.store.update(id, Some(1), name("C"), &f.actor).await;
        assert!(matches!(stale, Err(StoreError::Stale { expected: 1, current: 2, .. })), "{stale:?}");
        let same = AutomationChange { name: Some("B".into()), definition: Some(yaml("A", "automation.log")), ..Default::default() };
        assert_eq!(f.store.update(id, None, same, &f.actor).await.unwrap().automation.version, 2);
        assert_eq!(hints(&f), 2);
        assert!(matches!(f.delete(id, Some(1)).await, Err(StoreError::Stale { .. })));
        f.delete(id, Some(2)).await.unwrap();
        assert!(matches!(f.store.get(id).await, Err(StoreError::NotFound(_))));
        assert!(matches!(f.delete(id, None).await, Err(StoreError::NotFound(_))));
        assert_eq!(hints(&f), 3);
        for field in [name(""), name(&"x".repeat(201)), AutomationChange { group: Some(Some("g".repeat(121))), ..Default::default() }] {
            let id = f.store.create(log("A"), &f.actor).await.unwrap().automation.id;
            assert!(matches!(f.store.update(id, None, field, &f.actor).await, Err(StoreError::Field { .. })));
        }
    }

    async fn concurrent_changes_are_each_applied_or_refused(db: TestDb) {
        let f = fixture(&db);
        let id = f.store.create(log("A"), &f.actor).await.unwrap().automation.id;
        let mut tasks = tokio::task::JoinSet::new();
        for i in 0..8 {
            let (store, actor) = (f.store.clone(), f.actor.clone());
            tasks.spawn(async move {
                let change = AutomationChange { description: Some(Some(format!("d{i}"))), ..Default::default() };
                store.update(id, Some(1), change, &actor).await.is_ok()
            });
        }
        let won = tasks.join_all().await.into_iter().filter(|ok| *ok).count();
        assert_eq!(won, 1);
        assert_eq!(f.store.get(id).await.unwrap().version, 2);
    }

    async fn decision_7_versions_are_numbered_kept_and_pruned(db: TestDb) {
        let f = fixture(&db);
        let id = f.store.create(log("A"), &f.actor).await.unwrap().automation.id;
        for i in 2..=60 {
            f.clock.advance(std::time::Duration::from_secs(1));
            let change = AutomationChange { definition: Some(yaml(&format!("A{i}"), "automation.log")), ..Default::default() };
            f.store.update(id, None, change, &f.actor).await.unwrap();
        }
        let kept = f.store.versions(id, None, 100).await.unwrap();
        assert_eq!(kept.len(), 50);
        assert_eq!((kept[0].version, kept[49].version), (60, 11));
        assert_eq!(kept[0].actor, f.actor);
        assert!(kept[0].created_at > kept[1].created_at);
        assert!(f.store.version(id, 10).await.unwrap().is_none());
        let row = f.store.get(id).await.unwrap();
        let current = f.store.version(id, row.definition_version).await.unwrap().unwrap();
        assert_eq!(current.definition, row.definition);
        assert_eq!(f.store.versions(id, Some(12), 100).await.unwrap().len(), 1);
        f.delete(id, None).await.unwrap();
        assert!(f.store.versions(id, None, 100).await.unwrap().is_empty());
    }

    async fn decision_7_a_version_stays_while_a_run_refers_to_it(db: TestDb) {
        let f = fixture(&db);
        let id = f.store.create(log("A"), &f.actor).await.unwrap().automation.id;
        let (schema, actor, at) = if db.is_postgres() {
            ("signalbox.", "'{}'::json", "now()")
        } else {
            ("", "'{}'", "0")
        };
        let run = format!(
            "insert into {schema}automation_runs (id, automation_id, trigger_id, trigger_event_id, trigger_payload, status, actor, definition_version, started_at) values ('{}', '{id}', 't', 'a.b', {actor}, 'waiting', {actor}, 1, {at})",
            f.clock.new_uuid()
        );
        db.db().script(&run).await.unwrap();
        for i in 2..=55 {
            let change = AutomationChange { definition: Some(yaml(&format!("A{i}"), "automation.log")), ..Default::default() };
            f.store.update(id, None, change, &f.actor).await.unwrap();
        }
        assert!(f.store.version(id, 1).await.unwrap().is_some());
        assert!(f.store.version(id, 2).await.unwrap().is_none());
        assert_eq!(f.store.versions(id, None, 100).await.unwrap().len(), 51);
    }

    async fn definition_13_4_health_says_what_is_gone(db: TestDb) {
        let f = fixture(&db);
        let health = |definition: serde_json::Value| {
            let (health, issues) = f.store.health(&definition);
            (health, codes(&issues))
        };
        let made = f.store.create(log("A"), &f.actor).await.unwrap().automation.definition;
        assert_eq!(health(made.clone()), (Health::Ok, vec![]));
        let mut gone = made.clone();
        gone["triggers"][0]["event"] = json!("gone.away");
        assert_eq!(health(gone), (Health::Degraded, vec!["unknown_trigger triggers.0.event".to_owned()]));
        assert_eq!(health(json!({"name": "A"})).0, Health::Invalid);
    }

    async fn every_change_counts_up_the_generation(db: TestDb) {
        let f = fixture(&db);
        let start = f.store.generation().await.unwrap();
        let a = f.store.create(log("A"), &f.actor).await.unwrap().automation.id;
        let b = f.store.create(log("B"), &f.actor).await.unwrap().automation.id;
        let seen = f.store.generation().await.unwrap();
        assert_eq!(seen, start + 2);
        let disable = AutomationChange { status: Some(Status::Disabled), ..Default::default() };
        f.store.update(a, None, disable, &f.actor).await.unwrap();
        let changed = f.store.changed_since(seen).await.unwrap();
        assert_eq!(changed.iter().map(|r| (r.id, r.status)).collect::<Vec<_>>(), [(a, Status::Disabled)]);
        assert_eq!(f.store.changed_since(0).await.unwrap().len(), 2);
        f.delete(b, None).await.unwrap();
        assert_eq!(f.store.ids().await.unwrap(), [a]);
        assert_eq!(f.store.generation().await.unwrap(), start + 4);
    }

    async fn api_13_9_pages_neither_repeat_nor_skip(db: TestDb) {
        let f = fixture(&db);
        for name in ["b", "A", "ä", "Z", "a", "B", "c"] {
            f.store.create(log(name), &f.actor).await.unwrap();
        }
        let filter = ListFilter::default();
        let mut names = Vec::new();
        let mut after: Option<PageAfter> = None;
        loop {
            let page = f.store.list(&filter, after.as_ref(), 2).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(PageAfter { name_key: last.sort_key(), id: last.id });
            names.extend(page.into_iter().map(|a| a.name.to_lowercase()));
            f.store.create(log("0 first"), &f.actor).await.unwrap();
        }
        assert_eq!(names, ["a", "a", "b", "b", "c", "z", "ä"]);
        assert_eq!(f.store.count(&filter).await.unwrap(), 11);
    }

    async fn lists_are_filtered_and_grouped(db: TestDb) {
        let f = fixture(&db);
        let grouped = |name: &str, group: &str| NewAutomation { group: Some(group.into()), ..log(name) };
        f.store.create(grouped("one", " Ops "), &f.actor).await.unwrap();
        f.store.create(grouped("two", "apps"), &f.actor).await.unwrap();
        f.store.create(NewAutomation { group: Some("  ".into()), managed_by: Some("gitops".into()), ..log("Three%") }, &f.actor).await.unwrap();
        let nested = "name: four\ntriggers: [{ event: automation.cron, config: { cronPattern: '@daily' } }]\nactions: [{ sequence: [{ action: incident.resolve }] }]\n";
        f.store.create(NewAutomation { status: Status::Disabled, ..NewAutomation::of(Source::Text(nested.into())) }, &f.actor).await.unwrap();
        let groups = f.store.groups().await.unwrap();
        assert_eq!(groups.iter().map(|g| (g.group.as_str(), g.count)).collect::<Vec<_>>(), [("apps", 1), ("Ops", 1)]);
        let cases: [(ListFilter, &[&str]); 8] = [
            (ListFilter { group: Some(GroupFilter::Named("Ops".into())), ..Default::default() }, &["one"]),
            (ListFilter { group: Some(GroupFilter::Ungrouped), ..Default::default() }, &["four", "Three%"]),
            (ListFilter { managed_by: Some("gitops".into()), ..Default::default() }, &["Three%"]),
            (ListFilter { status: Some(Status::Disabled), ..Default::default() }, &["four"]),
            (ListFilter { event: Some("automation.cron".into()), ..Default::default() }, &["four"]),
            (ListFilter { event: Some("cron".into()), ..Default::default() }, &[]),
            (ListFilter { action: Some("incident.resolve".into()), ..Default::default() }, &["four"]),
            (ListFilter { name_contains: Some("E%".into()), ..Default::default() }, &["Three%"]),
        ];
        for (filter, expect) in cases {
            let found = f.store.list(&filter, None, 10).await.unwrap();
            let names: Vec<&str> = found.iter().map(|a| a.name.as_str()).collect();
            assert_eq!(names, expect, "{filter:?}");
            assert_eq!(f.store.count(&filter).await.unwrap(), expect.len() as i64);
        }
        assert!(f.clock.now().millis() > 0);
    }
}
