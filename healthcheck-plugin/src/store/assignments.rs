//! Which system is checked by which configuration, and how strictly.

use super::configurations::Configuration;
use crate::evaluate::{StoredThresholds, Thresholds};
use plugin_api::{
    Conn, Doc, Id, Text, Ts,
    db::{FromRow, Result, Row},
};

plugin_api::row! {
    /// An assignment as stored.
    #[derive(Clone, Debug)]
    pub struct Assignment {
        /// The system.
        pub system_id: Text,
        /// The configuration.
        pub configuration_id: Id,
        /// Does it run?
        pub enabled: bool,
        /// Versioned thresholds; none are the defaults.
        pub state_thresholds: Option<Doc>,
        /// `{suppressDeEscalations}`.
        pub notification_policy: Option<Doc>,
        /// When it was made.
        pub created_at: Ts,
        /// When it was last changed.
        pub updated_at: Ts,
    }
}

impl Assignment {
    /// Its thresholds, the defaults when none are stored.
    pub fn thresholds(&self) -> Thresholds {
        StoredThresholds::decode(
            self.state_thresholds.as_ref(),
            self.system_id.as_str(),
            &self.configuration_id.to_string(),
        )
    }
}

/// An assignment with its configuration, as a run needs it.
pub struct Joined {
    /// The configuration.
    pub configuration: Configuration,
    /// Does the assignment run?
    pub enabled: bool,
    /// Does the core run it, or only satellites?
    pub local: bool,
}

impl FromRow for Joined {
    fn from_row(r: &Row) -> Result<Self> {
        let satellites: Option<Doc> = r.get("satellite_ids")?;
        let some = satellites.is_some_and(|d| d.0.as_array().is_some_and(|a| !a.is_empty()));
        Ok(Self {
            configuration: Configuration::from_row(r)?,
            enabled: r.get("enabled")?,
            local: !some || r.get("include_local")?,
        })
    }
}

plugin_api::row! {
    /// What is needed to schedule an assignment.
    #[derive(Clone, Debug)]
    pub struct Schedulable {
        /// The system.
        pub system_id: Text,
        /// The configuration.
        pub configuration_id: Id,
        /// Seconds between runs.
        pub interval_seconds: i64,
        /// The newest run, if any.
        pub last_run_at: Option<Ts>,
    }
}

plugin_api::statements! {
    UPSERT = "insert into system_health_checks
        (system_id, configuration_id, enabled, state_thresholds, notification_policy, created_at, updated_at)
        values ($1, $2, $3, $4, $5, $6, $6)
        on conflict (system_id, configuration_id) do update set
            enabled = excluded.enabled, state_thresholds = excluded.state_thresholds,
            notification_policy = excluded.notification_policy, updated_at = excluded.updated_at";
    SET_ENABLED = "update system_health_checks set enabled = $3, updated_at = $4
        where system_id = $1 and configuration_id = $2 and enabled <> $3";
    DELETE = "delete from system_health_checks where system_id = $1 and configuration_id = $2";
    DELETE_SYSTEM = "delete from system_health_checks where system_id = $1";
    DELETE_CONFIGURATION = "delete from system_health_checks where configuration_id = $1";
    GET = "select system_id, configuration_id, enabled, state_thresholds, notification_policy, created_at, updated_at
        from system_health_checks where system_id = $1 and configuration_id = $2";
    OF_SYSTEM = "select system_id, configuration_id, enabled, state_thresholds, notification_policy, created_at, updated_at
        from system_health_checks where system_id = $1 order by configuration_id";
    OF_CONFIGURATION = "select system_id, configuration_id, enabled, state_thresholds, notification_policy, created_at, updated_at
        from system_health_checks where configuration_id = $1 order by system_id";
    JOINED = "select c.id, c.name, c.strategy_id, c.config, c.collectors, c.interval_seconds, c.paused,
            c.created_at, c.updated_at, a.enabled, a.satellite_ids, a.include_local
        from system_health_checks a join health_check_configurations c on c.id = a.configuration_id
        where a.system_id = $1 and a.configuration_id = $2";
    SCHEDULABLE = "select a.system_id, a.configuration_id, c.interval_seconds,
            (select r.timestamp from health_check_runs r
             where r.system_id = a.system_id and r.configuration_id = a.configuration_id
             order by r.timestamp desc, r.id desc limit 1) as last_run_at
        from system_health_checks a join health_check_configurations c on c.id = a.configuration_id
        where a.enabled order by a.system_id, a.configuration_id";
    SCHEDULABLE_ONE = "select a.system_id, a.configuration_id, c.interval_seconds,
            (select r.timestamp from health_check_runs r
             where r.system_id = a.system_id and r.configuration_id = a.configuration_id
             order by r.timestamp desc, r.id desc limit 1) as last_run_at
        from system_health_checks a join health_check_configurations c on c.id = a.configuration_id
        where a.enabled and a.system_id = $1 and a.configuration_id = $2";
}

/// Stores an assignment, new or changed.
pub async fn upsert(mut at: Conn<'_>, a: &Assignment) -> Result<()> {
    at.sql(UPSERT)
        .bind(a.system_id.clone())
        .bind(a.configuration_id)
        .bind(a.enabled)
        .bind(a.state_thresholds.clone())
        .bind(a.notification_policy.clone())
        .bind(a.updated_at)
        .execute()
        .await?;
    Ok(())
}

/// Enables or disables.
pub async fn set_enabled(
    mut at: Conn<'_>,
    system_id: &str,
    configuration_id: Id,
    enabled: bool,
    now: Ts,
) -> Result<()> {
    at.sql(SET_ENABLED)
        .bind(Text::new(system_id))
        .bind(configuration_id)
        .bind(enabled)
        .bind(now)
        .execute()
        .await?;
    Ok(())
}

/// Removes an assignment; its runs stay with the configuration.
pub async fn delete(mut at: Conn<'_>, system_id: &str, configuration_id: Id) -> Result<()> {
    at.sql(DELETE)
        .bind(Text::new(system_id))
        .bind(configuration_id)
        .execute()
        .await?;
    Ok(())
}

/// Removes all assignments of a system.
pub async fn delete_system(mut at: Conn<'_>, system_id: &str) -> Result<()> {
    at.sql(DELETE_SYSTEM)
        .bind(Text::new(system_id))
        .execute()
        .await?;
    Ok(())
}

/// Removes all assignments of a configuration.
pub async fn delete_configuration(mut at: Conn<'_>, configuration_id: Id) -> Result<()> {
    at.sql(DELETE_CONFIGURATION)
        .bind(configuration_id)
        .execute()
        .await?;
    Ok(())
}

/// One assignment.
pub async fn get(
    mut at: Conn<'_>,
    system_id: &str,
    configuration_id: Id,
) -> Result<Option<Assignment>> {
    at.sql(GET)
        .bind(Text::new(system_id))
        .bind(configuration_id)
        .optional()
        .await
}

/// All of a system.
pub async fn of_system(mut at: Conn<'_>, system_id: &str) -> Result<Vec<Assignment>> {
    at.sql(OF_SYSTEM).bind(Text::new(system_id)).all().await
}

/// All of a configuration, by system.
pub async fn of_configuration(mut at: Conn<'_>, configuration_id: Id) -> Result<Vec<Assignment>> {
    at.sql(OF_CONFIGURATION).bind(configuration_id).all().await
}

/// An assignment with its configuration.
pub async fn joined(
    mut at: Conn<'_>,
    system_id: &str,
    configuration_id: Id,
) -> Result<Option<Joined>> {
    at.sql(JOINED)
        .bind(Text::new(system_id))
        .bind(configuration_id)
        .optional()
        .await
}

/// Every enabled assignment with its newest run.
pub async fn schedulable(mut at: Conn<'_>) -> Result<Vec<Schedulable>> {
    at.sql(SCHEDULABLE).all().await
}

/// An assignment with its newest run, if it is enabled.
pub async fn schedulable_one(
    mut at: Conn<'_>,
    system_id: &str,
    configuration_id: Id,
) -> Result<Option<Schedulable>> {
    at.sql(SCHEDULABLE_ONE)
        .bind(Text::new(system_id))
        .bind(configuration_id)
        .optional()
        .await
}
