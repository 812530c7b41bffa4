//! What the demo prints: facts of the API, each told once, in the order in which they happened.
//!
//! Pure: it is given documents of the API and answers lines. Every fact carries the time it was
//! recorded with, not the time it was seen.

use plugin_api::Ts;
use serde_json::Value;
use std::{borrow::Cow, collections::HashSet};

/// One line of the story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When it happened.
    pub at: Ts,
    /// Who speaks: `service`, `health`, `automation`, `incident`, or a node.
    pub who: Cow<'static, str>,
    /// What happened.
    pub text: String,
}

/// What the API says at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Items of the transitions of the system's health.
    pub transitions: Vec<Value>,
    /// Armed dwells of the automation.
    pub timers: Vec<Value>,
    /// Runs of the automation with their steps.
    pub runs: Vec<Value>,
    /// Incidents with their updates.
    pub incidents: Vec<Value>,
}

/// What has been told so far.
#[derive(Default)]
pub struct Story {
    told: HashSet<String>,
}

fn time(v: &Value) -> Option<Ts> {
    v.as_str().and_then(Ts::parse)
}

fn text<'v>(v: &'v Value, key: &str) -> &'v str {
    v[key].as_str().unwrap_or("")
}

impl Story {
    /// The lines that are new, oldest first.
    pub fn tell(&mut self, snapshot: &Snapshot) -> Vec<Line> {
        let mut lines = Vec::new();
        for t in &snapshot.transitions {
            self.transition(t, &mut lines);
        }
        for t in &snapshot.timers {
            self.timer(t, &mut lines);
        }
        for r in &snapshot.runs {
            self.run(r, &mut lines);
        }
        for i in &snapshot.incidents {
            self.incident(i, &mut lines);
        }
        lines.sort_by_key(|l: &Line| l.at);
        lines
    }

    fn once(
        &mut self,
        key: String,
        lines: &mut Vec<Line>,
        at: Option<Ts>,
        who: &'static str,
        text: String,
    ) {
        if let Some(at) = at
            && self.told.insert(key)
        {
            lines.push(Line {
                at,
                who: who.into(),
                text,
            });
        }
    }

    fn transition(&mut self, t: &Value, lines: &mut Vec<Line>) {
        if text(t, "field") != "status" {
            return;
        }
        let (to, at) = (text(t, "to_value"), time(&t["transitioned_at"]));
        let line = match t["from_value"].as_str() {
            Some(from) => format!("payments-api is {to} (was {from})"),
            None => format!("payments-api is watched and {to}"),
        };
        self.once(format!("transition {at:?} {to}"), lines, at, "health", line);
    }

    fn timer(&mut self, t: &Value, lines: &mut Vec<Line>) {
        let (at, fire_at) = (time(&t["created_at"]), time(&t["fire_at"]));
        if let (Some(at), Some(fire_at)) = (at, fire_at) {
            let seconds = (fire_at.millis() - at.millis()) as f64 / 1000.0;
            let line = format!("noticed; acts if this holds for {seconds} s");
            self.once(
                format!("timer {} {at}", text(t, "context_key")),
                lines,
                Some(at),
                "automation",
                line,
            );
        }
    }

    fn run(&mut self, r: &Value, lines: &mut Vec<Line>) {
        let id = text(r, "id");
        self.once(
            format!("run {id}"),
            lines,
            time(&r["started_at"]),
            "automation",
            format!("run {} started", short(id)),
        );
        for s in r["steps"].as_array().into_iter().flatten() {
            let (path, status) = (text(s, "action_path"), text(s, "status"));
            let what = s["provider_action_id"]
                .as_str()
                .unwrap_or_else(|| text(s, "action_kind"));
            let (at, line) = match status {
                "waiting" => (
                    time(&s["started_at"]),
                    format!("{what}: waiting until payments-api has been healthy for a while"),
                ),
                "success" => (time(&s["finished_at"]), format!("{what}: done")),
                "failed" => (
                    time(&s["finished_at"]),
                    format!("{what}: failed: {}", text(s, "error_message")),
                ),
                _ => continue,
            };
            self.once(
                format!("step {id} {path} {status}"),
                lines,
                at,
                "automation",
                line,
            );
        }
        if let Some(at) = time(&r["finished_at"]) {
            let status = text(r, "status");
            let line = match r["error_message"].as_str() {
                Some(m) => format!("run {} ended: {status} ({m})", short(id)),
                None => format!("run {} ended: {status}", short(id)),
            };
            self.once(format!("end {id}"), lines, Some(at), "automation", line);
        }
    }

    fn incident(&mut self, i: &Value, lines: &mut Vec<Line>) {
        let id = text(i, "id");
        let line = format!("opened: {} ({})", text(i, "title"), text(i, "severity"));
        self.once(
            format!("incident {id}"),
            lines,
            time(&i["created_at"]),
            "incident",
            line,
        );
        for u in i["updates"].as_array().into_iter().flatten() {
            let message = text(u, "message");
            let line = match u["status_change"].as_str() {
                Some(status) => format!("{status}: {message}"),
                None => format!("note: {message}"),
            };
            self.once(
                format!("update {}", text(u, "id")),
                lines,
                time(&u["created_at"]),
                "incident",
                line,
            );
        }
    }
}

/// The last part of a UUID, enough to tell runs apart.
fn short(id: &str) -> &str {
    id.rsplit('-').next().unwrap_or(id)
}

impl Snapshot {
    /// Without the incidents and runs of an earlier telling on the same database.
    pub fn without(mut self, past: &HashSet<String>) -> Self {
        let is_new = |v: &Value| !past.contains(text(v, "id"));
        self.incidents.retain(is_new);
        self.runs.retain(is_new);
        self
    }

    /// Incidents and runs that are over.
    pub fn over(&self) -> HashSet<String> {
        let incidents = self.incidents.iter();
        let incidents = incidents.filter(|i| text(i, "status") == "resolved");
        let runs = self
            .runs
            .iter()
            .filter(|r| time(&r["finished_at"]).is_some());
        incidents
            .chain(runs)
            .map(|v| text(v, "id").to_owned())
            .collect()
    }

    /// True while an incident is open and the run that opened it waits.
    pub fn waits(&self) -> bool {
        let open = self
            .incidents
            .iter()
            .any(|i| text(i, "status") != "resolved");
        open && self.runs.iter().any(|r| text(r, "status") == "waiting")
    }
}

/// True when exactly one incident exists, it is resolved, and its run has succeeded.
pub fn finished(s: &Snapshot) -> bool {
    let resolved =
        !s.incidents.is_empty() && s.incidents.iter().all(|i| text(i, "status") == "resolved");
    let succeeded = s.runs.iter().any(|r| text(r, "status") == "success")
        && s.runs.iter().all(|r| time(&r["finished_at"]).is_some());
    resolved && succeeded
}

/// How far the story got, for the message when it does not end in time.
pub fn stuck(s: &Snapshot) -> String {
    if s.transitions
        .iter()
        .all(|t| text(t, "to_value") == "healthy")
    {
        return "the system's health never degraded".into();
    }
    if let Some(failed) = s.runs.iter().find(|r| text(r, "status") == "failed") {
        return format!(
            "run {} failed: {}",
            text(failed, "id"),
            text(failed, "error_message")
        );
    }
    match (s.runs.is_empty(), s.incidents.is_empty()) {
        (true, _) => "the automation started no run".into(),
        (false, true) => "the run opened no incident".into(),
        (false, false) => "the incident was not resolved".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn snapshot() -> Snapshot {
        Snapshot {
            transitions: vec![
                json!({"field":"status","from_value":"healthy","to_value":"degraded","transitioned_at":"2026-01-15T12:00:02.000Z"}),
            ],
            incidents: vec![
                json!({"id":"i-1","title":"Down","severity":"critical","status":"resolved","created_at":"2026-01-15T12:00:05.000Z",
                "updates":[{"id":"u","message":"ok","status_change":"resolved","created_at":"2026-01-15T12:00:20.000Z"}]}),
            ],
            runs: vec![
                json!({"id":"r-1","status":"success","started_at":"2026-01-15T12:00:05.000Z","finished_at":"2026-01-15T12:00:20.000Z","steps":[]}),
            ],
            ..Default::default()
        }
    }

    #[test]
    fn every_fact_is_told_once_in_order() {
        let mut story = Story::default();
        let lines = story.tell(&snapshot());
        assert_eq!(lines.len(), 5, "{lines:?}");
        assert!(lines.windows(2).all(|w| w[0].at <= w[1].at));
        assert_eq!(lines[0].text, "payments-api is degraded (was healthy)");
        assert_eq!(story.tell(&snapshot()), vec![]);
    }

    #[test]
    fn what_was_over_before_is_not_part_of_the_story() {
        let s = snapshot();
        let past = s.over();
        let s = s.without(&past);
        assert!(s.incidents.is_empty() && s.runs.is_empty() && !finished(&s));
    }

    #[test]
    fn an_open_incident_is_not_the_end() {
        let mut s = snapshot();
        assert!(finished(&s));
        s.incidents[0]["status"] = json!("investigating");
        assert!(!finished(&s));
        assert_eq!(stuck(&s), "the incident was not resolved");
    }
}
