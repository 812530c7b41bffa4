//! A definition laid out flat: every text with its meaning, every condition and every action, each
//! with its path and where it belongs.

use crate::definition::{
    Action, ActionKind, Condition, Definition, Delay, Duration, Expr, NumericValue, Repeat,
};
use crate::diagnostic::{Path, PathSegment};
use crate::registry::Registries;
use crate::schema::Cursor;
use serde_json::{Map, Value};
use template_engine::ast::Ast;
use template_engine::{Error, Template};

/// What a definition says, in document order.
pub(super) struct Outline<'d> {
    pub texts: Vec<Text<'d>>,
    pub conditions: Vec<ConditionAt<'d>>,
    pub actions: Vec<ActionAt<'d>>,
}

/// Where a text is evaluated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Position {
    /// In the scope of one trigger.
    Trigger(usize),
    /// Before a run.
    Conditions,
    /// In an action (index into [`Outline::actions`]).
    Action(usize),
    /// In the test of a `while` or `until` loop: inside the loop, and yet about the whole.
    LoopTest(usize, Tested),
    /// Nowhere.
    Document,
}

/// When a loop's test is evaluated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Tested {
    /// Before each pass, also the first.
    Before,
    /// After each pass.
    After,
}

impl Position {
    /// The action it is in.
    pub fn action(self) -> Option<usize> {
        match self {
            Position::Action(i) | Position::LoopTest(i, _) => Some(i),
            Position::Trigger(_) | Position::Conditions | Position::Document => None,
        }
    }
}

/// A text.
pub(super) struct Text<'d> {
    pub path: Path,
    pub position: Position,
    pub text: &'d str,
    pub meaning: Meaning<'d>,
}

/// How a text is taken (`definition §2.3`).
pub(super) enum Meaning<'d> {
    /// A bare expression.
    Expression(&'d Expr, Result<Ast, crate::definition::ExprError>),
    /// Text with `{{ }}` blocks.
    Template(Result<Ast, Error>),
    /// Code, never rendered.
    Code,
    /// A secret field, never rendered.
    Secret,
    /// As it is.
    Literal,
    /// In the config of an action nobody knows: whether it is a secret cannot be said.
    Unknown,
}

impl Text<'_> {
    /// Its syntax tree, when it has one and parses.
    pub fn ast(&self) -> Option<&Ast> {
        match &self.meaning {
            Meaning::Expression(_, Ok(ast)) | Meaning::Template(Ok(ast)) => Some(ast),
            _ => None,
        }
    }
}

/// A condition, at any depth.
pub(super) struct ConditionAt<'d> {
    pub path: Path,
    pub condition: &'d Condition,
}

/// An action, at any depth.
pub(super) struct ActionAt<'d> {
    pub path: Path,
    pub action: &'d Action,
    /// The action before it in the same list; none in a `parallel`, whose members do not wait for
    /// each other.
    pub before: Option<&'d Action>,
}

impl<'d> Outline<'d> {
    pub fn of(definition: &'d Definition, registries: &Registries) -> Self {
        let mut b = Builder {
            registries,
            path: Path::new(),
            position: Position::Document,
            out: Self {
                texts: Vec::new(),
                conditions: Vec::new(),
                actions: Vec::new(),
            },
        };
        b.definition(definition);
        b.out
    }
}

struct Builder<'d, 'r> {
    registries: &'r Registries,
    path: Path,
    position: Position,
    out: Outline<'d>,
}

impl<'d> Builder<'d, '_> {
    fn within(&mut self, segment: impl Into<PathSegment>, go: impl FnOnce(&mut Self)) {
        self.path.push(segment.into());
        go(self);
        self.path.pop();
    }

    fn each<T>(&mut self, key: &str, items: &'d [T], mut go: impl FnMut(&mut Self, usize, &'d T)) {
        self.within(key, |b| {
            for (i, item) in items.iter().enumerate() {
                b.within(i, |b| go(b, i, item));
            }
        });
    }

    fn text(&mut self, text: &'d str, meaning: Meaning<'d>) {
        self.out.texts.push(Text {
            path: self.path.clone(),
            position: self.position,
            text,
            meaning,
        });
    }

    fn literal(&mut self, key: &str, text: Option<&'d str>) {
        if let Some(text) = text {
            self.within(key, |b| b.text(text, Meaning::Literal));
        }
    }

    fn expression(&mut self, e: &'d Expr) {
        let ast = e.parse().map(|e| e.ast());
        self.text(e.written(), Meaning::Expression(e, ast));
    }

    fn loop_test(&mut self, key: &str, tested: Tested, test: &'d Expr) {
        let outer = self.position;
        if let Position::Action(i) = outer {
            self.position = Position::LoopTest(i, tested);
        }
        self.within(key, |b| b.expression(test));
        self.position = outer;
    }

    fn template(&mut self, text: &'d str) {
        let meaning = if text.contains("{{") {
            Meaning::Template(Template::parse(text).map(|t| t.ast()))
        } else {
            Meaning::Literal
        };
        self.text(text, meaning);
    }

    fn definition(&mut self, d: &'d Definition) {
        self.literal("name", Some(&d.name));
        self.literal("description", d.description.as_deref());
        self.each("triggers", &d.triggers, |b, i, t| {
            b.position = Position::Trigger(i);
            b.literal("event", Some(&t.event));
            if let Some(config) = &t.config {
                b.within("config", |b| b.trigger_config(config, &t.event));
            }
            if let Some(filter) = &t.filter {
                b.within("filter", |b| b.expression(filter));
            }
            if let Some(dwell) = &t.dwell {
                b.within("for", |b| b.duration(dwell));
            }
            if let Some(key) = t.window.as_ref().and_then(|w| w.partition_by.as_ref()) {
                b.within("window", |b| b.within("partitionBy", |b| b.expression(key)));
            }
            if let Some(cooldown) = &t.cooldown {
                b.within("cooldown", |b| b.duration(cooldown));
            }
        });
        self.position = Position::Conditions;
        self.each("conditions", &d.conditions, |b, _, c| b.condition(c));
        self.actions("actions", &d.actions);
        self.position = Position::Document;
        self.each("uses_state", &d.uses_state, |b, _, id| {
            b.text(id, Meaning::Literal);
        });
    }

    fn duration(&mut self, d: &'d Duration) {
        if let Duration::Template(e) = d {
            self.within("template", |b| b.expression(e));
        }
    }

    fn condition(&mut self, c: &'d Condition) {
        self.out.conditions.push(ConditionAt {
            path: self.path.clone(),
            condition: c,
        });
        match c {
            Condition::Expression(e) => self.expression(e),
            Condition::And(members) => self.each("and", members, |b, _, m| b.condition(m)),
            Condition::Or(members) => self.each("or", members, |b, _, m| b.condition(m)),
            Condition::Not(inner) => self.within("not", |b| b.condition(inner)),
            Condition::NumericState { value, .. } => {
                if let NumericValue::Expression(e) = value {
                    self.within("numeric_state", |b| b.within("value", |b| b.expression(e)));
                }
            }
            Condition::Time { .. } => {}
            Condition::State {
                entity, held_for, ..
            } => self.within("state", |b| {
                b.within("entity", |b| b.template(entity));
                if let Some(d) = held_for {
                    b.within("for", |b| b.duration(d));
                }
            }),
        }
    }

    fn actions(&mut self, key: &str, actions: &'d [Action]) {
        let outer = self.position;
        let in_order = key != "parallel";
        self.each(key, actions, |b, i, action| {
            b.position = Position::Action(b.out.actions.len());
            b.out.actions.push(ActionAt {
                path: b.path.clone(),
                action,
                before: i.checked_sub(1).filter(|_| in_order).map(|i| &actions[i]),
            });
            b.action(action);
        });
        self.position = outer;
    }

    fn action(&mut self, a: &'d Action) {
        self.literal("description", a.description.as_deref());
        if let Some(retry) = &a.retry {
            self.within("retry", |b| {
                b.within("delay", |b| b.duration(&retry.delay));
                if let Some(d) = &retry.max_delay {
                    b.within("max_delay", |b| b.duration(d));
                }
            });
        }
        match &a.kind {
            ActionKind::Provider { action, config } => {
                self.literal("action", Some(action));
                self.within("config", |b| b.action_config(config, action));
            }
            ActionKind::Choose {
                branches,
                otherwise,
            } => {
                self.each("choose", branches, |b, _, branch| {
                    b.within("when", |b| b.condition(&branch.when));
                    b.actions("sequence", &branch.sequence);
                });
                if let Some(list) = otherwise {
                    self.actions("else", list);
                }
            }
            ActionKind::Parallel(list) => self.actions("parallel", list),
            ActionKind::Sequence(list) => self.actions("sequence", list),
            ActionKind::Repeat { mode, sequence } => self.within("repeat", |b| {
                match mode {
                    Repeat::Count(_) => {}
                    Repeat::ForEach(e) => b.within("for_each", |b| b.expression(e)),
                    Repeat::While { test, .. } => b.loop_test("while", Tested::Before, test),
                    Repeat::Until { test, .. } => b.loop_test("until", Tested::After, test),
                }
                b.actions("sequence", sequence);
            }),
            ActionKind::Delay(Delay::Seconds(_)) => {}
            ActionKind::Delay(Delay::Template(e)) => {
                self.within("delay", |b| b.within("template", |b| b.expression(e)));
            }
            ActionKind::Variables(map) => {
                self.within("variables", |b| b.object(map, None, Fallback::Template));
            }
            ActionKind::Condition(c) => self.within("condition", |b| b.condition(c)),
            ActionKind::Stop { reason, .. } => {
                self.within("stop", |b| b.literal("reason", reason.as_deref()));
            }
            ActionKind::WaitForTrigger {
                event,
                filter,
                context_key,
                ..
            } => self.within("wait_for_trigger", |b| {
                b.literal("event", Some(event));
                if let Some(filter) = filter {
                    b.within("filter", |b| b.expression(filter));
                }
                if let Some(key) = context_key {
                    b.within("context_key", |b| b.template(key));
                }
            }),
            ActionKind::WaitUntil { condition, .. } => self.within("wait_until", |b| {
                b.within("condition", |b| b.condition(condition));
            }),
        }
    }

    fn action_config(&mut self, config: &'d Map<String, Value>, action: &str) {
        let Some(registered) = self.registries.action(action) else {
            return self.object(config, None, Fallback::Unknown);
        };
        let schema = registered.config.schema.clone();
        let whole = Value::Object(config.clone());
        let cursor = Cursor::new(&schema, &whole);
        self.object(config, Some(&cursor), Fallback::Template);
    }

    fn trigger_config(&mut self, config: &'d Map<String, Value>, event: &str) {
        let registered = self.registries.trigger(event);
        let Some(schema) = registered.and_then(|r| r.config.as_ref().map(|c| c.schema.clone()))
        else {
            return self.object(config, None, Fallback::Unknown);
        };
        let whole = Value::Object(config.clone());
        let cursor = Cursor::new(&schema, &whole);
        self.object(config, Some(&cursor), Fallback::Literal);
    }

    fn object(
        &mut self,
        map: &'d Map<String, Value>,
        cursor: Option<&Cursor<'_>>,
        fallback: Fallback,
    ) {
        for (key, value) in map {
            let next = cursor.and_then(|c| c.property(key, value));
            self.within(key.as_str(), |b| {
                b.value(value, next.as_ref(), fallback);
            });
        }
    }

    fn value(&mut self, value: &'d Value, cursor: Option<&Cursor<'_>>, fallback: Fallback) {
        let fallback = match cursor {
            Some(c) if c.is_secret() => Fallback::Secret,
            Some(c) if c.is_verbatim() => Fallback::Code,
            _ => fallback,
        };
        match value {
            Value::String(s) => match fallback {
                Fallback::Template => self.template(s),
                Fallback::Secret => self.text(s, Meaning::Secret),
                Fallback::Code => self.text(s, Meaning::Code),
                Fallback::Literal => self.text(s, Meaning::Literal),
                // Rendered if the action turns up later, so its templates are looked at too.
                Fallback::Unknown if s.contains("{{") && !s.contains("${{") => self.template(s),
                Fallback::Unknown => self.text(s, Meaning::Unknown),
            },
            Value::Array(items) => {
                for (i, item) in items.iter().enumerate() {
                    let next = cursor.and_then(|c| c.item(i, item));
                    self.within(i, |b| b.value(item, next.as_ref(), fallback));
                }
            }
            Value::Object(map) => self.object(map, cursor, fallback),
            _ => {}
        }
    }
}

/// What a config's texts are where their schema says nothing special.
#[derive(Clone, Copy)]
enum Fallback {
    Template,
    Literal,
    Unknown,
    Secret,
    Code,
}
