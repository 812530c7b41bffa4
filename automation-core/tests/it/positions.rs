//! What a name means depends on where it stands (`definition §14`).

use crate::support::{check, with};

fn actions(list: &str) -> String {
    with(&format!("actions:\n{list}"))
}

/// Two triggers with closed payloads and the given actions.
fn two(list: &str) -> String {
    format!(
        "name: A\ntriggers: [{{ event: incident.resolved }}, {{ event: deploy.done }}]\nactions:\n{list}"
    )
}

fn log(message: &str) -> String {
    format!("{{ action: automation.log, config: {{ message: \"{message}\" }} }}")
}

#[test]
fn definition_14_2_what_ran_before_is_known() {
    let reads = "{ delay: { template: artifacts.a.issue_search.n } }";
    let makes = "{ id: a, action: integration-jira.search }";
    // Before it in the same list, or before what it is inside of.
    check(&actions(&format!("- {makes}\n- {reads}")), &[]);
    check(
        &actions(&format!(
            "- {makes}\n- choose: [{{ when: trigger.payload.x, sequence: [{reads}] }}]\n  else: [{{ parallel: [{reads}] }}]"
        )),
        &[],
    );
    check(
        &actions(&format!(
            "- sequence: [{{ sequence: [{makes}] }}]\n- {reads}"
        )),
        &[],
    );
    // Nothing leaks out of `choose`, `parallel` and `repeat`; siblings in a `parallel` run together.
    for leaking in [
        format!("- choose: [{{ when: trigger.payload.x, sequence: [{makes}] }}]\n- {reads}"),
        format!("- parallel: [{makes}]\n- {reads}"),
        format!("- repeat: {{ count: 2, sequence: [{makes}] }}\n- {reads}"),
        format!("- sequence: [{{ enabled: false, sequence: [{makes}] }}]\n- {reads}"),
    ] {
        check(
            &actions(&leaking),
            &["artifact_not_upstream actions.1.delay.template"],
        );
    }
    check(
        &actions(&format!("- parallel: [{makes}, {reads}]")),
        &["artifact_not_upstream actions.0.parallel.1.delay.template"],
    );
    check(
        &actions(
            "- { id: a, enabled: false, action: integration-jira.search }\n- delay: { template: artifacts.a.issue_search.n }",
        ),
        &["artifact_not_upstream actions.1.delay.template"],
    );
    // Before a run nothing has run.
    check(
        &with(&format!(
            "conditions: [artifacts.a.issue_search.n]\nactions: [{makes}]"
        )),
        &["artifact_not_upstream conditions.0"],
    );
}

#[test]
fn definition_14_2_the_test_of_a_loop_is_after_its_pass_or_before_it() {
    let looping = |test: &str| {
        actions(&format!(
            "- repeat: {{ {test}: artifacts.a.issue_search.n, sequence: [{{ id: a, action: integration-jira.search }}] }}"
        ))
    };
    check(&looping("until"), &[]);
    check(
        &looping("while"),
        &["artifact_not_upstream actions.0.repeat.while"],
    );
}

#[test]
fn definition_14_4_repeat_exists_inside_loops_and_resume_after_waits() {
    check(
        &actions(
            "- repeat: { for_each: trigger.payload.list, sequence: [{ delay: { template: repeat.item } }] }",
        ),
        &[],
    );
    check(
        &actions("- repeat: { until: repeat.index > 3, sequence: [{ delay: { seconds: 1 } }] }"),
        &[],
    );
    check(
        &actions(
            "- delay: { template: repeat.index }\n- repeat: { for_each: repeat.item, sequence: [{ stop: {} }] }",
        ),
        &[
            "unknown_root actions.0.delay.template",
            "unknown_root actions.1.repeat.for_each",
        ],
    );
    check(
        &actions("- delay: { template: resume.payload.n }"),
        &["unknown_root actions.0.delay.template"],
    );
    check(
        &actions(
            "- wait_for_trigger: { event: incident.created }\n- delay: { template: resume.payload.n }",
        ),
        &[],
    );
    check(
        "name: A\ntriggers: [{ event: incident.created, filter: variables.x }]\nactions: [{ variables: { x: 1 } }]\n",
        &["unknown_variable triggers.0.filter"],
    );
}

#[test]
fn definition_18_30_inside_a_clause_only_the_payload_of_its_trigger_is_there() {
    let clause = |when: &str, field: &str| {
        let sequence = log(&format!("{{{{ trigger.payload.{field} }}}}"));
        two(&format!(
            "- choose: [{{ when: \"{when}\", sequence: [{sequence}] }}]"
        ))
    };
    let path = "unknown_payload_field actions.0.choose.0.sequence.0.config.message";
    check(&clause("trigger.event == 'deploy.done'", "version"), &[]);
    check(
        &clause("trigger.event == 'deploy.done'", "incident_id"),
        &[path],
    );
    check(&clause("trigger.id != 'deploy_done'", "version"), &[path]);
    check(&clause("now", "version"), &[]);
    check(&clause("now", "nothing"), &[path]);
    // Deeper than the first field, as far as the schemas are closed.
    check(&clause("now", "by.name"), &[]);
    check(&clause("now", "by.nam"), &[path]);
    // A later clause and `else` exclude what an earlier one takes.
    let logs = log("{{ trigger.payload.version }}");
    check(
        &two(&format!(
            "- choose: [{{ when: \"trigger.id == 'deploy_done'\", sequence: [{logs}] }}, {{ when: trigger.payload.by, sequence: [{logs}] }}]\n  else: [{logs}]"
        )),
        &[
            "unknown_payload_field actions.0.choose.1.sequence.0.config.message",
            "unknown_payload_field actions.0.else.0.config.message",
        ],
    );
}

#[test]
fn definition_14_5_a_clause_nobody_gets_into_is_warned_about() {
    check(
        &two(
            "- choose: [{ when: \"trigger.event == 'deploy.started'\", sequence: [{ stop: {} }] }, { when: \"trigger.event != 'deploy.done'\", sequence: [{ stop: {} }] }, { when: \"trigger.id == 'incident_resolved'\", sequence: [{ stop: {} }] }]",
        ),
        &[
            "never_matches actions.0.choose.0.when",
            "never_matches actions.0.choose.2.when",
        ],
    );
}

#[test]
fn the_filter_of_a_wait_sees_the_awaited_payload() {
    let wait = |filter: &str| {
        two(&format!(
            "- wait_for_trigger: {{ event: incident.resolved, context_key: x, filter: trigger.payload.{filter} }}"
        ))
    };
    check(&wait("incident_id"), &[]);
    check(
        &wait("version"),
        &["unknown_payload_field actions.0.wait_for_trigger.filter"],
    );
}

#[test]
fn waits_for_events_that_cannot_end_them_are_refused() {
    let from = |event: &str, wait: &str| {
        let config = match event {
            "automation.cron" => ", config: { cronPattern: \"@daily\" }",
            _ => "",
        };
        format!(
            "name: A\ntriggers: [{{ event: {event}{config} }}]\nactions: [{{ wait_for_trigger: {{ {wait} }} }}]\n"
        )
    };
    let never = ["wait_never_wakes actions.0.wait_for_trigger"];
    let times_out = ["wait_only_times_out actions.0.wait_for_trigger"];
    let mismatch = ["wait_key_mismatch actions.0.wait_for_trigger"];
    for event in ["automation.interval", "automation.cron"] {
        check(
            &from("incident.created", &format!("event: {event}")),
            &never,
        );
        check(
            &from(
                "incident.created",
                &format!("event: {event}, timeout_seconds: 5"),
            ),
            &times_out,
        );
    }
    // A scheduled run is about nothing, an incident always has its id.
    check(&from("automation.cron", "event: incident.created"), &never);
    check(
        &from(
            "automation.cron",
            "event: incident.created, context_key: \"{{ trigger.payload.x }}\"",
        ),
        &[],
    );
    check(&from("automation.cron", "event: deploy.webhook"), &[]);
    check(&from("incident.created", "event: deploy.webhook"), &never);
    check(
        &from("incident.created", "event: deploy.webhook, context_key: x"),
        &never,
    );
    // Both have a key, of different things.
    check(&from("deploy.done", "event: incident.resolved"), &mismatch);
    check(
        &from(
            "deploy.done",
            "event: incident.resolved, context_key: \"{{ trigger.payload.version }}\"",
        ),
        &[],
    );
    check(&from("incident.resolved", "event: incident.resolved"), &[]);
    // What does not say of what its key is, is taken on trust.
    check(&from("incident.created", "event: incident.resolved"), &[]);
    // In containers of every kind.
    check(
        "name: A\ntriggers: [{ event: incident.created }]\nactions: [{ parallel: [{ repeat: { count: 2, sequence: [{ wait_for_trigger: { event: automation.interval } }] } }] }]\n",
        &["wait_never_wakes actions.0.parallel.0.repeat.sequence.0.wait_for_trigger"],
    );
    check(
        "name: A\ntriggers: [{ event: incident.created }]\nactions: [{ parallel: [{ repeat: { count: 2, sequence: [{ wait_until: { condition: repeat.index > 1 } }] } }] }]\n",
        &["wait_never_wakes actions.0.parallel.0.repeat.sequence.0.wait_until"],
    );
}

#[test]
fn a_loop_whose_test_cannot_change_is_warned_about() {
    let looping = |test: &str| {
        actions(&format!(
            "- repeat: {{ {test}, sequence: [{{ delay: {{ seconds: 1 }} }}] }}"
        ))
    };
    check(
        &looping("while: \"true\""),
        &["constant_condition actions.0.repeat.while"],
    );
    check(
        &looping("until: trigger.payload.n > 3"),
        &["constant_condition actions.0.repeat.until"],
    );
    for changing in [
        "until: repeat.index > 3",
        "while: \"health.system.status == 'unhealthy'\"",
        "until: trigger.payload.at | older_than(5)",
        "count: 3",
    ] {
        check(&looping(changing), &[]);
    }
}

#[test]
fn members_of_a_parallel_are_reached_whatever_their_siblings_do() {
    check(
        &actions("- parallel: [{ stop: {} }, { delay: { seconds: 1 } }]"),
        &[],
    );
    check(
        &actions("- parallel: [{ sequence: [{ stop: {} }, { delay: { seconds: 1 } }] }]"),
        &["unreachable_action actions.0.parallel.0.sequence.1"],
    );
}
