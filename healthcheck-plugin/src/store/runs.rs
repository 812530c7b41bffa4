//! Runs: raw results, newest first.

use crate::status::Status;
use plugin_api::{Conn, Doc, Id, Text, Ts, db::Result};

plugin_api::row! {
    /// A run as stored. Its result went through the masks of its secrets.
    #[derive(Clone, Debug)]
    pub struct Run {
        /// Its id.
        pub id: Id,
        /// The configuration.
        pub configuration_id: Id,
        /// The system.
        pub system_id: Text,
        /// Text of a [`Status`].
        pub status: String,
        /// Wall time in milliseconds.
        pub latency_ms: Option<i64>,
        /// Status, message and metadata (`healthcheck §5.2.5`).
        pub result: Option<Doc>,
        /// When it was recorded.
        pub timestamp: Ts,
    }
}

plugin_api::row! {
    /// Time and latency of a run.
    #[derive(Clone, Copy, Debug)]
    pub struct Newest {
        /// When it was recorded.
        pub timestamp: Ts,
        /// Wall time in milliseconds.
        pub latency_ms: Option<i64>,
    }
}

plugin_api::row! {
    /// The newest run of one assignment.
    #[derive(Clone, Debug)]
    pub struct NewestOf {
        /// The system.
        pub system_id: Text,
        /// The configuration.
        pub configuration_id: Id,
        /// When it was recorded.
        pub timestamp: Ts,
        /// Wall time in milliseconds.
        pub latency_ms: Option<i64>,
    }
}

plugin_api::row! {
    /// Status and time of a run.
    #[derive(Clone, Debug)]
    pub struct Brief {
        /// Text of a [`Status`].
        pub status: String,
        /// When it was recorded.
        pub timestamp: Ts,
    }
}

plugin_api::statements! {
    INSERT = "insert into health_check_runs
        (id, configuration_id, system_id, status, latency_ms, result, timestamp)
        values ($1, $2, $3, $4, $5, $6, $7)";
    GET = "select id, configuration_id, system_id, status, latency_ms, result, timestamp
        from health_check_runs where id = $1";
    PAGE = "select id, configuration_id, system_id, status, latency_ms, result, timestamp
        from health_check_runs
        where system_id = $1 and configuration_id = $2 and (timestamp, id) < ($3, $4)
        order by timestamp desc, id desc limit $5";
    NEWEST = "select status, timestamp from health_check_runs
        where system_id = $1 and configuration_id = $2 order by timestamp desc, id desc limit 100";
    NEWEST_OF_SYSTEMS = {
        sqlite: "select a.system_id, a.configuration_id, r.timestamp, r.latency_ms
            from system_health_checks a join health_check_runs r on r.id =
                (select x.id from health_check_runs x
                 where x.system_id = a.system_id and x.configuration_id = a.configuration_id
                 order by x.timestamp desc, x.id desc limit 1)
            where a.system_id in (select value from json_each($1))",
        postgres: "select a.system_id, a.configuration_id, r.timestamp, r.latency_ms
            from system_health_checks a join health_check_runs r on r.id =
                (select x.id from health_check_runs x
                 where x.system_id = a.system_id and x.configuration_id = a.configuration_id
                 order by x.timestamp desc, x.id desc limit 1)
            where a.system_id = any($1)",
    };
    DELETE_SYSTEM = "delete from health_check_runs where system_id = $1";
    DELETE_SOME = "delete from health_check_runs where id in
        (select r.id from health_check_runs r where r.configuration_id = $1 limit 1000)";
}

/// Stores a run.
pub async fn insert(mut at: Conn<'_>, run: &Run) -> Result<()> {
    at.sql(INSERT)
        .bind(run.id)
        .bind(run.configuration_id)
        .bind(run.system_id.clone())
        .bind(run.status.clone())
        .bind(run.latency_ms)
        .bind(run.result.clone())
        .bind(run.timestamp)
        .execute()
        .await?;
    Ok(())
}

/// One run.
pub async fn get(mut at: Conn<'_>, id: Id) -> Result<Option<Run>> {
    at.sql(GET).bind(id).optional().await
}

/// A page of an assignment's runs, newest first, before an instant and id.
pub async fn page(
    mut at: Conn<'_>,
    system_id: &str,
    configuration_id: Id,
    before: (Ts, Id),
    limit: usize,
) -> Result<Vec<Run>> {
    at.sql(PAGE)
        .bind(Text::new(system_id))
        .bind(configuration_id)
        .bind(before.0)
        .bind(before.1)
        .bind(limit as i64)
        .all()
        .await
}

/// The newest runs that count for a check's status, newest first. A status nobody can read counts
/// as unhealthy.
pub async fn newest(
    mut at: Conn<'_>,
    system_id: &str,
    configuration_id: Id,
) -> Result<Vec<(Status, Ts)>> {
    let rows: Vec<Brief> = at
        .sql(NEWEST)
        .bind(Text::new(system_id))
        .bind(configuration_id)
        .all()
        .await?;
    Ok(rows
        .into_iter()
        .map(|r| {
            (
                Status::parse(&r.status).unwrap_or(Status::Unhealthy),
                r.timestamp,
            )
        })
        .collect())
}

/// The newest run of every assignment of some systems.
pub async fn newest_of_systems(mut at: Conn<'_>, system_ids: &[String]) -> Result<Vec<NewestOf>> {
    at.sql(NEWEST_OF_SYSTEMS).texts(system_ids).all().await
}

/// Deletes the runs of a system.
pub async fn delete_system(mut at: Conn<'_>, system_id: &str) -> Result<()> {
    at.sql(DELETE_SYSTEM)
        .bind(Text::new(system_id))
        .execute()
        .await?;
    Ok(())
}

/// Deletes some runs of a configuration; answers how many.
pub async fn delete_some(mut at: Conn<'_>, configuration_id: Id) -> Result<u64> {
    at.sql(DELETE_SOME).bind(configuration_id).execute().await
}
