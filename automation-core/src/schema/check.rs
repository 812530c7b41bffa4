//! Checking a config against its schema, with errors that name the field.

use super::Cursor;
use crate::diagnostic::{Diagnostic, Path, PathSegment, nearest};
use jsonschema::{
    ValidationError, Validator, error::ValidationErrorKind as Kind, paths::LocationSegment,
};
use serde_json::Value;
use std::sync::Arc;

/// A schema compiled once.
#[derive(Debug)]
pub struct ConfigCheck {
    schema: Arc<Value>,
    validator: Validator,
}

impl Problem {
    /// As a finding about the config at `root`.
    pub fn diagnostic(self, code: &'static str, root: &[PathSegment]) -> Diagnostic {
        let path: Path = root.iter().cloned().chain(self.path).collect();
        let mut d = Diagnostic::error(code, path, self.message).maybe_help(self.help);
        d.on_key = self.unknown_key;
        d
    }
}

/// What is wrong with one field of a config.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// Path from the config's root.
    pub path: Path,
    /// The key at the path is unknown.
    pub unknown_key: bool,
    /// One sentence; quotes no value.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", crate::path_text(&self.path), self.message)
    }
}

impl ConfigCheck {
    /// Compiles a schema.
    ///
    /// # Errors
    /// When the schema itself is not valid.
    pub fn new(schema: Arc<Value>) -> Result<Self, String> {
        let validator = jsonschema::validator_for(&schema).map_err(|e| e.to_string())?;
        Ok(Self { schema, validator })
    }

    /// The schema.
    pub fn schema(&self) -> &Value {
        &self.schema
    }

    /// Every problem of a value, unknown keys included (`definition §8`). With `templated`, a text
    /// with `{{` passes checks of its content: its rendered form is checked when it runs
    /// (`definition §13.2`).
    pub fn strict(&self, value: &Value, templated: bool) -> Vec<Problem> {
        let mut problems = self.errors(value, templated);
        unknown_keys(
            &Cursor::new(&self.schema, value),
            value,
            &mut Path::new(),
            &mut problems,
        );
        problems
    }

    /// Checks a rendered value as a run does: unknown keys are dropped, then it must fit.
    ///
    /// # Errors
    /// The first problem.
    pub fn lenient(&self, value: &mut Value) -> Result<(), Problem> {
        drop_unknown(&self.schema, value);
        match self.errors(value, false).into_iter().next() {
            Some(problem) => Err(problem),
            None => Ok(()),
        }
    }

    fn errors(&self, value: &Value, templated: bool) -> Vec<Problem> {
        let mut problems = Vec::new();
        for error in self.validator.iter_errors(value) {
            self.explain(&error, value, templated, &mut problems);
        }
        problems
    }

    /// One error becomes the problems an author can act on.
    fn explain(
        &self,
        error: &ValidationError<'_>,
        root: &Value,
        templated: bool,
        out: &mut Vec<Problem>,
    ) {
        let path = path_of(error);
        let given = at(root, &path);
        if templated
            && given
                .and_then(Value::as_str)
                .is_some_and(|s| s.contains("{{"))
            && passes_templated(error.kind())
        {
            return;
        }
        let mut add = |path: Path, message: String, help: Option<String>| {
            out.push(Problem {
                path,
                unknown_key: false,
                message,
                help,
            });
        };
        match error.kind() {
            // Reported by name in `unknown_keys`.
            Kind::AdditionalProperties { .. } | Kind::UnevaluatedProperties { .. } => {}
            Kind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                let mut path = path;
                path.push(name.into());
                add(path, format!("`{name}` is missing"), None);
            }
            Kind::Enum { options } => {
                let names: Vec<String> = options
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(plain)
                    .collect();
                let help = given
                    .and_then(Value::as_str)
                    .and_then(|g| nearest(g, names.iter().map(String::as_str)))
                    .map(|n| format!("did you mean `{n}`?"));
                add(path, format!("expected one of {}", names.join(", ")), help);
            }
            Kind::Constant { expected_value } => {
                add(path, format!("expected {}", plain(expected_value)), None);
            }
            Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
                self.explain_branches(path, context, root, templated, out);
            }
            // `masked` keeps the value, which may be a secret, out of the message.
            _ => add(path, error.masked_with("the value").to_string(), None),
        }
    }

    /// The branch the author meant is the one whose discriminator and type fit; its errors are the
    /// ones to show. Where none or several can be meant, the choices are named.
    fn explain_branches(
        &self,
        path: Path,
        branches: &[Vec<ValidationError<'static>>],
        root: &Value,
        templated: bool,
        out: &mut Vec<Problem>,
    ) {
        let constants: Option<Vec<String>> = branches
            .iter()
            .map(|errors| match errors.as_slice() {
                [e] => match e.kind() {
                    Kind::Constant { expected_value } => Some(plain(expected_value)),
                    _ => None,
                },
                _ => None,
            })
            .collect();
        if let Some(names) = constants {
            let given = at(root, &path).and_then(Value::as_str);
            let help = given
                .and_then(|g| nearest(g, names.iter().map(String::as_str)))
                .map(|n| format!("did you mean `{n}`?"));
            out.push(Problem {
                path,
                unknown_key: false,
                message: format!("expected one of {}", names.join(", ")),
                help,
            });
            return;
        }
        let meant: Vec<&Vec<ValidationError<'static>>> = branches
            .iter()
            .filter(|errors| {
                !errors.iter().any(|e| {
                    let own = path_of(e);
                    match e.kind() {
                        Kind::Type { .. } => own == path,
                        Kind::Constant { .. } | Kind::Enum { .. } => own.len() <= path.len() + 1,
                        _ => false,
                    }
                })
            })
            .collect();
        match meant[..] {
            [errors] => {
                for e in errors {
                    self.explain(e, root, templated, out);
                }
            }
            _ => out.push(Problem {
                path,
                unknown_key: false,
                message: "the value fits none of the forms that are allowed here".to_owned(),
                help: None,
            }),
        }
    }
}

/// Checks of content that a templated text passes; a wrong type it does not.
fn passes_templated(kind: &Kind) -> bool {
    let allows_text = |branches: &[Vec<ValidationError<'static>>]| {
        branches
            .iter()
            .any(|errors| errors.iter().all(|e| passes_templated(e.kind())))
    };
    match kind {
        Kind::Enum { options } => options
            .as_array()
            .is_none_or(|o| o.iter().any(Value::is_string)),
        Kind::Constant { expected_value } => expected_value.is_string(),
        Kind::Pattern { .. }
        | Kind::Format { .. }
        | Kind::MinLength { .. }
        | Kind::MaxLength { .. }
        | Kind::OneOfMultipleValid { .. } => true,
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => allows_text(context),
        _ => false,
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}

fn path_of(error: &ValidationError<'_>) -> Path {
    error
        .instance_path()
        .iter()
        .map(|s| match s {
            LocationSegment::Property(key) => PathSegment::Key(key.into_owned()),
            LocationSegment::Index(i) => PathSegment::Index(i),
        })
        .collect()
}

fn at<'v>(root: &'v Value, path: &[PathSegment]) -> Option<&'v Value> {
    path.iter().try_fold(root, |v, s| match s {
        PathSegment::Key(k) => v.get(k),
        PathSegment::Index(i) => v.get(i),
    })
}

fn unknown_keys(cursor: &Cursor<'_>, value: &Value, path: &mut Path, out: &mut Vec<Problem>) {
    match value {
        Value::Object(map) => {
            let known = cursor.known_keys();
            for (key, child) in map {
                path.push(key.as_str().into());
                if let Some(known) = known.as_ref().filter(|k| !k.contains(&key.as_str())) {
                    let help = match nearest(key, known.iter().copied()) {
                        Some(name) => format!("did you mean `{name}`?"),
                        None if known.is_empty() => "there are no fields here".to_owned(),
                        None => format!("known here: {}", known.join(", ")),
                    };
                    out.push(Problem {
                        path: path.clone(),
                        unknown_key: true,
                        message: format!("`{key}` is no field of this config"),
                        help: Some(help),
                    });
                } else if let Some(next) = cursor.property(key, child) {
                    unknown_keys(&next, child, path, out);
                }
                path.pop();
            }
        }
        Value::Array(items) => {
            for (i, child) in items.iter().enumerate() {
                if let Some(next) = cursor.item(i, child) {
                    path.push(i.into());
                    unknown_keys(&next, child, path, out);
                    path.pop();
                }
            }
        }
        _ => {}
    }
}

fn drop_unknown(schema: &Value, value: &mut Value) {
    let mut unknown = Vec::new();
    unknown_keys(
        &Cursor::new(schema, value),
        value,
        &mut Path::new(),
        &mut unknown,
    );
    for problem in unknown {
        let Some((PathSegment::Key(last), parents)) = problem.path.split_last() else {
            continue;
        };
        let parent = parents.iter().try_fold(&mut *value, |v, s| match s {
            PathSegment::Key(k) => v.get_mut(k),
            PathSegment::Index(i) => v.get_mut(i),
        });
        if let Some(Value::Object(map)) = parent {
            map.shift_remove(last);
        }
    }
}
