//! Lists of automations: filters, pages, groups.

use crate::world::{all, boot, create, definition, field};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use test_kit::{Node, TestDb, both_engines};

async fn named(node: &Node, name: &str, more: Value) -> Value {
    let mut body = json!({"definition": definition(name, json!([]))});
    for (key, value) in more.as_object().expect("an object") {
        body[key] = value.clone();
    }
    node.post("/automations", body).await.expect(201)
}

both_engines! {
    async fn api_13_8_groups_are_sorted_and_counted(db: TestDb) {
        let node = boot(&db).await;
        for (name, group) in [("a", json!("ops")), ("b", json!("Billing")), ("c", json!("ops")), ("d", Value::Null), ("e", json!("zebra"))] {
            named(&node, name, json!({"group": group})).await;
        }
        let groups = node.get("/automation-groups").await.ok();
        assert_eq!(groups["items"], json!([{"group": "Billing", "count": 1}, {"group": "ops", "count": 2}, {"group": "zebra", "count": 1}]));
        node.shutdown().await;
    }

    async fn api_13_9_paging_repeats_and_skips_nothing_while_others_are_inserted(db: TestDb) {
        let node = boot(&db).await;
        let old: BTreeSet<String> = (0..120).map(|n| format!("{}utomation {n}", ["A", "Ä", "a", "ä"][n % 4])).collect();
        for name in &old {
            named(&node, name, json!({})).await;
        }
        let (mut seen, mut cursor, mut n) = (Vec::new(), String::new(), 0);
        loop {
            let page = node.get(&format!("/automations?limit=7{cursor}")).await.ok();
            seen.extend(field(page["items"].as_array().expect("items"), "name").into_iter().map(str::to_owned));
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
            named(&node, &format!("{}nserted {n}", ["I", "Ö", "aaa i"][n % 3]), json!({})).await;
            n += 1;
        }
        assert!(n >= 17, "{n} were inserted");
        seen.retain(|name| !name.contains("nserted"));
        assert_eq!(seen.len(), old.len(), "no duplicate");
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), old, "no gap");
        let cursor = node.get("/automations?limit=1").await.ok()["next_cursor"].as_str().expect("more").to_owned();
        node.get(&format!("/automations?q=a&cursor={cursor}")).await.problem(400, "bad_cursor");
        node.get("/automations?cursor=nonsense").await.problem(400, "bad_cursor");
        node.get(&format!("/systems?cursor={cursor}")).await.problem(400, "bad_cursor");
        node.shutdown().await;
    }

    async fn lists_are_filtered_and_ordered_by_name(db: TestDb) {
        let node = boot(&db).await;
        let log = json!([{"sequence": [{"action": "automation.log", "config": {"message": "x"}}]}]);
        create(&node, definition("beta", log)).await;
        named(&node, "Alpha", json!({"group": "Ops"})).await;
        named(&node, "Ärger", json!({"status": "disabled", "group": "Ops"})).await;
        named(&node, "gamma", json!({"managed_by": "apply:tools"})).await;
        let mut other = definition("Delta", json!([]));
        other["triggers"][0]["event"] = json!("incident.created");
        create(&node, other).await;
        for (query, expected) in [
            ("", vec!["Alpha", "beta", "Delta", "gamma", "Ärger"]),
            ("status=disabled", vec!["Ärger"]),
            ("group=Ops", vec!["Alpha", "Ärger"]),
            ("group=", vec!["beta", "Delta", "gamma"]),
            ("group=Ops&status=enabled", vec!["Alpha"]),
            ("managed_by=apply:tools", vec!["gamma"]),
            ("event=incident.created", vec!["Delta"]),
            ("event=incident", vec![]),
            ("action=automation.log", vec!["beta"]),
            ("q=%C3%84RG", vec!["Ärger"]),
            ("q=A", vec!["Alpha", "beta", "Delta", "gamma"]),
        ] {
            let found = all(&node, &format!("/automations?{query}"), 2).await;
            // The place of letters outside ASCII is the database's.
            let mut names = field(&found, "name");
            names.sort_by_key(|n| (!n.is_ascii(), n.to_lowercase()));
            assert_eq!(names, expected, "{query}");
        }
        let page = node.get("/automations?count=true&limit=2&group=Ops").await.ok();
        assert_eq!((&page["total"], page["items"].as_array().unwrap().len()), (&json!(2), 2));
        let summary = node.get("/automations?q=beta").await.ok();
        assert_eq!((summary["items"][0].get("definition"), &summary["items"][0]["trigger_events"]), (None, &json!(["catalog.created"])));
        let full = node.get("/automations?q=beta&view=full").await.ok();
        assert_eq!((&full["items"][0]["definition"]["name"], &full["items"][0]["health"]), (&json!("beta"), &json!("ok")));
        for query in ["status=on", "view=some", "limit=0", "lmit=1", "status=enabled&status=disabled"] {
            node.get(&format!("/automations?{query}")).await.problem(400, "bad_parameter");
        }
        node.shutdown().await;
    }
}
