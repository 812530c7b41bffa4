//! Built-in triggers as their authors meet them (`definition §10`).

use crate::support::{check, registries, validate};
use automation_core::registry::{Registered, TriggerDef, TriggerSource};
use std::sync::Arc;

fn trigger(event: &str, config: &str) -> String {
    format!("name: A\ntriggers: [{{ event: {event}, config: {config} }}]\n")
}

fn registered(id: &str) -> Arc<Registered<TriggerDef>> {
    registries().trigger(id).unwrap()
}

#[test]
fn definition_10_1_schedules_have_their_real_keys_and_old_names_are_answered() {
    check(
        &trigger("automation.cron", "{ cronPattern: \"0 2 * * 1-5\" }"),
        &[],
    );
    check(
        &trigger("automation.interval", "{ intervalSeconds: 1 }"),
        &[],
    );
    check(
        &trigger("automation.interval", "{ intervalSeconds: 31536000 }"),
        &[],
    );
    for seconds in ["0", "31536001", "1.5", "\"60\""] {
        check(
            &trigger(
                "automation.interval",
                &format!("{{ intervalSeconds: {seconds} }}"),
            ),
            &["invalid_trigger_config triggers.0.config.intervalSeconds"],
        );
    }
    check(
        &trigger("automation.cron", "{ pattern: \"* * * * *\" }"),
        &[
            "invalid_trigger_config triggers.0.config.cronPattern",
            "invalid_trigger_config triggers.0.config.pattern",
        ],
    );
    for (old, new) in [
        ("time.cron", "`automation.cron`"),
        ("time.interval", "`automation.interval`"),
        ("automation.template", "`automation.state`"),
    ] {
        let found = validate(&trigger(old, "{}"));
        let issue = found.issues.first_error().unwrap();
        assert_eq!(issue.code, "unknown_trigger");
        let help = issue.help.clone().unwrap();
        assert!(help.contains(new), "{help}");
    }
}

#[test]
fn definition_10_3_a_cron_text_is_parsed_at_save() {
    for text in [
        "61 * * * *",
        "often",
        "* * * * * *",
        "0 0 31 2 *",
        "@yearly",
    ] {
        let text = format!("{{ cronPattern: \"{text}\" }}");
        check(
            &trigger("automation.cron", &text),
            &["invalid_trigger_config triggers.0.config.cronPattern"],
        );
    }
}

/// A tick is set up for one trigger of one automation; nobody else can be told of it.
#[test]
fn definition_18_27_schedules_are_set_up_per_automation_and_about_nothing() {
    for id in ["automation.cron", "automation.interval"] {
        let t = registered(id);
        assert!(matches!(t.source, TriggerSource::Setup(_)), "{id}");
        assert!(
            t.context_key.is_none() && t.evaluate_config.is_none(),
            "{id}"
        );
    }
    // Two of one kind in one automation need two ids, so that each has its own schedule.
    check(
        "name: A\ntriggers: [{ event: automation.cron, config: { cronPattern: \"@daily\" } }, { event: automation.cron, config: { cronPattern: \"@hourly\" } }]\n",
        &["duplicate_trigger_id triggers.1.event"],
    );
}

#[test]
fn definition_10_7_numeric_state_is_checked_at_save() {
    let numeric = |config: &str| trigger("automation.numeric_state", config);
    check(&numeric("{ field: latencyMs, above: 500 }"), &[]);
    check(&numeric("{ field: collectors.cpu.load, below: 0.5 }"), &[]);
    check(
        &numeric("{ field: latencyMs }"),
        &["invalid_trigger_config triggers.0.config"],
    );
    check(
        &numeric("{ field: \"\", above: x }"),
        &[
            "invalid_trigger_config triggers.0.config.field",
            "invalid_trigger_config triggers.0.config.above",
        ],
    );
}
