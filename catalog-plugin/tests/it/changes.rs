//! What changes of systems fire, and what they leave alone.

use crate::world::{boot, system};
use catalog_common::SYSTEMS;
use serde_json::{Value, json};
use test_kit::{TestDb, both_engines, eventually, stays};

const EVENTS: &[&str] = &["catalog.created", "catalog.updated", "catalog.deleted"];

both_engines! {
    async fn domains_13_1_creating_and_renaming_fire_with_their_fields(db: TestDb) {
        let node = boot(&db).await;
        let heard = node.listen(EVENTS).await;
        system(&node, "pay", "Payments").await;
        let created = ("catalog.created".to_owned(), json!({"systemId": "pay", "systemName": "Payments"}));
        assert_eq!(heard.at_least(1).await, [created]);
        node.patch("/systems/pay", json!({"name": "Payments API"})).await.ok();
        let events = heard.at_least(2).await;
        assert_eq!(events[1], ("catalog.updated".into(), json!({"systemId": "pay", "systemName": "Payments API", "changedFields": ["name"]})));
        let change = json!({"description": "takes money", "metadata": {"tier": 1}});
        node.patch("/systems/pay", change).await.ok();
        let events = heard.at_least(3).await;
        assert_eq!(events[2].1["changedFields"], json!(["description", "metadata"]));
        let runs = node.engine().runs(&Default::default(), None, 10).await.expect("runs");
        assert!(runs.iter().all(|r| r.context_key.as_deref() == Some("pay")), "the context key is the system");
        assert!(runs.iter().all(|r| r.actor.0["id"] == "anna"), "the actor is who asked");
        node.shutdown().await;
    }

    async fn domains_13_3_saving_a_system_unchanged_fires_nothing(db: TestDb) {
        let node = boot(&db).await;
        let body = json!({"name": "Payments", "description": "d", "metadata": {"a": 1, "b": {"c": [1, 2]}}});
        node.put("/systems/pay", body.clone()).await.expect(201);
        let before = node.get("/systems/pay").await.ok();
        let heard = node.listen(EVENTS).await;
        node.clock().advance(std::time::Duration::from_secs(5));
        node.put("/systems/pay", body).await.expect(200);
        node.patch("/systems/pay", json!({})).await.ok();
        node.patch("/systems/pay", json!({"name": " Payments ", "metadata": {"b": {"c": [1, 2]}, "a": 1}})).await.ok();
        let after = node.get("/systems/pay").await.ok();
        assert_eq!(after["updated_at"], before["updated_at"], "no write at all");
        // What comes through the same outbox later shows that nothing came before it.
        node.patch("/systems/pay", json!({"description": null})).await.ok();
        assert_eq!(heard.ids(1).await, ["catalog.updated"]);
        assert!(stays(async || heard.so_far().await.len() == 1).await);
        node.shutdown().await;
    }

    async fn deleting_tells_the_name_it_had_and_is_forgotten(db: TestDb) {
        let node = boot(&db).await;
        let directory = node.service("test", &SYSTEMS).expect("the directory");
        let heard = node.listen(EVENTS).await;
        system(&node, "pay", "Payments").await;
        eventually(async || directory.name("pay").as_deref() == Some("Payments"), "the directory knows the name").await;
        node.patch("/systems/pay", json!({"name": "Money"})).await.ok();
        eventually(async || directory.name("pay").as_deref() == Some("Money"), "the directory follows").await;
        let ids = ["pay".to_owned(), "other".to_owned()];
        assert_eq!(directory.exists(&ids).await.expect("an answer").into_iter().collect::<Vec<_>>(), ["pay"]);
        node.delete("/systems/pay").await.expect(204);
        let events = heard.at_least(3).await;
        assert_eq!(events[2], ("catalog.deleted".into(), json!({"systemId": "pay", "systemName": "Money"})));
        eventually(async || directory.name("pay").is_none(), "the directory forgets").await;
        assert!(directory.exists(&ids).await.expect("an answer").is_empty());
        node.delete("/systems/pay").await.problem(404, "not_found");
        assert!(stays(async || heard.so_far().await.len() == 3).await, "deleting nothing fires nothing");
        node.shutdown().await;
    }

    async fn the_directory_is_filled_at_the_start(db: TestDb) {
        let node = boot(&db).await;
        system(&node, "pay", "Payments").await;
        node.shutdown().await;
        let node = boot(&db).await;
        let directory = node.service("test", &SYSTEMS).expect("the directory");
        assert_eq!(directory.name("pay").as_deref(), Some("Payments"));
        node.shutdown().await;
    }

    async fn state_is_readable_as_an_entity(db: TestDb) {
        let node = boot(&db).await;
        node.post("/systems", json!({"id": "pay", "name": "Payments", "metadata": {"tier": 1}})).await.expect(201);
        let kind = node.engine().entities().kind("catalog-system").expect("the kind");
        let mut states = kind.read_values(&["pay".into(), "gone".into()]).await.expect("read");
        assert_eq!(states.remove("pay"), Some(json!({"name": "Payments", "description": Value::Null, "metadata": {"tier": 1}})));
        assert!(states.is_empty(), "missing ids are left out");
        node.shutdown().await;
    }
}
