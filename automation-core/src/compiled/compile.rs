//! The compiler: walks a definition beside its paths.

use super::{
    CompiledAction, CompiledBranch, CompiledDefinition, CompiledDelay, CompiledDuration,
    CompiledKind, CompiledProvider, CompiledRepeat, CompiledRetry, CompiledTrigger, CompiledWindow,
    ConfigTemplate, condition,
    diagnostics::{expression_error, template_syntax},
};
use crate::definition::{
    Action, ActionKind, Definition, Delay, Duration, Expr, Repeat, Retry, Trigger, Window,
};
use crate::diagnostic::{Diagnostic, Diagnostics, Path, PathSegment};
use crate::registry::Registries;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use template_engine::Expression;

pub(super) struct Compiler<'r> {
    registries: &'r Registries,
    path: Path,
    issues: Diagnostics,
}

pub(super) fn definition(
    d: &Definition,
    registries: &Registries,
) -> Result<CompiledDefinition, Diagnostics> {
    let mut c = Compiler {
        registries,
        path: Path::new(),
        issues: Diagnostics::new(),
    };
    let normal = d.to_value();
    let triggers = c.within("triggers", |c| {
        let written = &normal["triggers"];
        let mut i = 0;
        c.list(&d.triggers, |c, t| {
            i += 1;
            c.trigger(t, &written[i - 1])
        })
    });
    let conditions = c.within("conditions", |c| c.list(&d.conditions, condition::compile));
    let actions = c.within("actions", |c| c.actions(&d.actions));
    match (triggers, conditions, actions) {
        (Some(triggers), Some(conditions), Some(actions)) => Ok(CompiledDefinition {
            definition: d.clone(),
            triggers,
            conditions,
            actions,
        }),
        _ => Err(c.issues),
    }
}

impl Compiler<'_> {
    pub(super) fn within<T>(
        &mut self,
        segment: impl Into<PathSegment>,
        go: impl FnOnce(&mut Self) -> T,
    ) -> T {
        self.path.push(segment.into());
        let value = go(self);
        self.path.pop();
        value
    }

    pub(super) fn report(&mut self, mut d: Diagnostic) {
        d.path = self.path.clone();
        self.issues.push(d);
    }

    /// All elements; goes on after one that fails, so that everything is reported.
    pub(super) fn list<F, T>(
        &mut self,
        from: &[F],
        mut each: impl FnMut(&mut Self, &F) -> Option<T>,
    ) -> Option<Vec<T>> {
        let all: Vec<Option<T>> = from
            .iter()
            .enumerate()
            .map(|(i, f)| self.within(i, |c| each(c, f)))
            .collect();
        all.into_iter().collect()
    }

    pub(super) fn expression(&mut self, e: &Expr) -> Option<Expression> {
        match e.parse() {
            Ok(expression) => Some(expression),
            Err(why) => {
                self.report(expression_error(e, &why));
                None
            }
        }
    }

    fn maybe<F, T>(
        &mut self,
        key: &'static str,
        from: Option<&F>,
        go: impl FnOnce(&mut Self, &F) -> Option<T>,
    ) -> Option<Option<T>> {
        match from {
            None => Some(None),
            Some(f) => self.within(key, |c| go(c, f)).map(Some),
        }
    }

    fn duration(&mut self, d: &Duration) -> Option<CompiledDuration> {
        Some(match d {
            Duration::Seconds(n) => CompiledDuration::Millis(i64::from(*n) * 1000),
            Duration::Minutes(n) => CompiledDuration::Millis(i64::from(*n) * 60_000),
            Duration::Hours(n) => CompiledDuration::Millis(i64::from(*n) * 3_600_000),
            Duration::Template(e) => {
                CompiledDuration::Seconds(self.within("template", |c| c.expression(e))?)
            }
        })
    }

    fn trigger(&mut self, t: &Trigger, written: &Value) -> Option<CompiledTrigger> {
        let filter = self.maybe("filter", t.filter.as_ref(), Self::expression);
        let dwell = self.maybe("for", t.dwell.as_ref(), Self::duration);
        let window = self.maybe("window", t.window.as_ref(), |c, w: &Window| {
            Some(CompiledWindow {
                count: w.count,
                minutes: w.minutes,
                refire: w.refire,
                partition_by: c.maybe("partitionBy", w.partition_by.as_ref(), Self::expression)?,
            })
        });
        let cooldown = self.maybe("cooldown", t.cooldown.as_ref(), Self::duration);
        let mut config = t.config_value();
        let schema = self
            .registries
            .trigger(&t.event)
            .and_then(|r| r.config.clone());
        if let Some(schema) = schema {
            match schema.migrate_assuming_v1(config.clone()) {
                Ok(migrated) => config = migrated,
                Err(e) => tracing::warn!(
                    trigger = t.event,
                    error = %e,
                    "a trigger's config could not be brought to its current version; it is used as stored"
                ),
            }
        }
        Some(CompiledTrigger {
            id: t.effective_id(),
            event: t.event.clone(),
            config,
            filter: filter?,
            dwell: dwell?,
            window: window?,
            cooldown: cooldown?,
            hash: trigger_hash(written),
        })
    }

    fn actions(&mut self, actions: &[Action]) -> Option<Vec<CompiledAction>> {
        self.list(actions, Self::action)
    }

    fn action(&mut self, a: &Action) -> Option<CompiledAction> {
        let retry = self.maybe("retry", a.retry.as_ref(), Self::retry);
        Some(CompiledAction {
            id: a.id.clone(),
            enabled: a.enabled,
            continue_on_error: a.continue_on_error,
            kind: self.kind(&a.kind)?,
            retry: retry?,
        })
    }

    fn retry(&mut self, r: &Retry) -> Option<CompiledRetry> {
        let delay = self.within("delay", |c| c.duration(&r.delay));
        let max_delay = self.maybe("max_delay", r.max_delay.as_ref(), Self::duration);
        Some(CompiledRetry {
            max_attempts: r.max_attempts,
            delay: delay?,
            backoff: r.backoff,
            max_delay: max_delay?,
        })
    }

    fn kind(&mut self, kind: &ActionKind) -> Option<CompiledKind> {
        Some(match kind {
            ActionKind::Provider { action, config } => {
                CompiledKind::Provider(self.provider(action, config)?)
            }
            ActionKind::Choose {
                branches,
                otherwise,
            } => {
                let branches = self.within("choose", |c| {
                    c.list(branches, |c, b| {
                        let when = c.within("when", |c| condition::compile(c, &b.when));
                        let sequence = c.within("sequence", |c| c.actions(&b.sequence));
                        Some(CompiledBranch {
                            when: when?,
                            sequence: sequence?,
                        })
                    })
                });
                let otherwise = self.maybe("else", otherwise.as_ref(), |c, e| c.actions(e));
                CompiledKind::Choose {
                    branches: branches?,
                    otherwise: otherwise?,
                }
            }
            ActionKind::Parallel(list) => {
                CompiledKind::Parallel(self.within("parallel", |c| c.actions(list))?)
            }
            ActionKind::Sequence(list) => {
                CompiledKind::Sequence(self.within("sequence", |c| c.actions(list))?)
            }
            ActionKind::Repeat { mode, sequence } => self.within("repeat", |c| {
                let mode = c.repeat(mode);
                let sequence = c.within("sequence", |c| c.actions(sequence));
                Some(CompiledKind::Repeat {
                    mode: mode?,
                    sequence: sequence?,
                })
            })?,
            ActionKind::Delay(Delay::Seconds(n)) => CompiledKind::Delay(CompiledDelay::Seconds(*n)),
            ActionKind::Delay(Delay::Template(e)) => {
                let e = self.within("delay", |c| c.within("template", |c| c.expression(e)))?;
                CompiledKind::Delay(CompiledDelay::Expression(e))
            }
            ActionKind::Variables(map) => {
                let value = Value::Object(map.clone());
                CompiledKind::Variables(self.within("variables", |c| c.config(&value, None))?)
            }
            ActionKind::Condition(condition) => CompiledKind::Condition(
                self.within("condition", |c| condition::compile(c, condition))?,
            ),
            ActionKind::Stop { reason, error } => CompiledKind::Stop {
                reason: reason.clone(),
                error: *error,
            },
            ActionKind::WaitForTrigger {
                event,
                filter,
                timeout_seconds,
                context_key,
            } => self.within("wait_for_trigger", |c| {
                let filter = c.maybe("filter", filter.as_ref(), Self::expression);
                let key = c.maybe("context_key", context_key.as_ref(), |c, k| c.template(k));
                Some(CompiledKind::WaitForTrigger {
                    event: event.clone(),
                    filter: filter?,
                    timeout_seconds: *timeout_seconds,
                    context_key: key?,
                })
            })?,
            ActionKind::WaitUntil {
                condition,
                timeout_seconds,
                continue_on_timeout,
            } => CompiledKind::WaitUntil {
                condition: self.within("wait_until", |c| {
                    c.within("condition", |c| condition::compile(c, condition))
                })?,
                timeout_seconds: *timeout_seconds,
                continue_on_timeout: *continue_on_timeout,
            },
        })
    }

    fn repeat(&mut self, mode: &Repeat) -> Option<CompiledRepeat> {
        Some(match mode {
            Repeat::Count(n) => CompiledRepeat::Count(*n),
            Repeat::ForEach(e) => {
                CompiledRepeat::ForEach(self.within("for_each", |c| c.expression(e))?)
            }
            Repeat::While {
                test,
                max_iterations,
            } => CompiledRepeat::While {
                test: self.within("while", |c| c.expression(test))?,
                max_iterations: *max_iterations,
            },
            Repeat::Until {
                test,
                max_iterations,
            } => CompiledRepeat::Until {
                test: self.within("until", |c| c.expression(test))?,
                max_iterations: *max_iterations,
            },
        })
    }

    fn provider(&mut self, action: &str, config: &Map<String, Value>) -> Option<CompiledProvider> {
        let value = Value::Object(config.clone());
        let registered = self.registries.action(action);
        let migrated = match &registered {
            Some(r) => r
                .config
                .migrate_assuming_v1(value)
                .map_err(|e| e.to_string()),
            None => Ok(value),
        };
        let schema = registered.as_ref().map(|r| r.config.schema.clone());
        let config = match migrated {
            Ok(value) => Ok(self.within("config", |c| c.config(&value, schema.as_deref()))?),
            Err(why) => Err(why),
        };
        Some(CompiledProvider {
            action: action.to_owned(),
            config,
            check: registered.and_then(|r| self.registries.config_check(&r)),
        })
    }

    fn config(&mut self, value: &Value, schema: Option<&Value>) -> Option<ConfigTemplate> {
        match ConfigTemplate::compile(value, schema) {
            Ok(t) => Some(t),
            Err(e) => {
                let mut d = template_syntax(&e.error);
                d.path = self.path.iter().cloned().chain(e.path).collect();
                self.issues.push(d);
                None
            }
        }
    }
}

fn trigger_hash(written: &Value) -> String {
    let parts = json!([
        written["event"],
        written["filter"],
        written["config"],
        written["window"],
        written["for"]
    ]);
    let digest = Sha256::digest(parts.to_string().as_bytes());
    digest[..16].iter().map(|b| format!("{b:02x}")).collect()
}
