//! Routes of the plugin, in the form of `api §1`; a check is named in a path by its name or id.

mod assignments;
mod checks;
mod health;
mod runs;
mod strategies;

use crate::{
    executor::worker::Worker,
    service::{CheckError, Checks},
};
use automation_entity::HealthReader;
use axum::http::Method;
use plugin_api::{
    AccessRule,
    http::{FieldError, Problem, Routes},
};
use std::sync::Arc;

/// May see the status of systems and checks.
pub const STATUS_READ: AccessRule =
    AccessRule::new("healthcheck.status.read", "See the health of systems")
        .default_for_users()
        .public();
/// May see how checks are configured.
pub const CONFIGURATION_READ: AccessRule = AccessRule::new(
    "healthcheck.configuration.read",
    "See how checks are configured",
);
/// May create, change, pause, assign and delete checks.
pub const CONFIGURATION_MANAGE: AccessRule = AccessRule::new(
    "healthcheck.configuration.manage",
    "Create, change, assign, pause and delete checks",
);
/// May see the results of runs.
pub const DETAILS_READ: AccessRule = AccessRule::new(
    "healthcheck.details.read",
    "See results of runs, which may hold sensitive output",
);

/// What handlers work with.
#[derive(Clone)]
struct Api {
    checks: Checks,
    reader: Arc<dyn HealthReader>,
    worker: Worker,
}

/// The routes.
pub fn routes(checks: Checks, reader: Arc<dyn HealthReader>, worker: Worker) -> Routes {
    let (read, manage) = (&CONFIGURATION_READ, &CONFIGURATION_MANAGE);
    Routes::new()
        .get("/checks", read, checks::list)
        .post("/checks", manage, checks::create)
        .post("/checks/validate", manage, checks::validate)
        .get("/checks/{check}", read, checks::get)
        .rehearsable(Method::PUT, "/checks/{check}", manage, checks::put)
        .delete("/checks/{check}", manage, checks::delete)
        .post("/checks/{check}/pause", manage, checks::pause)
        .post("/checks/{check}/resume", manage, checks::resume)
        .get("/checks/{check}/assignments", read, assignments::of_check)
        .rehearsable(
            Method::PUT,
            "/checks/{check}/assignments/{system_id}",
            manage,
            assignments::put,
        )
        .rehearsable(
            Method::DELETE,
            "/checks/{check}/assignments/{system_id}",
            manage,
            assignments::delete,
        )
        .post(
            "/checks/{check}/assignments/{system_id}/run",
            manage,
            assignments::run,
        )
        .get("/assignments", read, assignments::list)
        .get("/systems/{id}/checks", read, assignments::of_system)
        .get("/check-runs", &DETAILS_READ, runs::list)
        .get("/check-runs/{id}", &DETAILS_READ, runs::get)
        .get("/check-executor", read, runs::executor)
        .get("/check-strategies", read, strategies::list)
        .get("/health/{system_id}", &STATUS_READ, health::system)
        .get("/health-state", &STATUS_READ, health::state)
        .with_state(Api {
            checks,
            reader,
            worker,
        })
}

impl From<CheckError> for Problem {
    fn from(e: CheckError) -> Self {
        match e {
            CheckError::NotFound(_)
            | CheckError::NotAssigned { .. }
            | CheckError::UnknownSystem(_) => Problem::not_found(e.to_string()),
            CheckError::NameTaken(_) => Problem::conflict("already_exists", e.to_string()),
            CheckError::NotRunning(_) => Problem::conflict("not_running", e.to_string()),
            CheckError::Invalid(ref issues) => {
                let errors = issues
                    .iter()
                    .map(|i| FieldError {
                        pointer: i.pointer(),
                        code: "invalid".into(),
                        message: i.message.clone(),
                    })
                    .collect();
                Problem::invalid(e.to_string(), errors)
            }
            CheckError::Db(e) => e.into(),
            CheckError::Entity(automation_entity::MutateError::Busy { .. }) => {
                Problem::unavailable("The health of a system is being written; try again.")
            }
            other => Problem::internal(&other),
        }
    }
}
