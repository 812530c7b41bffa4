//! Configs and variables as trees that render.

use crate::diagnostic::{Path, PathSegment};
use crate::schema::Cursor;
use serde_json::{Map, Value};
use template_engine::{Env, Error, Scope, Template};

/// A value whose texts render; keys, other values and order stay (`template §13.2`). Texts that the
/// schema marks as secret or as native code stay verbatim at any depth (`template §14`).
#[derive(Clone, Debug)]
pub enum ConfigTemplate {
    /// Nothing in it renders.
    Fixed(Value),
    /// A template; its result is always text.
    Text(Template),
    /// A list.
    List(Vec<ConfigTemplate>),
    /// A mapping.
    Map(Vec<(String, ConfigTemplate)>),
}

/// A template that failed, and where in the config it stands.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}: {error}", crate::path_text(.path))]
pub struct RenderError {
    /// From the config's root.
    pub path: Path,
    /// What failed.
    pub error: Error,
}

impl ConfigTemplate {
    /// Compiles a config. Without a schema, or when it is no object, everything renders.
    ///
    /// # Errors
    /// The first template that does not parse.
    pub fn compile(value: &Value, schema: Option<&Value>) -> Result<Self, RenderError> {
        let cursor = schema
            .filter(|_| value.is_object())
            .map(|s| Cursor::new(s, value));
        build(value, cursor.as_ref(), &mut Path::new())
    }

    /// Renders it. The first failing template fails the whole.
    ///
    /// # Errors
    /// [`RenderError`] with the place of that template.
    pub fn render(&self, scope: &dyn Scope, env: &Env<'_>) -> Result<Value, RenderError> {
        self.render_at(scope, env, &mut Path::new())
    }

    fn render_at(
        &self,
        scope: &dyn Scope,
        env: &Env<'_>,
        path: &mut Path,
    ) -> Result<Value, RenderError> {
        Ok(match self {
            ConfigTemplate::Fixed(v) => v.clone(),
            ConfigTemplate::Text(t) => match t.render(scope, env) {
                Ok(text) => Value::String(text),
                Err(error) => {
                    let path = path.clone();
                    return Err(RenderError { path, error });
                }
            },
            ConfigTemplate::List(items) => Value::Array(
                items
                    .iter()
                    .enumerate()
                    .map(|(i, t)| step(path, i, |path| t.render_at(scope, env, path)))
                    .collect::<Result<_, _>>()?,
            ),
            ConfigTemplate::Map(entries) => Value::Object(
                entries
                    .iter()
                    .map(|(k, t)| {
                        let v = step(path, k.as_str(), |path| t.render_at(scope, env, path))?;
                        Ok((k.clone(), v))
                    })
                    .collect::<Result<_, _>>()?,
            ),
        })
    }

    /// Every template in it, in document order, with its path.
    pub fn templates(&self) -> Vec<(Path, &Template)> {
        fn collect<'t>(
            at: &'t ConfigTemplate,
            path: &mut Path,
            out: &mut Vec<(Path, &'t Template)>,
        ) {
            match at {
                ConfigTemplate::Fixed(_) => {}
                ConfigTemplate::Text(t) => out.push((path.clone(), t)),
                ConfigTemplate::List(items) => {
                    for (i, t) in items.iter().enumerate() {
                        step(path, i, |path| collect(t, path, out));
                    }
                }
                ConfigTemplate::Map(entries) => {
                    for (k, t) in entries {
                        step(path, k.as_str(), |path| collect(t, path, out));
                    }
                }
            }
        }
        let mut out = Vec::new();
        collect(self, &mut Path::new(), &mut out);
        out
    }
}

fn step<T>(path: &mut Path, segment: impl Into<PathSegment>, go: impl FnOnce(&mut Path) -> T) -> T {
    path.push(segment.into());
    let value = go(path);
    path.pop();
    value
}

fn build(
    value: &Value,
    cursor: Option<&Cursor<'_>>,
    path: &mut Path,
) -> Result<ConfigTemplate, RenderError> {
    if cursor.is_some_and(Cursor::is_verbatim) {
        return Ok(ConfigTemplate::Fixed(value.clone()));
    }
    Ok(match value {
        Value::String(s) if s.contains("{{") => match Template::parse(s) {
            Ok(t) => ConfigTemplate::Text(t),
            Err(error) => {
                let path = path.clone();
                return Err(RenderError { path, error });
            }
        },
        Value::Array(items) => {
            let mut parts = Vec::with_capacity(items.len());
            for (i, v) in items.iter().enumerate() {
                let next = cursor.and_then(|c| c.item(i, v));
                parts.push(step(path, i, |path| build(v, next.as_ref(), path))?);
            }
            if parts.iter().all(is_fixed) {
                ConfigTemplate::Fixed(value.clone())
            } else {
                ConfigTemplate::List(parts)
            }
        }
        Value::Object(map) => object(map, cursor, path)?,
        other => ConfigTemplate::Fixed(other.clone()),
    })
}

fn object(
    map: &Map<String, Value>,
    cursor: Option<&Cursor<'_>>,
    path: &mut Path,
) -> Result<ConfigTemplate, RenderError> {
    let mut parts = Vec::with_capacity(map.len());
    for (k, v) in map {
        let next = cursor.and_then(|c| c.property(k, v));
        let part = step(path, k.as_str(), |path| build(v, next.as_ref(), path))?;
        parts.push((k.clone(), part));
    }
    Ok(if parts.iter().all(|(_, p)| is_fixed(p)) {
        ConfigTemplate::Fixed(Value::Object(map.clone()))
    } else {
        ConfigTemplate::Map(parts)
    })
}

fn is_fixed(part: &ConfigTemplate) -> bool {
    matches!(part, ConfigTemplate::Fixed(_))
}
