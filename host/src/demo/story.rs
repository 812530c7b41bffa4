//! What the demo prints: facts of the API, each told once, in the order in which they happened.
//!
//! Pure: it is given documents of the API and answers lines. Every fact carries the time it was
//! recorded with, not the time it was seen.

use plugin_api::Ts;
use serde_json::Value;
use std::collections::HashSet;

/// One line of the story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When it happened.
    pub at: Ts,
    /// Who speaks: `service`, `health`, `automation`, `incident`.
    pub who: &'static str,
    /// What happened.
    pub text: String,
}

/// How long a line waits for earlier ones: what happened first may be seen last.
const PATIENCE_MS: i64 = 2_000;

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

impl Snapshot {
    /// Without what was over before the story began: an earlier one on the same database.
    pub fn since(mut self, begun: Ts) -> Self {
        let later = |v: &Value| time(v).is_some_and(|at| at >= begun);
        self.transitions.retain(|t| later(&t["transitioned_at"]));
        self.runs
            .retain(|r| r["finished_at"].is_null() || later(&r["finished_at"]));
        self.incidents
            .retain(|i| text(i, "status") != "resolved" || later(&i["updated_at"]));
        self
    }
}

/// What has been told so far.
#[derive(Default)]
pub struct Story {
    told: HashSet<String>,
    begun: Option<Ts>,
    waiting: Vec<Line>,
}

fn time(v: &Value) -> Option<Ts> {
    v.as_str().and_then(Ts::parse)
}

fn text<'v>(v: &'v Value, key: &str) -> &'v str {
    v[key].as_str().unwrap_or("")
}

impl Story {
    /// A story that tells nothing of before.
    pub fn since(begun: Ts) -> Self {
        Self {
            begun: Some(begun),
            ..Self::default()
        }
    }

    /// New lines together with those that waited, in order of time: all of them at the `end`, before
    /// it those that nothing earlier can come after.
    pub fn in_order(&mut self, lines: Vec<Line>, now: Ts, end: bool) -> Vec<Line> {
        self.waiting.extend(lines);
        self.waiting.sort_by_key(|l| l.at);
        let until = now.plus_millis(-PATIENCE_MS);
        let ready = self.waiting.partition_point(|l| end || l.at <= until);
        self.waiting.drain(..ready).collect()
    }

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
            && self.begun.is_none_or(|begun| at >= begun)
        {
            lines.push(Line { at, who, text });
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
                json!({"id":"i-1","title":"Down","severity":"critical","status":"resolved","created_at":"2026-01-15T12:00:05.000Z","updated_at":"2026-01-15T12:00:20.000Z",
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
    fn an_earlier_story_is_neither_told_nor_judged() {
        let later = Ts::parse("2026-01-15T12:01:00.000Z").expect("an instant");
        let old = snapshot().since(later);
        assert!(old.runs.is_empty() && old.incidents.is_empty() && old.transitions.is_empty());
        assert!(!finished(&old));
        // What was not over when it began belongs to it, but its beginning is not told again.
        let mut open = snapshot();
        open.incidents[0]["status"] = json!("investigating");
        open.runs[0]["finished_at"] = json!(null);
        let open = open.since(later);
        assert_eq!((open.runs.len(), open.incidents.len()), (1, 1));
        assert_eq!(Story::since(later).tell(&open), vec![]);
    }

    #[test]
    fn a_line_waits_for_earlier_ones_that_are_seen_later() {
        let line = |ms: i64, text: &str| Line {
            at: Ts::from_millis(ms),
            who: "demo",
            text: text.to_owned(),
        };
        let texts = |lines: Vec<Line>| lines.into_iter().map(|l| l.text).collect::<Vec<_>>();
        let mut story = Story::default();
        let now = Ts::from_millis(10_000);
        let none = story.in_order(vec![line(9_900, "second")], now, false);
        assert_eq!(texts(none), Vec::<String>::new());
        let none = story.in_order(vec![line(9_800, "first")], now.plus_millis(200), false);
        assert_eq!(texts(none), Vec::<String>::new());
        let both = story.in_order(vec![line(11_000, "third")], now.plus_millis(2_000), false);
        assert_eq!(texts(both), ["first", "second"]);
        let rest = story.in_order(Vec::new(), now.plus_millis(2_000), true);
        assert_eq!(texts(rest), ["third"]);
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
