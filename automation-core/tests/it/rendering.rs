//! What a terminal shows.

use crate::support::{validate, with};

#[track_caller]
fn shown(text: &str) -> String {
    validate(text)
        .issues
        .render("outage.yaml", Some(text), false)
}

#[test]
fn a_misspelt_key_is_underlined_with_its_neighbour() {
    insta::assert_snapshot!(shown(
        "name: Outage\ntriggers:\n  - event: healthcheck.system_degraded\n    fliter:\n      - a\nactions:\n  - action: automation.log\n    config: { message: down }\n    continue_on_eror: true\n"
    ));
}

#[test]
fn a_broken_expression_is_underlined_where_it_breaks() {
    insta::assert_snapshot!(shown(
        "name: Outage\ntriggers:\n  - event: healthcheck.system_degraded\n    filter: \"{{ trigger.payload.newStatus = 'x' }}\"\nconditions:\n  - 'true | nofilter'\nactions:\n  - action: automation.log\n    config:\n      message: |\n        It is {{ trigger.payload. }}\n        down\n"
    ));
}

#[test]
fn a_missing_field_points_at_what_lacks_it() {
    insta::assert_snapshot!(shown("name: Outage\ntriggers:\n  - for: { minutes: 5 }\n"));
}

#[test]
fn text_that_is_no_yaml_and_text_that_is_empty_are_located() {
    insta::assert_snapshot!(shown("name: Outage\ntriggers: [\n"));
    insta::assert_snapshot!(shown(""));
}

#[test]
fn without_source_the_path_says_where() {
    let node = automation_core::yaml::read(&with("mode: both"), &Default::default()).unwrap();
    let found = automation_core::definition::Definition::read(
        &automation_core::yaml::Node::from_json(&node.to_json()),
    );
    insta::assert_snapshot!(found.1.render("request", None, false));
}
