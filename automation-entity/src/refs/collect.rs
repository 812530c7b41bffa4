//! Walking conditions, expressions and templates for the chains that read live state.

use super::{EntityRef, Refs, Root};
use template_engine::{
    Env, Expression, Scope, Template, Value,
    ast::{Ast, NodeId, Reference, Segment},
    condition::{Condition, Entity, NumericValue, StateCondition},
};

/// Evaluates computed ids that depend on nothing but the run's own data.
#[derive(Clone, Copy)]
pub struct Narrow<'a> {
    /// The scope of the site.
    pub scope: &'a dyn Scope,
    /// Filters and clock.
    pub env: &'a Env<'a>,
    /// What `health.system` stands for.
    pub context_key: Option<&'a str>,
}

/// Roots whose values do not change while a run waits.
const FIXED_ROOTS: [&str; 5] = ["trigger", "variables", "var", "artifacts", "repeat"];
const CLOCK_FILTERS: [&str; 2] = ["older_than", "duration_since"];

/// Collects the references of everything it is shown.
#[derive(Default)]
pub struct Collector<'a> {
    narrow: Option<Narrow<'a>>,
    refs: Vec<EntityRef>,
    touched: bool,
    unresolved: bool,
}

impl<'a> Collector<'a> {
    /// Reads texts only.
    pub fn new() -> Self {
        Self::default()
    }

    /// Evaluates computed ids where that is safe.
    pub fn narrowing(narrow: Narrow<'a>) -> Self {
        Self {
            narrow: Some(narrow),
            ..Self::default()
        }
    }

    /// What was found.
    pub fn finish(self) -> Refs {
        Refs {
            indeterminate: self.touched && self.refs.is_empty(),
            partial: self.unresolved && !self.refs.is_empty(),
            refs: self.refs,
        }
    }

    /// Looks through a condition.
    pub fn condition(&mut self, condition: &Condition) {
        match condition {
            Condition::Expression(e) => self.expression(e),
            Condition::Broken(_) => self.cannot_tell(),
            Condition::And(members) | Condition::Or(members) => {
                for member in members {
                    self.condition(member);
                }
            }
            Condition::Not(member) => self.condition(member),
            Condition::NumericState(numeric) => match &numeric.value {
                NumericValue::Expression(e) => self.expression(e),
                NumericValue::Broken(_) => self.cannot_tell(),
                NumericValue::Number(_) => self.touched = true,
            },
            Condition::Time(_) => {}
            Condition::State(state) => self.state(state),
        }
    }

    /// Looks through an expression.
    pub fn expression(&mut self, expression: &Expression) {
        self.text(&expression.ast(), &|id| expression.part(id));
    }

    /// Looks through the blocks of a template.
    pub fn template(&mut self, template: &Template) {
        self.text(&template.ast(), &|id| template.part(id));
    }

    fn text(&mut self, ast: &Ast, part: &dyn Fn(NodeId) -> Option<Expression>) {
        for chain in ast.references() {
            match chain.root {
                "state" => self.state_chain(&chain, part),
                "health" => self.health_chain(&chain, part),
                _ => {}
            }
        }
    }

    /// A structured `state` condition reads `health.systems[entity]`.
    fn state(&mut self, state: &StateCondition) {
        match &state.entity {
            Entity::Id(id) if id.trim().is_empty() => self.cannot_tell(),
            Entity::Id(id) => self.add("health", Some(id.clone()), Root::Health),
            Entity::Template(template) => {
                let id = self.narrow.and_then(|n| {
                    fixed(&template.ast())
                        .then(|| template.render(n.scope, n.env).ok())
                        .flatten()
                        .filter(|id| !id.trim().is_empty())
                });
                self.add("health", id, Root::Health);
                self.template(template);
            }
            Entity::Broken(_) => self.cannot_tell(),
        }
    }

    fn state_chain(&mut self, chain: &Reference<'_>, part: &dyn Fn(NodeId) -> Option<Expression>) {
        let Some(Segment::Static { name: kind, .. }) = chain.segments.first() else {
            return self.cannot_tell();
        };
        let id = self.id(chain.segments.get(1), part);
        self.add(kind, id, Root::State);
    }

    fn health_chain(&mut self, chain: &Reference<'_>, part: &dyn Fn(NodeId) -> Option<Expression>) {
        let id = match chain.segments.first() {
            None => return self.cannot_tell(),
            Some(Segment::Static { name, .. }) if name == "systems" => {
                self.id(chain.segments.get(1), part)
            }
            Some(Segment::Static { name, .. }) if name == "system" => {
                let key = self.narrow.and_then(|n| n.context_key);
                key.map(str::to_owned)
            }
            Some(_) => None,
        };
        self.add("health", id, Root::Health);
    }

    /// The id a segment names; none: it cannot be told.
    fn id(
        &self,
        segment: Option<&Segment>,
        part: &dyn Fn(NodeId) -> Option<Expression>,
    ) -> Option<String> {
        match segment? {
            Segment::Static { name, .. } => Some(name.clone()),
            Segment::Dynamic { index, .. } => {
                let narrow = self.narrow?;
                let expression = part(*index)?;
                if !fixed(&expression.ast()) {
                    return None;
                }
                scalar(expression.evaluate(narrow.scope, narrow.env).ok()?)
            }
        }
    }

    fn add(&mut self, kind: &str, id: Option<String>, root: Root) {
        self.touched = true;
        let found = EntityRef {
            kind: kind.to_owned(),
            id,
            root,
        };
        if !self.refs.contains(&found) {
            self.refs.push(found);
        }
    }

    fn cannot_tell(&mut self) {
        self.touched = true;
        self.unresolved = true;
    }
}

/// Whether a text's value stays the same while a run waits.
fn fixed(ast: &Ast) -> bool {
    ast.references()
        .iter()
        .all(|r| FIXED_ROOTS.contains(&r.root))
        && !ast.filters().any(|f| CLOCK_FILTERS.contains(&f.name))
}

/// The text of a non-blank scalar.
fn scalar(value: Value<'_>) -> Option<String> {
    let text = match value.into_json()? {
        serde_json::Value::String(text) => text,
        serde_json::Value::Bool(b) => b.to_string(),
        number @ serde_json::Value::Number(_) => crate::canonical::canonical(&number),
        _ => return None,
    };
    (!text.trim().is_empty()).then_some(text)
}
