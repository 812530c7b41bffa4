//! Compiled triggers.

use super::CompiledDuration;
use crate::definition::Refire;
use serde_json::Value;
use template_engine::{Env, Error, Expression, Scope, compare, is_whitespace};

/// A trigger ready to be asked.
#[derive(Clone, Debug)]
pub struct CompiledTrigger {
    /// Effective id.
    pub id: String,
    /// Event id with one dot.
    pub event: String,
    /// Config at its current version; `{}` when absent.
    pub config: Value,
    /// Gate 3.
    pub filter: Option<Expression>,
    /// Gate 5.
    pub dwell: Option<CompiledDuration>,
    /// Gate 4.
    pub window: Option<CompiledWindow>,
    /// After a start, how long further firings with the same context key are held back.
    pub cooldown: Option<CompiledDuration>,
    /// Hash of `event, filter, config, window, for`: a dwell armed under another is void
    /// (`dispatch §3.8`). `cooldown` is no part of it: it says nothing about what was armed.
    pub hash: String,
}

/// A window ready to count.
#[derive(Clone, Debug)]
pub struct CompiledWindow {
    /// 1–1000.
    pub count: u32,
    /// 1–1440.
    pub minutes: u32,
    /// Fires once or for each.
    pub refire: Refire,
    /// Key expression.
    pub partition_by: Option<Expression>,
}

impl CompiledWindow {
    /// The partition key in a scope; none when the expression is absent or yields null, nothing or
    /// blank text: the context key counts then (`definition §5.6`).
    ///
    /// # Errors
    /// Those of the expression; callers log them and take the context key.
    pub fn partition_key(&self, scope: &dyn Scope, env: &Env<'_>) -> Result<Option<String>, Error> {
        let Some(expression) = &self.partition_by else {
            return Ok(None);
        };
        let value = expression.evaluate(scope, env)?;
        if value.is_missing() {
            return Ok(None);
        }
        // A list nested beyond all limits has no text, so it names no bucket.
        let Ok(text) = compare::to_text(&value) else {
            return Ok(None);
        };
        let key = text.trim_matches(is_whitespace);
        Ok((!key.is_empty()).then(|| key.to_owned()))
    }
}
