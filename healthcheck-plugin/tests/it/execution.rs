//! Single runs against real services and odd collectors (`healthcheck §3`, `§5`).

use crate::probe::{Odd, Renamed, Seen, closed_port, no_secrets, secret, web_service};
use healthcheck_plugin::{
    Status,
    executor::{
        SecretSource,
        run::{CheckPlan, Outcome, admit, execute},
    },
    strategies::Strategies,
};
use plugin_api::{Clock, SystemClock};
use serde_json::{Value, json};
use std::sync::{Arc, atomic::Ordering};

fn plan(strategy: &str, config: Value, collectors: Value) -> CheckPlan {
    CheckPlan {
        strategy_id: strategy.into(),
        config,
        collectors: serde_json::from_value(collectors).expect("entries"),
        unusable: Default::default(),
    }
}

async fn run_with(plan: &CheckPlan, secrets: &SecretSource, seen: &Arc<Seen>) -> Outcome {
    let clock: Arc<dyn Clock> = SystemClock::new();
    let mut strategies = Strategies::built_in(&clock);
    strategies.add(Arc::new(Odd(seen.clone())));
    strategies.add(Arc::new(Renamed));
    let plan = plan.clone().migrated(&strategies).expect("a usable config");
    let places = admit(&strategies, &plan).await;
    execute(&strategies, secrets, &clock, &plan, places).await
}

async fn run(plan: &CheckPlan) -> Outcome {
    run_with(plan, &no_secrets(), &Arc::default()).await
}

fn http(entries: Value) -> CheckPlan {
    plan(
        "healthcheck-http.http",
        json!({ "timeout": 10_000 }),
        entries,
    )
}

fn request(id: &str, url: String, assertions: Value) -> Value {
    json!({ "id": id, "collectorId": "healthcheck-http.request", "config": { "url": url }, "assertions": assertions })
}

#[tokio::test]
async fn healthcheck_19_11_a_refused_connection_is_an_unhealthy_run() {
    let port = closed_port().await;
    let entries = json!([{ "id": "b", "collectorId": "healthcheck-tcp.banner" }]);
    let outcome = run(&plan(
        "healthcheck-tcp.tcp",
        json!({ "host": "127.0.0.1", "port": port, "timeout": 5000 }),
        entries,
    ))
    .await;
    assert_eq!(outcome.status, Status::Unhealthy);
    assert_eq!(outcome.result["metadata"]["connected"], json!(false));
    assert_eq!(outcome.collectors, None);
    let message = outcome.result["message"].as_str().expect("a message");
    assert!(
        message.starts_with("Check failed: Connection failed: "),
        "{message}"
    );
    assert!(outcome.result["latencyMs"].is_i64());
}

#[tokio::test]
async fn a_check_without_collectors_tests_the_connection() {
    let base = web_service().await;
    let port: u16 = base
        .rsplit(':')
        .next()
        .and_then(|p| p.parse().ok())
        .expect("a port");
    let config = json!({ "host": "127.0.0.1", "port": port, "timeout": 5000 });
    let outcome = run(&plan("healthcheck-tcp.tcp", config.clone(), json!([]))).await;
    assert_eq!(outcome.status, Status::Healthy);
    assert_eq!(outcome.result["metadata"]["connected"], json!(true));

    // A web server does not speak first; that is no error.
    let entries = json!([{ "id": "b", "collectorId": "healthcheck-tcp.banner", "config": { "timeout": 100 } }]);
    let outcome = run(&plan("healthcheck-tcp.tcp", config, entries)).await;
    assert_eq!(outcome.status, Status::Healthy);
    assert_eq!(
        outcome.collectors.expect("results")["b"]["hasBanner"],
        json!(false)
    );
}

#[tokio::test]
async fn healthcheck_19_12_a_hanging_collector_ends_at_the_time_limit() {
    let seen = Arc::<Seen>::default();
    let entries = json!([
        { "id": "h", "collectorId": "healthcheck-odd.hang" },
        { "id": "f", "collectorId": "healthcheck-odd.fine" },
    ]);
    let odd = plan("healthcheck-odd.odd", json!({ "timeout": 150 }), entries);
    let outcome = run_with(&odd, &no_secrets(), &seen).await;
    assert_eq!(outcome.status, Status::Unhealthy);
    assert_eq!(
        outcome.result["metadata"]["error"],
        json!("Execution timeout after 150ms")
    );
    assert_eq!(outcome.result["metadata"]["connected"], json!(true));
    assert!(
        !seen.hanging.load(Ordering::SeqCst),
        "the collector still hangs"
    );
    assert_eq!(seen.closed.load(Ordering::SeqCst), 1);
    assert!((150..5_000).contains(&outcome.latency_ms.expect("a latency")));
    // What was measured in time is kept.
    assert_eq!(outcome.collectors.expect("results")["f"]["n"], json!(7));
}

#[tokio::test]
async fn healthcheck_19_12_a_script_is_killed_at_the_time_limit() {
    let file = tempfile_path();
    let entries = json!([{ "id": "s", "collectorId": "healthcheck-script.execute",
        "config": { "command": format!("echo $$ > {file}; sleep 1000") } }]);
    let outcome = run(&plan(
        "healthcheck-script.script",
        json!({ "timeout": 500 }),
        entries,
    ))
    .await;
    assert_eq!(
        outcome.result["metadata"]["error"],
        json!("Execution timeout after 500ms")
    );
    let pid = std::fs::read_to_string(&file).expect("the script started");
    let stat = format!("/proc/{}/stat", pid.trim());
    let dead = || match std::fs::read_to_string(&stat) {
        Ok(text) => text
            .rsplit(')')
            .next()
            .is_some_and(|s| s.trim().starts_with('Z')),
        Err(_) => true,
    };
    test_kit::eventually(async || dead(), "the script is dead").await;
    let _ = std::fs::remove_file(&file);
}

fn tempfile_path() -> String {
    let id = SystemClock::new().new_uuid();
    std::env::temp_dir()
        .join(format!("signalbox-check-{id}"))
        .display()
        .to_string()
}

#[tokio::test]
async fn healthcheck_19_13_two_requests_store_two_results() {
    let base = web_service().await;
    let outcome = run(&http(json!([
        request("first", format!("{base}/status/200"), json!([])),
        request("second", format!("{base}/status/204"), json!([])),
    ])))
    .await;
    assert_eq!(outcome.status, Status::Healthy);
    let results = outcome.collectors.expect("results");
    assert_eq!(results["first"]["statusCode"], json!(200));
    assert_eq!(results["second"]["statusCode"], json!(204));
    assert_eq!(
        results["second"]["_collectorId"],
        json!("healthcheck-http.request")
    );
}

#[tokio::test]
async fn healthcheck_19_14_a_panicking_collector_spares_the_others() {
    let entries = json!([
        { "id": "p", "collectorId": "healthcheck-odd.panic" },
        { "id": "f", "collectorId": "healthcheck-odd.fine" },
        { "id": "u", "collectorId": "healthcheck-odd.nobody" },
    ]);
    let seen = Arc::<Seen>::default();
    let odd = plan("healthcheck-odd.odd", json!({ "timeout": 5000 }), entries);
    let outcome = run_with(&odd, &no_secrets(), &seen).await;
    assert_eq!(outcome.status, Status::Unhealthy);
    assert_eq!(
        outcome.result["message"],
        json!("Check failed: the collector panicked")
    );
    let results = outcome.collectors.expect("results");
    assert_eq!(results["f"]["n"], json!(7));
    assert_eq!(results["p"]["error"], json!("the collector panicked"));
    assert_eq!(
        results["u"]["error"],
        json!("unknown collector healthcheck-odd.nobody")
    );
    assert_eq!(seen.closed.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn healthcheck_19_17_an_expected_404_is_healthy() {
    let base = web_service().await;
    let url = format!("{base}/status/404");
    let bare = run(&http(json!([request("r", url.clone(), json!([]))]))).await;
    assert_eq!(bare.status, Status::Unhealthy);
    assert_eq!(
        bare.result["message"],
        json!("Check failed: HTTP 404: Not Found")
    );

    let expected = json!([{ "field": "statusCode", "operator": "equals", "value": 404 }]);
    let outcome = run(&http(json!([request("r", url.clone(), expected)]))).await;
    assert_eq!(outcome.status, Status::Healthy);

    let wrong = json!([{ "field": "statusCode", "operator": "equals", "value": 410 }]);
    let outcome = run(&http(json!([request("r", url, wrong)]))).await;
    assert_eq!(
        outcome.result["message"],
        json!("Check failed: Assertion failed: statusCode equals 410")
    );
    assert_eq!(
        outcome.collectors.expect("results")["r"]["_assertionFailed"],
        json!("Assertion failed: statusCode equals 410")
    );
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let base = web_service().await;
    let outcome = run(&http(json!([request(
        "r",
        format!("{base}/status/302"),
        json!([])
    )])))
    .await;
    assert_eq!(outcome.status, Status::Healthy);
    assert_eq!(
        outcome.collectors.expect("results")["r"]["statusCode"],
        json!(302)
    );
}

#[tokio::test]
async fn healthcheck_19_18_the_body_is_used_and_not_stored() {
    let base = web_service().await;
    let assertions =
        json!([{ "field": "body", "jsonPath": "$.status", "operator": "equals", "value": "ok" }]);
    let outcome = run(&http(json!([request(
        "r",
        format!("{base}/json"),
        assertions
    )])))
    .await;
    assert_eq!(outcome.status, Status::Healthy);
    let result = &outcome.result["metadata"]["collectors"]["r"];
    assert_eq!(result["bodyLength"], json!(15));
    assert_eq!(result.get("body"), None);
    assert!(result["responseTimeMs"].is_i64());
}

#[tokio::test]
async fn healthcheck_19_19_a_secret_never_appears() {
    let base = web_service().await;
    let value = "hunter2-correct-horse";
    let secrets = secret("TOKEN", value);
    let entries = json!([{ "id": "r", "collectorId": "healthcheck-http.request",
        "config": { "url": format!("{base}/echo"), "headers": [{ "name": "x-token", "value": "${{ secrets.TOKEN }}" }] },
        "assertions": [
            { "field": "body", "operator": "equals", "value": value },
            { "field": "bodyLength", "operator": "equals", "value": 1 },
        ] }]);
    let outcome = run_with(&http(entries), &secrets, &Arc::default()).await;
    // The service got the value: the first assertion held and the second decided.
    assert_eq!(
        outcome.result["message"],
        json!("Check failed: Assertion failed: bodyLength equals 1")
    );
    assert!(!outcome.result.to_string().contains(value));

    let script = json!([{ "id": "s", "collectorId": "healthcheck-script.execute",
        "config": { "command": "echo \"token $T\"; echo \"$T\" >&2; exit 1",
                    "secretEnv": { "T": "${{ secrets.TOKEN }}" } } }]);
    let script = plan(
        "healthcheck-script.script",
        json!({ "timeout": 10_000 }),
        script,
    );
    let outcome = run_with(&script, &secrets, &Arc::default()).await;
    let result = &outcome.collectors.expect("results")["s"];
    assert_eq!(result["stdout"], json!("token ****"));
    assert_eq!(result["stderr"], json!("****"));
    assert_eq!(
        outcome.result["message"],
        json!("Check failed: Exit code: 1")
    );
}

#[tokio::test]
async fn an_unresolvable_secret_is_named() {
    let entries = json!([{ "id": "r", "collectorId": "healthcheck-http.request",
        "config": { "url": "http://127.0.0.1:1/${{ secrets.MISSING }}" } }]);
    let outcome = run(&http(entries.clone())).await;
    assert_eq!(
        outcome.result["metadata"]["error"],
        json!("secret MISSING cannot be resolved: no secrets platform is installed")
    );
    assert_eq!(outcome.result["metadata"]["connected"], json!(false));
    let outcome = run_with(&http(entries), &secret("OTHER", "x"), &Arc::default()).await;
    assert_eq!(
        outcome.result["metadata"]["error"],
        json!("secret MISSING does not exist")
    );
}

#[tokio::test]
async fn an_unknown_strategy_is_an_unhealthy_run() {
    let outcome = run(&plan("healthcheck-gone.gone", json!({}), json!([]))).await;
    assert_eq!(outcome.status, Status::Unhealthy);
    assert_eq!(
        outcome.result["metadata"]["error"],
        json!("unknown strategy healthcheck-gone.gone")
    );
}

#[tokio::test]
async fn stored_configs_are_migrated_before_secrets_are_looked_for() {
    let entries = json!([
        { "id": "l", "collectorId": "healthcheck-renamed.login", "config": { "password": "${{ secrets.TOKEN }}" } },
        { "id": "g", "collectorId": "healthcheck-renamed.lost" },
    ]);
    let config = json!({ "timeout": 5000, "addr": "here" });
    let renamed = plan("healthcheck-renamed.renamed", config, entries);
    let secrets = secret("TOKEN", "hunter2-correct-horse");
    let outcome = run_with(&renamed, &secrets, &Arc::default()).await;
    let results = outcome.collectors.expect("a connection");
    assert_eq!(
        results["l"]["text"],
        json!("****"),
        "the value was there and is masked"
    );
    // One entry that cannot be used fails alone.
    let error = results["g"]["error"].as_str().expect("an error");
    assert!(error.contains("a key was lost"), "{error}");
    assert_eq!(outcome.status, Status::Unhealthy);
}
