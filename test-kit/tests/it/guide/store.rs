//! The table, and the one way to write it.

use super::{
    entity::{Backup, Status},
    trigger::{MEASURED, Measured},
};
use automation_entity::{EntityHandle, MutateError, MutateOpts};
use plugin_api::{BoxError, Clock, Conn, Migration, ServiceRef, Ts, Tx, hook::Hooks};
use serde_json::Value;
use std::sync::Arc;

pub const MIGRATIONS: &[Migration] = &[Migration {
    number: 1,
    name: "0001_init",
    sqlite: "create table backups (id text primary key, status text not null, bad_since integer) without rowid",
    postgres: "create table backups (id text primary key, status text not null, bad_since timestamptz)",
}];

plugin_api::statements! {
    BY_IDS = {
        sqlite: "select id, status, bad_since from backups where id in (select value from json_each($1))",
        postgres: "select id, status, bad_since from backups where id = any($1)",
    };
    PUT = "insert into backups (id, status, bad_since) values ($1, $2, $3)
        on conflict (id) do update set status = excluded.status, bad_since =
            case when excluded.bad_since is null then null else coalesce(backups.bad_since, excluded.bad_since) end";
}

plugin_api::row! {
    struct Stored { id: String, status: String, bad_since: Option<Ts> }
}

/// A backup as it is stored.
pub struct Row {
    pub id: String,
    pub status: Status,
    /// Since when it is not ok without a break.
    pub bad_since: Option<Ts>,
}

/// Those of the ids that exist.
pub async fn by_ids(mut at: Conn<'_>, ids: &[String]) -> Result<Vec<Row>, BoxError> {
    let stored: Vec<Stored> = at.sql(BY_IDS).texts(ids).all().await?;
    let row = |s: Stored| {
        let status = serde_json::from_value(Value::String(s.status))?;
        Ok(Row {
            id: s.id,
            status,
            bad_since: s.bad_since,
        })
    };
    stored.into_iter().map(row).collect()
}

/// Writes backups.
#[derive(Clone)]
pub struct Store {
    pub clock: Arc<dyn Clock>,
    pub handle: EntityHandle<Backup>,
    pub hooks: Hooks,
}

/// For other plugins.
pub const STORE: ServiceRef<Store> = ServiceRef::new("backup.store");

impl Store {
    /// A backup has ended. The row, the history of its status, the outgoing change and the event
    /// about its size commit together, or none of them.
    pub async fn finished(
        &self,
        id: &str,
        status: Status,
        megabytes: f64,
    ) -> Result<Backup, MutateError> {
        let measured = Measured {
            backup_id: id.to_owned(),
            megabytes,
        };
        let (now, hooks) = (self.clock.now(), self.hooks.clone());
        self.handle
            .mutate_in(id, MutateOpts::default(), async move |tx: &mut Tx| {
                put(tx, &measured.backup_id, status, now).await?;
                hooks.emit_in(tx, &MEASURED, &measured).await?;
                Ok(Backup { status })
            })
            .await
    }
}

async fn put(tx: &mut Tx, id: &str, status: Status, now: Ts) -> Result<(), BoxError> {
    let text = serde_json::to_value(status)?;
    let bad_since = (status != Status::Ok).then_some(now);
    tx.sql(PUT)
        .bind(id.to_owned())
        .bind(text.as_str().unwrap_or_default().to_owned())
        .bind(bad_since)
        .execute()
        .await?;
    Ok(())
}
