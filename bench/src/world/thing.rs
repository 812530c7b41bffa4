//! The plugin's entities: things with a status and a number.

use automation_entity::{EntityChanged, EntityRead, EntityState};
use plugin_api::{BoxError, Conn, Migration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashMap;

/// A thing's state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Thing {
    /// `up`, `down` or `parked`.
    pub status: String,
    /// Counts its changes.
    pub n: i64,
}

impl EntityState for Thing {
    const KIND: &'static str = "thing";
}

plugin_api::statements! {
    pub PUT = "insert into things (id, status, n) values ($1, $2, $3)
        on conflict (id) do update set status = excluded.status, n = excluded.n";
    READ = {
        sqlite: "select id, status, n from things where id in (select value from json_each($1))",
        postgres: "select id, status, n from things where id = any($1)",
    };
}

/// The plugin's table.
pub const TABLES: &[Migration] = &[Migration {
    number: 1,
    name: "0001_things",
    sqlite: "create table things (id text primary key, status text not null, n integer not null)",
    postgres: "create table things (id text primary key, status text not null, n bigint not null)",
}];

/// Everything [`derive()`] may answer.
pub const EVENTS: &[&str] = &[
    "bench.ticked",
    "bench.went_down",
    "bench.came_up",
    "bench.parked",
];

/// A change of status means what it says; any other change is a tick.
pub fn derive(change: &EntityChanged) -> Vec<&'static str> {
    if !change.changed("status") {
        return vec!["bench.ticked"];
    }
    match change.next_field("status").and_then(Value::as_str) {
        Some("down") => vec!["bench.went_down"],
        Some("up") => vec!["bench.came_up"],
        Some("parked") => vec!["bench.parked"],
        _ => Vec::new(),
    }
}

/// Reads things.
pub struct Read;

#[async_trait::async_trait]
impl EntityRead<Thing> for Read {
    async fn read(
        &self,
        mut at: Conn<'_>,
        ids: &[String],
    ) -> Result<HashMap<String, Thing>, BoxError> {
        plugin_api::row! { struct Row { id: String, status: String, n: i64 } }
        let rows: Vec<Row> = at.sql(READ).texts(ids).all().await?;
        let thing = |r: Row| {
            let (status, n) = (r.status, r.n);
            (r.id, Thing { status, n })
        };
        Ok(rows.into_iter().map(thing).collect())
    }
}
