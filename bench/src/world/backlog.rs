//! Many changes at once: what stands in the outbox when a node comes up after everybody else was writing.

use super::{World, thing::Thing};
use crate::stopwatch::Moment;
use anyhow::{Context, Result};
use automation_entity::{EntityChanged, EntityState, OUTBOX_HINT};
use plugin_api::{Actor, Clock, Doc, Id, Ts};
use serde_json::json;

plugin_api::batch_row! {
    struct Change { change_id: Id, entity_id: String, created_at: Ts, payload: Doc }
}

plugin_api::statements! {
    FILL = {
        sqlite: "insert into entity_outbox (change_id, kind, entity_id, created_at, payload)
            select value->>'change_id', 'thing', value->>'entity_id', value->>'created_at', value->'payload' from json_each($1)",
        postgres: "insert into signalbox.entity_outbox (change_id, kind, entity_id, created_at, payload)
            select r.change_id, 'thing', r.entity_id, r.created_at, r.payload
            from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::json[]) as r(change_id, entity_id, created_at, payload)",
    };
}

/// Rows of one statement.
const CHUNK: usize = 1000;

impl World {
    /// Puts one change of each of these things into the outbox, in one transaction; the engine sees them when it commits.
    /// A change of `status` means what the status says, one without is a tick. Answers when the commit began.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn fill_outbox(&self, things: &[String], status: Option<&str>) -> Result<Moment> {
        let hints = self.parts.hints.get().context("no hints")?;
        let mut tx = self.db().begin().await?;
        for chunk in things.chunks(CHUNK) {
            let rows: Vec<Change> = chunk.iter().map(|id| self.row(id, status)).collect();
            tx.sql(FILL).rows(&rows).execute().await?;
        }
        let begun = Moment::now();
        tx.commit().await?;
        hints.notify(OUTBOX_HINT);
        Ok(begun)
    }

    fn row(&self, id: &str, status: Option<&str>) -> Change {
        let (change_id, at) = (self.clock().new_uuid(), self.clock().now());
        let delta = match status {
            Some(status) => json!({"status": status}),
            None => json!({"n": 2}),
        };
        let change = EntityChanged {
            kind: Thing::KIND.to_owned(),
            id: id.to_owned(),
            prev: Some(json!({"status": "up", "n": 1})),
            next: Some(json!({"status": status.unwrap_or("up"), "n": 2})),
            changed_fields: vec![if status.is_some() { "status" } else { "n" }.to_owned()],
            delta,
            actor: Actor::system(),
            occurred_at: at,
            change_id,
            cause: None,
        };
        Change {
            change_id: Id(change_id),
            entity_id: id.to_owned(),
            created_at: at,
            payload: Doc(serde_json::to_value(change).expect("a change serialises")),
        }
    }
}
