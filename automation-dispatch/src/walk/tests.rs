//! The walker against the model store: what each kind does, and that a crash changes no outcome.

use super::{
    decide::{Event, FireReason, Rest},
    play::Play,
    view::Live,
};
use serde_json::json;

const STORY: &str = r#"
- variables: { x: "a{{ trigger.payload.n }}" }
- id: first
  action: test.call
  config: { name: "{{ variables.x }}" }
- choose:
    - when: "variables.x == 'nope'"
      sequence: [{ action: test.call, config: { name: wrong } }]
    - when: "variables.x == 'a1'"
      sequence:
        - variables: { y: "{{ artifacts.first.made.name }}" }
        - delay: { seconds: 60 }
        - action: test.call
          config: { name: "after {{ variables.y }}" }
  else: [{ stop: {} }]
- action: test.call
  config: { name: fails, fails: "no luck" }
  continue_on_error: true
- sequence:
    - wait_until: { condition: "health.system.status == 'healthy'", timeout_seconds: 600 }
    - condition: "variables.y == 'a1'"
- action: test.call
  config: { name: last }
"#;

#[test]
fn a_crash_after_any_decision_changes_no_outcome() {
    let mut whole = Play::new(STORY);
    whole.through();
    assert_eq!(whole.end(), ("success", None), "{:?}", whole.steps);
    assert_eq!(
        whole.calls,
        ["a1#1", "after a1#1", "fails#1", "last#1"],
        "each once, in order"
    );
    for crash in 1..=whole.decisions {
        let mut play = Play::new(STORY);
        play.crash_after = Some(crash);
        play.through();
        assert_eq!(play.end(), whole.end(), "crash after decision {crash}");
        assert_eq!(play.walk.variables, whole.walk.variables);
        assert!(play.locks.is_empty(), "no lock is left");
        let twice = play.calls.len() - whole.calls.len();
        assert!(
            twice <= 1,
            "crash {crash} repeats at most the call in flight"
        );
        let statuses = |p: &Play| -> Vec<(String, String)> {
            p.steps
                .iter()
                .map(|(k, v)| (k.clone(), v["status"].to_string()))
                .collect()
        };
        assert_eq!(statuses(&play), statuses(&whole), "crash {crash}");
    }
}

#[test]
fn dispatch_c02_an_unknown_action_fails_the_run_and_later_actions_do_not_run() {
    let mut p = Play::new("- action: test.nothing\n- action: test.call\n  config: {name: a}");
    p.start();
    assert_eq!(p.end(), ("failed", Some("unknown_action")));
    assert_eq!(p.error("actions[0]"), "unknown_action");
    assert!(p.calls.is_empty());
}

#[test]
fn dispatch_c03_c04_continue_on_error() {
    let action = "- action: test.call\n  config: {name: a, fails: boom}\n";
    let mut p = Play::new(&format!("{action}- stop: {{reason: next}}"));
    p.start();
    assert_eq!(p.end(), ("failed", Some("action_failed")));
    let mut p = Play::new(&format!(
        "{action}  continue_on_error: true\n- action: test.call\n  config: {{name: b}}"
    ));
    p.start();
    assert_eq!(p.end(), ("success", None));
    assert_eq!(p.calls, ["a#1", "b#1"]);
}

#[test]
fn dispatch_c05_disabled_actions_leave_one_skipped_row() {
    for kind in [
        "action: test.call\n  config: {name: a}",
        "choose: [{when: 'true', sequence: [{stop: {}}]}]",
        "sequence: [{stop: {error: true}}]",
        "variables: {x: 1}",
        "condition: 'false'",
        "stop: {error: true}",
        "delay: {seconds: 5}",
        "wait_until: {condition: 'health.system.status == 1', timeout_seconds: 5}",
        "parallel: [{action: test.call, config: {name: a}}, {stop: {error: true}}]",
        "repeat: {count: 2, sequence: [{action: test.call, config: {name: a}}]}",
        "wait_for_trigger: {event: test.fired}",
    ] {
        let mut p = Play::new(&format!("- {kind}\n  enabled: false"));
        p.start();
        assert_eq!(p.end(), ("success", None), "{kind}");
        assert_eq!(p.steps.len(), 1, "{kind}");
        assert_eq!(p.status("actions[0]"), "skipped");
        assert_eq!(p.error("actions[0]"), "disabled");
        assert!(p.calls.is_empty() && p.locks.is_empty());
    }
}

#[test]
fn dispatch_c10_choose_takes_the_first_true_branch() {
    let branches = |conditions: [&str; 2], otherwise: &str| {
        format!(
            "- choose:\n    - when: \"{}\"\n      sequence: [{{action: test.call, config: {{name: a}}}}]\n    - when: \"{}\"\n      sequence: [{{action: test.call, config: {{name: b}}}}]\n{otherwise}",
            conditions[0], conditions[1]
        )
    };
    let with_else = "  else: [{action: test.call, config: {name: c}}]";
    let cases = [
        (["true", "true"], with_else, "a#1", json!(0)),
        (["false", "true"], with_else, "b#1", json!(1)),
        (["false", "false"], with_else, "c#1", json!("else")),
        (["false", "false"], "", "", json!(null)),
    ];
    for (conditions, otherwise, called, matched) in cases {
        let mut p = Play::new(&branches(conditions, otherwise));
        p.start();
        assert_eq!(p.calls.join(","), called);
        assert_eq!(p.steps["actions[0]"]["result"]["matchedBranch"], matched);
        assert_eq!(p.status("actions[0]"), "success");
        assert_eq!(p.end(), ("success", None));
    }
}

#[test]
fn dispatch_c11_an_error_in_when_fails_the_step_and_tries_no_further_branch() {
    let mut p = Play::new(
        "- choose:\n    - when: \"1 | nofilter\"\n      sequence: [{stop: {}}]\n    - when: \"true\"\n      sequence: [{action: test.call, config: {name: b}}]",
    );
    p.start();
    assert_eq!(p.end(), ("failed", Some("condition_error")));
    assert!(p.calls.is_empty());
}

#[test]
fn dispatch_c18_a_false_guard_ends_the_run_as_success() {
    let mut p = Play::new("- condition: 'false'\n- action: test.call\n  config: {name: a}");
    p.start();
    assert_eq!(p.end(), ("success", Some("guard_false")));
    assert_eq!(p.status("actions[0]"), "failed");
    assert!(p.calls.is_empty());
    let mut p = Play::new(
        "- condition: 'false'\n  continue_on_error: true\n- action: test.call\n  config: {name: a}",
    );
    p.start();
    assert_eq!(p.end(), ("success", None));
    assert_eq!(p.status("actions[0]"), "skipped");
    assert_eq!(p.calls, ["a#1"]);
}

#[test]
fn dispatch_c19_stop_with_error_passes_continue_on_error_but_a_failure_does_not() {
    let mut p = Play::new(
        "- sequence: [{stop: {reason: enough, error: true}}]\n  continue_on_error: true\n- action: test.call\n  config: {name: a}",
    );
    p.start();
    assert_eq!(p.end(), ("failed", Some("stopped")));
    assert!(p.calls.is_empty());
    let mut p = Play::new(
        "- sequence: [{action: test.call, config: {name: x, fails: boom}}]\n  continue_on_error: true\n- action: test.call\n  config: {name: a}",
    );
    p.start();
    assert_eq!(p.end(), ("success", None));
    assert_eq!(p.calls, ["x#1", "a#1"]);
    assert_eq!(p.status("actions[0]"), "failed");
}

#[test]
fn dispatch_c20_to_c22_delays() {
    let mut p = Play::new("- delay: {seconds: 30}\n- action: test.call\n  config: {name: a}");
    p.start();
    assert_eq!(p.rest, Rest::Suspended);
    assert_eq!(p.status("actions[0]"), "waiting");
    assert_eq!(p.locks.len(), 1);
    assert_eq!(p.walk.last_path.as_deref(), Some("actions[0]"));
    let (lock, (path, ..)) = p
        .locks
        .iter()
        .next()
        .map(|(l, v)| (*l, v.clone()))
        .expect("lock");
    p.fire(FireReason::Timer);
    assert_eq!(p.end(), ("success", None));
    assert_eq!(p.steps["actions[0]"]["result"]["fireReason"], "timer");
    // A second delivery of the same firing reaches nobody.
    p.happen(Event::Fired {
        path,
        lock,
        reason: FireReason::Timer,
        payload: None,
    });
    assert_eq!(p.calls, ["a#1"]);

    let mut p = Play::new("- delay: {seconds: 0}");
    p.start();
    assert_eq!(p.end(), ("success", None));
    assert!(p.locks.is_empty());

    for bad in [
        "'trigger.payload.text'",
        "'0 - 1'",
        "'2592001'",
        "'trigger.payload.missing'",
        "'1 | nofilter'",
    ] {
        let mut p = Play::new(&format!("- delay: {{template: {bad}}}"));
        p.start();
        assert_eq!(p.end(), ("failed", Some("invalid_delay")), "{bad}");
    }
    let mut p = Play::new("- delay: {template: '{{ trigger.payload.n + 0.9 }}'}");
    p.start();
    let at = p.locks.values().next().expect("lock").2;
    assert_eq!(at, Some(p.now.plus_millis(1000)), "floored");
}

#[test]
fn dispatch_c26_waits_resume_inside_choose_else_and_sequence() {
    for (container, path) in [
        (
            "choose: [{when: 'true', sequence: [{action: test.call, config: {name: before}}, {delay: {seconds: 5}}, {action: test.call, config: {name: after}}]}]",
            "actions[0].choose[0].sequence[1]",
        ),
        (
            "choose: [{when: 'false', sequence: [{stop: {}}]}]\n  else: [{action: test.call, config: {name: before}}, {delay: {seconds: 5}}, {action: test.call, config: {name: after}}]",
            "actions[0].else[1]",
        ),
        (
            "sequence: [{action: test.call, config: {name: before}}, {delay: {seconds: 5}}, {action: test.call, config: {name: after}}]",
            "actions[0].sequence[1]",
        ),
        (
            "parallel: [{sequence: [{action: test.call, config: {name: before}}, {delay: {seconds: 5}}, {action: test.call, config: {name: after}}]}]",
            "actions[0].parallel[0][0].sequence[1]",
        ),
        (
            "repeat: {count: 1, sequence: [{action: test.call, config: {name: before}}, {delay: {seconds: 5}}, {action: test.call, config: {name: after}}]}",
            "actions[0].repeat[0].sequence[1]",
        ),
    ] {
        let mut p = Play::new(&format!(
            "- {container}\n- action: test.call\n  config: {{name: end}}"
        ));
        p.start();
        assert_eq!(p.rest, Rest::Suspended);
        assert_eq!(p.status("actions[0]"), "waiting", "a container waits too");
        assert_eq!(p.locks.values().next().expect("lock").0, path);
        p.fire(FireReason::Timer);
        assert_eq!(p.calls, ["before#1", "after#1", "end#1"]);
        assert_eq!(p.status("actions[0]"), "success");
    }
}

fn health(status: &str) -> Live {
    Live {
        health: json!({"system": {"status": status}, "systems": {"sys": {"status": status}}}),
        ..Live::default()
    }
}

const WAIT: &str = "- wait_until: {condition: \"health.system.status == 'healthy'\", timeout_seconds: 60}\n- action: test.call\n  config: {name: a}";

#[test]
fn dispatch_c32_a_wait_that_holds_already_leaves_no_lock() {
    let mut p = Play::new(WAIT);
    p.live = [health("healthy")].into();
    p.start();
    assert_eq!(p.end(), ("success", None));
    assert_eq!(
        p.steps["actions[0]"]["result"],
        json!({"satisfied": true, "immediate": true})
    );
}

#[test]
fn dispatch_c34_a_change_between_first_test_and_lock_is_caught_by_the_arm_guard() {
    let mut p = Play::new(WAIT);
    p.live = [health("down"), health("healthy")].into();
    p.start();
    assert_eq!(p.end(), ("success", None));
    assert!(p.locks.is_empty());
    assert_eq!(
        p.steps["actions[0]"]["result"]["armWindow"], true,
        "{:?}",
        p.steps
    );
}

#[test]
fn dispatch_c40_the_deadline_continues_or_fails() {
    let mut p = Play::new(WAIT);
    p.start();
    assert_eq!(p.rest, Rest::Suspended);
    p.fire(FireReason::Timeout);
    assert_eq!(p.end(), ("success", None));
    let mut p = Play::new(
        "- wait_until: {condition: \"health.system.status == 'x'\", timeout_seconds: 60, continue_on_timeout: false}",
    );
    p.start();
    p.fire(FireReason::Timeout);
    assert_eq!(p.end(), ("failed", Some("wait_timeout")));
    assert_eq!(p.error("actions[0]"), "wait_timeout");
}

#[test]
fn entity_23_24_state_that_cannot_be_read_satisfies_nothing() {
    let mut p = Play::new(
        "- wait_until: {condition: \"state.incident.x.status != 'open'\", timeout_seconds: 60}",
    );
    p.live = [Live {
        unresolved: true,
        ..Live::default()
    }]
    .into();
    p.start();
    assert_eq!(p.rest, Rest::Suspended);
}

#[test]
fn an_answer_of_a_superseded_execution_changes_nothing() {
    let mut p = Play::new("- action: test.call\n  config: {name: a}");
    p.crash_after = Some(1);
    p.start();
    assert_eq!(p.calls, ["a#2"], "the first call was lost with its node");
    assert_eq!(p.end(), ("success", None));
    assert_eq!(p.steps["actions[0]"]["attempts"], 2);
}
