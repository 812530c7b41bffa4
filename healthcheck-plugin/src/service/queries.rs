//! The status of a system and of each of its checks, for people.

use super::{CheckError, Checks};
use crate::{
    evaluate::decide::check_status,
    status::Status,
    store::{assignments, configurations, health, runs},
};
use plugin_api::{Conn, Ts, values::rfc3339};
use serde::Serialize;

/// One check of a system.
#[derive(Debug, Serialize)]
pub struct CheckStatus {
    /// The configuration.
    pub configuration_id: String,
    /// Its name.
    pub name: String,
    /// Of this check alone.
    pub status: Status,
    /// Does the assignment run?
    pub enabled: bool,
    /// Is the configuration paused?
    pub paused: bool,
    /// How many runs the status comes from.
    pub runs_considered: usize,
    /// The newest of them.
    #[serde(with = "rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub last_run_at: Option<Ts>,
}

/// A system's status with its checks.
#[derive(Debug, Serialize)]
pub struct SystemHealth {
    /// The system.
    pub system_id: String,
    /// The worst of the counted checks; healthy when there is none.
    pub status: Status,
    /// Counted checks that are healthy.
    pub healthy_checks: u32,
    /// Enabled checks that are not paused.
    pub total_checks: u32,
    /// Every assigned check, counted or not.
    pub checks: Vec<CheckStatus>,
}

impl Checks {
    /// The status of a system and its checks.
    pub async fn system_health(&self, system_id: &str) -> Result<SystemHealth, CheckError> {
        let db = || Conn::Db(&self.db);
        let ids = [system_id.to_owned()];
        let mut counted = health::counted(db(), &ids).await?;
        let aggregate = counted.remove(system_id).as_deref().and_then(health::of);
        let mut checks = Vec::new();
        for a in assignments::of_system(db(), system_id).await? {
            let Some(c) = configurations::by_id(db(), a.configuration_id).await? else {
                continue;
            };
            let newest = runs::newest(db(), system_id, c.id).await?;
            let statuses: Vec<Status> = newest.iter().map(|r| r.0).collect();
            checks.push(CheckStatus {
                configuration_id: c.id.to_string(),
                name: c.name.into_string(),
                status: check_status(&statuses, &a.thresholds()),
                enabled: a.enabled,
                paused: c.paused,
                runs_considered: statuses.len(),
                last_run_at: newest.first().map(|r| r.1),
            });
        }
        Ok(SystemHealth {
            system_id: system_id.to_owned(),
            status: aggregate.map_or(Status::Healthy, |a| a.status),
            healthy_checks: aggregate.map_or(0, |a| a.healthy),
            total_checks: aggregate.map_or(0, |a| a.total),
            checks,
        })
    }
}
