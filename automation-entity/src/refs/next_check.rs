//! When a condition's answer may flip without any change (`entity §19.3.2`).

use plugin_api::Ts;
use template_engine::{
    Env, Expression, Scope, Template, Value,
    ast::{Ast, Segment},
    compare::finite_number,
    condition::{Condition, Entity, NumericValue, StateCondition},
};

/// Expressions that time alone can change are looked at again after this long.
const MINUTE_MS: i64 = 60_000;
const CLOCK_FILTERS: [&str; 2] = ["older_than", "duration_since"];
const CLOCK_FIELDS: [&str; 2] = ["in_status_for_ms", "transitions_in_window"];

/// The earliest instant after `env.now` at which the condition may become true although nothing
/// changed; none when only a change can do it. `scope` is the one it was just found false in.
pub fn next_check(condition: &Condition, scope: &dyn Scope, env: &Env<'_>) -> Option<Ts> {
    let now = Ts::new(env.now);
    let in_a_minute = || now.plus_millis(MINUTE_MS);
    match condition {
        Condition::Expression(e) => expression(e).then(in_a_minute),
        Condition::NumericState(numeric) => match &numeric.value {
            NumericValue::Expression(e) => expression(e).then(in_a_minute),
            NumericValue::Number(_) | NumericValue::Broken(_) => None,
        },
        Condition::Broken(_) => None,
        Condition::And(members) | Condition::Or(members) => {
            let parts = members.iter().filter_map(|m| next_check(m, scope, env));
            parts.min()
        }
        Condition::Not(member) => next_check(member, scope, env),
        Condition::Time(window) => window.next_boundary(env.now).map(Ts::new),
        Condition::State(state) => {
            let held = held_long_enough(state, scope, env, now);
            let entity = match &state.entity {
                Entity::Template(t) => template(t).then(in_a_minute),
                Entity::Id(_) | Entity::Broken(_) => None,
            };
            [held, entity].into_iter().flatten().min()
        }
    }
}

/// When a status that holds will have held for long enough.
fn held_long_enough(
    state: &StateCondition,
    scope: &dyn Scope,
    env: &Env<'_>,
    now: Ts,
) -> Option<Ts> {
    let needed = state.needed_ms(scope, env).ok()??;
    let rendered;
    let entity = match &state.entity {
        Entity::Id(id) => id,
        Entity::Template(template) => {
            rendered = template.render(scope, env).ok()?;
            &rendered
        }
        Entity::Broken(_) => return None,
    };
    let system = scope.root("health")?.get("systems")?.get(entity)?;
    if system.get("status")?.as_str()? != state.status {
        return None;
    }
    let held = system
        .get("in_status_for_ms")
        .and_then(|ms| finite_number(&Value::of(ms)));
    let left = needed - held.unwrap_or(0.0);
    (left > 0.0).then(|| now.plus_millis(left.ceil() as i64))
}

fn expression(e: &Expression) -> bool {
    reads_the_clock(&e.ast())
}

fn template(t: &Template) -> bool {
    reads_the_clock(&t.ast())
}

fn reads_the_clock(ast: &Ast) -> bool {
    let by_filter = ast.filters().any(|f| CLOCK_FILTERS.contains(&f.name));
    by_filter
        || ast.references().iter().any(|r| {
            let mut names = r.segments.iter().filter_map(Segment::name);
            r.root == "now" || names.any(|n| CLOCK_FIELDS.contains(&n))
        })
}
