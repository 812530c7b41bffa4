//! Readiness (`plugins §14`): probes run in parallel, one second each, answers kept for a second;
//! `/healthz` says the process lives, `/readyz` whether it should get traffic.

use axum::{
    Extension, Json, Router,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use plugin_api::{
    BoxError, Clock, PluginId, Principal, core,
    readiness::{Probe, ProbeDef, ProbeResult},
    timeout,
};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// A probe that takes longer is not ok.
const LIMIT: Duration = Duration::from_secs(1);
/// An answer younger than this is given again.
const FRESH: Duration = Duration::from_secs(1);

/// Where the process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Starting,
    Ready,
    Stopping,
}

/// One line of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeReport {
    /// Its name.
    pub name: String,
    /// Does it decide?
    pub critical: bool,
    /// What it found.
    pub ok: bool,
    /// Why not, or a remark.
    pub message: Option<String>,
    /// How long it took.
    pub millis: u64,
}

/// What `/readyz` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadinessReport {
    /// Every critical probe is ok.
    pub ready: bool,
    /// `core.init` first, then in the order of registration.
    pub probes: Vec<ProbeReport>,
}

impl ReadinessReport {
    /// The body of `/readyz`; messages and times only for callers with `core.read`.
    pub fn body(&self, detailed: bool) -> Value {
        let probes = self.probes.iter().map(|p| {
            let mut line = json!({"name": p.name, "critical": p.critical, "ok": p.ok});
            if detailed {
                line["message"] = json!(p.message);
                line["ms"] = json!(p.millis);
            }
            line
        });
        json!({"ready": self.ready, "probes": probes.collect::<Vec<_>>()})
    }
}

struct Registered {
    name: String,
    critical: bool,
    probe: Arc<dyn Probe>,
}

/// The readiness of one process; usable before, during and after the boot.
pub struct Readiness {
    clock: Arc<dyn Clock>,
    stage: AtomicU8,
    holds: AtomicUsize,
    probes: Mutex<Vec<Arc<Registered>>>,
    // Held while probing, so that concurrent requests share one round. Its age is no matter of the
    // wall clock: set back by an hour, that would keep an answer for as long.
    cache: tokio::sync::Mutex<Option<(Duration, Vec<ProbeReport>)>>,
}

impl Readiness {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            clock,
            stage: AtomicU8::new(Stage::Starting as u8),
            holds: AtomicUsize::new(0),
            probes: Mutex::default(),
            cache: tokio::sync::Mutex::default(),
        })
    }

    pub(crate) fn ready(&self) {
        self.stage.store(Stage::Ready as u8, Ordering::Release);
    }

    /// Keeps `/readyz` at 503 until the answer is dropped, for what the host has to do itself when
    /// the plugins have booted.
    pub fn hold(self: &Arc<Self>) -> Hold {
        self.holds.fetch_add(1, Ordering::AcqRel);
        Hold(self.clone())
    }

    /// From now on `/readyz` answers 503. The host calls it as soon as it is told to stop.
    pub fn stopping(&self) {
        self.stage.store(Stage::Stopping as u8, Ordering::Release);
    }

    /// Adds a probe whose name is unique and begins with the plugin's id.
    pub(crate) fn register(&self, by: &PluginId, def: ProbeDef) -> Result<(), BoxError> {
        let own = def.name.strip_prefix(by.as_str()).is_some_and(|rest| {
            rest.strip_prefix('.')
                .is_some_and(|local| !local.is_empty())
        });
        if !own {
            return Err(format!(
                "readiness probe `{}` of plugin {by} must be named `{by}.<what>`",
                def.name
            )
            .into());
        }
        let mut probes = self.probes.lock().expect("probes");
        if def.name == "core.init" || probes.iter().any(|p| p.name == def.name) {
            return Err(format!("readiness probe `{}` is registered twice", def.name).into());
        }
        probes.push(Arc::new(Registered {
            name: def.name,
            critical: def.critical,
            probe: def.probe.into(),
        }));
        Ok(())
    }

    /// Runs what is not fresh and reports all.
    pub async fn report(&self) -> ReadinessReport {
        let mut probes = vec![self.init_line()];
        probes.extend(self.probe_lines().await);
        ReadinessReport {
            ready: probes.iter().all(|p| p.ok || !p.critical),
            probes,
        }
    }

    fn init_line(&self) -> ProbeReport {
        let stage = self.stage.load(Ordering::Acquire);
        let message = match stage {
            s if s == Stage::Starting as u8 => Some("the boot is not complete".to_owned()),
            s if s == Stage::Stopping as u8 => Some("the process is stopping".to_owned()),
            _ if self.holds.load(Ordering::Acquire) > 0 => {
                Some("the host is not open yet".to_owned())
            }
            _ => None,
        };
        ProbeReport {
            name: "core.init".into(),
            critical: true,
            ok: message.is_none(),
            message,
            millis: 0,
        }
    }

    async fn probe_lines(&self) -> Vec<ProbeReport> {
        let mut cache = self.cache.lock().await;
        let now = self.clock.monotonic();
        let count = self.probes.lock().expect("probes").len();
        if let Some((at, lines)) = &*cache
            && lines.len() == count
            && now.saturating_sub(*at) < FRESH
        {
            return lines.clone();
        }
        let probes = self.probes.lock().expect("probes").clone();
        let running: Vec<_> = probes
            .into_iter()
            .map(|p| run(self.clock.clone(), p))
            .collect();
        let lines = futures::future::join_all(running).await;
        *cache = Some((self.clock.monotonic(), lines.clone()));
        lines
    }
}

/// What [`Readiness::hold`] answers.
pub struct Hold(Arc<Readiness>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.holds.fetch_sub(1, Ordering::AcqRel);
    }
}

async fn run(clock: Arc<dyn Clock>, registered: Arc<Registered>) -> ProbeReport {
    let started = clock.monotonic();
    let probe = registered.probe.clone();
    // In a task of its own, so that a panic is an answer.
    let mut task = plugin_api::spawn(async move { probe.check().await });
    let failed = |message: &str| ProbeResult {
        ok: false,
        message: Some(message.to_owned()),
    };
    let result = match timeout(&*clock, LIMIT, &mut task).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => failed("the probe panicked"),
        Err(_) => {
            task.abort();
            failed("no answer within 1 s")
        }
    };
    let millis = clock.monotonic().saturating_sub(started).as_millis();
    ProbeReport {
        name: registered.name.clone(),
        critical: registered.critical,
        ok: result.ok,
        message: result.message,
        millis: u64::try_from(millis).unwrap_or(u64::MAX),
    }
}

/// `/healthz` and `/readyz`. The host serves them from its first moment on; a caller is known when its
/// middleware put a [`Principal`] into the request.
pub fn health_routes(readiness: Arc<Readiness>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(readyz))
        .layer(Extension(readiness))
}

async fn readyz(
    Extension(readiness): Extension<Arc<Readiness>>,
    principal: Option<Extension<Principal>>,
) -> Response {
    let report = readiness.report().await;
    let detailed = principal.is_some_and(|p| p.may(core::READ.id));
    let status = if report.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(report.body(detailed))).into_response()
}
