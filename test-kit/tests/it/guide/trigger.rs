//! Three triggers, one for each source of firings.

use super::{entity::Status, store};
use async_trait::async_trait;
use automation_core::registry::{
    ConfigGate, Fire, Hold, HoldAnswer, HoldAsk, Teardown, TriggerDef, TriggerIdentity,
    TriggerSetup,
};
use automation_entity::EntityChanged;
use plugin_api::{BoxError, Clock, Conn, Db, Ts, config::ConfigSchema, hook::Hook};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::task::AbortHandle;

/// The events the deriver may answer.
pub const EVENTS: &[&str] = &["backup.failed"];

/// `trigger.payload` of `backup.failed`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failed {
    backup_id: String,
}

/// Source 1: a change of an entity. Fires through [`derive`] alone.
pub fn failed(db: Db) -> TriggerDef {
    TriggerDef::entity_driven::<Failed>("failed")
        .named("Backup failed", "A backup ceased to be ok.")
        .category("Backups")
        .context_field("backupId", "backup")
        .holds(Arc::new(StillBad(db)))
}

/// Which events a change means: a pure function of the change.
pub fn derive(change: &EntityChanged) -> Vec<&'static str> {
    let bad = |status: Option<&Value>| status.is_some_and(|s| *s != "ok");
    match bad(change.next_field("status")) && !bad(change.prev_field("status")) {
        true => vec!["backup.failed"],
        false => Vec::new(),
    }
}

/// The payload of a derived event.
pub fn payload(change: &EntityChanged, _event: &str) -> Result<Value, BoxError> {
    let backup_id = change.id.clone();
    Ok(serde_json::to_value(Failed { backup_id })?)
}

/// What `for:` asks at its end, and whenever the backup changes: is it still bad, and since when?
struct StillBad(Db);

#[async_trait]
impl Hold for StillBad {
    async fn check(&self, asks: &[HoldAsk]) -> Result<Vec<HoldAnswer>, BoxError> {
        let ids: Vec<String> = asks.iter().filter_map(|a| a.context_key.clone()).collect();
        let rows = store::by_ids(Conn::Db(&self.0), &ids).await?;
        let answer = |ask: &HoldAsk| {
            let row = rows
                .iter()
                .find(|r| Some(&r.id) == ask.context_key.as_ref());
            HoldAnswer {
                holds: row.is_some_and(|r| r.status != Status::Ok),
                since: row.and_then(|r| r.bad_since),
            }
        };
        Ok(asks.iter().map(answer).collect())
    }
}

/// Emitted by this plugin after every backup. Other plugins may subscribe to it as well.
pub const MEASURED: Hook<Measured> = Hook::new("backup.run.measured");

/// Its payload, and `trigger.payload` of `backup.too_small`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Measured {
    pub backup_id: String,
    pub megabytes: f64,
}

/// What an automation writes as `config`.
#[derive(Deserialize, JsonSchema)]
struct TooSmall {
    below: f64,
}

/// Source 2: a hook. Each emission is taken by one node.
pub fn too_small() -> TriggerDef {
    TriggerDef::on_hook::<Measured>("too_small", MEASURED)
        .named("Backup too small", "A backup is smaller than a bound.")
        .category("Backups")
        .context_field("backupId", "backup")
        .config(ConfigSchema::of::<TooSmall>(), Some(Arc::new(gate)))
}

/// The trigger's own gate: pure and synchronous, of the payload and the config.
fn gate(payload: &Value, config: &Value) -> Result<ConfigGate, BoxError> {
    let run = Measured::deserialize(payload)?;
    let config = TooSmall::deserialize(config)?;
    match run.megabytes < config.below {
        true => Ok(ConfigGate::Yes),
        false => Ok(ConfigGate::No),
    }
}

#[derive(Deserialize, JsonSchema)]
struct Every {
    #[schemars(range(min = 1))]
    minutes: u32,
}

/// `trigger.payload` of `backup.reminder`.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "only its schema is used")]
struct Reminded {
    due_at: String,
}

/// Source 3: code that is set up for each automation, on every node.
pub fn reminder(clock: Arc<dyn Clock>) -> TriggerDef {
    TriggerDef::on_setup::<Reminded>("reminder", Arc::new(Reminders(clock)))
        .named("Reminder", "Fires again and again.")
        .category("Backups")
        .config(ConfigSchema::of::<Every>(), None)
}

struct Reminders(Arc<dyn Clock>);

#[async_trait]
impl TriggerSetup for Reminders {
    async fn setup(
        &self,
        config: Value,
        identity: TriggerIdentity,
        fire: Fire,
    ) -> Result<Box<dyn Teardown>, BoxError> {
        let every = i64::from(Every::deserialize(config)?.minutes) * 60_000;
        let clock = self.0.clone();
        let task = plugin_api::spawn(async move {
            loop {
                // All nodes share this grid, so they give an occurrence the same id, and the engine
                // decides it once.
                let due = Ts::from_millis((clock.now().millis() / every + 1) * every);
                clock.sleep_until(due).await;
                let payload = json!({"dueAt": due.to_text()});
                let occurrence = format!("{}@{}", identity.trigger_id, due.millis());
                if let Err(error) = fire(payload, occurrence, due).await {
                    tracing::warn!(%error, "A reminder could not be stored.");
                }
            }
        });
        Ok(Box::new(Stop(task.abort_handle())))
    }
}

struct Stop(AbortHandle);

#[async_trait]
impl Teardown for Stop {
    async fn teardown(&self) {
        self.0.abort();
    }
}
