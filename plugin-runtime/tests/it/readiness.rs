//! `/healthz` and `/readyz`.

use axum::{
    body::{Body, to_bytes},
    http::{Request, StatusCode},
};
use plugin_api::{
    Actor, BoxError, Clock, Principal,
    readiness::{Probe, ProbeDef, ProbeResult},
};
use plugin_runtime::{Readiness, health_routes};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};
use test_kit::{Kit, TestDb, TestPlugin, eventually, within};
use tower::ServiceExt;

/// 0: ok, 1: not ok, 2: panics, 3: hangs.
#[derive(Clone, Default)]
struct Switch(Arc<AtomicU8>);

#[async_trait::async_trait]
impl Probe for Switch {
    async fn check(&self) -> ProbeResult {
        match self.0.load(Ordering::SeqCst) {
            0 => ProbeResult {
                ok: true,
                message: None,
            },
            1 => ProbeResult {
                ok: false,
                message: Some("switched off".into()),
            },
            2 => panic!("a probe that panics"),
            _ => std::future::pending().await,
        }
    }
}

fn probing(name: &'static str, critical: bool, switch: &Switch) -> TestPlugin {
    let switch = switch.clone();
    TestPlugin::new(name).init(move |ctx| {
        let probe = Box::new(switch.clone());
        let name = format!("{name}.probe");
        Box::pin(async move {
            ctx.readiness(ProbeDef {
                name,
                critical,
                probe,
            })
        })
    })
}

async fn ask(readiness: &Arc<Readiness>, detailed: bool) -> (StatusCode, Value) {
    let mut request = Request::get("/readyz").body(Body::empty()).unwrap();
    if detailed {
        request.extensions_mut().insert(Principal {
            actor: Actor::system(),
            rules: ["core.read".to_owned()].into(),
        });
    }
    let response = health_routes(readiness.clone())
        .oneshot(request)
        .await
        .unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), 10_000).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn plugins_19_30_ready_after_the_boot_while_critical_probes_are_ok() {
    let db = TestDb::sqlite().await;
    let (vital, nice) = (Switch::default(), Switch::default());
    let during: Arc<Mutex<Option<StatusCode>>> = Arc::default();
    let kit = Kit::new(&db).await;
    let mut readiness = None;
    let kit = kit.configure(|b| {
        readiness = Some(b.readiness());
        b
    });
    let readiness = readiness.unwrap();
    let (asked, asks) = (during.clone(), readiness.clone());
    let curious = TestPlugin::new("curious").ready(move |_| {
        let (asked, asks) = (asked.clone(), asks.clone());
        Box::pin(async move {
            *asked.lock().unwrap() = Some(ask(&asks, false).await.0);
            Ok(())
        })
    });
    let kit = kit
        .plugin(probing("vital", true, &vital))
        .plugin(probing("nice", false, &nice))
        .plugin(curious);
    let node = kit.boot().await;
    let clock = node.clock();
    assert_eq!(
        *during.lock().unwrap(),
        Some(StatusCode::SERVICE_UNAVAILABLE)
    );

    let (status, body) = ask(&readiness, false).await;
    assert_eq!(status, StatusCode::OK);
    let line = |name: &str, critical: bool, ok: bool| json!({"name": name, "critical": critical, "ok": ok});
    let expected = |vital: bool, nice: bool| {
        json!([
            line("core.init", true, true),
            line("core.database", true, true),
            line("core.queue", true, true),
            line("core.schema", false, true),
            line("vital.probe", true, vital),
            line("nice.probe", false, nice)
        ])
    };
    assert_eq!(body, json!({"ready": true, "probes": expected(true, true)}));

    // Answers are kept for a second.
    vital.0.store(1, Ordering::SeqCst);
    assert_eq!(ask(&readiness, false).await.0, StatusCode::OK);
    clock.advance(Duration::from_secs(1));
    let (status, body) = ask(&readiness, false).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        body,
        json!({"ready": false, "probes": expected(false, true)})
    );
    let (_, body) = ask(&readiness, true).await;
    assert_eq!(body["probes"][4]["message"], "switched off");
    assert_eq!(body["probes"][4]["ms"], 0);

    vital.0.store(0, Ordering::SeqCst);
    nice.0.store(2, Ordering::SeqCst);
    clock.advance(Duration::from_secs(1));
    let (status, body) = ask(&readiness, true).await;
    assert_eq!(
        (status, &body["probes"][5]["message"]),
        (StatusCode::OK, &json!("the probe panicked"))
    );

    // A hanging probe costs one second and is not ok.
    nice.0.store(3, Ordering::SeqCst);
    clock.advance(Duration::from_secs(1));
    let before = clock.now();
    let asking = plugin_api::spawn({
        let readiness = readiness.clone();
        async move { ask(&readiness, true).await }
    });
    let limit = before.plus_millis(1000);
    // Every probe sets the limit; only the hanging one keeps it.
    let alone = async || clock.sleeping_until(limit) == 1;
    eventually(alone, "the time limit of the hanging probe").await;
    clock.advance(Duration::from_secs(1));
    let (status, body) = within(asking, "the answer").await.unwrap();
    assert_eq!(
        (status, &body["probes"][5]["message"]),
        (StatusCode::OK, &json!("no answer within 1 s"))
    );
    assert_eq!(body["probes"][5]["ms"], 1000);

    nice.0.store(0, Ordering::SeqCst);
    node.shutdown().await;
    let (status, body) = ask(&readiness, true).await;
    assert_eq!(
        (status, &body["probes"][0]["message"]),
        (
            StatusCode::SERVICE_UNAVAILABLE,
            &json!("the process is stopping")
        )
    );
    let health = Request::get("/healthz").body(Body::empty()).unwrap();
    let health = health_routes(readiness).oneshot(health).await.unwrap();
    assert_eq!(health.status(), StatusCode::OK);
}

#[tokio::test]
async fn an_answer_is_kept_for_a_second_whatever_the_wall_clock_does() {
    let db = TestDb::sqlite().await;
    let switch = Switch::default();
    let kit = Kit::new(&db).await.plugin(probing("vital", true, &switch));
    let node = kit.boot().await;
    let (clock, readiness) = (node.clock(), node.runtime().readiness());
    assert!(readiness.report().await.ready);
    switch.0.store(1, Ordering::SeqCst);
    clock.set(clock.now().plus_millis(-3_600_000));
    assert!(readiness.report().await.ready, "still fresh");
    clock.advance(Duration::from_secs(1));
    assert!(!readiness.report().await.ready, "asked again");
    node.shutdown().await;
}

#[tokio::test]
async fn probe_names_are_unique_and_begin_with_the_plugin() {
    let db = TestDb::sqlite().await;
    for name in ["other.probe", "mine", "mine.", "core.database"] {
        let plugin = TestPlugin::new("mine").init(move |ctx| {
            let probe = Box::new(Switch::default());
            let refused = ctx.readiness(ProbeDef {
                name: name.into(),
                critical: false,
                probe,
            });
            Box::pin(async move { refused })
        });
        let error = Kit::new(&db)
            .await
            .plugin(plugin)
            .try_boot()
            .await
            .err()
            .expect("no boot");
        assert!(error.to_string().contains(name), "{error}");
    }
    let twice = TestPlugin::new("mine").init(|ctx| {
        let probe = || ProbeDef {
            name: "mine.probe".into(),
            critical: false,
            probe: Box::new(Switch::default()),
        };
        let second: Result<(), BoxError> =
            ctx.readiness(probe()).and_then(|()| ctx.readiness(probe()));
        Box::pin(async move { second })
    });
    let error = Kit::new(&db)
        .await
        .plugin(twice)
        .try_boot()
        .await
        .err()
        .expect("no boot");
    assert!(error.to_string().contains("twice"), "{error}");
}
