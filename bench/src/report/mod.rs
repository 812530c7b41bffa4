//! What a measurement says: rows of figures with units, each beside its floor and its aim where it has them.
//!
//! A row is one JSON document on one line; the table for people is drawn from the same rows ([`table`]).

pub mod table;

use serde::{Deserialize, Serialize};

/// One thing that was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// The group and, where it has several, the workload: `queue`, `engine single`.
    pub benchmark: String,
    /// What distinguishes it from the workload's other rows, such as `16 in flight`.
    pub case: String,
    /// The database and its durability; empty where there is none.
    pub database: String,
    /// What was found.
    pub figures: Vec<Figure>,
}

/// A number with its unit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// What it is.
    pub name: String,
    /// None: not available, and `note` says why.
    pub value: Option<f64>,
    /// `1/s`, `ms`, `MB`, … ; empty for counts and ratios.
    pub unit: String,
    /// What a program without the engine reached in the same run, or what else it is compared with.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub floor: Option<Floor>,
    /// What it should be.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub aim: Option<Aim>,
    /// A remark.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
}

/// What stands beside a figure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Floor {
    /// How it was reached.
    pub name: String,
    /// In the figure's unit.
    pub value: f64,
    /// The figure divided by it.
    pub ratio: f64,
}

/// What a figure should be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Aim {
    /// In words: `≥ 1 × floor A`.
    pub text: String,
    /// Reached.
    pub met: bool,
}

impl Row {
    /// A row without figures yet.
    pub fn new(
        benchmark: impl Into<String>,
        case: impl Into<String>,
        database: impl Into<String>,
    ) -> Self {
        Self {
            benchmark: benchmark.into(),
            case: case.into(),
            database: database.into(),
            figures: Vec::new(),
        }
    }

    /// With one more figure.
    #[must_use]
    pub fn with(mut self, figure: Figure) -> Self {
        self.figures.push(figure);
        self
    }

    /// With more figures.
    #[must_use]
    pub fn with_all(mut self, figures: impl IntoIterator<Item = Figure>) -> Self {
        self.figures.extend(figures);
        self
    }
}

impl Figure {
    /// A value.
    pub fn new(name: impl Into<String>, value: f64, unit: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: value.is_finite().then_some(value),
            unit: unit.into(),
            floor: None,
            aim: None,
            note: None,
        }
    }

    /// Something that could not be measured, and why.
    pub fn missing(name: impl Into<String>, why: impl Into<String>) -> Self {
        let mut figure = Self::new(name, f64::NAN, "");
        figure.note = Some(why.into());
        figure
    }

    /// Beside what was reached in another way.
    #[must_use]
    pub fn beside(mut self, name: &str, floor: f64) -> Self {
        if let Some(value) = self.value.filter(|_| floor.is_finite() && floor != 0.0) {
            self.floor = Some(Floor {
                name: name.to_owned(),
                value: floor,
                ratio: value / floor,
            });
        }
        self
    }

    /// Aiming at no more than so much.
    #[must_use]
    pub fn at_most(mut self, aim: f64) -> Self {
        let text = format!("≤ {} {}", table::number(aim), self.unit);
        self.aim = Some(Aim {
            text: text.trim_end().to_owned(),
            met: self.value.is_some_and(|v| v <= aim),
        });
        self
    }

    /// Aiming at no less than so much of what it stands beside.
    #[must_use]
    pub fn at_least_of_floor(mut self, aim: f64) -> Self {
        if let Some(floor) = &self.floor {
            self.aim = Some(Aim {
                text: format!("≥ {aim} × {}", floor.name),
                met: floor.ratio >= aim,
            });
        }
        self
    }

    /// With a remark.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_knows_its_floor_and_whether_its_aim_is_met() {
        let f = Figure::new("runs", 200.0, "1/s").beside("floor A", 100.0);
        assert_eq!(f.floor.as_ref().unwrap().ratio, 2.0);
        assert!(f.clone().at_least_of_floor(2.0).aim.unwrap().met);
        assert!(!f.at_least_of_floor(2.5).aim.unwrap().met);
        let p50 = Figure::new("p50", 2.5, "ms").at_most(2.0);
        assert_eq!(p50.aim.as_ref().unwrap().text, "≤ 2 ms");
        assert!(!p50.aim.unwrap().met);
    }

    #[test]
    fn what_is_missing_survives_the_way_through_json() {
        let row = Row::new("engine parallel", "64 actions", "sqlite")
            .with(Figure::missing("runs", "no such action"));
        let text = serde_json::to_string(&row).unwrap();
        let back: Row = serde_json::from_str(&text).unwrap();
        assert_eq!(back.figures[0].value, None);
        assert_eq!(back.figures[0].note.as_deref(), Some("no such action"));
    }
}
