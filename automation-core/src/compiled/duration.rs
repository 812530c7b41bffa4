//! Durations and delays (`definition §4`, `template §13`).

use crate::definition::limits::LONGEST_SECONDS;
use template_engine::{Env, Error, Expression, Scope, compare, condition};

/// A duration that may have to be computed.
#[derive(Clone, Debug)]
pub enum CompiledDuration {
    /// Milliseconds.
    Millis(i64),
    /// An expression giving seconds.
    Seconds(Expression),
}

impl CompiledDuration {
    /// Milliseconds in a scope; none when the expression gives no valid duration (not a number,
    /// below 1 s after flooring, above 30 days): a firing is dropped with a warning then.
    ///
    /// # Errors
    /// Those of the expression.
    pub fn millis(&self, scope: &dyn Scope, env: &Env<'_>) -> Result<Option<i64>, Error> {
        match self {
            CompiledDuration::Millis(ms) => Ok(Some(*ms)),
            CompiledDuration::Seconds(e) => {
                let seconds = condition::dwell_seconds(&e.evaluate(scope, env)?);
                Ok(seconds.map(|s| s as i64 * 1000))
            }
        }
    }
}

/// A delay that may have to be computed.
#[derive(Clone, Debug)]
pub enum CompiledDelay {
    /// 0–2 592 000.
    Seconds(u32),
    /// An expression giving seconds.
    Expression(Expression),
}

impl CompiledDelay {
    /// Seconds in a scope, floored; none when the expression gives no number from 0 to 30 days: the
    /// step fails with `invalid_delay` then.
    ///
    /// # Errors
    /// Those of the expression.
    pub fn seconds(&self, scope: &dyn Scope, env: &Env<'_>) -> Result<Option<u32>, Error> {
        match self {
            CompiledDelay::Seconds(s) => Ok(Some(*s)),
            CompiledDelay::Expression(e) => {
                let value = e.evaluate(scope, env)?;
                Ok(compare::finite_number(&value)
                    .map(f64::floor)
                    .filter(|s| (0.0..=f64::from(LONGEST_SECONDS)).contains(s))
                    .map(|s| s as u32))
            }
        }
    }
}
