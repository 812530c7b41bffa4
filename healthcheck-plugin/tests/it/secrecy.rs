//! Where a secret must not appear, whoever repeats it (`healthcheck §3.1.8`).

use crate::world::{Target, World};
use serde_json::{Value, json};
use test_kit::{both_engines, eventually};

const VALUE: &str = "hunter2-correct-horse";

both_engines! {
    async fn healthcheck_19_19_a_secret_that_the_target_echoes_is_nowhere(db: test_kit::TestDb) {
        let w = World::boot_knowing(&db, "TOKEN", VALUE).await;
        let input = json!({ "strategy": "switch", "intervalSeconds": 3600,
            "config": { "timeout": 5000, "target": "${{ secrets.TOKEN }}" },
            "collectors": [{ "id": "e", "collectorId": "echo", "config": { "text": "Bearer ${{ secrets.TOKEN }}" } }] });
        w.ok("PUT", "/checks/api".into(), input.clone()).await;
        w.ok("PUT", "/checks/api/assignments/shop".into(), json!({})).await;
        w.run("api", "shop").await;
        w.switch.set(VALUE, Target::Echoing);
        w.node.clock().advance(std::time::Duration::from_secs(1));
        w.run("api", "shop").await;

        let page = w.ok("GET", "/check-runs?check=api&system_id=shop".into(), Value::Null).await;
        // Both were told the value: one by its collector, the other when it was connected to.
        let (connect, collect) = (&page["items"][0]["result"], &page["items"][1]["result"]);
        assert_eq!(connect["message"], json!("Check failed: **** refused"));
        assert_eq!(connect["metadata"]["error"], json!("**** refused"));
        assert_eq!(collect["message"], json!("Check failed: the target said Bearer ****"));
        let stored = &collect["metadata"]["collectors"]["e"];
        assert_eq!((&stored["text"], &stored["error"]), (&json!("Bearer ****"), &json!("the target said Bearer ****")));

        eventually(async || w.seen.hooks.lock().unwrap().len() == 4, "all hooks fire").await;
        let hooks = format!("{:?}", w.seen.hooks.lock().unwrap());
        assert!(hooks.contains("Bearer ****"), "{hooks}");
        let check = w.ok("GET", "/checks/api".into(), Value::Null).await;
        assert_eq!(check["config"], input["config"], "the reference is what is stored");
        for said in [page.to_string(), hooks, check.to_string()] {
            assert!(!said.contains(VALUE), "{said}");
        }
        assert!(!w.node.logs().contains(VALUE));
    }
}
