//! The table `sprocket_items`, and the one way to write it.

use std::{collections::HashMap, sync::Arc};

use automation_entity::{EntityHandle, MutateError, MutateOpts};
use plugin_api::{BoxError, Clock, Conn, Db, Ts, Tx};
use serde_json::Value;

use crate::entity::{ItemState, Status};

plugin_api::statements! {
    pub BY_IDS = {
        sqlite: "select id, status from sprocket_items where id in (select value from json_each($1))",
        postgres: "select id, status from sprocket_items where id = any($1)",
    };
    pub PUT = "insert into sprocket_items (id, status, updated_at) values ($1, $2, $3) on conflict (id) do update set status = excluded.status, updated_at = excluded.updated_at";
}

plugin_api::row! {
    struct ItemRow {
        id: String,
        status: String,
    }
}

/// The states of those `ids` that exist.
pub async fn by_ids(
    mut at: Conn<'_>,
    ids: &[String],
) -> Result<HashMap<String, ItemState>, BoxError> {
    let rows: Vec<ItemRow> = at.sql(BY_IDS).texts(ids).all().await?;
    rows.into_iter()
        .map(|row| {
            let status = serde_json::from_value(Value::String(row.status))?;
            Ok((row.id, ItemState { status }))
        })
        .collect()
}

/// Reads and writes items.
#[derive(Clone)]
pub struct Store {
    db: Db,
    clock: Arc<dyn Clock>,
    handle: EntityHandle<ItemState>,
}

impl Store {
    /// A store over the plugin's own database.
    pub fn new(db: Db, clock: Arc<dyn Clock>, handle: EntityHandle<ItemState>) -> Self {
        Self { db, clock, handle }
    }

    /// The state of one item.
    pub async fn get(&self, id: &str) -> Result<Option<ItemState>, BoxError> {
        let mut found = by_ids(Conn::Db(&self.db), &[id.to_owned()]).await?;
        Ok(found.remove(id))
    }

    /// Sets the status of an item, which is made when it does not exist. The row, its history
    /// and the outgoing change commit together.
    pub async fn set_status(&self, id: &str, status: Status) -> Result<ItemState, MutateError> {
        let (key, now) = (id.to_owned(), self.clock.now());
        self.handle
            .mutate_in(id, MutateOpts::default(), async move |tx: &mut Tx| {
                put(tx, key, status, now).await
            })
            .await
    }
}

async fn put(tx: &mut Tx, id: String, status: Status, now: Ts) -> Result<ItemState, BoxError> {
    let text = serde_json::to_value(status)?;
    tx.sql(PUT)
        .bind(id)
        .bind(text.as_str().unwrap_or_default().to_owned())
        .bind(now)
        .execute()
        .await?;
    Ok(ItemState { status })
}
