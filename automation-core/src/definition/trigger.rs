//! Triggers, their windows and durations (`definition §4`, `§5`).

use super::{Expr, effective_id, normal};
use serde_json::{Map, Value};

/// One trigger.
#[derive(Clone, Debug, PartialEq)]
pub struct Trigger {
    /// `^[A-Za-z][A-Za-z0-9_-]*$`, 1–64; none: derived from the event.
    pub id: Option<String>,
    /// Qualified event id with one dot.
    pub event: String,
    /// Checked against the trigger's schema; none counts as `{}`.
    pub config: Option<Map<String, Value>>,
    /// Gate 3; never blank.
    pub filter: Option<Expr>,
    /// How long what fired must hold before a run starts.
    pub dwell: Option<Duration>,
    /// How often it must fire before a run starts.
    pub window: Option<Window>,
    /// After a start, how long further firings with the same context key are held back.
    pub cooldown: Option<Duration>,
}

impl Trigger {
    /// The id the trigger is named by everywhere (`definition §5.1`).
    pub fn effective_id(&self) -> String {
        match &self.id {
            Some(id) => id.clone(),
            None => effective_id(&self.event),
        }
    }
    /// As it stands in a definition's normal form.
    pub fn to_value(&self) -> Value {
        normal::trigger(self, normal::Form::Normal)
    }
    /// The config as a value; an absent one is `{}`.
    pub fn config_value(&self) -> Value {
        Value::Object(self.config.clone().unwrap_or_default())
    }
}

/// Counts firings in a trailing window (`definition §5.6`).
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// 1–1000.
    pub count: u32,
    /// 1–1440.
    pub minutes: u32,
    /// Default `every`.
    pub refire: Refire,
    /// Counts per value of this expression; none: per context key. Trimmed, never blank.
    pub partition_by: Option<Expr>,
}

/// Whether a full window fires once or for each further occurrence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Refire {
    /// n ≥ count.
    #[default]
    Every,
    /// n = count.
    Once,
}
impl Refire {
    /// All, as they are written.
    pub const ALL: [(&'static str, Refire); 2] = [("every", Refire::Every), ("once", Refire::Once)];
    /// As it is written.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].0
    }
}

/// A duration (`definition §4`); keeps the unit it was written in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Duration {
    /// 1–2 592 000.
    Seconds(u32),
    /// 1–43 200.
    Minutes(u32),
    /// 1–720.
    Hours(u32),
    /// An expression giving seconds.
    Template(Expr),
}
