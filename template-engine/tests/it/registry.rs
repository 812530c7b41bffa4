//! The filter registry, the tree, scopes, and structured conditions beyond the recorded cases.

use std::sync::Arc;

use serde_json::json;
use template_engine::ast::{NodeKind, Segment};
use template_engine::condition::{Condition, TimeOfDay, TimeWindow};
use template_engine::{
    Contribution, Expression, Filter, FilterEnv, FilterFailure, Filters, Kind, Layered, Refused,
    Template, Value,
};

use crate::support::{NOW, env_at, place};

fn contribution(plugin: &str, name: &str, filter: impl Filter) -> Contribution {
    Contribution {
        plugin: plugin.into(),
        name: name.into(),
        signature: None,
        description: None,
        filter: Arc::new(filter),
    }
}

fn echo(
    value: &Value<'_>,
    args: &[Value<'_>],
    _: &FilterEnv,
) -> Result<Value<'static>, FilterFailure> {
    Ok(args.first().unwrap_or(value).clone().into_owned())
}

#[test]
fn template_9_registering() {
    let filters = Filters::default();
    assert_eq!(filters.list().len(), 17);
    assert!(filters.list().is_sorted() && filters.has("older_than") && !filters.has("echo"));
    filters.register(contribution("p", "echo", echo)).unwrap();
    assert!(filters.has("echo") && filters.list().len() == 18);
    assert_eq!(filters.get("echo").unwrap().plugin.as_deref(), Some("p"));
    assert_eq!(filters.get("upper").unwrap().plugin, None);

    let late = filters
        .register(contribution("q", "echo", echo))
        .unwrap_err();
    assert!(
        matches!(&late, Refused::Taken { plugin, owner: Some(owner), .. } if plugin == "q" && owner == "p")
    );
    assert_eq!(
        late.to_string(),
        "filter `echo` of plugin `q` is skipped: plugin `p` already has a filter of that name"
    );
    let builtin = filters
        .register(contribution("q", "upper", echo))
        .unwrap_err();
    assert!(matches!(builtin, Refused::Taken { owner: None, .. }));
    for name in ["", "a-b", "1a", "true", "null", "é", "a b"] {
        assert!(
            matches!(
                filters.register(contribution("q", name, echo)),
                Err(Refused::NotAName { .. })
            ),
            "{name}"
        );
    }
    filters
        .register(contribution("q", "not_yet", echo))
        .unwrap();
}

#[test]
fn template_9_5_a_failing_filter_is_a_located_error() {
    let filters = Filters::default();
    let fails = |_: &Value<'_>, _: &[Value<'_>], _: &FilterEnv| Err(FilterFailure::from("no luck"));
    let panics = |_: &Value<'_>, _: &[Value<'_>], _: &FilterEnv| panic!("secret detail");
    filters.register(contribution("p", "fails", fails)).unwrap();
    filters
        .register(contribution("p", "panics", panics))
        .unwrap();
    filters.register(contribution("p", "echo", echo)).unwrap();
    let env = env_at(&filters, NOW);
    let scope = json!({"o": {"k": [1, 2]}});
    let run = |source: &str| {
        Expression::parse(source)
            .unwrap()
            .evaluate(&scope, &env)
            .map(|v| v.into_json())
    };
    let error = run("1 == (o | fails)").unwrap_err();
    assert_eq!(
        (error.kind, error.name.as_deref()),
        (Kind::Filter, Some("fails"))
    );
    assert_eq!(place(&error), "filter 1:7");
    assert_eq!(error.message, "Filter `fails` failed: no luck");
    let error = run("o | panics").unwrap_err();
    assert!(error.kind == Kind::Filter && !error.message.contains("secret"));
    // The registry still serves.
    assert_eq!(run("(o | echo).k[1]").unwrap(), Some(json!(2)));
    assert_eq!(run("(o | echo)['k'].length").unwrap(), Some(json!(2)));
    assert_eq!(
        run("o | echo(o.k | echo) | json").unwrap(),
        Some(json!("[1,2]"))
    );
    assert_eq!(
        run("(o | echo) == o && (o.k | echo) == o.k").unwrap(),
        Some(json!(true))
    );
    assert_eq!(run("missing | echo").unwrap(), None);
    assert_eq!(
        run("'a' + ('b' | echo) + ('c' | echo | upper)").unwrap(),
        Some(json!("abC"))
    );
}

#[test]
fn template_9_filters_arrive_after_parsing() {
    let program = Expression::parse("n | echo").unwrap();
    let filters = Filters::default();
    let env = env_at(&filters, NOW);
    let scope = json!({"n": 5});
    assert_eq!(
        program.evaluate(&scope, &env).unwrap_err().kind,
        Kind::UnknownFilter
    );
    filters.register(contribution("p", "echo", echo)).unwrap();
    assert_eq!(
        program.evaluate(&scope, &env).unwrap().into_json(),
        Some(json!(5))
    );
}

#[test]
fn programs_are_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Expression>();
    shared::<Template>();
    shared::<Filters>();
    shared::<Condition>();
    shared::<template_engine::Error>();
}

#[test]
fn template_15_2_filters_at_their_own_position() {
    let source = "a ? (b | upper | nope(1 | inner)) : 'x' | last";
    let ast = Expression::parse(source).unwrap().ast();
    let uses: Vec<_> = ast
        .filters()
        .map(|f| (f.name, f.span.text(source), f.span.start))
        .collect();
    assert_eq!(
        uses,
        [
            ("upper", "upper", 9),
            ("nope", "nope", 17),
            ("inner", "inner", 26),
            ("last", "last", 42)
        ]
    );
}

#[test]
fn template_15_4_reference_chains() {
    let source = "state.a[state.b['x'].cur].y && (health)['systems'][42].status != null || (q | f(state.z)).r";
    let ast = Expression::parse(source).unwrap().ast();
    let shown: Vec<String> = ast
        .references()
        .iter()
        .map(|r| {
            let parts = r.segments.iter().map(|s| s.name().unwrap_or("*"));
            std::iter::once(r.root)
                .chain(parts)
                .collect::<Vec<_>>()
                .join(".")
        })
        .collect();
    assert_eq!(
        shown,
        [
            "state.a.*.y",
            "state.b.x.cur",
            "health.systems.42.status",
            "q",
            "state.z"
        ]
    );
    let references = ast.references();
    assert_eq!(
        references[0].span.text(source),
        "state.a[state.b['x'].cur].y"
    );
    assert_eq!(references[0].static_path().collect::<Vec<_>>(), ["a"]);
    let Segment::Dynamic { index, span } = references[0].segments[1] else {
        panic!("a dynamic segment")
    };
    assert_eq!(span.text(source), "state.b['x'].cur");
    let part = Expression::parse(source).unwrap().part(index).unwrap();
    let filters = Filters::default();
    let scope = json!({"state": {"b": {"x": {"cur": "id-1"}}}});
    assert_eq!(
        part.evaluate(&scope, &env_at(&filters, NOW))
            .unwrap()
            .into_json(),
        Some(json!("id-1"))
    );
}

#[test]
fn the_tree_has_the_shape_of_the_source() {
    let source = "a && b || !c ? x[1] : -y + 'z\\n'";
    let ast = Expression::parse(source).unwrap().ast();
    let mut shown = Vec::new();
    let mut stack = vec![(ast.roots()[0], 0)];
    while let Some((id, depth)) = stack.pop() {
        let node = ast.get(id).unwrap();
        let label = match &node.kind {
            NodeKind::Binary { operator, .. } => operator.symbol().to_owned(),
            NodeKind::Conditional { .. } => "?".to_owned(),
            NodeKind::Not(_) => "!".to_owned(),
            NodeKind::Negate(_) => "neg".to_owned(),
            NodeKind::Index { .. } => "[]".to_owned(),
            NodeKind::String(s) => format!("{s:?}"),
            _ => node.span.text(source).to_owned(),
        };
        shown.push(format!("{depth}{label}"));
        stack.extend(
            ast.children(id)
                .into_iter()
                .rev()
                .map(|child| (child, depth + 1)),
        );
    }
    assert_eq!(
        shown.join(" "),
        "0? 1|| 2&& 3a 3b 2! 3c 1[] 2x 21 1+ 2neg 3y 2\"z\\n\""
    );
    assert_eq!(ast.get(ast.roots()[0]).unwrap().span.text(source), source);
}

#[test]
fn every_part_evaluates_like_its_text() {
    let source = "(a || b) && (c ? a : d.e | default(1 + 2)) == 3 ? x[a] : !b";
    let program = Expression::parse(source).unwrap();
    let filters = Filters::default();
    let env = env_at(&filters, NOW);
    let scope = json!({"a": "k", "b": 0, "c": false, "d": {}, "x": {"k": 9}});
    let ast = program.ast();
    for (id, node) in ast.nodes() {
        let part = program.part(id).unwrap();
        // A span leaves out the parentheses around its ends, so only balanced ones can be parsed again.
        let Ok(again) = Expression::parse(node.span.text(source)) else {
            continue;
        };
        let expected = again.evaluate(&scope, &env).unwrap().into_json();
        assert_eq!(
            part.evaluate(&scope, &env).unwrap().into_json(),
            expected,
            "{:?}",
            node.kind
        );
    }
    assert_eq!(
        program.evaluate(&scope, &env).unwrap().into_json(),
        Some(json!(9))
    );
}

#[test]
fn scopes_can_be_layered() {
    let (base, item) = (json!({"a": 1, "repeat": "shadowed"}), json!({"index": 2}));
    let scope = Layered {
        over: [("repeat", &item)],
        base: &base,
    };
    let filters = Filters::default();
    let program = Expression::parse("repeat.index + a + (missing | default(0))").unwrap();
    assert_eq!(
        program
            .evaluate(&scope, &env_at(&filters, NOW))
            .unwrap()
            .into_json(),
        Some(json!(3))
    );
    let object = base.as_object().unwrap();
    assert!(
        Expression::parse("a == 1")
            .unwrap()
            .test(object, &env_at(&filters, NOW))
            .unwrap()
    );
}

fn holds(
    condition: serde_json::Value,
    scope: serde_json::Value,
    now: &str,
) -> Result<bool, String> {
    let filters = Filters::default();
    let condition = Condition::parse(&condition).map_err(|error| error.to_string())?;
    condition
        .test(&scope, &env_at(&filters, now))
        .map_err(|error| place(&error))
}

#[test]
fn template_15_1_conditions() {
    let health = json!({"health": {"systems": {"a": {"status": "healthy", "in_status_for_ms": "60000"}}}, "n": 60, "id": "a"});
    let state = |body: serde_json::Value| holds(json!({"state": body}), health.clone(), NOW);
    assert_eq!(
        state(json!({"entity": "{{ id }}", "status": "healthy", "for": {"minutes": 1}})),
        Ok(true)
    );
    assert_eq!(
        state(json!({"entity": "{{ missing }}", "status": "healthy"})),
        Ok(false)
    );
    assert_eq!(
        state(json!({"entity": "a", "status": "healthy", "for": {"template": "n"}})),
        Ok(true)
    );
    assert_eq!(
        state(json!({"entity": "a", "status": "healthy", "for": {"template": "n + 1"}})),
        Ok(false)
    );
    // Q8: an invalid computed duration makes the condition false, however long the status has been held.
    for bad in ["0", "-n", "missing", "'soon'", "2592001", "null"] {
        assert_eq!(
            state(json!({"entity": "a", "status": "healthy", "for": {"template": bad}})),
            Ok(false),
            "{bad}"
        );
    }
    // What is not reached does no harm; what is reached propagates.
    assert_eq!(
        holds(json!({"and": ["0", "bad syntax"]}), json!({}), NOW),
        Ok(false)
    );
    assert_eq!(
        holds(json!({"or": ["0", {"not": "bad syntax"}]}), json!({}), NOW),
        Err("expected_token 1:5".into())
    );
    assert_eq!(
        holds(
            json!({"numeric_state": {"value": "n", "above": 59.9, "below": 60}}),
            health.clone(),
            NOW
        ),
        Ok(false)
    );
    assert_eq!(
        holds(json!({"numeric_state": {"value": "n"}}), health, NOW),
        Ok(false)
    );
}

#[test]
fn template_15_1_malformed_conditions_say_where() {
    for (condition, message) in [
        (
            json!({}),
            "condition: expected exactly one condition, found none",
        ),
        (
            json!({"and": [], "or": []}),
            "condition: expected exactly one condition, found `and`, `or`",
        ),
        (
            json!({"or": ["1", {"nope": 1}]}),
            "or[1].nope: unknown condition; known are and, or, not, numeric_state, time and state",
        ),
        (
            json!({"not": {"time": {"after": "9:00"}}}),
            "not.time.after: expected a time as HH:mm, 00:00 to 23:59",
        ),
        (
            json!({"time": {"timezone": "Mars/Base"}}),
            "time.timezone: `Mars/Base` is not a known time zone",
        ),
        (
            json!({"time": {"weekday": [7]}}),
            "time.weekday: expected days as numbers, 0 (Sunday) to 6",
        ),
        (
            json!({"state": {"status": "x"}}),
            "state: `entity` is missing",
        ),
        (
            json!({"state": {"entity": "a", "status": "x", "fo": 1}}),
            "state.fo: unknown key; known are `entity`, `status`, `for`",
        ),
        (json!(5), "condition: expected an expression or an object"),
    ] {
        assert_eq!(holds(condition, json!({}), NOW), Err(message.to_owned()));
    }
    let deep = (0..100).fold(json!("1"), |inner, _| json!({"not": inner}));
    assert!(Condition::parse(&deep).is_err());
}

#[test]
fn template_15_1_time_follows_the_zone() {
    let night = json!({"time": {"after": "22:00", "before": "06:00", "weekday": [5], "timezone": "Europe/Berlin"}});
    // Friday 29 May 2026 22:00 in Berlin is 20:00 UTC.
    for (now, expected) in [
        ("2026-05-29T19:59:59Z", false),
        ("2026-05-29T20:00:00Z", true),
        ("2026-05-29T21:59:59Z", true),
        ("2026-05-29T22:00:00Z", false),
        ("2026-05-28T22:00:00Z", true),
        ("2026-05-29T03:59:59Z", true),
        ("2026-05-29T04:00:00Z", false),
    ] {
        assert_eq!(holds(night.clone(), json!({}), now), Ok(expected), "{now}");
    }
}

#[test]
fn entity_19_3_the_next_boundary_of_a_time_window() {
    let window = TimeWindow {
        after: TimeOfDay::parse("02:30"),
        before: TimeOfDay::parse("09:00"),
        weekdays: None,
        zone: TimeWindow::zone_named("Europe/Berlin").unwrap(),
    };
    let next = |now: &str| {
        window
            .next_boundary(now.parse().unwrap())
            .unwrap()
            .to_string()
    };
    assert_eq!(next("2026-01-15T12:00:00Z"), "2026-01-15T23:00:00Z"); // midnight
    assert_eq!(next("2026-01-15T23:00:00Z"), "2026-01-16T01:30:00Z"); // after
    assert_eq!(next("2026-01-16T01:30:00Z"), "2026-01-16T08:00:00Z"); // before
    // 29 March 2026: 02:30 does not exist in Berlin, and 03:00 summer time is 01:00 UTC.
    let skipped = next("2026-03-28T23:00:00Z");
    assert!(
        ("2026-03-29T00:30:00Z"..="2026-03-29T01:30:00Z").contains(&skipped.as_str()),
        "{skipped}"
    );
    // 25 October 2026: 02:30 comes twice.
    assert_eq!(next("2026-10-25T00:00:00Z"), "2026-10-25T00:30:00Z");
    assert_eq!(next("2026-10-25T00:30:00Z"), "2026-10-25T01:30:00Z");
}
