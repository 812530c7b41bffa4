//! `hasActiveIncidentWithSuppression` (`domains §4.8`).

use crate::world::World;
use incident_plugin::SUPPRESSION;
use serde_json::json;
use test_kit::{TestDb, both_engines};

both_engines! {
    async fn an_open_incident_with_the_flag_suppresses_its_systems(db: TestDb) {
        let w = World::boot(&db).await;
        let service = w.node.service("healthcheck", &SUPPRESSION).expect("the service");
        let suppressed = async |system: &str| service.has_active_incident_with_suppression(system).await.expect("an answer");
        assert!(!suppressed("pay").await);
        w.open("loud", &["pay"]).await;
        assert!(!suppressed("pay").await, "only incidents with the flag count");
        let body = json!({"title": "quiet", "system_ids": ["pay", "shop"], "suppress_notifications": true});
        let quiet = w.node.post("/incidents", body).await.expect(201);
        assert!(suppressed("pay").await && suppressed("shop").await);
        assert!(!suppressed("other").await);
        let path = format!("/incidents/{}", quiet["id"].as_str().unwrap());
        w.node.patch(&path, json!({"system_ids": ["shop"]})).await.ok();
        assert!(!suppressed("pay").await && suppressed("shop").await);
        w.node.post(&format!("{path}/resolve"), json!({})).await.ok();
        assert!(!suppressed("shop").await, "resolved incidents hold nothing back");
        w.node.patch(&path, json!({"status": "fixing"})).await.ok();
        assert!(suppressed("shop").await, "reopened");
        w.node.patch(&path, json!({"suppress_notifications": false})).await.ok();
        assert!(!suppressed("shop").await);
        w.node.shutdown().await;
    }
}
