//! Waits and dwells across domains.

use crate::world::{MINUTE, World, at_once, escalating};
use automation_core::AutomationId;
use serde_json::{Value, json};
use test_kit::{TestDb, both_engines, eventually, stays};

/// An automation that waits when an incident is opened, and says when it goes on.
async fn waiting(w: &World, wait: Value) -> AutomationId {
    w.automation(json!({
        "name": "Waits", "mode": "parallel", "max_runs": 10,
        "triggers": [{"event": "incident.created"}],
        "actions": [wait, {"action": "automation.log", "config": {"message": "resumed"}}],
    }))
    .await
}

/// Opens an incident and answers its path.
async fn open(w: &World) -> String {
    let body = json!({"title": "x", "system_ids": ["pay"]});
    let made = w.node.post("/incidents", body).await.expect(201);
    format!("/incidents/{}", made["id"].as_str().expect("an id"))
}

async fn still_waits(w: &World, automation: AutomationId) -> bool {
    w.node.routed().await;
    stays(async || w.logged(automation).await.is_empty()).await
}

async fn resumed(w: &World, automation: AutomationId) {
    w.node.run_with(automation, "success").await;
    assert_eq!(w.logged(automation).await, ["resumed"]);
}

both_engines! {
    async fn entity_23_25_a_wait_on_two_domains_resumes_whichever_changes_last(db: TestDb) {
        for incident_last in [true, false] {
            let db = match db.is_postgres() {
                true => TestDb::postgres().await,
                false => TestDb::sqlite().await,
            };
            let w = World::boot(&db).await;
            w.watched("shop", "Shop", at_once()).await;
            w.down("shop").await;
            let condition = "state.incident[trigger.payload.incidentId].status == \"resolved\" && health.systems.shop.status == \"healthy\"";
            let automation = waiting(&w, json!({"wait_until": {"condition": condition}})).await;
            let incident = open(&w).await;
            w.node.run_with(automation, "waiting").await;
            let resolve = async || w.node.post(&format!("{incident}/resolve"), json!({})).await.ok();
            if incident_last {
                w.up("shop").await;
                assert!(still_waits(&w, automation).await);
                resolve().await;
            } else {
                resolve().await;
                assert!(still_waits(&w, automation).await);
                w.up("shop").await;
            }
            resumed(&w, automation).await;
            w.node.shutdown().await;
        }
    }

    async fn entity_23_25_a_wait_on_the_state_of_health_resumes(db: TestDb) {
        let w = World::boot(&db).await;
        w.watched("shop", "Shop", escalating()).await;
        w.down("shop").await;
        let automation = waiting(&w, json!({"wait_until": {"condition": "state.health['shop'].status == 'healthy' && state.health.shop.healthyChecks == 1"}})).await;
        open(&w).await;
        w.node.run_with(automation, "waiting").await;
        w.down("shop").await;
        assert!(still_waits(&w, automation).await);
        w.up("shop").await;
        resumed(&w, automation).await;
        w.node.shutdown().await;
    }

    async fn entity_23_26_a_recovery_cancels_the_armed_dwell_of_its_system_only(db: TestDb) {
        let w = World::boot(&db).await;
        w.watched("pay", "Payments", escalating()).await;
        w.watched("shop", "Shop", escalating()).await;
        let automation = w.automation(json!({
            "name": "Degraded", "mode": "parallel", "max_runs": 10,
            "triggers": [{"event": "healthcheck.system_degraded", "for": {"minutes": 30}}],
            "actions": [],
        })).await;
        w.down("pay").await;
        w.down("shop").await;
        w.armed(automation, 2).await;
        w.clock.advance(10 * MINUTE);
        w.up("pay").await;
        w.armed(automation, 1).await;
        // A second outage begins anew.
        w.clock.advance(10 * MINUTE);
        w.down("pay").await;
        w.armed(automation, 2).await;
        w.clock.advance(10 * MINUTE);
        let runs = w.runs(automation, 1).await;
        assert_eq!(runs[0].context_key.as_deref(), Some("shop"));
        w.clock.advance(20 * MINUTE);
        let runs = w.runs(automation, 2).await;
        assert_eq!(runs[1].context_key.as_deref(), Some("pay"));
        w.node.shutdown().await;
    }

    async fn entity_23_26_a_wait_for_the_event_of_an_entity_resumes(db: TestDb) {
        // Runs as soon as the engine says that it can.
        if !automation_dispatch::capabilities().actions.contains("wait_for_trigger") {
            return;
        }
        let w = World::boot(&db).await;
        let automation = waiting(&w, json!({"wait_for_trigger": {"event": "incident.resolved", "timeout_seconds": 86400}})).await;
        let incident = open(&w).await;
        w.node.run_with(automation, "waiting").await;
        w.node.patch(&incident, json!({"severity": "minor"})).await.ok();
        assert!(still_waits(&w, automation).await);
        w.node.post(&format!("{incident}/resolve"), json!({})).await.ok();
        resumed(&w, automation).await;
        w.node.shutdown().await;
    }

    async fn dispatch_c38_a_system_outside_the_context_that_wakes_a_wait_is_in_scope(db: TestDb) {
        let w = World::boot(&db).await;
        for system in ["pay", "shop", "blog"] {
            w.watched(system, system, at_once()).await;
        }
        w.node.patch("/systems/pay", json!({"metadata": {"peer": "shop"}})).await.ok();
        // The index reads state, so the wait is on every system's health.
        let condition = "health.systems[state['catalog-system'].pay.metadata.peer].status == 'unhealthy'";
        let automation = w.automation(json!({
            "name": "Waits",
            "triggers": [{"event": "healthcheck.system_degraded", "filter": "trigger.payload.systemId == 'pay'"}],
            "actions": [{"wait_until": {"condition": condition}}, {"action": "automation.log", "config": {"message": "resumed"}}],
        })).await;
        w.down("pay").await;
        let run = w.node.run_with(automation, "waiting").await;
        assert_eq!(run.context_key.as_deref(), Some("pay"));
        w.down("blog").await;
        assert!(still_waits(&w, automation).await, "woken by a system it is not about");
        w.down("shop").await;
        resumed(&w, automation).await;
        w.node.shutdown().await;
    }

    async fn a_check_that_is_run_again_whenever_it_fails_is_found_to_be_a_loop(db: TestDb) {
        let w = World::boot(&db).await;
        w.watched("pay", "Payments", at_once()).await;
        let again = w.automation(json!({
            "name": "again", "mode": "parallel", "triggers": [{"event": "healthcheck.check_failed"}],
            "actions": [{"action": "healthcheck.run_now", "config": {
                "systemId": "{{ trigger.payload.systemId }}", "configurationId": "{{ trigger.payload.configurationId }}"}}],
        })).await;
        w.down("pay").await;
        let path = format!("/automations/{again}/decisions");
        let verdicts = async || {
            let page = w.node.get(&path).await.ok();
            let items = page["items"].as_array().expect("items");
            items.iter().rev().map(|d| d["verdict"].as_str().expect("a verdict").to_owned()).collect::<Vec<_>>()
        };
        eventually(async || verdicts().await.len() >= 2, "the second failure is decided on").await;
        assert_eq!(verdicts().await, ["started", "loop"]);
        assert_eq!(w.runs(again, 1).await[0].status, "success");
        w.node.shutdown().await;
    }

    async fn an_incident_of_the_automation_holds_notifications_back(db: TestDb) {
        let w = World::boot(&db).await;
        let suppression = w.node.service("healthcheck", &incident_plugin::SUPPRESSION).expect("the service");
        let suppressed = async || suppression.has_active_incident_with_suppression("pay").await.expect("an answer");
        assert!(!suppressed().await);
        w.automation(json!({
            "name": "Quiet",
            "triggers": [{"event": "catalog.created"}],
            "actions": [{"action": "incident.create", "config": {"title": "x", "severity": "minor", "systemIds": ["{{ trigger.payload.systemId }}"], "suppressNotifications": true}}],
        })).await;
        w.system("pay", "Payments").await;
        eventually(suppressed, "notifications are held back").await;
        w.node.shutdown().await;
    }
}
