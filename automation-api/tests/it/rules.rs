//! Every route of the API needs its rule.

use crate::world::boot;
use serde_json::json;
use test_kit::{TestDb, both_engines};

both_engines! {
    async fn api_13_2_every_route_needs_a_token_and_its_rule(db: TestDb) {
        let node = boot(&db).await;
        let routes = node.runtime().routes();
        let own: Vec<_> = routes.iter().filter(|(plugin, _)| plugin.as_str() == "automation-api").collect();
        assert!(own.len() >= 30, "{} routes", own.len());
        for (_, route) in own {
            let method = route.method.as_str();
            let path = route.path.replace("{id}", "x").replace("{kind}", "incident");
            let call = || node.http(method, &path).json(&json!({}));
            let answer = call().anonymous().await;
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{method} {path}");
            answer.problem(401, "unauthenticated");
            let problem = call().rules(&["catalog.read", "automation.other"]).await.problem(403, "forbidden");
            assert!(problem["detail"].as_str().is_some_and(|d| d.contains(route.rule)), "{method} {path}: {problem}");
            let allowed = call().rules(&[route.rule]).await.status;
            assert!(![401, 403].contains(&allowed), "{method} {path} with {}: {allowed}", route.rule);
        }
        node.shutdown().await;
    }

    async fn managing_implies_reading_and_reading_does_not_imply_managing(db: TestDb) {
        let node = boot(&db).await;
        node.get("/automations").rules(&["automation.manage"]).await.ok();
        let problem = node.post("/automations", json!({})).rules(&["automation.read", "automation.entity.read"]).await.problem(403, "forbidden");
        assert_eq!(problem["detail"], "This needs the access rule automation.manage.");
        node.get("/entity-kinds").rules(&["automation.manage"]).await.problem(403, "forbidden");
        node.get("/entity-kinds").rules(&["automation.entity.read"]).await.ok();
        node.shutdown().await;
    }
}
