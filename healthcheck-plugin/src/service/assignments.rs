//! Assignments: which system is checked by what.

use super::{CheckError, Checks};
use crate::{
    entity::Cause,
    evaluate::{StoredThresholds, Thresholds},
    store::{
        aggregates,
        assignments::{self, Assignment},
        configurations::{self, Configuration},
        runs, transitions,
    },
    validate::Issue,
};
use catalog_common::SYSTEMS;
use plugin_api::{Conn, Doc, Text, Tx};
use serde::{Deserialize, Serialize};

/// What is kept of a notification policy; other keys, of older versions too, are dropped
/// (`healthcheck §13.1`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NotificationPolicy {
    /// No notification when the system improves from unhealthy to degraded.
    pub suppress_de_escalations: bool,
}

/// An assignment as it is sent. What is absent is the default, not what was stored before: the same
/// input always gives the same assignment.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssignmentInput {
    /// Does it run? Default true.
    pub enabled: Option<bool>,
    /// When it counts as degraded or unhealthy.
    #[serde(default, alias = "thresholds", alias = "stateThresholds")]
    pub state_thresholds: Option<Thresholds>,
    /// Who is told.
    #[serde(default, alias = "notificationPolicy")]
    pub notification_policy: Option<NotificationPolicy>,
}

impl Checks {
    /// Assigns a system to a configuration, or changes the assignment. The second value is true when
    /// it is new. Repeating it changes nothing.
    pub async fn assign(
        &self,
        key: &str,
        system_id: &str,
        input: &AssignmentInput,
    ) -> Result<(Assignment, bool), CheckError> {
        // First what is wrong with the input itself: it can then be told before the check exists.
        self.check_thresholds(input.state_thresholds.as_ref())?;
        let c = self.get(key).await?;
        self.check_system(system_id).await?;
        let thresholds = input.state_thresholds.as_ref();
        let now = self.clock.now();
        let new = Assignment {
            system_id: Text::new(system_id),
            configuration_id: c.id,
            enabled: input.enabled.unwrap_or(true),
            state_thresholds: thresholds.map(StoredThresholds::encode).transpose()?,
            notification_policy: input
                .notification_policy
                .as_ref()
                .map(Doc::of)
                .transpose()?,
            created_at: now,
            updated_at: now,
        };
        let systems = [system_id.to_owned()];
        let turns = self.writer.turns(&systems).await?;
        let mut tx = self.writer.begin().await?;
        Self::lock(&mut tx, c.id).await?;
        let written = self
            .writer
            .write_with(
                &mut tx,
                &systems,
                Cause::change(Some(c.id)),
                async |tx: &mut Tx| {
                    // Under the lock: the configuration may have been deleted since it was read.
                    if configurations::by_id(Conn::Tx(tx), c.id).await?.is_none() {
                        return Err(CheckError::NotFound(key.to_owned()).into());
                    }
                    // A deletion that came before this lock has forgotten the system already; one
                    // that comes after it will find this assignment.
                    self.check_system(system_id).await?;
                    let old = assignments::get(Conn::Tx(tx), system_id, c.id).await?;
                    if let Some(old) = &old
                        && old.enabled == new.enabled
                        && old.state_thresholds == new.state_thresholds
                        && old.notification_policy == new.notification_policy
                    {
                        return Ok((old.clone(), false));
                    }
                    assignments::upsert(Conn::Tx(tx), &new).await?;
                    self.announce(tx, system_id, c.id).await?;
                    let created_at = old.as_ref().map_or(now, |o| o.created_at);
                    let new = Assignment {
                        created_at,
                        ..new.clone()
                    };
                    Ok((new, old.is_none()))
                },
            )
            .await?;
        tx.commit().await?;
        drop(turns);
        self.reschedule(system_id, c.id).await?;
        Ok(written)
    }

    /// Removes an assignment.
    pub async fn unassign(&self, key: &str, system_id: &str) -> Result<(), CheckError> {
        let c = self.get(key).await?;
        self.on_assignment(&c, key, system_id, async |tx: &mut Tx| {
            assignments::delete(Conn::Tx(tx), system_id, c.id).await
        })
        .await?;
        self.reschedule(system_id, c.id).await
    }

    /// Enables or disables an assignment; answers its configuration.
    pub async fn set_enabled(
        &self,
        key: &str,
        system_id: &str,
        enabled: bool,
    ) -> Result<Configuration, CheckError> {
        let c = self.known(key, system_id).await?;
        let now = self.clock.now();
        self.on_assignment(&c, key, system_id, async |tx: &mut Tx| {
            assignments::set_enabled(Conn::Tx(tx), system_id, c.id, enabled, now).await
        })
        .await?;
        self.reschedule(system_id, c.id).await?;
        Ok(c)
    }

    /// Enqueues one run beside the schedule; answers the configuration. Refused where the executor
    /// would skip it.
    pub async fn run_now(&self, key: &str, system_id: &str) -> Result<Configuration, CheckError> {
        let c = self.known(key, system_id).await?;
        let joined = assignments::joined(Conn::Db(&self.db), system_id, c.id)
            .await?
            .ok_or_else(|| not_assigned(system_id, key))?;
        if !joined.enabled {
            return Err(CheckError::NotRunning(format!(
                "the assignment of system {system_id} to check {key} is disabled"
            )));
        }
        if c.paused {
            return Err(CheckError::NotRunning(format!("check {key} is paused")));
        }
        self.scheduler.run_now(system_id, c.id).await?;
        Ok(c)
    }

    /// Forgets a system: assignments, runs, buckets, history; its health ceases to exist. Idempotent.
    pub async fn forget_system(&self, system_id: &str) -> Result<(), CheckError> {
        let assigned = self
            .writer
            .write(
                &[system_id.to_owned()],
                Cause::change(None),
                async |tx: &mut Tx| {
                    let assigned = assignments::of_system(Conn::Tx(tx), system_id).await?;
                    for a in &assigned {
                        self.announce(tx, system_id, a.configuration_id).await?;
                    }
                    assignments::delete_system(Conn::Tx(tx), system_id).await?;
                    runs::delete_system(Conn::Tx(tx), system_id).await?;
                    aggregates::delete_system(Conn::Tx(tx), system_id).await?;
                    transitions::delete_system(Conn::Tx(tx), system_id).await?;
                    Ok(assigned)
                },
            )
            .await?;
        for a in assigned {
            self.reschedule(system_id, a.configuration_id).await?;
        }
        Ok(())
    }

    /// Changes an existing assignment under the locks, and tells other plugins.
    async fn on_assignment(
        &self,
        c: &Configuration,
        key: &str,
        system_id: &str,
        change: impl AsyncFnOnce(&mut Tx) -> plugin_api::db::Result<()>,
    ) -> Result<(), CheckError> {
        let systems = [system_id.to_owned()];
        let _turns = self.writer.turns(&systems).await?;
        let mut tx = self.writer.begin().await?;
        Self::lock(&mut tx, c.id).await?;
        self.writer
            .write_with(
                &mut tx,
                &systems,
                Cause::change(Some(c.id)),
                async |tx: &mut Tx| {
                    let stored = assignments::get(Conn::Tx(tx), system_id, c.id).await?;
                    if stored.is_none() {
                        return Err(not_assigned(system_id, key).into());
                    }
                    change(tx).await?;
                    self.announce(tx, system_id, c.id).await?;
                    Ok(())
                },
            )
            .await?;
        Ok(tx.commit().await?)
    }

    /// The configuration, for callers to whom a missing one means a missing assignment
    /// (`healthcheck §12`).
    async fn known(&self, key: &str, system_id: &str) -> Result<Configuration, CheckError> {
        match self.get(key).await {
            Err(CheckError::NotFound(_)) => Err(not_assigned(system_id, key)),
            found => found,
        }
    }

    fn check_thresholds(&self, thresholds: Option<&Thresholds>) -> Result<(), CheckError> {
        let issues: Vec<Issue> = thresholds
            .into_iter()
            .flat_map(Thresholds::check)
            .map(|e| Issue {
                path: vec!["state_thresholds".into()],
                message: e.to_string(),
            })
            .collect();
        if issues.is_empty() {
            Ok(())
        } else {
            Err(CheckError::Invalid(issues))
        }
    }

    /// The system must exist, as far as a catalog is installed that can tell.
    async fn check_system(&self, system_id: &str) -> Result<(), CheckError> {
        let unknown = || CheckError::UnknownSystem(system_id.to_owned());
        if system_id.trim().is_empty() || system_id == "*" {
            return Err(unknown());
        }
        let catalog = self
            .services
            .optional(&SYSTEMS)
            .map_err(|e| CheckError::Catalog(e.into()))?;
        let Some(catalog) = catalog else {
            return Ok(());
        };
        let found = catalog
            .exists(&[system_id.to_owned()])
            .await
            .map_err(CheckError::Catalog)?;
        if found.contains(system_id) {
            Ok(())
        } else {
            Err(unknown())
        }
    }
}

fn not_assigned(system_id: &str, configuration_id: &str) -> CheckError {
    CheckError::NotAssigned {
        system_id: system_id.to_owned(),
        configuration_id: configuration_id.to_owned(),
    }
}
