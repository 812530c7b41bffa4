//! The live health of systems as expressions see it (`healthcheck §9`): one snapshot, five queries
//! for any number of systems. A query that fails costs only its own fields.

use crate::{
    evaluate::decide::Aggregate,
    status::Status,
    store::{
        aggregates::{self, Recent},
        health,
        runs::{self, NewestOf},
        transitions::{self, Newest},
    },
};
use async_trait::async_trait;
use automation_entity::{HealthReader, HealthState};
use plugin_api::{BoxError, Clock, Conn, Db, Ts, db::DbError};
use std::{collections::HashMap, sync::Arc};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// Answers from the plugin's tables, never from memory.
pub struct Provider {
    db: Db,
    clock: Arc<dyn Clock>,
}

impl Provider {
    /// A provider over the plugin's database.
    pub fn new(db: Db, clock: Arc<dyn Clock>) -> Self {
        Self { db, clock }
    }

    fn db(&self) -> Conn<'_> {
        Conn::Db(&self.db)
    }
}

/// The value, or its default and a warning.
fn or_default<T: Default>(what: &'static str, answer: Result<T, DbError>) -> T {
    answer.unwrap_or_else(|error| {
        tracing::warn!(%error, what, "A part of the health of systems cannot be read and is left out.");
        T::default()
    })
}

#[async_trait]
impl HealthReader for Provider {
    async fn health(
        &self,
        system_ids: &[String],
        transition_window_minutes: u32,
    ) -> Result<HashMap<String, HealthState>, BoxError> {
        if system_ids.is_empty() {
            return Ok(HashMap::new());
        }
        let now = self.clock.now();
        let window = transition_window_minutes.clamp(1, 10_080);
        let since = now.plus_millis(-i64::from(window) * MINUTE_MS);

        let counted = health::counted(self.db(), system_ids).await?;
        let newest = transitions::newest(self.db(), system_ids).await;
        let newest = by_id(or_default("since", newest), |r: &Newest| {
            r.system_id.as_str().to_owned()
        });
        let changes = transitions::counts(self.db(), since, now, system_ids).await;
        let changes = by_id(or_default("transitions", changes), |r| {
            r.system_id.as_str().to_owned()
        });
        let last = runs::newest_of_systems(self.db(), system_ids).await;
        let last = newest_runs(or_default("latest run", last));
        let recent = aggregates::recent(self.db(), now.plus_millis(-DAY_MS), system_ids).await;
        let recent = by_id(or_default("averages", recent), |r: &Recent| {
            r.system_id.as_str().to_owned()
        });

        let answer = system_ids.iter().map(|id| {
            let aggregate = counted.get(id).and_then(|checks| health::of(checks));
            let mut state = base(aggregate, now, window);
            if let Some(row) = newest.get(id)
                && row.to_status == state.status
            {
                state.in_status_since = Some(row.transitioned_at);
                state.in_status_for_ms = (now.millis() - row.transitioned_at.millis()).max(0);
            }
            state.transitions_in_window = changes.get(id).map_or(0, |c| c.changes);
            if let Some(run) = last.get(id) {
                state.last_run_at = Some(run.timestamp);
                state.latency_ms = run.latency_ms.map(|ms| ms as f64);
            }
            if let Some(r) = recent.get(id) {
                state.avg_latency_ms = ratio(r.latency_sum_ms, r.latency_count).map(f64::round);
                state.p95_latency_ms = r.p95_latency_ms;
                state.success_rate = ratio(r.healthy_count, r.run_count);
            }
            (id.clone(), state)
        });
        Ok(answer.collect())
    }
}

/// A snapshot without history.
fn base(aggregate: Option<Aggregate>, now: Ts, window: u32) -> HealthState {
    let status = aggregate.map_or(Status::Healthy, |a| a.status);
    HealthState {
        status: status.as_str().to_owned(),
        in_status_since: None,
        in_status_for_ms: 0,
        latency_ms: None,
        avg_latency_ms: None,
        p95_latency_ms: None,
        success_rate: None,
        last_run_at: None,
        // No maintenance plugin can be asked in this build.
        in_maintenance: false,
        transitions_in_window: 0,
        transition_window_minutes: window,
        evaluated_at: now,
        healthy_checks: aggregate.map_or(0, |a| i64::from(a.healthy)),
        total_checks: aggregate.map_or(0, |a| i64::from(a.total)),
    }
}

fn by_id<T>(rows: Vec<T>, id: impl Fn(&T) -> String) -> HashMap<String, T> {
    rows.into_iter().map(|r| (id(&r), r)).collect()
}

/// The newest run of each system over all its assignments.
fn newest_runs(rows: Vec<NewestOf>) -> HashMap<String, NewestOf> {
    let mut newest: HashMap<String, NewestOf> = HashMap::new();
    for row in rows {
        let id = row.system_id.as_str().to_owned();
        match newest.get(&id) {
            Some(known) if known.timestamp >= row.timestamp => {}
            _ => {
                newest.insert(id, row);
            }
        }
    }
    newest
}

fn ratio(part: i64, whole: i64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
