//! The seeds with `window`: they run as soon as the engine says that it counts windows.

use crate::{
    seeds::stored,
    switch::Target,
    world::{MINUTE, World, escalating},
};
use serde_json::json;
use test_kit::{TestDb, both_engines};

async fn open(w: &World, severity: &str) {
    let body = json!({"title": "x", "system_ids": ["pay"], "severity": severity});
    w.node.post("/incidents", body).await.expect(201);
}

both_engines! {
    async fn seeds_flapping_as_a_window(db: TestDb) {
        let Some((w, automation)) = stored(&db, "flapping as a window").await else { return };
        w.watched("pay", "Payments", escalating()).await;
        w.watched("shop", "Shop", escalating()).await;
        // Degraded, unhealthy: two changes of each.
        for system in ["pay", "shop"] {
            for _ in 0..3 {
                w.down(system).await;
            }
        }
        w.runs(automation, 0).await;
        w.up("pay").await;
        w.clock.advance(10 * MINUTE);
        w.runs(automation, 0).await;
        w.down("pay").await;
        let runs = w.runs(automation, 1).await;
        assert_eq!(runs[0].context_key.as_deref(), Some("pay"));
        // A fourth does not fire again.
        w.down("pay").await;
        w.down("pay").await;
        w.runs(automation, 1).await;
        // What is more than an hour ago does not count for the other.
        w.clock.advance(61 * MINUTE);
        w.up("shop").await;
        w.down("shop").await;
        w.runs(automation, 1).await;
        w.node.run_with(automation, "success").await;
        w.node.shutdown().await;
    }

    async fn seeds_partition_by_severity(db: TestDb) {
        let Some((w, automation)) = stored(&db, "partition by severity").await else { return };
        open(&w, "major").await;
        open(&w, "critical").await;
        w.runs(automation, 0).await;
        w.clock.advance(MINUTE);
        open(&w, "major").await;
        let runs = w.runs(automation, 1).await;
        assert_eq!(runs[0].trigger_payload.0["severity"], "major");
        w.node.run_with(automation, "success").await;
        w.clock.advance(11 * MINUTE);
        open(&w, "critical").await;
        w.runs(automation, 1).await;
        open(&w, "critical").await;
        let runs = w.runs(automation, 2).await;
        assert_eq!(runs[1].trigger_payload.0["severity"], "critical");
        w.node.shutdown().await;
    }

    async fn seeds_composite_partition_key(db: TestDb) {
        let Some((w, automation)) = stored(&db, "composite partition key").await else { return };
        w.system("pay", "Payments").await;
        for check in ["api", "web"] {
            w.check(check, "pay", escalating()).await;
        }
        let fail = async |check: &str| w.run(check, "pay", Target { down: true, slow_ms: 0 }).await;
        fail("api").await;
        fail("web").await;
        w.runs(automation, 0).await;
        w.clock.advance(MINUTE);
        fail("web").await;
        let runs = w.runs(automation, 1).await;
        assert_eq!(runs[0].context_key.as_deref(), Some("pay"));
        w.node.run_with(automation, "success").await;
        w.node.shutdown().await;
    }
}
