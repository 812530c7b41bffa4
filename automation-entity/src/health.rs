//! The live health of systems, as expressions see it; read through a service that the health plugin
//! provides.

use plugin_api::{BoxError, ServiceRef, Ts};
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// Provided by the plugin that knows the health of systems; optional.
pub const HEALTH_READER: ServiceRef<dyn HealthReader> = ServiceRef::new("healthcheck.healthState");

/// Reads the health of many systems at once (`healthcheck §9`).
#[async_trait::async_trait]
pub trait HealthReader: Send + Sync {
    /// One entry per requested id, from a bounded number of queries. `transition_window_minutes` is
    /// 1 to 10 080.
    async fn health(
        &self,
        system_ids: &[String],
        transition_window_minutes: u32,
    ) -> Result<HashMap<String, HealthState>, BoxError>;
}

/// The health of one system at one instant.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthState {
    /// `healthy`, `degraded` or `unhealthy`.
    pub status: String,
    /// Since when; none when the log does not tell.
    pub in_status_since: Option<Ts>,
    /// Milliseconds since then; 0 when unknown.
    pub in_status_for_ms: i64,
    /// Of the newest run.
    pub latency_ms: Option<f64>,
    /// Mean over the window.
    pub avg_latency_ms: Option<f64>,
    /// 95th percentile over the window.
    pub p95_latency_ms: Option<f64>,
    /// 0 to 1.
    pub success_rate: Option<f64>,
    /// The newest run.
    pub last_run_at: Option<Ts>,
    /// A maintenance is running.
    pub in_maintenance: bool,
    /// Status changes within the window.
    pub transitions_in_window: i64,
    /// The window, in minutes.
    pub transition_window_minutes: u32,
    /// When this was computed.
    pub evaluated_at: Ts,
    /// Only for `state.health.<id>`.
    pub healthy_checks: i64,
    /// Only for `state.health.<id>`.
    pub total_checks: i64,
}

impl HealthState {
    /// The entry of `health.systems` (`entity §20.3`): snake case, instants as ISO texts, what is
    /// unknown left out except `in_status_since`, which is null.
    pub fn to_scope(&self) -> Value {
        let mut out = Map::new();
        let mut set = |name: &str, value: Value| out.insert(name.to_owned(), value);
        set("status", json!(self.status));
        set(
            "in_status_since",
            json!(self.in_status_since.map(Ts::to_text)),
        );
        set("in_status_for_ms", json!(self.in_status_for_ms));
        let known = [
            ("latency_ms", self.latency_ms),
            ("avg_latency_ms", self.avg_latency_ms),
            ("p95_latency_ms", self.p95_latency_ms),
            ("success_rate", self.success_rate),
        ];
        for (name, value) in known {
            if let Some(value) = value {
                set(name, json!(value));
            }
        }
        if let Some(at) = self.last_run_at {
            set("last_run_at", json!(at.to_text()));
        }
        set("in_maintenance", json!(self.in_maintenance));
        set("transitions_in_window", json!(self.transitions_in_window));
        set(
            "transition_window_minutes",
            json!(self.transition_window_minutes),
        );
        set("evaluated_at", json!(self.evaluated_at.to_text()));
        Value::Object(out)
    }

    /// What `state.health.<id>` shows (`entity §20.10`).
    pub fn to_state(&self) -> Value {
        json!({
            "status": self.status,
            "healthyChecks": self.healthy_checks,
            "totalChecks": self.total_checks,
        })
    }
}
