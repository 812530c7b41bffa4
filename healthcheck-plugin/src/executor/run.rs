//! One run: secrets, connection, all collectors at once, close; under one time limit
//! (`healthcheck §5.2`, `§5.4`).

use super::SecretSource;
use crate::{
    assertions::{Assertion, decide},
    status::Status,
    strategies::{CollectCx, Collected, Known, Session, Strategies},
};
use futures::{FutureExt, StreamExt, stream::FuturesUnordered};
use plugin_api::{Clock, clock::timeout, masking::MaskSet};
use schemars::JsonSchema;
use script_runner::Places;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::{collections::HashMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};

/// Limit of a run whose stored config has no `timeout` (`healthcheck §5.4`).
const FALLBACK_TIMEOUT_MS: u64 = 60_000;
/// How long a session may take to close.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// One collector of a check (`healthcheck §3.1.5`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CollectorEntry {
    /// Unique in the check; results are stored under it.
    pub id: String,
    /// Qualified collector id.
    pub collector_id: String,
    /// The collector's config.
    #[serde(default = "empty")]
    pub config: Value,
    /// What is expected of the result, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assertions: Vec<Assertion>,
}
fn empty() -> Value {
    json!({})
}

/// What to run: the executable part of a configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckPlan {
    /// Qualified strategy id.
    pub strategy_id: String,
    /// The strategy's config.
    pub config: Value,
    /// Its collectors; none is a mere test of the connection.
    pub collectors: Vec<CollectorEntry>,
    /// Ids of entries whose stored config cannot be used, with the reason; they fail alone.
    pub unusable: HashMap<String, String>,
}

impl CheckPlan {
    /// With its stored configs brought to the versions that the strategies know
    /// (`healthcheck §3.1.4`). Before anything reads them: secrets are looked for under today's keys.
    ///
    /// # Errors
    /// Why the strategy's config cannot be used.
    pub fn migrated(mut self, strategies: &Strategies) -> Result<Self, String> {
        let Some(strategy) = strategies.get(&self.strategy_id) else {
            return Ok(self);
        };
        let config = strategy.config.migrate_assuming_v1(self.config);
        self.config = config.map_err(|e| e.to_string())?;
        for entry in &mut self.collectors {
            let Some(def) = strategy.collector(&entry.collector_id) else {
                continue;
            };
            match def.config.migrate_assuming_v1(entry.config.take()) {
                Ok(config) => entry.config = config,
                Err(error) => {
                    self.unusable.insert(entry.id.clone(), error.to_string());
                }
            }
        }
        Ok(self)
    }

    /// The hard limit of a run, in milliseconds.
    pub fn timeout_ms(&self) -> u64 {
        self.config
            .get("timeout")
            .and_then(Value::as_u64)
            .unwrap_or(FALLBACK_TIMEOUT_MS)
    }
}

/// What came of a run. Secrets are already masked.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Healthy or unhealthy.
    pub status: Status,
    /// Wall time of the whole sequence, on failure too; none when nothing was executed.
    pub latency_ms: Option<i64>,
    /// Entry id → result fields; none when there was no connection.
    pub collectors: Option<Map<String, Value>>,
    /// The stored result (`healthcheck §5.2.5`).
    pub result: Value,
}

impl Outcome {
    /// A run that could not even begin: its stored check cannot be read.
    pub fn internal(error: String) -> Self {
        let course = Course {
            errors: vec![error],
            ..Course::default()
        };
        put_into_words(course, None, &MaskSet::empty())
    }
}

/// What went on during a run, before it is put into words.
#[derive(Default)]
struct Course {
    connected: bool,
    connection_time_ms: Option<i64>,
    collectors: Option<Map<String, Value>>,
    errors: Vec<String>,
}

/// Waits until a run of a plan may begin: no part of the run, and of its limit.
pub async fn admit(strategies: &Strategies, plan: &CheckPlan) -> Option<Arc<Places>> {
    let strategy = strategies.get(&plan.strategy_id)?;
    strategy.strategy.admit(plan.collectors.len()).await
}

/// Executes a plan that was admitted with `places`. Never fails: whatever goes wrong is an unhealthy
/// outcome.
pub async fn execute(
    strategies: &Strategies,
    secrets: &SecretSource,
    clock: &Arc<dyn Clock>,
    plan: &CheckPlan,
    places: Option<Arc<Places>>,
) -> Outcome {
    let started = clock.monotonic();
    let mut mask = Arc::new(MaskSet::empty());
    let mut course = Course::default();
    match strategies.get(&plan.strategy_id) {
        None => course
            .errors
            .push(format!("unknown strategy {}", plan.strategy_id)),
        Some(strategy) => {
            let at = (clock, places.as_ref());
            follow(strategy, secrets, at, plan, &mut mask, &mut course).await;
        }
    }
    let took = clock.monotonic().saturating_sub(started);
    put_into_words(course, i64::try_from(took.as_millis()).ok(), &mask)
}

async fn follow(
    strategy: &Known,
    secrets: &SecretSource,
    (clock, places): (&Arc<dyn Clock>, Option<&Arc<Places>>),
    plan: &CheckPlan,
    mask: &mut Arc<MaskSet>,
    course: &mut Course,
) {
    let limit = plan.timeout_ms();
    let mut deadline = clock.sleep(Duration::from_millis(limit));
    let too_late = || format!("Execution timeout after {limit}ms");

    let opened = async {
        let (plan, set) = secrets.resolve(strategy, plan).await?;
        *mask = set;
        let at = clock.monotonic();
        let connect =
            AssertUnwindSafe(strategy.strategy.connect(&plan.config, clock)).catch_unwind();
        let session = connect
            .await
            .map_err(|_| "the strategy panicked".to_owned())??;
        Ok::<_, String>((plan, session, clock.monotonic().saturating_sub(at)))
    };
    let opened = tokio::select! {
        biased;
        opened = opened => opened,
        () = &mut deadline => Err(too_late()),
    };
    let (plan, session, took) = match opened {
        Ok(opened) => opened,
        Err(error) => return course.errors.push(error),
    };
    course.connected = true;
    course.connection_time_ms = i64::try_from(took.as_millis()).ok();

    let mut measured: Vec<Option<Entry>> = plan.collectors.iter().map(|_| None).collect();
    let mut late = false;
    {
        let mut running: FuturesUnordered<_> = plan
            .collectors
            .iter()
            .enumerate()
            .map(|(index, entry)| {
                let unusable = plan.unusable.get(&entry.id);
                let one = measure(
                    strategy,
                    session.as_ref(),
                    (clock, places),
                    (entry, unusable),
                    mask,
                );
                async move { (index, one.await) }
            })
            .collect();
        loop {
            tokio::select! {
                biased;
                next = running.next() => match next {
                    Some((index, entry)) => measured[index] = Some(entry),
                    None => break,
                },
                () = &mut deadline => {
                    late = true;
                    break;
                }
            }
        }
    }
    close(session.as_ref(), clock).await;

    if late {
        course.errors.push(too_late());
    }
    if !plan.collectors.is_empty() {
        let mut collectors = Map::new();
        for (entry, measured) in plan.collectors.iter().zip(measured) {
            if let Some(measured) = measured {
                course.errors.extend(measured.error);
                collectors.insert(entry.id.clone(), Value::Object(measured.stored));
            }
        }
        course.collectors = Some(collectors);
    }
}

/// What one entry leaves: its stored fields, and its first error.
struct Entry {
    stored: Map<String, Value>,
    error: Option<String>,
}

async fn measure(
    strategy: &Known,
    session: &dyn Session,
    (clock, places): (&Arc<dyn Clock>, Option<&Arc<Places>>),
    (entry, unusable): (&CollectorEntry, Option<&String>),
    mask: &Arc<MaskSet>,
) -> Entry {
    let def = strategy.collector(&entry.collector_id);
    let collected = match (def, unusable) {
        (None, _) => Collected::failed(format!("unknown collector {}", entry.collector_id)),
        (Some(_), Some(reason)) => Collected::failed(reason),
        (Some(def), None) => {
            let cx = CollectCx {
                clock: clock.clone(),
                mask: mask.clone(),
                asserted: entry.assertions.iter().map(|a| a.field.clone()).collect(),
                places: places.cloned(),
            };
            AssertUnwindSafe(session.collect(def.id, &entry.config, &cx))
                .catch_unwind()
                .await
                // What it panicked with is on standard error; here it may name a secret.
                .unwrap_or_else(|_| Collected::failed("the collector panicked"))
        }
    };
    let mut stored = Map::new();
    stored.insert("_collectorId".into(), entry.collector_id.clone().into());
    let mut failed = None;
    if let Some(mut result) = collected.result {
        failed = decide::first_failure(&entry.assertions, &result);
        if let Some(message) = &failed {
            stored.insert("_assertionFailed".into(), message.clone().into());
        }
        let fields = def.map_or(&[][..], |d| d.fields);
        for field in fields.iter().filter(|f| f.ephemeral) {
            result.shift_remove(field.name);
        }
        stored.append(&mut result);
    }
    if let Some(error) = &collected.error {
        stored.insert("error".into(), error.clone().into());
    }
    Entry {
        stored,
        error: collected.error.or(failed),
    }
}

async fn close(session: &dyn Session, clock: &Arc<dyn Clock>) {
    let closing = AssertUnwindSafe(session.close()).catch_unwind();
    match timeout(clock.as_ref(), CLOSE_LIMIT, closing).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) => tracing::warn!("The connection of a check panicked while closing."),
        Err(limit) => tracing::warn!(%limit, "The connection of a check did not close in time."),
    }
}

fn put_into_words(course: Course, latency_ms: Option<i64>, mask: &MaskSet) -> Outcome {
    let error = course
        .errors
        .into_iter()
        .next()
        .map(|e| mask.mask_text(e).into_inner());
    let status = match &error {
        None => Status::Healthy,
        Some(_) => Status::Unhealthy,
    };
    let message = match &error {
        None => format!("Completed in {}ms", latency_ms.unwrap_or(0)),
        Some(e) => format!("Check failed: {e}"),
    };
    let collectors = course.collectors.map(|c| {
        let masked = mask.mask_document(Value::Object(c)).into_inner();
        match masked {
            Value::Object(c) => c,
            _ => Map::new(),
        }
    });
    let mut metadata = Map::new();
    metadata.insert("connected".into(), course.connected.into());
    if let Some(ms) = course.connection_time_ms {
        metadata.insert("connectionTimeMs".into(), ms.into());
    }
    if let Some(c) = &collectors {
        metadata.insert("collectors".into(), Value::Object(c.clone()));
    }
    if let Some(e) = error {
        metadata.insert("error".into(), e.into());
    }
    let mut result = Map::new();
    result.insert("status".into(), status.as_str().into());
    if let Some(ms) = latency_ms {
        result.insert("latencyMs".into(), ms.into());
    }
    result.insert("message".into(), message.into());
    result.insert("metadata".into(), Value::Object(metadata));
    Outcome {
        status,
        latency_ms,
        collectors,
        result: Value::Object(result),
    }
}
