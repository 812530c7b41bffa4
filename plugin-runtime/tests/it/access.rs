//! Access rules and the routes that name them.

use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};
use plugin_api::{
    AccessRule, Actor, Principal,
    http::{Problem, Routes, with_request_id},
};
use test_kit::{Kit, Node, TestDb, TestPlugin};
use tower::ServiceExt;

fn declaring(id: &'static str, rules: &'static [AccessRule]) -> TestPlugin {
    TestPlugin::new(id).register(move |env| env.access_rules(rules))
}

const READ: AccessRule = AccessRule::new("automation.read", "See automations");
const MANAGE: AccessRule = AccessRule::new("automation.manage", "Manage automations");

#[tokio::test]
async fn plugins_19_26_rules_are_listed_as_given_and_refused_when_foreign_or_twice() {
    let db = TestDb::sqlite().await;
    let node = Kit::new(&db)
        .await
        .plugin(declaring("automation", &[READ]))
        .boot()
        .await;
    let rules = node.runtime().access_rules();
    let ids: Vec<&str> = rules.iter().map(|(_, r)| r.id).collect();
    assert_eq!(ids, ["core.read", "automation.read"]);
    node.shutdown().await;

    const SHAPES: [AccessRule; 4] = [
        AccessRule::new("automation", "x"),
        AccessRule::new("automation.write", "x"),
        AccessRule::new("automation.a.b.read", "x"),
        AccessRule::new("automation..read", "x"),
    ];
    let shape = |i: usize| {
        TestPlugin::new("automation").register(move |env| env.access_rules(&[SHAPES[i]]))
    };
    let kits = [
        Kit::new(&db)
            .await
            .plugin(declaring("automation", &[READ]))
            .plugin(declaring("other", &[READ])),
        Kit::new(&db)
            .await
            .plugin(declaring("automation", &[READ, READ])),
        Kit::new(&db).await.plugin(shape(0)),
        Kit::new(&db).await.plugin(shape(1)),
        Kit::new(&db).await.plugin(shape(2)),
        Kit::new(&db).await.plugin(shape(3)),
    ];
    for (i, kit) in kits.into_iter().enumerate() {
        let error = kit
            .try_boot()
            .await
            .err()
            .unwrap_or_else(|| panic!("kit {i} boots"));
        assert_eq!(error.phase(), "register", "{error}");
    }
}

async fn status(node: &Node, rules: Option<&[&str]>, path: &str) -> StatusCode {
    let mut request = Request::builder()
        .method(Method::GET)
        .uri(path)
        .body(Body::empty())
        .unwrap();
    if let Some(rules) = rules {
        request.extensions_mut().insert(Principal {
            actor: Actor::system(),
            rules: rules.iter().map(ToString::to_string).collect(),
        });
    }
    node.runtime()
        .router()
        .oneshot(request)
        .await
        .unwrap()
        .status()
}

#[tokio::test]
async fn a_failure_inside_is_found_in_the_log_by_the_id_in_its_answer() {
    let db = TestDb::sqlite().await;
    let plugin = declaring("automation", &[READ]).init(|ctx| {
        Box::pin(async move {
            let fails = async || Problem::internal(&"the cause");
            ctx.routes(Routes::new().get("/fails", &READ, fails))
        })
    });
    let node = Kit::new(&db).await.plugin(plugin).boot().await;
    let mut request = Request::get("/api/v1/fails").body(Body::empty()).unwrap();
    request.extensions_mut().insert(Principal {
        actor: Actor::system(),
        rules: ["*".to_owned()].into(),
    });
    let router = node.runtime().router();
    let answer = with_request_id("r-1".into(), router.oneshot(request));
    let answer = node.run(answer).await.unwrap();
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let body = axum::body::to_bytes(answer.into_body(), 10_000)
        .await
        .unwrap();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["instance"], "r-1");
    assert!(!body.to_string().contains("the cause"), "{body}");
    let logged = node.logs().lines();
    let found = |l: &test_kit::Line| {
        let line = l.to_string();
        line.contains("the cause") && line.contains("r-1")
    };
    assert!(logged.iter().any(found), "{logged:?}");
    node.shutdown().await;
}

#[tokio::test]
async fn routes_check_their_rule_and_name_only_declared_ones() {
    let db = TestDb::sqlite().await;
    let plugin = declaring("automation", &[READ, MANAGE]).init(|ctx| {
        Box::pin(async move {
            let routes = Routes::new()
                .get("/automations", &READ, async || "list")
                .post("/automations", &MANAGE, async || "made");
            ctx.routes(routes)
        })
    });
    let node = Kit::new(&db).await.plugin(plugin).boot().await;
    let path = "/api/v1/automations";
    assert_eq!(status(&node, None, path).await, StatusCode::UNAUTHORIZED);
    assert_eq!(
        status(&node, Some(&["x.read"]), path).await,
        StatusCode::FORBIDDEN
    );
    for may in ["automation.read", "automation.manage", "*"] {
        assert_eq!(status(&node, Some(&[may]), path).await, StatusCode::OK);
    }
    assert_eq!(node.runtime().routes().len(), 2);
    node.shutdown().await;

    let unknown = TestPlugin::new("automation").init(|ctx| {
        Box::pin(async move { ctx.routes(Routes::new().get("/a", &READ, async || "")) })
    });
    let error = Kit::new(&db)
        .await
        .plugin(unknown)
        .try_boot()
        .await
        .err()
        .expect("no boot")
        .to_string();
    assert!(
        error.contains("automation.read") && error.contains("GET /a"),
        "{error}"
    );
}
