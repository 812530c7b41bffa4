//! One document for each code of validation (`definition §13`), and nothing without one.

use crate::support::{codes, validate, with};
use automation_core::{Diagnostic, Severity};
use std::collections::BTreeSet;

/// Code, severity, path, document.
type Row = (&'static str, Severity, &'static str, &'static str);

const HEAD: &str = "name: A\ntriggers: [{ event: incident.created }]\n";

use Severity::{Error, Info, Warning};

/// Each row's document is [`HEAD`] with the given text behind it, or a whole one when it begins with
/// `!`.
const ROWS: &[Row] = &[
    // Text and structure.
    ("yaml_syntax", Error, "actions.0", "actions: [\n"),
    (
        "duplicate_key",
        Error,
        "mode",
        "mode: single\nmode: queued\n",
    ),
    ("limit_exceeded", Error, "actions.0.repeat.sequence.0", ""),
    ("missing_field", Error, "triggers", "!name: A\n"),
    (
        "missing_field",
        Error,
        "triggers",
        "!name: A\ntriggers: []\n",
    ),
    ("wrong_type", Error, "max_runs", "max_runs: many\n"),
    ("out_of_range", Error, "max_runs", "max_runs: 0\n"),
    ("bad_length", Error, "uses_state.0", "uses_state: [\"\"]\n"),
    (
        "bad_format",
        Error,
        "actions.0.id",
        "actions: [{ id: 1x, stop: {} }]\n",
    ),
    ("bad_enum", Error, "mode", "mode: serial\n"),
    ("unknown_field", Error, "modes", "modes: single\n"),
    (
        "ambiguous_action",
        Error,
        "actions.0",
        "actions: [{ stop: {}, delay: { seconds: 1 } }]\n",
    ),
    (
        "ambiguous_condition",
        Error,
        "conditions.0",
        "conditions: [{ and: [a], or: [b] }]\n",
    ),
    (
        "ambiguous_duration",
        Error,
        "actions.0.delay",
        "actions: [{ delay: {} }]\n",
    ),
    (
        "ambiguous_repeat",
        Error,
        "actions.0.repeat",
        "actions: [{ repeat: { sequence: [{ stop: {} }] } }]\n",
    ),
    (
        "missing_bound",
        Error,
        "conditions.0.numeric_state",
        "conditions: [{ numeric_state: { value: 1 } }]\n",
    ),
    // Expressions.
    (
        "expression_delimiters",
        Error,
        "conditions.0",
        "conditions: [\"{{ now }} == {{ now }}\"]\n",
    ),
    (
        "expression_braces",
        Info,
        "conditions.0",
        "conditions: [\"{{ trigger.payload.x }}\"]\n",
    ),
    (
        "expression_syntax",
        Error,
        "conditions.0",
        "conditions: [\"a b\"]\n",
    ),
    (
        "template_syntax",
        Error,
        "actions.0.config.message",
        "actions: [{ action: automation.log, config: { message: \"{{ 1 + }}\" } }]\n",
    ),
    (
        "unknown_filter",
        Error,
        "conditions.0",
        "conditions: [\"now | loud\"]\n",
    ),
    (
        "filter_arguments",
        Warning,
        "conditions.0",
        "conditions: [\"now | upper(1)\"]\n",
    ),
    (
        "unknown_root",
        Warning,
        "conditions.0",
        "conditions: [payload.x]\n",
    ),
    // Semantics.
    (
        "unknown_trigger",
        Error,
        "triggers.0.event",
        "!name: A\ntriggers: [{ event: nobody.fires }]\n",
    ),
    (
        "invalid_trigger_config",
        Error,
        "triggers.0.config.cronPattern",
        "!name: A\ntriggers: [{ event: automation.cron, config: { cronPattern: often } }]\n",
    ),
    (
        "unexpected_config",
        Warning,
        "triggers.0.config",
        "!name: A\ntriggers: [{ event: incident.created, config: { a: 1 } }]\n",
    ),
    (
        "duplicate_trigger_id",
        Error,
        "triggers.1.event",
        "!name: A\ntriggers: [{ event: incident.created }, { event: incident.created }]\n",
    ),
    (
        "dwell_without_context",
        Warning,
        "triggers.0.for",
        "!name: A\ntriggers: [{ event: deploy.webhook, for: { minutes: 1 } }]\n",
    ),
    (
        "unsupported_field",
        Error,
        "triggers.0.config.field",
        "!name: A\ntriggers: [{ event: automation.numeric_state, config: { field: p95LatencyMs, above: 1 } }]\n",
    ),
    (
        "unknown_wait_event",
        Error,
        "actions.0.wait_for_trigger.event",
        "actions: [{ wait_for_trigger: { event: nobody.fires } }]\n",
    ),
    (
        "unknown_action",
        Error,
        "actions.0.action",
        "actions: [{ action: nobody.acts }]\n",
    ),
    (
        "invalid_action_config",
        Error,
        "actions.0.config.level",
        "actions: [{ action: automation.log, config: { message: m, level: loud } }]\n",
    ),
    (
        "duplicate_action_id",
        Error,
        "actions.1.id",
        "actions: [{ id: a, delay: { seconds: 1 } }, { id: a, stop: {} }]\n",
    ),
    (
        "missing_producer_id",
        Warning,
        "actions.0.id",
        "actions: [{ action: integration-jira.search }]\n",
    ),
    (
        "unknown_artifact",
        Error,
        "actions.0.delay.template",
        "actions: [{ delay: { template: artifacts.ghost.x } }]\n",
    ),
    (
        "wrong_artifact_name",
        Error,
        "actions.1.delay.template",
        "actions: [{ id: a, action: integration-jira.search }, { delay: { template: artifacts.a.issue } }]\n",
    ),
    (
        "artifact_not_upstream",
        Warning,
        "actions.0.delay.template",
        "actions: [{ delay: { template: artifacts.a.issue_search } }, { id: a, action: integration-jira.search }]\n",
    ),
    (
        "unknown_variable",
        Warning,
        "actions.0.delay.template",
        "actions: [{ delay: { template: variables.x } }]\n",
    ),
    (
        "unknown_payload_field",
        Warning,
        "conditions.0",
        "!name: A\ntriggers: [{ event: incident.resolved }]\nconditions: [trigger.payload.id]\n",
    ),
    (
        "secret_in_plain_field",
        Error,
        "actions.0.stop.reason",
        "actions: [{ stop: { reason: \"${{ secrets.x }}\" } }]\n",
    ),
    (
        "malformed_secret_reference",
        Warning,
        "actions.0.stop.reason",
        "actions: [{ stop: { reason: \"${{ secrets.1x }}\" } }]\n",
    ),
    (
        "unknown_timezone",
        Error,
        "conditions.0.time.timezone",
        "conditions: [{ time: { after: \"08:00\", timezone: Mars/Base } }]\n",
    ),
    (
        "never_matches",
        Warning,
        "conditions.0",
        "conditions: [{ numeric_state: { value: now, above: 2, below: 1 } }]\n",
    ),
    (
        "wait_never_wakes",
        Error,
        "actions.0.wait_until",
        "actions: [{ wait_until: { condition: trigger.payload.x } }]\n",
    ),
    (
        "wait_indeterminate",
        Warning,
        "actions.0.wait_until",
        "actions: [{ wait_until: { condition: \"state[trigger.payload.k].x.y\" } }]\n",
    ),
    (
        "wait_only_times_out",
        Warning,
        "actions.0.wait_for_trigger",
        "actions: [{ wait_for_trigger: { event: automation.cron, timeout_seconds: 5 } }]\n",
    ),
    (
        "wait_key_mismatch",
        Warning,
        "actions.0.wait_for_trigger",
        "!name: A\ntriggers: [{ event: deploy.done }]\nactions: [{ wait_for_trigger: { event: incident.resolved } }]\n",
    ),
    ("state_cap_exceeded", Warning, "uses_state", ""),
    (
        "unreachable_action",
        Warning,
        "actions.1",
        "actions: [{ stop: {} }, { delay: { seconds: 1 } }]\n",
    ),
    (
        "deprecated_field",
        Warning,
        "actions.0.wait_until.poll_seconds",
        "actions: [{ wait_until: { condition: health.system.status, poll_seconds: 5 } }]\n",
    ),
    // Further than the specification's table.
    (
        "constant_condition",
        Warning,
        "conditions.0",
        "conditions: [\"1 < 2\"]\n",
    ),
    (
        "null_comparison",
        Warning,
        "conditions.0",
        "conditions: [\"trigger.payload.x == null\"]\n",
    ),
    (
        "dotted_event",
        Warning,
        "conditions.0",
        "conditions: [\"trigger.event == 'a.b.c'\"]\n",
    ),
];

/// Codes that other tests are about: a cut list, and an engine that runs less than everything.
const ELSEWHERE: [&str; 2] = ["too_many_issues", "not_supported_yet"];

fn document(row: &Row) -> String {
    match row.0 {
        "limit_exceeded" => {
            let actions = vec!["{ stop: {} }"; 1001].join(", ");
            with(&format!("actions: [{actions}]"))
        }
        "state_cap_exceeded" => {
            let ids: Vec<String> = (0..49).map(|i| format!("s{i}")).collect();
            let ids = ids.join(", ");
            with(&format!(
                "uses_state: [{ids}]\nconditions: [health.systems.another.status]"
            ))
        }
        _ => match row.3.strip_prefix('!') {
            Some(whole) => whole.to_owned(),
            None => format!("{HEAD}{}", row.3),
        },
    }
}

#[test]
fn definition_13_every_code_is_given_where_it_belongs_and_nothing_else() {
    let mut wrong = Vec::new();
    for row in ROWS {
        let (code, severity, path, _) = row;
        let text = document(row);
        let found = validate(&text);
        let path = match *code {
            "limit_exceeded" => "actions.1000",
            _ => path,
        };
        let expect = format!("{code} {path}");
        let given = codes(&found.issues);
        let as_said =
            |d: &Diagnostic| d.severity == *severity && d.span.is_some_and(|s| s.is_located());
        if given != [expect.trim_end()] || !found.issues.iter().all(as_said) {
            wrong.push(format!("{expect}: {:?}\n{text}", found.issues));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every code the crate can give has a row. Codes are literals, so the sources say which there are.
#[test]
fn every_code_in_the_sources_is_tested() {
    let mut written = BTreeSet::new();
    let mut files = vec![std::path::PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src"
    ))];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).unwrap();
            files.extend(entries.map(|e| e.unwrap().path()));
            continue;
        }
        let source = std::fs::read_to_string(&path).unwrap();
        let source = source.split("#[cfg(test)]").next().unwrap_or_default();
        for start in [
            "Diagnostic::error(",
            "Diagnostic::warning(",
            "Diagnostic::info(",
            ".error(",
            "code: ",
        ] {
            for (_, rest) in source
                .match_indices(start)
                .map(|(i, s)| source.split_at(i + s.len()))
            {
                let Some(literal) = rest.trim_start().strip_prefix('"') else {
                    continue;
                };
                let code = literal.split('"').next().unwrap_or_default();
                written.insert(code.to_owned());
            }
        }
    }
    let tested: BTreeSet<String> = ROWS
        .iter()
        .map(|r| r.0)
        .chain(ELSEWHERE)
        .map(str::to_owned)
        .collect();
    let untested: Vec<&String> = written.difference(&tested).collect();
    assert!(untested.is_empty(), "{untested:?}");
}
