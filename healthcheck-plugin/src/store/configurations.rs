//! Named checks: strategy, config, collectors, interval.

use crate::executor::run::{CheckPlan, CollectorEntry};
use plugin_api::{Conn, Doc, Id, Text, Ts, db::Result};

plugin_api::row! {
    /// A configuration as stored.
    #[derive(Clone, Debug)]
    pub struct Configuration {
        /// Its id.
        pub id: Id,
        /// Its name, unique without regard to case.
        pub name: Text,
        /// Qualified strategy id.
        pub strategy_id: String,
        /// The strategy's config.
        pub config: Doc,
        /// A list of collector entries.
        pub collectors: Option<Doc>,
        /// Seconds between runs, at least 1.
        pub interval_seconds: i64,
        /// True while no runs are wanted.
        pub paused: bool,
        /// When it was made.
        pub created_at: Ts,
        /// When it was last changed.
        pub updated_at: Ts,
    }
}

impl Configuration {
    /// Its collector entries. Entries that nobody can read are reported as an error.
    pub fn entries(&self) -> Result<Vec<CollectorEntry>, serde_json::Error> {
        self.collectors.as_ref().map_or(Ok(Vec::new()), Doc::decode)
    }
    /// The executable part, as it is stored.
    pub fn plan(&self) -> Result<CheckPlan, serde_json::Error> {
        Ok(CheckPlan {
            strategy_id: self.strategy_id.clone(),
            config: self.config.0.clone(),
            collectors: self.entries()?,
            unusable: Default::default(),
        })
    }
}

plugin_api::statements! {
    INSERT = "insert into health_check_configurations
        (id, name, name_key, strategy_id, config, collectors, interval_seconds, paused, created_at, updated_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)";
    UPDATE = "update health_check_configurations
        set name = $2, name_key = $3, strategy_id = $4, config = $5, collectors = $6, interval_seconds = $7, updated_at = $8
        where id = $1";
    SET_PAUSED = "update health_check_configurations set paused = $2, updated_at = $3
        where id = $1 and paused <> $2";
    DELETE = "delete from health_check_configurations where id = $1";
    BY_ID = "select id, name, strategy_id, config, collectors, interval_seconds, paused, created_at, updated_at
        from health_check_configurations where id = $1";
    BY_NAME = "select id, name, strategy_id, config, collectors, interval_seconds, paused, created_at, updated_at
        from health_check_configurations where name_key = $1";
    LIST = "select id, name, strategy_id, config, collectors, interval_seconds, paused, created_at, updated_at
        from health_check_configurations
        where (name_key, id) > ($1, $2) order by name_key, id limit $3";
}

/// What names are compared and ordered by: the name without its case, in every script. The databases
/// do not agree on that (SQLite lowers only ASCII), so it is made here and stored.
pub fn name_key(name: &str) -> String {
    name.to_lowercase()
}

/// Stores a new configuration; a taken name is a unique violation.
pub async fn insert(mut at: Conn<'_>, c: &Configuration) -> Result<()> {
    at.sql(INSERT)
        .bind(c.id)
        .bind(c.name.clone())
        .bind(Text::new(name_key(c.name.as_str())))
        .bind(c.strategy_id.clone())
        .bind(c.config.clone())
        .bind(c.collectors.clone())
        .bind(c.interval_seconds)
        .bind(c.paused)
        .bind(c.created_at)
        .execute()
        .await?;
    Ok(())
}

/// Stores everything but the pause, which changes health and goes another way. False when it is gone.
pub async fn update(mut at: Conn<'_>, c: &Configuration) -> Result<bool> {
    let rows = at
        .sql(UPDATE)
        .bind(c.id)
        .bind(c.name.clone())
        .bind(Text::new(name_key(c.name.as_str())))
        .bind(c.strategy_id.clone())
        .bind(c.config.clone())
        .bind(c.collectors.clone())
        .bind(c.interval_seconds)
        .bind(c.updated_at)
        .execute()
        .await?;
    Ok(rows > 0)
}

/// Pauses or resumes; no row changes when it is so already.
pub async fn set_paused(mut at: Conn<'_>, id: Id, paused: bool, now: Ts) -> Result<()> {
    at.sql(SET_PAUSED)
        .bind(id)
        .bind(paused)
        .bind(now)
        .execute()
        .await?;
    Ok(())
}

/// Deletes a configuration with its assignments, runs and aggregates.
pub async fn delete(mut at: Conn<'_>, id: Id) -> Result<()> {
    at.sql(DELETE).bind(id).execute().await?;
    Ok(())
}

/// By id.
pub async fn by_id(mut at: Conn<'_>, id: Id) -> Result<Option<Configuration>> {
    at.sql(BY_ID).bind(id).optional().await
}

/// By id or, without regard to case, by name.
pub async fn find(mut at: Conn<'_>, key: &str) -> Result<Option<Configuration>> {
    if let Ok(id) = key.parse()
        && let Some(found) = by_id(at.reborrow(), Id(id)).await?
    {
        return Ok(Some(found));
    }
    at.sql(BY_NAME)
        .bind(Text::new(name_key(key)))
        .optional()
        .await
}

/// A page ordered by [`name_key`], after a key and an id.
pub async fn list(mut at: Conn<'_>, after: (&str, Id), limit: usize) -> Result<Vec<Configuration>> {
    at.sql(LIST)
        .bind(Text::new(after.0))
        .bind(after.1)
        .bind(limit as i64)
        .all()
        .await
}
