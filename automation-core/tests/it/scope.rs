//! Names offered at a place (`definition §14`).

use crate::support::registries;
use automation_core::scope::{Entry, entries};
use automation_core::{Path, PathSegment};
use serde_json::{Value, json};

fn path(text: &str) -> Path {
    text.split('.')
        .map(|s| match s.parse::<usize>() {
            Ok(i) => PathSegment::Index(i),
            Err(_) => PathSegment::Key(s.to_owned()),
        })
        .collect()
}

fn at(definition: &Value, position: &str) -> Vec<Entry> {
    entries(definition, &path(position), &registries())
        .unwrap_or_else(|| panic!("{position} is a place"))
}

/// Paths of everything offered at a place below a root.
fn below(definition: &Value, position: &str, root: &str) -> Vec<String> {
    fn collect(entry: &Entry, out: &mut Vec<String>) {
        for child in &entry.children {
            let mark = if child.optional { "?" } else { "" };
            let when = match child.only_when.as_slice() {
                [] => String::new(),
                ids => format!(" when {}", ids.join(", ")),
            };
            out.push(format!("{}{mark}{when}", child.path));
            collect(child, out);
        }
    }
    let all = at(definition, position);
    let Some(entry) = all.iter().find(|e| e.path == root) else {
        return Vec::new();
    };
    let mut out = Vec::new();
    collect(entry, &mut out);
    out
}

fn payload(definition: &Value, position: &str) -> Vec<String> {
    let all = below(definition, position, "trigger");
    let fields = all
        .into_iter()
        .filter_map(|p| p.strip_prefix("trigger.payload.").map(str::to_owned));
    fields.collect()
}

fn two(actions: Value) -> Value {
    json!({
        "triggers": [{"event": "incident.resolved"}, {"id": "d", "event": "deploy.done"}],
        "actions": actions,
    })
}

#[test]
fn definition_14_1_the_trigger_is_that_of_the_position() {
    let d = json!({
        "triggers": [{"event": "incident.resolved", "filter": "x"}, {"id": "d", "event": "deploy.done"}],
        "conditions": ["x"],
        "actions": [{"wait_for_trigger": {"event": "deploy.done", "filter": "x"}}],
    });
    let kinds = |position: &str| -> Vec<String> {
        let all = at(&d, position);
        let trigger = all.iter().find(|e| e.path == "trigger").unwrap();
        trigger.children[..2]
            .iter()
            .map(|c| c.kind.clone())
            .collect()
    };
    assert_eq!(
        kinds("triggers.0.filter"),
        ["\"incident_resolved\"", "\"incident.resolved\""]
    );
    assert_eq!(
        kinds("conditions.0"),
        [
            "\"incident_resolved\" | \"d\"",
            "\"incident.resolved\" | \"deploy.done\""
        ]
    );
    assert_eq!(
        kinds("actions.0.wait_for_trigger.filter"),
        ["\"wait\"", "\"deploy.done\""]
    );
    assert_eq!(
        payload(&d, "actions.0.wait_for_trigger.filter"),
        ["service", "version"]
    );
    let roots =
        |position: &str| -> Vec<String> { at(&d, position).into_iter().map(|e| e.path).collect() };
    assert_eq!(
        roots("triggers.0.filter"),
        ["trigger", "health", "state", "now"]
    );
    assert_eq!(
        roots("actions.0"),
        [
            "trigger",
            "health",
            "state",
            "variables",
            "artifacts",
            "now"
        ]
    );
}

#[test]
fn definition_14_6_fields_that_not_all_payloads_have_say_whose_they_are() {
    assert_eq!(
        payload(&two(json!([{"stop": {}}])), "actions.0"),
        [
            "incident_id when incident_resolved",
            "by when incident_resolved",
            "by.name",
            "service when d",
            "version when d",
        ]
    );
}

#[test]
fn definition_18_30_inside_a_clause_the_payload_is_unconditional() {
    let d = two(json!([{
        "choose": [
            {"when": "trigger.event == \"deploy.done\"", "sequence": [{"action": "automation.log", "config": {"message": ""}}]},
            {"when": {"oops": 1}, "sequence": [{"stop": {}}]},
        ],
        "else": [{"stop": {}}],
    }]));
    assert_eq!(
        payload(&d, "actions.0.choose.0.sequence.0.config.message"),
        ["service", "version"]
    );
    // What is half-typed narrows nothing, and the earlier clause still takes its trigger.
    for later in ["actions.0.choose.1.sequence.0", "actions.0.else.0"] {
        assert_eq!(
            payload(&d, later),
            ["incident_id", "by", "by.name"],
            "{later}"
        );
    }
    // The clause's own condition sees everything.
    assert_eq!(payload(&d, "actions.0.choose.0.when").len(), 5);
}

#[test]
fn definition_18_31_what_branches_set_is_not_offered_behind_them_and_what_a_sequence_sets_is() {
    let set = |name: &str| json!({"variables": {name: 1}});
    let d = two(json!([
        {"choose": [{"when": "x", "sequence": [set("branch"), {"stop": {}}]}]},
        {"sequence": [set("seq"), {"sequence": [set("deep")], "continue_on_error": true}]},
        {"parallel": [set("side"), {"delay": {"seconds": 1}}]},
        {"repeat": {"count": 2, "sequence": [set("loop")]}},
        {"variables": {"off": 1}, "enabled": false},
        {"id": "find", "action": "integration-jira.search", "continue_on_error": true},
        {"id": "nothing", "action": "automation.log"},
        "half-typed",
        {"delay": {"template": "x"}},
    ]));
    assert_eq!(
        below(&d, "actions.8.delay.template", "variables"),
        ["variables.seq", "variables.deep?"]
    );
    assert_eq!(
        below(&d, "actions.8.delay.template", "artifacts"),
        [
            "artifacts.find?",
            "artifacts.find.issue_search?",
            "artifacts.find.issue_search.system_id?"
        ]
    );
    assert_eq!(
        below(&d, "actions.0.choose.0.sequence.1", "variables"),
        ["variables.branch"]
    );
    // Siblings in a `parallel` contribute nothing to each other.
    assert_eq!(
        below(&d, "actions.2.parallel.1", "variables"),
        ["variables.seq", "variables.deep?"]
    );
    // Where the next action will be is a place too.
    assert_eq!(below(&d, "actions.9", "variables").len(), 2);
}

#[test]
fn definition_14_4_repeat_is_that_of_the_innermost_loop() {
    let d = two(json!([{"repeat": {
        "for_each": "x",
        "sequence": [{"repeat": {"until": "x", "sequence": [{"stop": {}}]}}],
    }}]));
    let repeat = |position: &str| below(&d, position, "repeat");
    assert!(repeat("actions.0.repeat.for_each").is_empty());
    assert_eq!(
        repeat("actions.0.repeat.sequence.0"),
        ["repeat.index", "repeat.item"]
    );
    assert_eq!(
        repeat("actions.0.repeat.sequence.0.repeat.until"),
        ["repeat.index"]
    );
    assert_eq!(
        repeat("actions.0.repeat.sequence.0.repeat.sequence.0"),
        ["repeat.index"]
    );
}

#[test]
fn definition_14_3_health_is_that_of_the_context_and_of_the_systems_named() {
    let mut d = two(json!([]));
    d["uses_state"] = json!(["payments", "db-1"]);
    let health = below(&d, "conditions", "health");
    assert!(health.contains(&"health.system.p95_latency_ms".to_owned()));
    let all = at(&d, "conditions");
    let systems = &all.iter().find(|e| e.path == "health").unwrap().children[1];
    let inserts: Vec<&str> = systems.children.iter().map(|c| c.insert.as_str()).collect();
    assert_eq!(
        inserts,
        ["health.systems.payments", "health.systems[\"db-1\"]"]
    );
}

#[test]
fn a_place_that_is_none_is_answered_so_and_no_document_is_too_broken() {
    let d = two(json!([{"sequence": [{"stop": {}}]}]));
    for nowhere in [
        "actions.2",
        "actions.0.sequence.5.stop",
        "triggers.7.filter",
        "name",
        "actions.0.choose.0.when",
    ] {
        assert_eq!(
            entries(&d, &path(nowhere), &registries()),
            None,
            "{nowhere}"
        );
    }
    for broken in [
        json!(null),
        json!([]),
        json!({"triggers": 5, "actions": {"x": 1}}),
        json!({"triggers": [null, {"event": 3}], "conditions": 1}),
    ] {
        assert!(
            entries(&broken, &path("conditions.0"), &registries()).is_some(),
            "{broken}"
        );
        let _ = entries(
            &broken,
            &path("actions.0.choose.0.sequence.0"),
            &registries(),
        );
    }
}
