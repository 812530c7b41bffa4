//! Writing the model back: normal form and minimal form (`definition §9`).
//!
//! Structural keys come in the order of the specification's tables, free mappings in the author's
//! order; absent keys are left out. The minimal form leaves defaults out as well.

use super::{
    Action, ActionKind, Backoff, ConcurrencyScope, Condition, Definition, Delay, Duration, Mode,
    NumericValue, Refire, Repeat, Retry, Trigger,
};
use serde_json::{Map, Value};

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Form {
    Normal,
    Minimal,
}

/// A mapping under construction.
struct Object {
    form: Form,
    map: Map<String, Value>,
}

impl Object {
    fn new(form: Form) -> Self {
        Self {
            form,
            map: Map::new(),
        }
    }
    fn set(&mut self, key: &str, value: impl Into<Value>) -> &mut Self {
        self.map.insert(key.to_owned(), value.into());
        self
    }
    fn maybe(&mut self, key: &str, value: Option<impl Into<Value>>) -> &mut Self {
        if let Some(v) = value {
            self.set(key, v);
        }
        self
    }
    /// Left out of the minimal form when it is the default.
    fn defaulted(&mut self, key: &str, value: impl Into<Value>, is_default: bool) -> &mut Self {
        if self.form == Form::Normal || !is_default {
            self.set(key, value);
        }
        self
    }
    fn done(&mut self) -> Value {
        Value::Object(std::mem::take(&mut self.map))
    }
}

pub(super) fn value(d: &Definition, form: Form) -> Value {
    let mut o = Object::new(form);
    o.set("name", d.name.as_str())
        .maybe("description", d.description.as_deref())
        .set("triggers", list(&d.triggers, |t| trigger(t, form)))
        .defaulted(
            "conditions",
            list(&d.conditions, |c| condition(c, form)),
            d.conditions.is_empty(),
        )
        .defaulted("actions", actions(&d.actions, form), d.actions.is_empty())
        .defaulted("mode", d.mode.name(), d.mode == Mode::default())
        .defaulted(
            "concurrency_scope",
            d.concurrency_scope.name(),
            d.concurrency_scope == ConcurrencyScope::default(),
        )
        .defaulted("max_runs", d.max_runs, d.max_runs == 10)
        .defaulted("allow_reentry", d.allow_reentry, !d.allow_reentry);
    if !d.uses_state.is_empty() {
        o.set("uses_state", list(&d.uses_state, |s| s.as_str().into()));
    }
    o.maybe("state_window_minutes", d.state_window_minutes);
    o.done()
}

fn list<T>(items: &[T], write: impl Fn(&T) -> Value) -> Value {
    Value::Array(items.iter().map(write).collect())
}

pub(super) fn trigger(t: &Trigger, form: Form) -> Value {
    let mut o = Object::new(form);
    o.maybe("id", t.id.as_deref())
        .set("event", t.event.as_str())
        .maybe("config", t.config.clone())
        .maybe("filter", t.filter.as_ref().map(|e| e.text()))
        .maybe("for", t.dwell.as_ref().map(duration));
    if let Some(w) = &t.window {
        let window = Object::new(form)
            .set("count", w.count)
            .set("minutes", w.minutes)
            .defaulted("refire", w.refire.name(), w.refire == Refire::default())
            .maybe("partitionBy", w.partition_by.as_ref().map(|e| e.text()))
            .done();
        o.set("window", window);
    }
    o.maybe("cooldown", t.cooldown.as_ref().map(duration));
    o.done()
}

fn duration(d: &Duration) -> Value {
    let mut map = Map::new();
    match d {
        Duration::Seconds(n) => map.insert("seconds".into(), (*n).into()),
        Duration::Minutes(n) => map.insert("minutes".into(), (*n).into()),
        Duration::Hours(n) => map.insert("hours".into(), (*n).into()),
        Duration::Template(e) => map.insert("template".into(), e.text().into()),
    };
    Value::Object(map)
}

fn condition(c: &Condition, form: Form) -> Value {
    let body = match c {
        Condition::Expression(e) => return e.text().into(),
        Condition::And(members) | Condition::Or(members) => list(members, |m| condition(m, form)),
        Condition::Not(inner) => condition(inner, form),
        Condition::NumericState {
            value,
            above,
            below,
        } => {
            let value = match value {
                NumericValue::Number(n) => Value::Number(n.clone()),
                NumericValue::Expression(e) => e.text().into(),
            };
            Object::new(form)
                .set("value", value)
                .maybe("above", above.clone().map(Value::Number))
                .maybe("below", below.clone().map(Value::Number))
                .done()
        }
        Condition::Time {
            after,
            before,
            weekday,
            timezone,
        } => Object::new(form)
            .maybe("after", after.as_deref())
            .maybe("before", before.as_deref())
            .maybe("weekday", weekday.clone())
            .defaulted("timezone", timezone.as_str(), timezone == "UTC")
            .done(),
        Condition::State {
            entity,
            status,
            held_for,
        } => Object::new(form)
            .set("entity", entity.as_str())
            .set("status", status.as_str())
            .maybe("for", held_for.as_ref().map(duration))
            .done(),
    };
    let key = match c {
        Condition::And(_) => "and",
        Condition::Or(_) => "or",
        Condition::Not(_) => "not",
        Condition::NumericState { .. } => "numeric_state",
        Condition::Time { .. } => "time",
        Condition::State { .. } => "state",
        Condition::Expression(_) => return body,
    };
    Value::Object(Map::from_iter([(key.to_owned(), body)]))
}

fn retry(r: &Retry, form: Form) -> Value {
    Object::new(form)
        .set("max_attempts", r.max_attempts)
        .set("delay", duration(&r.delay))
        .defaulted("backoff", r.backoff.name(), r.backoff == Backoff::default())
        .maybe("max_delay", r.max_delay.as_ref().map(duration))
        .done()
}

fn actions(list_of: &[Action], form: Form) -> Value {
    list(list_of, |a| action(a, form))
}

fn action(a: &Action, form: Form) -> Value {
    let mut o = Object::new(form);
    o.maybe("id", a.id.as_deref())
        .maybe("description", a.description.as_deref())
        .defaulted("enabled", a.enabled, a.enabled)
        .defaulted(
            "continue_on_error",
            a.continue_on_error,
            !a.continue_on_error,
        );
    match &a.kind {
        ActionKind::Provider { action, config } => {
            o.set("action", action.as_str())
                .defaulted("config", config.clone(), config.is_empty())
                .maybe("retry", a.retry.as_ref().map(|r| retry(r, form)));
        }
        ActionKind::Choose {
            branches,
            otherwise,
        } => {
            let clauses = list(branches, |b| {
                Object::new(form)
                    .set("when", condition(&b.when, form))
                    .set("sequence", actions(&b.sequence, form))
                    .done()
            });
            o.set("choose", clauses)
                .maybe("else", otherwise.as_ref().map(|e| actions(e, form)));
        }
        ActionKind::Parallel(branches) => {
            o.set("parallel", actions(branches, form));
        }
        ActionKind::Sequence(steps) => {
            o.set("sequence", actions(steps, form));
        }
        ActionKind::Repeat { mode, sequence } => {
            let mut body = Object::new(form);
            match mode {
                Repeat::Count(n) => body.set("count", *n),
                Repeat::ForEach(e) => body.set("for_each", e.text()),
                Repeat::While {
                    test,
                    max_iterations,
                } => body.set("while", test.text()).defaulted(
                    "max_iterations",
                    *max_iterations,
                    *max_iterations == 1000,
                ),
                Repeat::Until {
                    test,
                    max_iterations,
                } => body.set("until", test.text()).defaulted(
                    "max_iterations",
                    *max_iterations,
                    *max_iterations == 1000,
                ),
            };
            body.set("sequence", actions(sequence, form));
            o.set("repeat", body.done());
        }
        ActionKind::Delay(delay) => {
            let mut body = Object::new(form);
            match delay {
                Delay::Seconds(n) => body.set("seconds", *n),
                Delay::Template(e) => body.set("template", e.text()),
            };
            o.set("delay", body.done());
        }
        ActionKind::Variables(map) => {
            o.set("variables", map.clone());
        }
        ActionKind::Condition(c) => {
            o.set("condition", condition(c, form));
        }
        ActionKind::Stop { reason, error } => {
            let body = Object::new(form)
                .maybe("reason", reason.as_deref())
                .defaulted("error", *error, !*error)
                .done();
            o.set("stop", body);
        }
        ActionKind::WaitForTrigger {
            event,
            filter,
            timeout_seconds,
            context_key,
        } => {
            let body = Object::new(form)
                .set("event", event.as_str())
                .maybe("filter", filter.as_ref().map(|e| e.text()))
                .maybe("timeout_seconds", *timeout_seconds)
                .maybe("context_key", context_key.as_deref())
                .done();
            o.set("wait_for_trigger", body);
        }
        ActionKind::WaitUntil {
            condition: c,
            timeout_seconds,
            continue_on_timeout,
        } => {
            let body = Object::new(form)
                .set("condition", condition(c, form))
                .maybe("timeout_seconds", *timeout_seconds)
                .defaulted(
                    "continue_on_timeout",
                    *continue_on_timeout,
                    *continue_on_timeout,
                )
                .done();
            o.set("wait_until", body);
        }
    }
    o.done()
}
