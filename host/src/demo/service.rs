//! The small web service of the demo: answers `/health` with 200, fails for a while, recovers.

use anyhow::Context;
use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use plugin_api::{Clock, Ts};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// When the service fails, counted from its start.
#[derive(Clone, Copy, Debug)]
pub struct Outage {
    /// Healthy until then.
    pub after: Duration,
    /// Down for so long, unless [`Service::recover`] ends it sooner.
    pub lasting: Duration,
}

/// A running service.
pub struct Service {
    /// Where it listens.
    pub address: SocketAddr,
    plan: Arc<Plan>,
}

struct Plan {
    clock: Arc<dyn Clock>,
    down_from: Ts,
    down_until: Ts,
    recovered: AtomicBool,
}

impl Service {
    /// Starts the service on a free loopback port.
    pub async fn start(clock: Arc<dyn Clock>, outage: Outage) -> anyhow::Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .context("the demo's web service cannot listen on 127.0.0.1")?;
        let address = listener.local_addr()?;
        let down_from = clock.now().plus_millis(outage.after.as_millis() as i64);
        let down_until = down_from.plus_millis(outage.lasting.as_millis() as i64);
        let plan = Arc::new(Plan {
            clock,
            down_from,
            down_until,
            recovered: AtomicBool::new(false),
        });
        let app = Router::new()
            .route("/health", get(health))
            .with_state(plan.clone());
        plugin_api::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                tracing::error!(%error, "The demo's web service stopped.");
            }
        });
        Ok(Self { address, plan })
    }

    /// When the outage begins and ends.
    pub fn outage(&self) -> (Ts, Ts) {
        (self.plan.down_from, self.plan.down_until)
    }

    /// Ends the outage for good.
    pub fn recover(&self) {
        self.plan.recovered.store(true, Ordering::Relaxed);
    }
}

async fn health(State(plan): State<Arc<Plan>>) -> (StatusCode, Json<Value>) {
    let now = plan.clock.now();
    let recovered = plan.recovered.load(Ordering::Relaxed);
    if !recovered && now >= plan.down_from && now < plan.down_until {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(json!({"status": "down"})),
        )
    } else {
        (StatusCode::OK, Json(json!({"status": "ok"})))
    }
}
