//! Asks the API for what the story is told from.

use super::Snapshot;
use crate::client::Client;
use serde_json::{Value, json};

/// The system of the examples.
pub const SYSTEM: &str = "payments-api";
/// The automation of the examples.
pub const AUTOMATION: &str = "Incident on outage";

/// The present state of the story.
pub async fn snapshot(client: &Client) -> anyhow::Result<Snapshot> {
    let mut s = Snapshot {
        transitions: client
            .all(&format!("/entities/health/{SYSTEM}/transitions"))
            .await
            .unwrap_or_default(),
        ..Default::default()
    };
    for automation in client.all("/automations").await? {
        if automation["name"] != json!(AUTOMATION) {
            continue;
        }
        let id = automation["id"].as_str().unwrap_or_default().to_owned();
        s.timers = items(client.get(&format!("/automations/{id}/timers")).await?);
        for run in client.all(&format!("/runs?automation_id={id}")).await? {
            s.runs.push(
                client
                    .get(&format!("/runs/{}", run["id"].as_str().unwrap_or_default()))
                    .await?,
            );
        }
    }
    for incident in client
        .all(&format!("/incidents?system_id={SYSTEM}"))
        .await?
    {
        s.incidents.push(
            client
                .get(&format!(
                    "/incidents/{}",
                    incident["id"].as_str().unwrap_or_default()
                ))
                .await?,
        );
    }
    Ok(s)
}

/// A list with or without an envelope.
fn items(v: Value) -> Vec<Value> {
    match v {
        Value::Array(a) => a,
        v => v["items"].as_array().cloned().unwrap_or_default(),
    }
}
