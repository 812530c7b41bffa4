//! `parallel`, `repeat`, `wait_for_trigger`, `retry` and the step budget against the model store.

use super::{
    decide::{FireReason, Rest},
    play::Play,
};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

fn call(name: &str) -> String {
    format!("{{action: test.call, config: {{name: '{name}'}}}}")
}

#[test]
fn dispatch_c12_a_failing_branch_stops_no_sibling_and_the_lowest_index_tells() {
    let mut p = Play::new(&format!(
        "- parallel:\n  - {}\n  - {{action: test.call, config: {{name: b, fails: second}}}}\n  - {{action: test.call, config: {{name: c, fails: third}}}}\n- {}",
        call("a"),
        call("after")
    ));
    p.start();
    assert_eq!(
        p.calls,
        ["a#1", "b#1", "c#1"],
        "all three, and nothing after"
    );
    assert_eq!(p.end(), ("failed", Some("action_failed")));
    assert!(matches!(&p.rest, Rest::Finished { message: Some(m), .. } if m == "second"));
    let told = &p.steps["actions[0]"]["result"]["branchOutcomes"];
    assert_eq!(told["0"], json!({"status": "completed"}));
    assert_eq!(told["2"], json!({"status": "failed", "error": "third"}));
}

#[test]
fn a_parallel_absorbs_failures_and_error_stops_of_its_branches() {
    for branch in [
        "{action: test.call, config: {name: b, fails: no}}",
        "{stop: {error: true, reason: enough}}",
        "{sequence: [{stop: {error: true}}], continue_on_error: true}",
    ] {
        let story = |absorbs: bool| {
            let absorbs = if absorbs {
                "\n  continue_on_error: true"
            } else {
                ""
            };
            format!(
                "- parallel:\n  - {}\n  - {branch}{absorbs}\n- {}",
                call("a"),
                call("after")
            )
        };
        let mut p = Play::new(&story(true));
        p.start();
        assert_eq!(p.end(), ("success", None), "{branch}");
        assert_eq!(p.calls.last().unwrap(), "after#1", "{branch}");
        let mut p = Play::new(&story(false));
        p.start();
        assert_eq!(p.end().0, "failed", "{branch}");
    }
}

#[test]
fn dispatch_13_8_no_outer_container_absorbs_an_error_stop_of_a_branch() {
    let parallel = |inner: &str, outer: &str| {
        format!("parallel: [{inner}, {{action: test.call, config: {{name: sibling}}}}]{outer}")
    };
    let stop = "{stop: {error: true, reason: enough}}";
    let fails = "{action: test.call, config: {name: f, fails: no}}";
    let containers = |branch: &str| {
        let parallel = parallel(branch, "");
        [
            format!("sequence: [{{{parallel}}}]"),
            format!("choose: [{{when: 'true', sequence: [{{{parallel}}}]}}]"),
            format!("repeat: {{count: 2, sequence: [{{{parallel}}}]}}"),
            parallel,
        ]
    };
    let story = |container: &str| {
        let absorbs = if container.starts_with("parallel") {
            ""
        } else {
            "\n  continue_on_error: true"
        };
        format!("- {container}{absorbs}\n- {}", call("after"))
    };
    for container in containers(stop) {
        let mut p = Play::new(&story(&container));
        p.start();
        assert_eq!(p.end(), ("failed", Some("stopped")), "{container}");
        assert!(matches!(&p.rest, Rest::Finished { message: Some(m), .. } if m == "enough"));
        assert_eq!(p.calls, ["sibling#1"], "{container}");
        let open = p
            .steps
            .values()
            .filter(|s| s["status"] == "running" || s["status"] == "waiting");
        assert_eq!(open.count(), 0, "{:?}", p.steps);
    }
    // The failure of a lower branch does not hide it.
    let both = "sequence: [{parallel: [FAILS, STOP]}]"
        .replace("FAILS", fails)
        .replace("STOP", stop);
    let mut p = Play::new(&story(&both));
    p.start();
    assert_eq!(p.end(), ("failed", Some("stopped")));
    assert_eq!(
        p.error("actions[0].sequence[0]"),
        "action_failed",
        "the lowest index tells"
    );
    // A failure is absorbed, and a stop by the parallel it is in, an outer one included.
    let absorbed = [
        story(&format!("sequence: [{{parallel: [{fails}]}}]")),
        format!(
            "- parallel: [{{parallel: [{stop}]}}]\n  continue_on_error: true\n- {}",
            call("after")
        ),
    ];
    for story in absorbed {
        let mut p = Play::new(&story);
        p.start();
        assert_eq!(p.end(), ("success", None), "{story}");
        assert_eq!(p.calls.last().unwrap(), "after#1");
    }
}

#[test]
fn dispatch_c13_a_stop_ends_only_its_branch() {
    for stop in ["stop: {reason: enough}", "condition: 'false'"] {
        let mut p = Play::new(&format!(
            "- parallel:\n  - sequence: [{{{stop}}}, {}]\n  - {}\n- {}",
            call("never"),
            call("sibling"),
            call("after")
        ));
        p.start();
        assert_eq!(p.end(), ("success", None));
        assert_eq!(p.calls, ["sibling#1", "after#1"]);
        let told = &p.steps["actions[0]"]["result"]["branchOutcomes"]["0"];
        assert_eq!(told["status"], "stopped");
    }
}

#[test]
fn branches_write_for_themselves_until_the_join() {
    let mut p = Play::new(
        r#"
- variables: { x: "0", y: "0" }
- parallel:
  - sequence:
    - variables: { x: "a", mine: "a" }
    - id: made
      action: test.call
      config: { name: "A {{ variables.x }}" }
    - delay: { seconds: 60 }
    - action: test.call
      config: { name: "{{ variables.x }} {{ artifacts.made.made.name }}" }
  - sequence:
    - delay: { seconds: 30 }
    - action: test.call
      config: { name: "{{ variables.x }}{{ variables.mine }}{{ artifacts.made.made.name }}|" }
    - variables: { x: "b" }
- action: test.call
  config: { name: "{{ variables.x }} {{ variables.y }} {{ variables.mine }} {{ artifacts.made.made.name }}" }
"#,
    );
    p.start();
    p.fire_at(
        "actions[1].parallel[1][0].sequence[0]",
        FireReason::Timer,
        None,
    );
    assert_eq!(
        p.calls.last().unwrap(),
        "0|#1",
        "nothing of the sibling is seen"
    );
    p.fire_at(
        "actions[1].parallel[0][0].sequence[2]",
        FireReason::Timer,
        None,
    );
    assert_eq!(p.end(), ("success", None));
    // The later branch wins, whoever was quicker.
    assert_eq!(p.calls[2..], ["a A a#1", "b 0 a A a#1"]);
    assert_eq!(p.walk.variables, json!({"x": "b", "y": "0", "mine": "a"}));
}

#[test]
fn dispatch_c14_repeat_counts_from_zero() {
    let mut p = Play::new(
        "- repeat: {count: 3, sequence: [{action: test.call, config: {name: '{{ repeat.index }}'}}]}",
    );
    p.start();
    assert_eq!(p.calls, ["0#1", "1#1", "2#1"]);
    assert_eq!(p.steps["actions[0]"]["result"], json!({"iterations": 3}));
    assert_eq!(p.status("actions[0].repeat[2].sequence[0]"), "success");
    assert_eq!(p.end(), ("success", None));
}

#[test]
fn dispatch_c15_for_each_walks_the_list_it_began_with() {
    let mut p = Play::new(
        "- variables: {unused: 1}\n- repeat:\n    for_each: \"trigger.payload.list\"\n    sequence:\n    - delay: {seconds: 5}\n    - {action: test.call, config: {name: '{{ repeat.item }}'}}",
    );
    Arc::make_mut(&mut p.base.trigger)["payload"]["list"] = json!(["a", "b", "c"]);
    p.start();
    Arc::make_mut(&mut p.base.trigger)["payload"]["list"] = json!(["x"]);
    p.crash_after = Some(p.decisions + 1);
    while p.rest == Rest::Suspended {
        p.fire(FireReason::Timer);
    }
    assert_eq!(p.end(), ("success", None));
    let mut names: Vec<&str> = p.calls.iter().filter_map(|c| c.split('#').next()).collect();
    names.dedup();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(
        p.steps["actions[1]"]["result"],
        json!({"iterations": 3, "forEachList": ["a", "b", "c"]})
    );
}

#[test]
fn for_each_over_anything_else_fails_the_step() {
    for (given, code) in [
        ("'text'", "for_each_not_list"),
        ("trigger.payload.big", "for_each_too_long"),
    ] {
        let mut p = Play::new(&format!(
            "- repeat: {{for_each: \"{given}\", sequence: [{}]}}",
            call("a")
        ));
        Arc::make_mut(&mut p.base.trigger)["payload"]["big"] = json!(vec![0; 10_001]);
        p.start();
        assert_eq!(p.end(), ("failed", Some(code)));
        assert!(p.calls.is_empty());
    }
}

#[test]
fn dispatch_c16_while_ends_at_its_limit_as_a_success() {
    let mut p = Play::new(&format!(
        "- repeat: {{while: 'true', max_iterations: 5, sequence: [{}]}}\n- {}",
        call("a"),
        call("after")
    ));
    p.start();
    assert_eq!(p.calls.len(), 6);
    assert_eq!(p.end(), ("success", None));
    assert_eq!(
        p.steps["actions[0]"]["result"],
        json!({"iterations": 5, "limitReached": true})
    );
}

#[test]
fn until_sees_the_iteration_and_while_does_not() {
    let mut p = Play::new(
        "- repeat:\n    until: \"variables.done == 'yes2'\"\n    sequence:\n    - variables: {done: 'yes{{ repeat.index }}'}",
    );
    p.start();
    assert_eq!(p.steps["actions[0]"]["result"]["iterations"], 3);
    assert_eq!(
        p.walk.variables,
        json!({}),
        "an iteration's variables vanish with it"
    );
    let mut p = Play::new(
        "- repeat:\n    while: \"variables.done != 'yes'\"\n    max_iterations: 4\n    sequence:\n    - variables: {done: 'yes'}",
    );
    p.start();
    assert_eq!(p.steps["actions[0]"]["result"]["iterations"], 4);
    // A test that fails: `while` ends, `until` goes on.
    for (test, iterations) in [
        ("while: '1 | nofilter'", 0),
        ("until: '1 | nofilter'\n    max_iterations: 2", 2),
    ] {
        let mut p = Play::new(&format!(
            "- repeat:\n    {test}\n    sequence: [{}]",
            call("a")
        ));
        p.start();
        assert_eq!(
            p.steps["actions[0]"]["result"]["iterations"], iterations,
            "{test}"
        );
        assert!(
            p.log.iter().any(|l| l.contains("counts as false")),
            "{:?}",
            p.log
        );
    }
}

#[test]
fn dispatch_c17_a_variable_of_an_iteration_survives_its_wait_and_no_more() {
    let mut p = Play::new(
        "- repeat:\n    count: 2\n    sequence:\n    - action: test.call\n      config: {name: 'before {{ variables.v }}'}\n    - variables: {v: 'v{{ repeat.index }}'}\n    - delay: {seconds: 5}\n    - action: test.call\n      config: {name: 'after {{ variables.v }}'}",
    );
    p.crash_after = Some(3);
    p.through();
    let names: Vec<&str> = p.calls.iter().filter_map(|c| c.split('#').next()).collect();
    assert_eq!(names, ["before ", "after v0", "before ", "after v1"]);
}

#[test]
fn dispatch_c26_a_wait_in_choose_in_repeat_resumes_at_its_exact_path() {
    for (choice, path) in [
        (
            "choose: [{when: 'false', sequence: [{stop: {}}]}, {when: 'true', sequence: [WAIT]}]",
            "choose[1].sequence[0]",
        ),
        (
            "choose: [{when: 'false', sequence: [{stop: {}}]}]\n      else: [WAIT]",
            "else[0]",
        ),
    ] {
        let wait = format!(
            "{{delay: {{seconds: 5}}}}, {}",
            call("waited {{ repeat.index }}")
        );
        let mut p = Play::new(&format!(
            "- repeat:\n    count: 2\n    sequence:\n    - {}\n    - {}\n    - {}\n- {}",
            call("before {{ repeat.index }}"),
            choice.replace("WAIT", &wait),
            call("after {{ repeat.index }}"),
            call("last"),
        ));
        p.start();
        let mut expected = Vec::new();
        for n in 0..2 {
            expected.push(format!("before {n}#1"));
            assert_eq!(
                p.calls, expected,
                "nothing before it is done again: {choice}"
            );
            let at: Vec<&str> = p.locks.values().map(|l| l.0.as_str()).collect();
            assert_eq!(at, [format!("actions[0].repeat[{n}].sequence[1].{path}")]);
            p.fire(FireReason::Timer);
            expected.extend(["waited", "after"].map(|name| format!("{name} {n}#1")));
        }
        expected.push("last#1".to_owned());
        assert_eq!(p.calls, expected);
        assert_eq!(p.end(), ("success", None));
    }
}

const NESTED: &str = r#"
- choose:
  - when: "true"
    sequence:
    - repeat:
        count: 2
        sequence:
        - parallel:
          - sequence:
            - variables: { here: "{{ repeat.index }}" }
            - delay: { seconds: 10 }
            - { action: test.call, config: { name: "first {{ variables.here }}" } }
          - sequence:
            - { action: test.call, config: { name: "second {{ repeat.index }}" } }
            - delay: { seconds: 20 }
            - { action: test.call, config: { name: "third {{ repeat.index }}" } }
          - repeat:
              for_each: "trigger.payload.list"
              sequence: [{ action: test.call, config: { name: "item {{ repeat.item }}" } }]
        - { action: test.call, config: { name: "joined {{ variables.here }}", fails: "no", until: 1 }, retry: { max_attempts: 3, delay: { seconds: 1 } } }
- { action: test.call, config: { name: last } }
"#;

#[test]
fn dispatch_c26_c63_a_crash_after_any_decision_repeats_at_most_what_was_in_flight() {
    let play = || {
        let mut p = Play::new(NESTED);
        Arc::make_mut(&mut p.base.trigger)["payload"]["list"] = json!(["x", "y"]);
        p
    };
    let mut whole = play();
    whole.through();
    assert_eq!(whole.end(), ("success", None), "{:?}", whole.steps);
    let times = |p: &Play| {
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        for call in &p.calls {
            *times
                .entry(call.split('#').next().unwrap().to_owned())
                .or_default() += 1;
        }
        times
    };
    for crash in 1..=whole.decisions {
        let mut p = play();
        p.crash_after = Some(crash);
        p.through();
        assert_eq!(
            p.end(),
            whole.end(),
            "crash after decision {crash}: {:?}",
            p.steps
        );
        assert!(p.locks.is_empty());
        let (got, all) = (times(&p), times(&whole));
        let (got_names, all_names): (Vec<_>, Vec<_>) = (got.keys().collect(), all.keys().collect());
        assert_eq!(got_names, all_names, "crash {crash} loses nothing");
        let more = |name: &String| got[name].saturating_sub(all[name]);
        assert!(
            all.keys().all(|n| more(n) <= 1),
            "crash {crash}: {:?}",
            p.calls
        );
        let repeated: usize = all.keys().map(more).sum();
        assert!(
            repeated <= 3,
            "crash {crash} repeats one call a branch at most: {:?}",
            p.calls
        );
        let ended = |p: &Play| -> Vec<(String, String)> {
            p.steps
                .iter()
                .map(|(k, v)| (k.clone(), v["status"].to_string()))
                .collect()
        };
        assert_eq!(ended(&p), ended(&whole), "crash {crash}");
    }
}

#[test]
fn dispatch_c27_two_waits_of_one_run_fire_in_any_order() {
    let story = format!(
        "- parallel:\n  - sequence: [{{wait_for_trigger: {{event: test.fired}}}}, {}]\n  - sequence: [{{wait_for_trigger: {{event: test.fired, context_key: other}}}}, {}]\n- {}",
        call("a"),
        call("b"),
        call("after")
    );
    let paths = [
        "actions[0].parallel[0][0].sequence[0]",
        "actions[0].parallel[1][0].sequence[0]",
    ];
    for order in [[0, 1], [1, 0]] {
        let mut p = Play::new(&story);
        p.start();
        assert_eq!(p.locks.len(), 2);
        assert_eq!(p.status("actions[0]"), "waiting");
        for i in order {
            p.fire_at(paths[i], FireReason::Event, Some(json!({"n": i})));
        }
        assert_eq!(p.end(), ("success", None));
        assert_eq!(p.calls.len(), 3);
        assert_eq!(p.walk.resume, Some(json!({"payload": {"n": order[1]}})));
    }
}

#[test]
fn dispatch_c31_a_wait_for_an_event_that_does_not_come_fails_its_step() {
    let mut p = Play::new("- wait_for_trigger: {event: test.fired, timeout_seconds: 60}");
    p.start();
    p.fire(FireReason::Timeout);
    assert_eq!(p.end(), ("failed", Some("wait_timeout")));
    assert_eq!(p.steps["actions[0]"]["result"]["fireReason"], "timeout");
    let mut p =
        Play::new("- wait_for_trigger: {event: test.fired, context_key: '{{ 1 | nofilter }}'}");
    p.start();
    assert_eq!(p.end(), ("failed", Some("render_failed")));
}

#[test]
fn a_retry_waits_durably_and_keeps_every_attempt() {
    let retry = |retry: &str, fails: &str| {
        Play::new(&format!(
            "- action: test.call\n  config: {{name: a, fails: 'no luck', {fails}}}\n  retry: {retry}"
        ))
    };
    let mut p = retry(
        "{max_attempts: 4, delay: {seconds: 10}, backoff: exponential, max_delay: {seconds: 30}}",
        "until: 3",
    );
    let begun = p.now;
    p.start();
    let mut waits = Vec::new();
    while p.rest == Rest::Suspended {
        assert_eq!(p.status("actions[0]"), "waiting");
        let before = p.now;
        p.fire(FireReason::Timer);
        waits.push((p.now.millis() - before.millis()) / 1000);
    }
    assert_eq!(waits, [10, 20, 30], "doubled, and capped");
    assert_eq!(p.calls, ["a#1", "a#2", "a#3", "a#4"]);
    assert_eq!(p.end(), ("success", None));
    let told = p.steps["actions[0]"]["result"]["attempts"]
        .as_array()
        .unwrap();
    assert_eq!(told.len(), 3);
    assert_eq!(told[0]["error"], "no luck");
    assert_eq!(told[0]["at"], json!(begun.to_text()));

    let mut p = retry("{max_attempts: 3, delay: {seconds: 10}}", "");
    p.through();
    assert_eq!(p.calls.len(), 3);
    assert_eq!(p.end(), ("failed", Some("action_failed")));
    // What the action asks for replaces the delay, within the same bound.
    let mut p = retry(
        "{max_attempts: 2, delay: {seconds: 10}, max_delay: {seconds: 60}}",
        "after_ms: 120000",
    );
    p.start();
    let before = p.now;
    p.fire(FireReason::Timer);
    assert_eq!(p.now.millis() - before.millis(), 60_000);
}

#[test]
fn a_crash_during_a_retry_changes_no_outcome() {
    let story = "- action: test.call\n  config: {name: a, fails: no, until: 2}\n  retry: {max_attempts: 4, delay: {seconds: 10}}\n- {action: test.call, config: {name: b}}";
    let mut whole = Play::new(story);
    whole.through();
    for crash in 1..=whole.decisions {
        let mut p = Play::new(story);
        p.crash_after = Some(crash);
        p.through();
        assert_eq!(p.end(), ("success", None), "crash {crash}");
        assert!(
            p.calls.len() <= whole.calls.len() + 1,
            "crash {crash}: {:?}",
            p.calls
        );
    }
}

#[test]
fn a_run_that_begins_too_many_steps_fails() {
    let mut p = Play::new(
        "- repeat: {count: 10000, sequence: [{variables: {x: 1}}]}\n  continue_on_error: true",
    );
    p.step_budget = 100;
    p.start();
    assert_eq!(p.end(), ("failed", Some("step_budget_exceeded")));
    assert!(p.steps.len() <= 102, "{}", p.steps.len());
}
