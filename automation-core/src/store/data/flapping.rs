//! `healthcheck.flapping_detected` becomes a window over changes of health (`definition §16`).
//!
//! Documents are changed as they are stored, not through the model: a row that does not parse, or
//! has keys this program does not know, keeps everything else.

use super::DataReport;
use crate::definition::{flapping, normal_event};
use crate::ids::AutomationId;
use crate::store::{sql, write::lines};
use plugin_api::{Actor, Doc, Text, Ts, Tx, db::DbError};
use serde_json::Value;

plugin_api::statements! {
    /// `_` stands for any character, so that an event written with more dots is found too.
    CANDIDATES = {
        sqlite: "select id, name, status, version, definition from automations
            where definition like '%healthcheck.flapping_detected%' order by id",
        postgres: "select id, name, status, version, definition from signalbox.automations
            where definition::text like '%healthcheck.flapping_detected%' order by id for update",
    };
    REWRITE = "update signalbox.automations set definition = $2, definition_version = version + 1, events = $3,
        generation = $4, updated_at = $5, version = version + 1 where id = $1";
}

plugin_api::row! {
    struct Candidate {
        id: AutomationId,
        name: Text,
        status: String,
        version: i64,
        definition: Doc,
    }
}

pub(super) async fn apply(tx: &mut Tx, now: Ts, report: &mut DataReport) -> Result<(), DbError> {
    // The generation first, as every other writer takes its locks.
    let generation: i64 = tx.sql(sql::BUMP).one().await?;
    let candidates: Vec<Candidate> = tx.sql(CANDIDATES).all().await?;
    for mut row in candidates {
        if let Some(filters) = rewrite(&mut row.definition.0) {
            if filters > 0 {
                tracing::warn!(automation = %row.id, name = row.name.as_str(), filters, "A filter of the old flapping trigger was replaced; look whether it is still needed.");
                report.filters_replaced.push(row.id);
            }
            tracing::info!(automation = %row.id, name = row.name.as_str(), "The flapping trigger of an automation was rewritten as a window.");
            store(tx, &row, generation, now).await?;
            report.rewritten.push(row.id);
        }
        if row.status == "enabled" && row.definition.0.to_string().contains(flapping::FLAPPING) {
            tracing::warn!(automation = %row.id, name = row.name.as_str(), event = flapping::FLAPPING, "An enabled automation still names an event that does not exist any more.");
            report.left.push(row.id);
        }
    }
    Ok(())
}

/// Rewrites the triggers of a document. None when it has none to rewrite, else how many filters were
/// replaced.
fn rewrite(definition: &mut Value) -> Option<usize> {
    let triggers = definition.get_mut("triggers")?.as_array_mut()?;
    let mut found = None;
    for trigger in triggers {
        let Some(map) = trigger.as_object() else {
            continue;
        };
        if let Some(new) = flapping::rewritten(map) {
            let filter = map
                .get("filter")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let replaced = !filter.trim().is_empty() && Some(filter) != new["filter"].as_str();
            *found.get_or_insert(0) += usize::from(replaced);
            *trigger = Value::Object(new);
        }
    }
    found
}

async fn store(tx: &mut Tx, row: &Candidate, generation: i64, now: Ts) -> Result<(), DbError> {
    let mut events: Vec<String> = Vec::new();
    let triggers = row.definition.0["triggers"].as_array();
    for event in triggers
        .into_iter()
        .flatten()
        .filter_map(|t| t["event"].as_str())
        .map(normal_event)
    {
        if !events.contains(&event) {
            events.push(event);
        }
    }
    tx.sql(REWRITE)
        .bind(row.id)
        .bind(row.definition.clone())
        .bind(lines(&events))
        .bind(generation)
        .bind(now)
        .execute()
        .await?;
    tx.sql(sql::INSERT_VERSION)
        .bind(row.id)
        .bind(row.version + 1)
        .bind(row.definition.clone())
        .bind(Doc(
            serde_json::to_value(Actor::system()).unwrap_or(Value::Null)
        ))
        .bind(now)
        .execute()
        .await?;
    Ok(())
}
