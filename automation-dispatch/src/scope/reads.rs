//! What the expressions of each site of a definition look at, told once per version.

use automation_core::compiled::{
    CompiledAction, CompiledDefinition, CompiledDelay, CompiledDuration, CompiledKind,
    CompiledRepeat, ConfigTemplate,
};
use automation_entity::refs::{Collector, Narrow, Refs};
use serde_json::Value;
use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Arc, Mutex},
};
use template_engine::{
    Env, Expression, Filters, Template,
    condition::{Condition, HeldFor},
};

/// Something that reads the scope.
#[derive(Clone)]
enum Text {
    Condition(Condition),
    Expression(Expression),
    Template(Template),
}

/// What the expressions of one site read.
pub struct ReadSet {
    texts: Vec<Text>,
    /// As far as the texts tell.
    fixed: Refs,
    /// Some id is computed: references are collected anew in each scope.
    computed: bool,
    /// The rich `health` namespace is looked at.
    pub health: bool,
    /// Artifacts are looked at.
    pub artifacts: bool,
}

impl ReadSet {
    fn new(texts: Vec<Text>) -> Self {
        let fixed = collect(&texts, None);
        // With a context key and an empty scope, what still stands as a wildcard has a computed id.
        let nothing = Value::Null;
        let filters = Filters::default();
        let env = Env::new(&filters, jiff::Timestamp::UNIX_EPOCH);
        let probe = Narrow {
            scope: &nothing,
            env: &env,
            context_key: Some("k"),
        };
        let computed = collect(&texts, Some(probe))
            .refs
            .iter()
            .any(|r| r.id.is_none());
        Self {
            health: fixed.reads_health() || fixed.refs.iter().any(|r| r.kind == "health"),
            artifacts: texts.iter().any(reads_artifacts),
            computed,
            fixed,
            texts,
        }
    }

    /// The references in a scope.
    pub fn refs(&self, narrow: Narrow<'_>) -> Cow<'_, Refs> {
        if self.computed {
            Cow::Owned(collect(&self.texts, Some(narrow)))
        } else {
            Cow::Borrowed(&self.fixed)
        }
    }

    /// True when no live state is read at all.
    pub fn is_empty(&self) -> bool {
        !self.health
            && self.fixed.refs.is_empty()
            && !self.fixed.indeterminate
            && !self.fixed.partial
    }
}

fn collect(texts: &[Text], narrow: Option<Narrow<'_>>) -> Refs {
    let mut collector = match narrow {
        Some(narrow) => Collector::narrowing(narrow),
        None => Collector::new(),
    };
    for text in texts {
        match text {
            Text::Condition(c) => {
                collector.condition(c);
                held_for(c, &mut collector);
            }
            Text::Expression(e) => collector.expression(e),
            Text::Template(t) => collector.template(t),
        }
    }
    collector.finish()
}

/// A computed `for` of a structured `state` condition is evaluated with it, so what it reads is read
/// (`entity §20.6`); a change of that wakes nothing, so it is no matter of the condition's own
/// references.
fn held_for(condition: &Condition, collector: &mut Collector<'_>) {
    match condition {
        Condition::And(members) | Condition::Or(members) => {
            members.iter().for_each(|m| held_for(m, collector));
        }
        Condition::Not(member) => held_for(member, collector),
        Condition::State(state) => {
            if let Some(HeldFor::Seconds(e)) = &state.held_for {
                collector.expression(e);
            }
        }
        Condition::Expression(_)
        | Condition::NumericState(_)
        | Condition::Time(_)
        | Condition::Broken(_) => {}
    }
}

fn reads_artifacts(text: &Text) -> bool {
    fn names(ast: &template_engine::ast::Ast) -> bool {
        ast.references().iter().any(|r| r.root == "artifacts")
    }
    fn condition(c: &Condition) -> bool {
        use template_engine::condition::{Entity, NumericValue};
        match c {
            Condition::Expression(e) => names(&e.ast()),
            Condition::And(m) | Condition::Or(m) => m.iter().any(condition),
            Condition::Not(m) => condition(m),
            Condition::NumericState(n) => {
                matches!(&n.value, NumericValue::Expression(e) if names(&e.ast()))
            }
            Condition::State(s) => {
                matches!(&s.entity, Entity::Template(t) if names(&t.ast()))
                    || matches!(&s.held_for, Some(HeldFor::Seconds(e)) if names(&e.ast()))
            }
            Condition::Time(_) | Condition::Broken(_) => false,
        }
    }
    match text {
        Text::Condition(c) => condition(c),
        Text::Expression(e) => names(&e.ast()),
        Text::Template(t) => names(&t.ast()),
    }
}

/// The sites of one definition (`dispatch §10`).
pub struct Reads {
    /// Per trigger: its filter and computed `for`.
    pub triggers: Vec<ReadSet>,
    /// Per trigger: its filter, the conditions and its `cooldown`, for triggers that arm nothing.
    pub gates: Vec<ReadSet>,
    /// Per trigger: the conditions and its `cooldown`, for when a dwell of it is over.
    pub expiries: Vec<ReadSet>,
    /// The whole definition.
    pub run: ReadSet,
    waits: Mutex<HashMap<String, Arc<ReadSet>>>,
}

impl Reads {
    /// Tells what a definition reads.
    pub fn of(program: &CompiledDefinition) -> Self {
        let conditions: Vec<Text> = program
            .conditions
            .iter()
            .cloned()
            .map(Text::Condition)
            .collect();
        let mut all = conditions.clone();
        let (mut triggers, mut gates, mut expiries) = (Vec::new(), Vec::new(), Vec::new());
        for trigger in &program.triggers {
            let mut own: Vec<Text> = trigger
                .filter
                .iter()
                .cloned()
                .map(Text::Expression)
                .collect();
            if let Some(CompiledDuration::Seconds(e)) = &trigger.dwell {
                own.push(Text::Expression(e.clone()));
            }
            if let Some(e) = trigger
                .window
                .as_ref()
                .and_then(|w| w.partition_by.as_ref())
            {
                own.push(Text::Expression(e.clone()));
            }
            let mut at_start = conditions.clone();
            if let Some(CompiledDuration::Seconds(e)) = &trigger.cooldown {
                at_start.push(Text::Expression(e.clone()));
            }
            all.extend(own.iter().cloned());
            let both = own.iter().chain(&at_start).cloned();
            gates.push(ReadSet::new(both.collect()));
            expiries.push(ReadSet::new(at_start));
            triggers.push(ReadSet::new(own));
        }
        actions(&program.actions, &mut all);
        Self {
            triggers,
            gates,
            expiries,
            run: ReadSet::new(all),
            waits: Mutex::default(),
        }
    }

    /// What the wait at a site reads, told when it is first reached.
    pub fn wait(&self, path: &str, condition: impl FnOnce() -> Option<Condition>) -> Arc<ReadSet> {
        let mut waits = self.waits.lock().expect("wait reads");
        if let Some(known) = waits.get(path) {
            return known.clone();
        }
        let texts = condition().map(Text::Condition);
        let set = Arc::new(ReadSet::new(texts.into_iter().collect()));
        waits.insert(path.to_owned(), set.clone());
        set
    }
}

fn actions(list: &[CompiledAction], out: &mut Vec<Text>) {
    for action in list {
        if let Some(retry) = &action.retry {
            out.extend(retry.expressions().cloned().map(Text::Expression));
        }
        match &action.kind {
            CompiledKind::Provider(p) => {
                if let Ok(config) = &p.config {
                    templates(config, out);
                }
            }
            CompiledKind::Choose {
                branches,
                otherwise,
            } => {
                for b in branches {
                    out.push(Text::Condition(b.when.clone()));
                    actions(&b.sequence, out);
                }
                actions(otherwise.as_deref().unwrap_or_default(), out);
            }
            CompiledKind::Parallel(list) | CompiledKind::Sequence(list) => actions(list, out),
            CompiledKind::Repeat { mode, sequence } => {
                match mode {
                    CompiledRepeat::Count(_) => {}
                    CompiledRepeat::ForEach(e) => out.push(Text::Expression(e.clone())),
                    CompiledRepeat::While { test, .. } | CompiledRepeat::Until { test, .. } => {
                        out.push(Text::Expression(test.clone()));
                    }
                }
                actions(sequence, out);
            }
            CompiledKind::Delay(CompiledDelay::Expression(e)) => {
                out.push(Text::Expression(e.clone()));
            }
            CompiledKind::Delay(_) | CompiledKind::Stop { .. } => {}
            CompiledKind::Variables(values) => templates(values, out),
            CompiledKind::Condition(c) => out.push(Text::Condition(c.clone())),
            // A filter and a condition are read afresh at every evaluation.
            CompiledKind::WaitForTrigger { context_key, .. } => {
                out.extend(context_key.iter().cloned().map(Text::Template));
            }
            CompiledKind::WaitUntil { .. } => {}
        }
    }
}

fn templates(config: &ConfigTemplate, out: &mut Vec<Text>) {
    out.extend(
        config
            .templates()
            .into_iter()
            .map(|(_, t)| Text::Template(t.clone())),
    );
}
