//! A decision as one sentence, for people.

use super::store::DecisionRecord;
use plugin_api::Ts;
use serde::Deserialize;
use serde_json::Value;
use template_engine::Fact;

impl DecisionRecord {
    /// What happened, in one sentence; the facts of `detail` come beside it.
    pub fn sentence(&self) -> String {
        let d = &self.detail.0;
        let error = || text(d, "error");
        let condition = || d["index"].as_u64().unwrap_or_default() + 1;
        match self.verdict.as_str() {
            "started" if d["manual"] == true => "A run was started by hand.".into(),
            "started" => "Every gate was passed and a run was started.".into(),
            "queued" => match d["ahead"].as_u64() {
                None | Some(0) => "A run was queued; it is the next one.".into(),
                Some(1) => "A run was queued; one is ahead of it.".into(),
                Some(n) => format!("A run was queued; {n} are ahead of it."),
            },
            "disabled" => "The automation was disabled.".into(),
            "config_gate" if d.get("error").is_some() => {
                format!("The trigger's own gate failed: {}", error())
            }
            "config_gate" => {
                format!(
                    "The event does not fit the trigger's config {}.",
                    d["config"]
                )
            }
            "filter_false" => "The filter was false.".into(),
            "filter_error" => format!("The filter failed: {}", error()),
            "window_held" => window(d),
            "dwell_armed" if d["again"] == true => format!(
                "It was left and entered again meanwhile, so it must hold until {}.",
                instant(d)
            ),
            "dwell_armed" => format!(
                "Armed: a run starts at {} if it holds until then.",
                instant(d)
            ),
            "dwell_kept" => "It is armed already; the first deadline stands.".into(),
            "dwell_cancelled" => match d["by"].as_str() {
                Some("own_gate") => {
                    "The armed dwell was cancelled: the trigger's own gate said no.".into()
                }
                Some("disabled") => {
                    "The armed dwell was cancelled: the automation was disabled.".into()
                }
                _ => format!("The armed dwell was cancelled: {} any more.", no_longer(d)),
            },
            "dwell_dropped" => match d["reason"].as_str() {
                Some("disabled") => "The time was up, but the automation was disabled.".into(),
                Some("trigger_changed") => {
                    "The armed dwell was dropped: the trigger had been edited; its next match arms it anew."
                        .into()
                }
                Some("invalid_for") => format!("Nothing was armed: {}.", error()),
                _ => format!("The time was up, but {} any more.", no_longer(d)),
            },
            "condition_false" => format!("Condition {} was false.", condition()),
            "condition_error" => format!("Condition {} failed: {}", condition(), error()),
            "refused" => refused(d),
            "duplicate" => "It was delivered again; the first decision stands.".into(),
            "loop" if d["again"] == true => {
                "Refused: the automation led to this event itself, and may not set itself off."
                    .into()
            }
            "loop" => format!(
                "Refused: {} automations have set each other off, as many as may.",
                d["depth"].as_u64().unwrap_or_default()
            ),
            "cooldown" => format!("Cooling down until {}.", instant(d)),
            other => other.replace('_', " "),
        }
    }

    /// The facts behind a no; each displays as one line.
    pub fn facts(&self) -> Vec<Fact> {
        Vec::deserialize(&self.detail.0["facts"]).unwrap_or_default()
    }
}

fn text(d: &Value, key: &str) -> String {
    d[key].as_str().unwrap_or_default().to_owned()
}

/// `2026-01-15 12:30:00 UTC`
fn instant(d: &Value) -> String {
    let until = text(d, "until");
    match Ts::parse(&until) {
        Some(_) => format!(
            "{} UTC",
            until.get(..19).unwrap_or(&until).replace('T', " ")
        ),
        None => until,
    }
}

fn no_longer(d: &Value) -> String {
    match d["armed_status"].as_str() {
        Some(status) => format!("the status {status} it was armed on does not hold"),
        None => "what it was armed on does not hold".to_owned(),
    }
}

fn window(d: &Value) -> String {
    let n = |key: &str| d[key].as_u64().unwrap_or_default();
    let (count, needed, minutes) = (n("count"), n("needed"), n("minutes"));
    if d["once"] == true && count > needed {
        return format!(
            "The window has fired already: {count} within {minutes} min, and it fires once at {needed}."
        );
    }
    format!("The window has counted {count} of {needed} within {minutes} min.")
}

fn refused(d: &Value) -> String {
    match (d["mode"].as_str(), d["max_runs"].as_u64()) {
        (Some("single"), _) => "Refused: a run is active, and the mode is single.".into(),
        (Some("parallel"), Some(max)) => {
            format!("Refused: {max} runs are active, as many as max_runs allows.")
        }
        (Some("queued"), Some(max)) => {
            format!("Refused: {max} runs are queued, as many as max_runs allows.")
        }
        (Some("restart"), _) => "A newer firing took its place before it began.".into(),
        (mode, _) => format!("Refused: the mode is {}.", mode.unwrap_or("unknown")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::why::{VERDICTS, ruling::Ruling};
    use automation_core::definition::Mode;
    use plugin_api::{Doc, Id};
    use serde_json::json;

    fn record(verdict: &str, detail: Value) -> DecisionRecord {
        DecisionRecord {
            id: Id(uuid::Uuid::nil()),
            at: Ts::from_millis(0),
            occurrence: "o".into(),
            trigger_id: "t".into(),
            context_key: None,
            verdict: verdict.into(),
            gate: None,
            detail: Doc(detail),
            run_id: None,
        }
    }

    #[test]
    fn every_verdict_has_a_sentence_also_without_its_detail() {
        for verdict in VERDICTS {
            let sentence = record(verdict, json!({})).sentence();
            assert!(
                sentence.ends_with('.') || sentence.ends_with(": "),
                "{verdict}: {sentence}"
            );
            assert!(sentence.contains(' '), "{verdict}: {sentence}");
        }
    }

    #[test]
    fn sentences_say_what_the_detail_carries() {
        let cases = [
            (
                "window_held",
                json!({"count": 2, "needed": 3, "minutes": 60, "once": false}),
                "The window has counted 2 of 3 within 60 min.",
            ),
            (
                "window_held",
                json!({"count": 4, "needed": 3, "minutes": 60, "once": true}),
                "The window has fired already: 4 within 60 min, and it fires once at 3.",
            ),
            (
                "dwell_armed",
                json!({"until": "2026-01-15T12:30:00.000Z"}),
                "Armed: a run starts at 2026-01-15 12:30:00 UTC if it holds until then.",
            ),
            (
                "dwell_cancelled",
                json!({"by": "left", "armed_status": "down"}),
                "The armed dwell was cancelled: the status down it was armed on does not hold any more.",
            ),
            (
                "condition_false",
                json!({"index": 1}),
                "Condition 2 was false.",
            ),
            (
                "refused",
                json!({"mode": "parallel", "max_runs": 2}),
                "Refused: 2 runs are active, as many as max_runs allows.",
            ),
            (
                "loop",
                json!({"depth": 1, "again": true}),
                "Refused: the automation led to this event itself, and may not set itself off.",
            ),
            (
                "loop",
                json!({"depth": 16, "again": false}),
                "Refused: 16 automations have set each other off, as many as may.",
            ),
            (
                "queued",
                json!({"ahead": 2}),
                "A run was queued; 2 are ahead of it.",
            ),
            (
                "cooldown",
                json!({"until": "2026-01-15T12:30:00.000Z"}),
                "Cooling down until 2026-01-15 12:30:00 UTC.",
            ),
        ];
        for (verdict, detail, expected) in cases {
            assert_eq!(record(verdict, detail).sentence(), expected);
        }
    }

    #[test]
    fn names_are_those_of_the_contract() {
        let refused = Ruling::Refused {
            mode: Mode::Single,
            max_runs: 1,
        };
        assert_eq!(
            (refused.verdict(), refused.gate()),
            ("refused", Some("concurrency"))
        );
        assert!(VERDICTS.contains(&Ruling::DwellKept.verdict()));
    }
}
