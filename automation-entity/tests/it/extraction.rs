//! What a condition reads, and when time alone may flip it (`entity §19.1`, §19.3).

use automation_entity::refs::{Narrow, Refs, narrowed, next_check, of_condition};
use plugin_api::Ts;
use serde_json::{Value, json};
use template_engine::{Env, Filters, condition::Condition};

fn condition(json: Value) -> Condition {
    Condition::parse(&json).unwrap()
}

fn read(json: Value) -> Refs {
    of_condition(&condition(json))
}

/// `refs`, then ` ?` when indeterminate or ` ~` when partial.
fn text(refs: &Refs) -> String {
    let mut out = refs.texts().join(" ");
    if refs.indeterminate {
        out.push_str(" ?");
    }
    if refs.partial {
        out.push_str(" ~");
    }
    out
}

#[test]
fn entity_23_18_the_table_of_conditions() {
    let cases = [
        (
            json!({"and": ["state.a.x.s == 1", {"or": ["state.b.y.s", {"not": "state.a.x.t"}]}]}),
            "a:x b:y",
        ),
        (
            json!({"state": {"entity": "sys-1", "status": "healthy"}}),
            "health:sys-1",
        ),
        (
            json!({"state": {"entity": "sys-1", "status": "healthy", "for": {"minutes": 10}}}),
            "health:sys-1",
        ),
        (json!({"state": {"entity": " ", "status": "healthy"}}), " ?"),
        (
            json!({"state": {"entity": "{{ trigger.payload.id }}", "status": "healthy"}}),
            "health:*",
        ),
        (
            json!({"numeric_state": {"value": "health.systems.a.latency_ms", "above": 5}}),
            "health:a",
        ),
        (json!({"numeric_state": {"value": 7, "above": 5}}), " ?"),
        (
            json!({"and": [{"numeric_state": {"value": 7, "above": 5}}, "state.a.x.s"]}),
            "a:x",
        ),
        (json!({"time": {"after": "08:00"}}), ""),
        (json!("state.a."), " ?"),
        (json!({"and": ["state.a.", "state.a.x"]}), "a:x ~"),
    ];
    for (json, expected) in cases {
        assert_eq!(text(&read(json.clone())), expected, "{json}");
    }
}

#[test]
fn entity_23_18_the_table_of_chains() {
    let cases = [
        ("state.incident.x.status == 'open'", "incident:x"),
        ("state.incident['x'].status", "incident:x"),
        ("state['incident']['x'].status", "incident:x"),
        ("state.slo[42].left", "slo:42"),
        ("state.incident[trigger.payload.id].status", "incident:*"),
        ("state.incident", "incident:*"),
        ("state[trigger.kind].x", " ?"),
        ("state", " ?"),
        ("health | default(1)", " ?"),
        ("health.systems.a.status", "health:a"),
        ("health.systems['a'].status", "health:a"),
        ("health.systems[trigger.payload.id].status", "health:*"),
        ("health.systems", "health:*"),
        ("health.system.status", "health:*"),
        ("health.whatever.x", "health:*"),
        ("health[trigger.x].y", "health:*"),
        ("trigger.payload.n > 5", ""),
        ("state.health.systems", "health:systems"),
        // Indexes, filter arguments and branches that never run are looked through.
        ("state.a[state.b['x'].cur].y", "a:* b:x"),
        ("trigger.x | default(state.a.x.s)", "a:x"),
        (
            "trigger.x ? state.a.x : (!state.b.y && -state.c.z < 1)",
            "a:x b:y c:z",
        ),
        // Unique, in order of appearance.
        ("state.b.x.s == state.a.x.s && state.b.x.t", "b:x a:x"),
    ];
    for (source, expected) in cases {
        assert_eq!(text(&read(json!(source))), expected, "{source}");
    }
}

#[test]
fn entity_23_18_indeterminate_and_partial() {
    let dynamic = "state[trigger.kind][trigger.id].x == 1";
    let alone = read(json!(dynamic));
    assert!(alone.indeterminate && !alone.partial && alone.refs.is_empty());
    let mixed = read(json!({"and": [dynamic, "state.incident.x.status == 'open'"]}));
    assert!(!mixed.indeterminate && mixed.partial);
    assert_eq!(mixed.texts(), ["incident:x"]);
}

fn narrow(json: Value, context_key: Option<&str>) -> String {
    let filters = Filters::default();
    let env = Env::new(&filters, "2026-01-15T12:00:00Z".parse().unwrap());
    let scope = json!({
        "trigger": {"payload": {"id": "inc-1", "n": 42, "blank": " ", "list": [1]}},
        "variables": {"sys": "s1"},
        "state": {"a": {"x": {"cur": "live"}}},
        "now": "2026-01-15T12:00:00Z",
    });
    let narrow = Narrow {
        scope: &scope,
        env: &env,
        context_key,
    };
    text(&narrowed(&condition(json), narrow))
}

#[test]
fn entity_19_1_6_narrowing() {
    let cases = [
        (
            "state.incident[trigger.payload.id].status",
            "incident:inc-1",
        ),
        ("state.slo[trigger.payload.n].left", "slo:42"),
        ("health.systems[variables.sys].status", "health:s1"),
        (
            "health.systems['x' + '-' + trigger.payload.n].status",
            "health:x-42",
        ),
        ("health.system.status", "health:key"),
        ("health.systems", "health:*"),
        // Blank, not a scalar, undefined, failing, live, or dependent on the clock: the wildcard stays.
        ("state.a[trigger.payload.blank].s", "a:*"),
        ("state.a[trigger.payload.list].s", "a:*"),
        ("state.a[trigger.payload.nothing].s", "a:*"),
        ("state.a[trigger.payload.id | no_such_filter].s", "a:*"),
        ("state.b[state.a.x.cur].s", "b:* a:x"),
        ("state.b[now].s", "b:*"),
        (
            "state.b[trigger.payload.id | older_than(5) ? 'x' : 'y'].s",
            "b:*",
        ),
    ];
    for (source, expected) in cases {
        assert_eq!(narrow(json!(source), Some("key")), expected, "{source}");
    }
    assert_eq!(narrow(json!("health.system.status"), None), "health:*");
    let state = |entity: &str| json!({"state": {"entity": entity, "status": "healthy"}});
    assert_eq!(narrow(state("{{ variables.sys }}"), None), "health:s1");
    assert_eq!(
        narrow(state("{{ trigger.payload.blank }}"), None),
        "health:*"
    );
    assert_eq!(narrow(state("{{ state.a.x.cur }}"), None), "health:* a:x");
}

fn check(json: Value) -> Option<i64> {
    let filters = Filters::default();
    let env = Env::new(&filters, "2026-01-15T12:00:00Z".parse().unwrap());
    let scope = json!({"health": {"systems": {
        "young": {"status": "healthy", "in_status_for_ms": 240_000.5},
        "old": {"status": "healthy", "in_status_for_ms": 900_000},
        "down": {"status": "unhealthy", "in_status_for_ms": 1000},
    }}});
    let now = Ts::new(env.now).millis();
    let condition = condition(json);
    next_check(&condition, &scope, &env).map(|at| at.millis() - now)
}

#[test]
fn entity_19_3_2_next_check() {
    let state = |entity: &str| json!({"state": {"entity": entity, "status": "healthy", "for": {"minutes": 10}}});
    let minute = Some(60_000);
    let cases = [
        (state("young"), Some(360_000)),
        (state("old"), None),
        (state("down"), None),
        (state("unknown"), None),
        (
            json!({"state": {"entity": "down", "status": "healthy"}}),
            None,
        ),
        (
            json!({"time": {"after": "12:30", "before": "18:00"}}),
            Some(1_800_000),
        ),
        (
            json!({"time": {"after": "13:00", "timezone": "Europe/Berlin"}}),
            Some(11 * 3_600_000),
        ),
        (json!("trigger.at | older_than(5)"), minute),
        (json!("(trigger.at | duration_since) > 5"), minute),
        (json!("health.systems.a.in_status_for_ms > 5"), minute),
        (
            json!({"numeric_state": {"value": "health.system.transitions_in_window", "above": 3}}),
            minute,
        ),
        (json!("now > trigger.at"), minute),
        (json!("state.a.x.s == 'open'"), None),
        (json!({"and": [state("young"), {"not": "now > 1"}]}), minute),
        (
            json!({"or": [state("young"), "state.a.x.s"]}),
            Some(360_000),
        ),
    ];
    for (json, expected) in cases {
        assert_eq!(check(json.clone()), expected, "{json}");
    }
}
