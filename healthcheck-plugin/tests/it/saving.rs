//! What is refused when a check is saved (`healthcheck §3.1.7`).

use healthcheck_plugin::{
    strategies::Strategies,
    validate::{CheckInput, Issue, ValidCheck, check},
};
use plugin_api::{Clock, SystemClock};
use serde_json::{Value, json};
use std::sync::Arc;

fn validate(name: &str, input: Value) -> Result<ValidCheck, Vec<Issue>> {
    let clock: Arc<dyn Clock> = SystemClock::new();
    check(
        &Strategies::built_in(&clock),
        name,
        &CheckInput::read(&input),
    )
}

#[track_caller]
fn refused(input: Value, pointers: &[&str]) -> Vec<Issue> {
    let issues = validate("a check", input.clone()).expect_err("issues");
    let found: Vec<String> = issues.iter().map(Issue::pointer).collect();
    assert_eq!(found, pointers, "{input}: {issues:?}");
    issues
}

#[test]
fn a_sound_check_is_stored_qualified_and_complete() {
    let valid = validate(
        "api",
        json!({ "strategy": "http", "intervalSeconds": 60, "collectors": [
            { "collectorId": "request", "config": { "url": "https://api.example/health" } },
            { "collectorId": "healthcheck-http.request", "config": { "url": "https://api.example/ready" } },
        ] }),
    )
    .expect("valid");
    assert_eq!(valid.strategy_id, "healthcheck-http.http");
    assert_eq!(valid.config, json!({ "timeout": 30_000 }));
    assert_eq!(valid.interval_seconds, 60);
    let ids: Vec<&str> = valid.collectors.iter().map(|e| e.id.as_str()).collect();
    assert_eq!(
        ids,
        ["healthcheck-http.request", "healthcheck-http.request-2"]
    );
}

#[test]
fn everything_wrong_is_told_at_once_with_its_path() {
    refused(
        json!({ "strategy": "http", "intervalSeconds": 0, "config": { "timeuot": 5 }, "collectors": [
            { "id": "a", "collectorId": "request", "config": { "url": "no address" } },
            { "id": "a", "collectorId": "request", "config": { "url": "http://x/", "method": "FETCH" },
              "assertions": [{ "field": "statusCode", "operator": "contains", "value": 2 }] },
            { "collectorId": "nothing" },
        ] }),
        &[
            "/intervalSeconds",
            "/config/timeuot",
            "/collectors/0/config/url",
            "/collectors/1/config/method",
            "/collectors/1/assertions/0/operator",
            "/collectors/1/id",
            "/collectors/2/collectorId",
        ],
    );
}

#[test]
fn an_unknown_strategy_names_the_known_ones() {
    let issues = refused(
        json!({ "strategy": "telnet", "intervalSeconds": 5 }),
        &["/strategy"],
    );
    assert!(
        issues[0].message.contains("healthcheck-tcp.tcp"),
        "{}",
        issues[0].message
    );
}

#[test]
fn script_variables_are_checked() {
    let script = |config: Value| {
        json!({ "strategy": "script", "intervalSeconds": 5,
                "collectors": [{ "collectorId": "execute", "config": config }] })
    };
    refused(
        script(json!({ "command": "true", "env": { "LD_PRELOAD": "x" } })),
        &["/collectors/0/config/env"],
    );
    refused(
        script(json!({ "command": "true", "secretEnv": { "T": "plain text" } })),
        &["/collectors/0/config/secretEnv"],
    );
    refused(
        script(json!({ "command": "echo ${{ secrets.T }}" })),
        &["/collectors/0/config/command"],
    );
    let fine = script(json!({ "command": "true", "secretEnv": { "T": "${{ secrets.T }}" } }));
    assert!(validate("a check", fine).is_ok());
}

#[test]
fn a_blank_name_is_refused() {
    let issues = validate(
        " ",
        json!({ "strategy": "tcp", "intervalSeconds": 5,
        "config": { "host": "h", "port": 1 } }),
    )
    .expect_err("issues");
    assert_eq!(issues[0].pointer(), "/name");
}

#[test]
fn wrong_shapes_are_located() {
    refused(
        json!({ "strategy": 5, "interval": 5, "paused": "yes", "collectors": [
            { "collectorId": "request", "confg": {} },
            { "collectorId": "request", "assertions": [{ "field": "body" }] },
        ] }),
        &[
            "/interval",
            "/strategy",
            "/collectors/0/confg",
            "/collectors/1/assertions/0/operator",
            "/paused",
            "/interval_seconds",
        ],
    );
    refused(json!("no object"), &[""]);
}

#[test]
fn wrong_shapes_hide_nothing_else() {
    refused(
        json!({ "strategy": "http", "intervalSeconds": 0, "colectors": [], "config": 5, "collectors": [
            { "collectorId": "request", "confg": {}, "config": { "method": "FETCH" } },
            "no object",
            { "config": {} },
            { "id": 7, "collectorId": "request", "config": [], "assertions": [
                { "field": "statusCode", "op": "equals" },
                { "field": "statusCode", "operator": "contains", "value": 2 },
                5,
                { "field": 5, "operator": "equals" },
            ] },
            { "collectorId": "request", "config": { "url": "http://x/" }, "assertions": {} },
            { "collectorId": "nothing", "config": {} },
        ] }),
        &[
            "/colectors",
            "/config",
            "/collectors/0/confg",
            "/collectors/1",
            "/collectors/2/collectorId",
            "/collectors/3/assertions/0/op",
            "/collectors/3/assertions/0/operator",
            "/collectors/3/assertions/2",
            "/collectors/3/assertions/3/field",
            "/collectors/3/id",
            "/collectors/3/config",
            "/collectors/4/assertions",
            "/intervalSeconds",
            "/collectors/0/config/method",
            "/collectors/0/config/url",
            "/collectors/3/assertions/1/operator",
            "/collectors/5/collectorId",
        ],
    );
}

#[test]
fn a_missing_key_is_named_in_its_path() {
    refused(
        json!({ "strategy": "tcp", "interval_seconds": 5, "config": { "prot": 1 } }),
        &["/config/host", "/config/port", "/config/prot"],
    );
}
