//! `signalbox why`: what an automation listens to, what it waits for, what it did last, and what its
//! gates decided, newest last.

use super::{args::WhyArgs, automations, print};
use crate::{client::Client, settings::Remote};
use anyhow::bail;
use plugin_api::{Clock, SystemClock, Ts};
use serde::Deserialize;
use serde_json::{Value, json};
use std::process::ExitCode;
use template_engine::Fact;

/// Asks the server and tells.
pub async fn run(args: WhyArgs) -> anyhow::Result<ExitCode> {
    if !(1..=200).contains(&args.limit) {
        bail!("--limit must be a whole number from 1 to 200");
    }
    let now = SystemClock::new().now();
    let since = match &args.since {
        Some(text) => Some(since(text, now)?),
        None => None,
    };
    let client = Client::new(&Remote::load(&args.remote)?)?;
    let id = automations::find(&client, &args.automation).await?;
    let runs = with(
        format!("/automations/{id}/runs?limit=5"),
        "context_key",
        &args.context,
    );
    let mut path = format!("/automations/{id}/decisions?limit={}", args.limit);
    path = with(path, "context_key", &args.context);
    path = with(path, "verdict", &args.verdict);
    path = with(path, "since", &since.map(Ts::to_text));
    let decisions = client.get(&path).await?;
    let ring = match decisions["items"][0].is_null() {
        true => client.all(&format!("/automations/{id}/decisions")).await?,
        false => Vec::new(),
    };
    let about = About {
        now,
        decisions,
        ring,
        automation: client.get(&format!("/automations/{id}")).await?,
        timers: client.all(&format!("/automations/{id}/timers")).await?,
        waiting: client.get(&format!("{runs}&status=waiting")).await?["items"].clone(),
        runs: client.get(&runs).await?["items"].clone(),
    };
    if args.remote.json {
        println!("{}", about.json());
        return Ok(ExitCode::SUCCESS);
    }
    for line in about.tell(args.context.as_deref(), args.verdict.as_deref(), since) {
        println!("{line}");
    }
    Ok(ExitCode::SUCCESS)
}

/// The instant a text names, or so long before `now`.
fn since(text: &str, now: Ts) -> anyhow::Result<Ts> {
    if let Some(at) = Ts::parse(text) {
        return Ok(at);
    }
    let units = [
        ("s", 1),
        ("m", 60),
        ("h", 3600),
        ("d", 86_400),
        ("w", 604_800),
    ];
    let span = units.iter().find_map(|(unit, seconds)| {
        let n: i64 = text.strip_suffix(unit)?.trim().parse().ok()?;
        n.checked_mul(*seconds)?
            .checked_mul(1000)
            .filter(|ms| *ms > 0)
    });
    match span {
        Some(ms) => Ok(now.plus_millis(-ms)),
        None => bail!(
            "--since {text:?} is neither a time such as 90s, 15m, 1h or 2d, nor an instant such as 2026-01-15T12:00:00Z"
        ),
    }
}

/// A path with one more parameter, if it is given.
fn with(path: String, name: &str, value: &Option<String>) -> String {
    let Some(value) = value else {
        return path;
    };
    let mut path = format!("{path}&{name}=");
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                path.push(byte as char);
            }
            _ => path.push_str(&format!("%{byte:02X}")),
        }
    }
    path
}

fn text<'v>(v: &'v Value, key: &str) -> &'v str {
    v[key].as_str().unwrap_or("")
}

fn items(v: &Value) -> impl DoubleEndedIterator<Item = &Value> {
    v.as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

/// What the server says about one automation.
struct About {
    now: Ts,
    automation: Value,
    decisions: Value,
    /// Every decision that is kept, newest first, when none of them is what was asked for.
    ring: Vec<Value>,
    timers: Vec<Value>,
    waiting: Value,
    runs: Value,
}

impl About {
    fn json(&self) -> Value {
        json!({
            "automation": self.automation, "decisions": self.decisions["items"],
            "kept": self.decisions["kept"], "timers": self.timers,
            "waiting_runs": self.waiting, "last_run": self.runs[0],
        })
    }

    fn tell(&self, context: Option<&str>, verdict: Option<&str>, since: Option<Ts>) -> Vec<String> {
        let mut lines = vec![self.summary()];
        lines.extend(self.state(context));
        let decided: Vec<&Value> = items(&self.decisions["items"]).collect();
        if decided.is_empty() {
            lines.push(String::new());
            lines.push(self.silence(context, verdict, since));
        }
        for d in decided.into_iter().rev() {
            lines.push(String::new());
            lines.extend(block(d));
        }
        lines
    }

    /// Whether it can act at all, and on what.
    fn summary(&self) -> String {
        let a = &self.automation;
        let name = text(a, "name");
        let events: Vec<String> = items(&a["definition"]["triggers"])
            .map(|t| match t["id"].as_str() {
                Some(id) => format!("{} ({id})", text(t, "event")),
                None => text(t, "event").to_owned(),
            })
            .collect();
        let listens = if events.is_empty() {
            "nothing".to_owned()
        } else {
            events.join(", ")
        };
        match (text(a, "health"), text(a, "status")) {
            ("invalid", _) => {
                format!("{name} does not act: its stored definition is not valid any more.")
            }
            (_, "enabled") => format!("{name} is enabled and listens to {listens}."),
            (_, status) => format!(
                "{name} is {status}: it listens to {listens}, and starts nothing until it is enabled."
            ),
        }
    }

    /// What it waits for, what is armed, what it did last.
    fn state(&self, context: Option<&str>) -> Vec<String> {
        let mut lines = Vec::new();
        for r in items(&self.waiting) {
            lines.push(format!(
                "  waiting  run {}{}, since {}",
                text(r, "id"),
                about(r),
                print::time(&r["started_at"])
            ));
        }
        for t in &self.timers {
            if text(t, "kind") == "tick" {
                lines.push(format!(
                    "  next     {} at {}",
                    text(t, "trigger_id"),
                    print::time(&t["fire_at"])
                ));
            } else if context.is_none_or(|c| text(t, "context_key") == c) {
                lines.push(format!(
                    "  armed    {}{}: starts a run at {} if it holds until then",
                    text(t, "trigger_id"),
                    about(t),
                    print::time(&t["fire_at"])
                ));
            }
        }
        match items(&self.runs).next() {
            Some(r) => {
                let reason = match text(r, "error_message") {
                    "" => String::new(),
                    message => format!(" ({message})"),
                };
                lines.push(format!(
                    "  last     run {}{}, {}, {}{reason}",
                    text(r, "id"),
                    about(r),
                    print::time(&r["started_at"]),
                    text(r, "status")
                ));
            }
            None => lines.push("  last     it has no run".to_owned()),
        }
        lines
    }

    /// Why there is nothing to tell. That nothing has happened is said only where nothing can have been
    /// forgotten.
    fn silence(&self, context: Option<&str>, verdict: Option<&str>, since: Option<Ts>) -> String {
        let kept = &self.decisions["kept"];
        let most = kept["per_automation"].as_u64().unwrap_or(200);
        if most == 0 {
            return "The server does not record decisions (retention.decisions_per_automation is 0)."
                .to_owned();
        }
        let days = kept["days"].as_u64().unwrap_or(30);
        let created = Ts::parse(text(&self.automation, "created_at"));
        let horizon = self.now.plus_millis(-(days as i64) * 86_400_000);
        let from = [since, created]
            .into_iter()
            .flatten()
            .fold(horizon, Ts::max);
        let about = context.map_or(String::new(), |c| format!(" for {c}"));
        let decision = match verdict {
            Some(v) => format!("No decision {v}{about}"),
            None => format!("No decision{about}"),
        };
        let oldest = self.ring.last().and_then(|d| Ts::parse(text(d, "at")));
        if let Some(oldest) = oldest.filter(|at| self.ring.len() as u64 >= most && *at > from) {
            return format!(
                "{decision} is kept. The newest {most} decisions of an automation are kept, whatever they are about; the oldest of this one is of {}, and what was decided before is forgotten.",
                when(oldest)
            );
        }
        let started = items(&self.runs).next().map(|r| &r["started_at"]);
        let started = started.and_then(|at| Ts::parse(at.as_str()?));
        if let Some(started) = started.filter(|at| verdict.is_none() && *at >= from) {
            return format!(
                "{decision} is kept, although a run was started at {}: what led to it is not written yet, or was lost.",
                when(started)
            );
        }
        let nothing = match verdict {
            Some(v) => format!("Nothing was decided as {v}{about}"),
            None => format!("No event of its triggers has arrived{about}"),
        };
        let created = match created == Some(from) {
            true => ", when it was created",
            false => "",
        };
        format!(
            "{nothing} since {}{created}. Decisions are kept for {days} days.",
            when(from)
        )
    }
}

/// ` for payments-api`
fn about(v: &Value) -> String {
    match v["context_key"].as_str() {
        Some(key) => format!(" for {key}"),
        None => String::new(),
    }
}

fn when(at: Ts) -> String {
    print::time(&json!(at.to_text()))
}

/// One decision: when, what, which trigger and key; the sentence; the facts; the run.
fn block(d: &Value) -> Vec<String> {
    let gate = match d["gate"].as_str() {
        Some(gate) => format!(" at {gate}"),
        None => String::new(),
    };
    let mut lines = vec![
        format!(
            "{}  {}{gate}, trigger {}{}",
            print::time(&d["at"]),
            text(d, "verdict"),
            text(d, "trigger_id"),
            about(d)
        ),
        format!("  {}", text(d, "text")),
    ];
    let facts: Vec<Fact> = Vec::deserialize(&d["detail"]["facts"]).unwrap_or_default();
    lines.extend(facts.iter().map(|f| format!("    {f}")));
    if let Some(run) = d["run_id"].as_str() {
        lines.push(format!("    run {run}"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about_one(status: &str, decisions: Value) -> About {
        About {
            now: Ts::parse("2026-01-20T12:00:00Z").unwrap(),
            ring: Vec::new(),
            automation: json!({
                "name": "page me", "status": status, "health": "ok", "created_at": "2026-01-10T08:00:00.000Z",
                "definition": {"triggers": [{"id": "down", "event": "healthcheck.system_unhealthy"}, {"event": "automation.cron"}]},
            }),
            decisions: json!({"items": decisions, "kept": {"per_automation": 200, "days": 30}}),
            timers: Vec::new(),
            waiting: json!([]),
            runs: json!([]),
        }
    }

    #[test]
    fn silence_names_the_events_and_since_when_none_came() {
        let lines = about_one("enabled", json!([])).tell(None, None, None);
        assert_eq!(
            lines,
            [
                "page me is enabled and listens to healthcheck.system_unhealthy (down), automation.cron.",
                "  last     it has no run",
                "",
                "No event of its triggers has arrived since 2026-01-10 08:00:00, when it was created. Decisions are kept for 30 days.",
            ]
        );
        let since = Ts::parse("2026-01-15T12:00:00Z");
        let lines = about_one("disabled", json!([])).tell(Some("payments"), None, since);
        assert!(lines[0].starts_with("page me is disabled: "), "{lines:?}");
        assert!(
            lines[3].starts_with(
                "No event of its triggers has arrived for payments since 2026-01-15 12:00:00."
            ),
            "{lines:?}"
        );
        let mut off = about_one("enabled", json!([]));
        off.decisions["kept"]["per_automation"] = json!(0);
        assert!(off.tell(None, None, None)[3].contains("does not record"));
    }

    #[test]
    fn silence_about_what_may_be_forgotten_does_not_say_that_nothing_came() {
        let told = |one: &About, since| one.tell(Some("payments"), None, since).pop().unwrap();
        let mut one = about_one("enabled", json!([]));
        one.ring = vec![
            json!({"at": "2026-01-19T12:00:00.000Z", "context_key": "search"}),
            json!({"at": "2026-01-18T12:00:00.000Z", "context_key": "search"}),
        ];
        let nothing = "No event of its triggers has arrived for payments since 2026-01-";
        assert!(told(&one, None).starts_with(nothing));
        one.decisions["kept"]["per_automation"] = json!(2);
        assert_eq!(
            told(&one, None),
            "No decision for payments is kept. The newest 2 decisions of an automation are kept, whatever they are about; the oldest of this one is of 2026-01-18 12:00:00, and what was decided before is forgotten."
        );
        // Nothing of this time can have been forgotten.
        let since = Ts::parse("2026-01-19T00:00:00Z");
        assert!(told(&one, since).starts_with(nothing));
        one.runs =
            json!([{"id": "r1", "status": "success", "started_at": "2026-01-19T06:00:00.000Z"}]);
        assert!(told(&one, since).starts_with(
            "No decision for payments is kept, although a run was started at 2026-01-19 06:00:00"
        ));
        // An automation that is older than what is kept.
        one = about_one("enabled", json!([]));
        one.now = Ts::parse("2026-03-20T12:00:00Z").unwrap();
        assert!(
            told(&one, None).contains("arrived for payments since 2026-02-18 12:00:00. Decisions")
        );
    }

    #[test]
    fn decisions_come_newest_last_with_their_facts() {
        let decisions = json!([
            {"at": "2026-01-15T12:00:02.000Z", "verdict": "started", "trigger_id": "down", "run_id": "r1", "text": "Every gate was passed and a run was started.", "detail": {}},
            {"at": "2026-01-15T12:00:01.000Z", "verdict": "filter_false", "gate": "filter", "trigger_id": "down", "context_key": "payments", "text": "The filter was false.",
             "detail": {"facts": [{"source": "health.system.status == \"unhealthy\"", "value": "\"degraded\""}]}},
        ]);
        let mut one = about_one("enabled", decisions);
        one.runs = json!([{"id": "r1", "status": "failed", "error_message": "boom", "context_key": "payments", "started_at": "2026-01-15T12:00:02.000Z"}]);
        one.timers = vec![
            json!({"kind": "dwell", "trigger_id": "down", "context_key": "search", "fire_at": "2026-01-15T12:30:00.000Z"}),
            json!({"kind": "tick", "trigger_id": "automation_cron", "fire_at": "2026-01-15T13:00:00.000Z"}),
        ];
        let lines = one.tell(None, None, None);
        assert_eq!(
            lines[1..],
            [
                "  armed    down for search: starts a run at 2026-01-15 12:30:00 if it holds until then",
                "  next     automation_cron at 2026-01-15 13:00:00",
                "  last     run r1 for payments, 2026-01-15 12:00:02, failed (boom)",
                "",
                "2026-01-15 12:00:01  filter_false at filter, trigger down for payments",
                "  The filter was false.",
                "    health.system.status == \"unhealthy\" was \"degraded\"",
                "",
                "2026-01-15 12:00:02  started, trigger down",
                "  Every gate was passed and a run was started.",
                "    run r1",
            ]
        );
    }

    #[test]
    fn since_takes_spans_and_instants() {
        let now = Ts::parse("2026-01-15T12:00:00Z").unwrap();
        let cases = [
            ("90s", "2026-01-15T11:58:30.000Z"),
            ("15m", "2026-01-15T11:45:00.000Z"),
            ("1h", "2026-01-15T11:00:00.000Z"),
            ("2d", "2026-01-13T12:00:00.000Z"),
            ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000Z"),
        ];
        for (text, expected) in cases {
            assert_eq!(since(text, now).unwrap().to_text(), expected);
        }
        for wrong in ["", "h", "-1h", "0s", "1y", "9223372036854775807w"] {
            assert!(since(wrong, now).is_err(), "{wrong}");
        }
    }

    #[test]
    fn parameters_are_encoded() {
        let key = Some("a b&c=ü".to_owned());
        assert_eq!(
            with("/x?limit=1".into(), "k", &key),
            "/x?limit=1&k=a%20b%26c%3D%C3%BC"
        );
        assert_eq!(with("/x".into(), "k", &None), "/x");
    }
}
