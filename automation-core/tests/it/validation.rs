//! Validation against the registries (`definition §13`, `§18`).

use crate::support::{check, codes, registries, validate, with};
use automation_core::validate::{Capabilities, Validator};
use automation_core::{Severity, yaml};

fn actions(list: &str) -> String {
    with(&format!("actions:\n{list}"))
}

#[test]
fn definition_18_3_two_triggers_need_two_ids() {
    check(
        "name: A\ntriggers: [{ event: incident.created }, { event: incident.created }]\n",
        &["duplicate_trigger_id triggers.1.event"],
    );
    check(
        "name: A\ntriggers: [{ id: x, event: incident.created }, { id: x, event: incident.created }]\n",
        &["duplicate_trigger_id triggers.1.id"],
    );
}

#[test]
fn definition_18_7_one_pair_of_braces_is_a_hint_and_any_other_an_error() {
    check(
        "name: A\ntriggers: [{ event: incident.created, filter: \"{{ trigger.payload.x }}\" }]\n",
        &["expression_braces triggers.0.filter"],
    );
    let found = validate(
        "name: A\ntriggers: [{ event: incident.created, filter: \"{{ a }} == {{ b }}\" }]\n",
    );
    assert_eq!(
        codes(&found.issues),
        ["expression_delimiters triggers.0.filter"]
    );
    let help = found.issues.iter().next().unwrap().help.clone().unwrap();
    assert!(help.ends_with("a == b"), "{help}");
}

#[test]
fn definition_18_8_a_delay_template_is_an_expression_with_or_without_braces() {
    check(
        &actions("- delay: { template: \"{{ trigger.payload.s }}\" }"),
        &["expression_braces actions.0.delay.template"],
    );
    check(&actions("- delay: { template: trigger.payload.s }"), &[]);
}

#[test]
fn definition_18_15_equal_bounds_never_match() {
    check(
        &with(
            "conditions: [{ time: { after: \"08:00\", before: \"08:00\" } }, { numeric_state: { value: 1, above: 2, below: 2 } }]",
        ),
        &["never_matches conditions.0", "never_matches conditions.1"],
    );
}

#[test]
fn definition_18_17_an_unknown_zone_is_refused() {
    check(
        &with("conditions: [{ not: { time: { after: \"08:00\", timezone: Mars/Base } } }]"),
        &["unknown_timezone conditions.0.not.time.timezone"],
    );
}

#[test]
fn definition_18_19_an_unknown_filter_is_found_in_any_branch() {
    check(
        &with("conditions: [{ not: \"now | nofilter\" }]"),
        &["unknown_filter conditions.0.not"],
    );
    check(
        &with("conditions: [\"trigger.x || (now | lowr)\"]"),
        &["unknown_filter conditions.0"],
    );
    check(
        &with("conditions: [\"now | replace('a')\", \"now | upper(1)\", \"now | join\"]"),
        &[
            "filter_arguments conditions.0",
            "filter_arguments conditions.1",
        ],
    );
}

#[test]
fn definition_18_24_configs_are_checked_where_they_stand() {
    let log = |level: &str| {
        actions(&format!(
            "- variables: {{ l: warn }}\n- choose: [{{ when: trigger.payload.x, sequence: [{{ action: automation.log, config: {{ message: m, level: {level} }} }}] }}]"
        ))
    };
    check(
        &log("bogus"),
        &["invalid_action_config actions.1.choose.0.sequence.0.config.level"],
    );
    check(&log("\"{{ variables.l }}\""), &[]);
}

#[test]
fn definition_18_25_artifacts_are_found_in_syntax_trees() {
    check(
        &actions(
            "- action: integration-jira.search\n- { action: automation.log, config: { message: \"see the artifacts.txt file\" } }",
        ),
        &["missing_producer_id actions.0.id"],
    );
    check(
        &actions(
            "- { id: find, action: integration-jira.search }\n- { action: automation.log, config: { message: \"{{ artifacts.ghost.x }} {{ artifacts.find.found }} {{ artifacts.find.issue_search.x }} {{ artifacts['find'] }}\" } }",
        ),
        &[
            "unknown_artifact actions.1.config.message",
            "wrong_artifact_name actions.1.config.message",
        ],
    );
    // Not sure to have run: in a branch, after the reader, or disabled.
    check(
        &actions(
            "- choose: [{ when: trigger.payload.x, sequence: [{ id: a, action: integration-jira.search }] }]\n- { delay: { template: artifacts.a.issue_search.n } }\n- sequence: [{ id: b, action: integration-jira.search }]\n- { delay: { template: artifacts.b.issue_search.n } }",
        ),
        &["artifact_not_upstream actions.1.delay.template"],
    );
}

#[test]
fn definition_18_26_errors_block_enabling_and_structural_errors_block_storing() {
    let found = validate(&actions("- action: nobody.knows"));
    assert_eq!(codes(&found.issues), ["unknown_action actions.0.action"]);
    assert!(!found.may_store(true) && found.may_store(false));
    let found = validate(&actions("- { action: automation.log, cofnig: {} }"));
    assert!(!found.may_store(true) && !found.may_store(false));
    let found = validate(
        "name: A\ntriggers: [{ event: incident.created, for: { minutes: 1 } }]\nactions: [{ stop: {} }, { stop: {} }]\n",
    );
    assert_eq!(codes(&found.issues), ["unreachable_action actions.1"]);
    assert!(found.may_store(true));
}

#[test]
fn definition_13_triggers_are_checked_against_their_registration() {
    let trigger = |t: &str| format!("name: A\ntriggers: [{t}]\n");
    check(
        &trigger("{ event: healthcheck.system_degrade }"),
        &["unknown_trigger triggers.0.event"],
    );
    check(
        &trigger("{ event: incident.created, config: { a: 1 } }"),
        &["unexpected_config triggers.0.config"],
    );
    check(
        &trigger("{ event: automation.interval }"),
        &["invalid_trigger_config triggers.0.config.intervalSeconds"],
    );
    check(
        &trigger("{ event: automation.interval, config: { intervalSeconds: 0, seconds: 5 } }"),
        &[
            "invalid_trigger_config triggers.0.config.intervalSeconds",
            "invalid_trigger_config triggers.0.config.seconds",
        ],
    );
    check(
        &trigger("{ event: automation.cron, config: { cronPattern: \"61 * * * *\" } }"),
        &["invalid_trigger_config triggers.0.config.cronPattern"],
    );
    check(
        &trigger(
            "{ event: automation.cron, config: { cronPattern: \"@daily\" }, for: { minutes: 1 } }",
        ),
        &["dwell_without_context triggers.0.for"],
    );
    check(
        &trigger("{ event: automation.numeric_state, config: { field: p95LatencyMs, above: 1 } }"),
        &["unsupported_field triggers.0.config.field"],
    );
    check(
        &trigger("{ event: automation.numeric_state, config: { field: latencyMs } }"),
        &["invalid_trigger_config triggers.0.config"],
    );
}

#[test]
fn template_15_3_constant_conditions_and_comparisons_with_null_are_warned_about() {
    check(
        &with("conditions: [\"1 < 2\", \"trigger.payload.x == null\"]"),
        &[
            "constant_condition conditions.0",
            "null_comparison conditions.1",
        ],
    );
}

#[test]
fn positions_of_a_trimmed_key_are_the_authors() {
    let text = "name: A\ntriggers: [{ event: incident.created, window: { count: 1, minutes: 1, partitionBy: \"{{ trigger.payload.a | nope }}\" } }]\n";
    let found = validate(text);
    let path = "triggers.0.window.partitionBy";
    assert_eq!(
        codes(&found.issues),
        [
            format!("expression_braces {path}"),
            format!("unknown_filter {path}")
        ]
    );
    let focus = found.issues.iter().last().unwrap().focus.unwrap();
    assert_eq!(&text[focus.start..focus.end], "nope");
}

#[test]
fn definition_16_the_old_flapping_trigger_is_answered_with_its_replacement() {
    let found = validate(
        "name: A\ntriggers: [{ event: healthcheck.flapping_detected, config: { transitions: 5 } }]\n",
    );
    assert_eq!(codes(&found.issues), ["unknown_trigger triggers.0.event"]);
    let help = found.issues.iter().next().unwrap().help.clone().unwrap();
    insta::assert_snapshot!(help);
    // The help is a trigger that works.
    let yaml: String = help.lines().skip(1).map(|l| format!("    {l}\n")).collect();
    check(&format!("name: A\ntriggers:\n  -\n{yaml}"), &[]);
}

#[test]
fn definition_13_ids_and_events_of_actions_are_checked() {
    check(
        &actions(
            "- { id: a, stop: {} }\n- { sequence: [{ id: a, delay: { seconds: 1 } }] }\n- wait_for_trigger: { event: incident.creatd }",
        ),
        &[
            "unreachable_action actions.1",
            "duplicate_action_id actions.1.sequence.0.id",
            "unknown_wait_event actions.2.wait_for_trigger.event",
        ],
    );
}

#[test]
fn definition_13_2_a_templated_text_passes_checks_of_content_but_not_of_type() {
    let search = |target: &str| {
        actions(&format!(
            "- {{ id: s, action: integration-jira.search, config: {{ target: {target} }} }}"
        ))
    };
    check(&search("{ kind: project, key: \"{{ now }}\" }"), &[]);
    check(
        &search("{ kind: board, number: \"{{ now }}\" }"),
        &["invalid_action_config actions.0.config.target.number"],
    );
    check(
        &search("{ kind: board, number: 5, colour: red }"),
        &["invalid_action_config actions.0.config.target.colour"],
    );
    check(
        &search("{ kind: board }"),
        &["invalid_action_config actions.0.config.target.number"],
    );
    check(
        &search("{ kind: bord, number: 5 }"),
        &["invalid_action_config actions.0.config.target"],
    );
}

#[test]
fn definition_2_7_secrets_have_meaning_in_secret_fields_only() {
    let shell = |config: &str| {
        actions(&format!(
            "- {{ action: integration-script.run_shell, config: {config} }}"
        ))
    };
    check(
        &shell(
            "{ script: 'echo \"{{ no template }\"', secretEnv: { T: \"${{ secrets.token }}\" } }",
        ),
        &[],
    );
    check(
        &shell("{ script: \"echo ${{ secrets.token }}\" }"),
        &["secret_in_plain_field actions.0.config.script"],
    );
    check(
        &shell("{ script: x, secretEnv: { T: \"${{ secrets.A B }}\" } }"),
        &["malformed_secret_reference actions.0.config.secretEnv.T"],
    );
    check(
        &actions("- { action: automation.log, config: { message: \"${{ secrets.token }}\" } }"),
        &[
            "secret_in_plain_field actions.0.config.message",
            "unknown_root actions.0.config.message",
        ],
    );
    check(
        &with("description: \"${{ secrets.token }}\""),
        &["secret_in_plain_field description"],
    );
}

#[test]
fn definition_13_waits_must_be_able_to_end() {
    let wait = |c: &str| actions(&format!("- wait_until: {{ condition: {c} }}"));
    check(
        &wait("trigger.payload.n > 5"),
        &["wait_never_wakes actions.0.wait_until"],
    );
    check(
        &actions("- wait_until: { condition: trigger.payload.n > 5, timeout_seconds: 5 }"),
        &[],
    );
    check(
        &wait("\"state[trigger.kind][trigger.id].x == 1\""),
        &["wait_indeterminate actions.0.wait_until"],
    );
    check(&wait("health.system.status == 'healthy'"), &[]);
    check(&wait("{ time: { after: \"08:00\" } }"), &[]);
    check(
        &wait("{ state: { entity: s, status: healthy, for: { minutes: 10 } } }"),
        &[],
    );
    check(&wait("trigger.payload.at | older_than(5)"), &[]);
}

#[test]
fn definition_13_names_are_looked_up() {
    check(
        &actions(
            "- variables: { level: x }\n- delay: { template: variables.levl + var.level }\n- condition: triger.payload.x",
        ),
        &[
            "unknown_variable actions.1.delay.template",
            "unknown_root actions.2.condition",
        ],
    );
    check(
        &with("conditions: [\"trigger.event == 'healthcheck.system.degraded'\"]"),
        &["dotted_event conditions.0"],
    );
    let ids: Vec<String> = (0..50).map(|i| format!("s{i}")).collect();
    check(
        &with(&format!("uses_state: [{}]", ids.join(", "))),
        &["state_cap_exceeded uses_state"],
    );
}

#[test]
fn kinds_the_engine_cannot_run_yet_are_refused_when_enabled_and_kept_as_drafts() {
    let registries = registries();
    let capabilities = Capabilities::of(&["action", "choose", "sequence", "delay"], false);
    let validator = Validator {
        registries: &registries,
        capabilities: &capabilities,
    };
    let text = "name: A\ntriggers: [{ event: incident.created, window: { count: 1, minutes: 1 } }]\nactions: [{ sequence: [{ parallel: [{ delay: { seconds: 1 } }] }] }]\n";
    let found = validator.text(text, &yaml::Limits::default());
    assert_eq!(
        codes(&found.issues),
        [
            "not_supported_yet triggers.0.window",
            "not_supported_yet actions.0.sequence.0.parallel"
        ]
    );
    assert!(found.may_store(false) && !found.may_store(true));
}

#[test]
fn issues_come_in_document_order_with_lines_and_are_cut_at_200() {
    let text = "triggers: [{ event: incident.created }]\nname: ''\nactions: 5\nmode: singl\n";
    let report = validate(text).issues.report();
    let lines: Vec<_> = report
        .issues
        .iter()
        .map(|i| (i.code, i.line, i.column))
        .collect();
    assert_eq!(
        lines,
        [
            ("bad_length", Some(2), Some(7)),
            ("wrong_type", Some(3), Some(10)),
            ("bad_enum", Some(4), Some(7))
        ]
    );
    assert!(!report.valid);
    let many = (0..300)
        .map(|i| format!("- {{ stop: {{}}, x{i}: 1 }}\n"))
        .collect::<String>();
    let found = validate(&actions(&many));
    assert_eq!(found.issues.len(), 201);
    let last = found.issues.iter().last().unwrap();
    assert_eq!(
        (last.code, last.severity),
        ("too_many_issues", Severity::Error)
    );
}

#[test]
fn the_report_is_what_the_api_writes() {
    let found = validate("name: A\ntriggers: [{ event: incident.created, fliter: x }]\n");
    insta::assert_json_snapshot!(found.issues.report());
}
