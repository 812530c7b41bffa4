//! The main job on the virtual clock: a system goes down, an automation notices after its dwell,
//! opens an incident, and resolves it once the system has been healthy for a while.

use crate::world::{MINUTE, World, escalating};
use plugin_api::Clock;
use serde_json::{Value, json};
use test_kit::{TestDb, both_engines, eventually};

/// The automation of `healthcheck §14`.
fn incident_on_outage() -> Value {
    json!({
        "name": "Incident on outage",
        "mode": "single",
        "concurrency_scope": "context_key",
        "triggers": [{"id": "sick", "event": "healthcheck.system_degraded", "for": {"minutes": 30}}],
        "conditions": ["{{ !health.system.in_maintenance }}"],
        "actions": [
            {"id": "open", "action": "incident.create", "config": {"title": "{{ trigger.payload.systemId }} down", "severity": "critical",
                "systemIds": ["{{ trigger.payload.systemId }}"], "dedupe_open_for_system": true}},
            {"wait_until": {"condition": {"state": {"entity": "{{ trigger.payload.systemId }}", "status": "healthy", "for": {"minutes": 10}}}}},
            {"id": "close", "action": "incident.resolve", "config": {"message": "stable again"}},
        ],
    })
}

both_engines! {
    async fn healthcheck_19_20_a_measured_value_fires_above_the_bound_and_not_on_it(db: TestDb) {
        let w = World::boot(&db).await;
        w.watched("pay", "Payments", escalating()).await;
        let above = w.automation(json!({
            "name": "Slow", "mode": "parallel", "max_runs": 10,
            "triggers": [{"event": "automation.numeric_state", "config": {"field": "latencyMs", "above": 500}}],
            "actions": [{"action": "automation.log", "config": {"message": "{{ trigger.payload.value }} ms on {{ trigger.payload.systemId }}"}}],
        })).await;
        w.slow("pay", 500).await;
        w.slow("pay", 501).await;
        let runs = w.runs(above, 1).await;
        let payload = &runs[0].trigger_payload.0;
        assert_eq!((&payload["field"], payload["value"].as_f64(), &payload["latencyMs"]), (&json!("latencyMs"), Some(501.0), &json!(501)));
        assert_eq!(runs[0].context_key.as_deref(), Some("pay"));
        w.node.run_with(above, "success").await;
        assert_eq!(w.logged(above).await, ["501 ms on pay"]);
        // Level-triggered: every result above the bound fires.
        w.slow("pay", 900).await;
        w.runs(above, 2).await;
        w.node.shutdown().await;
    }

    async fn healthcheck_19_30_an_escalation_does_not_put_the_incident_off(db: TestDb) {
        let w = World::boot(&db).await;
        w.watched("pay", "Payments", escalating()).await;
        let automation = w.automation(incident_on_outage()).await;
        w.down("pay").await;
        let degraded_at = w.clock.now();
        assert_eq!(w.armed(automation, 1).await, [degraded_at.plus_millis(30 * 60_000)]);
        w.clock.advance(10 * MINUTE);
        w.down("pay").await;
        w.down("pay").await;
        assert_eq!(w.node.get("/health/pay").await.ok()["status"], "unhealthy");
        assert_eq!(w.armed(automation, 1).await, [degraded_at.plus_millis(30 * 60_000)]);
        w.clock.set(degraded_at.plus_millis(30 * 60_000 - 1));
        w.incidents(0).await;
        w.clock.set(degraded_at.plus_millis(30 * 60_000));
        let incidents = w.incidents(1).await;
        assert_eq!(incidents[0]["created_at"], "2026-01-15T12:30:00.000Z");
        assert_eq!((&incidents[0]["title"], &incidents[0]["status"]), (&json!("pay down"), &json!("investigating")));
        w.node.shutdown().await;
    }

    async fn healthcheck_19_31_an_incident_is_opened_after_the_dwell_and_resolved_by_time_alone(db: TestDb) {
        let w = World::boot(&db).await;
        w.watched("pay", "Payments", escalating()).await;
        let automation = w.automation(incident_on_outage()).await;
        // Recovered at minute 20: nothing.
        w.down("pay").await;
        w.armed(automation, 1).await;
        w.clock.advance(20 * MINUTE);
        w.up("pay").await;
        w.armed(automation, 0).await;
        w.clock.advance(20 * MINUTE);
        w.incidents(0).await;
        // Half an hour without a break.
        w.down("pay").await;
        let fire_at = w.armed(automation, 1).await[0];
        assert_eq!(fire_at, w.clock.now().plus_millis(30 * 60_000));
        for _ in 0..2 {
            w.clock.advance(10 * MINUTE);
            w.down("pay").await;
        }
        w.clock.set(fire_at);
        let opened = w.incidents(1).await;
        assert_eq!(opened[0]["status"], "investigating");
        w.node.run_with(automation, "waiting").await;
        // A short recovery is none.
        w.clock.advance(5 * MINUTE);
        w.up("pay").await;
        w.clock.advance(9 * MINUTE);
        w.down("pay").await;
        w.clock.advance(5 * MINUTE);
        assert_eq!(w.incidents(1).await[0]["status"], "investigating");
        // A lasting one is; no check runs any more, only time passes.
        w.up("pay").await;
        let recovered_at = w.clock.now();
        w.clock.set(recovered_at.plus_millis(10 * 60_000 - 1));
        assert_eq!(w.incidents(1).await[0]["status"], "investigating");
        w.clock.set(recovered_at.plus_millis(10 * 60_000));
        eventually(async || w.incident(&opened[0]).await["status"] == "resolved", "the incident is resolved").await;
        let incident = w.incident(&opened[0]).await;
        assert_eq!(incident["updates"].as_array().map(Vec::len), Some(1));
        assert_eq!((&incident["updates"][0]["message"], &incident["updates"][0]["created_at"]), (&json!("stable again"), &json!(recovered_at.plus_millis(10 * 60_000).to_text())));
        w.node.run_with(automation, "success").await;
        w.runs(automation, 1).await;
        w.node.shutdown().await;
    }
}
