//! Errors of the engine as problem documents.

use automation_core::{diagnostic::Diagnostics, store::StoreError};
use automation_dispatch::{CancelError, ManualRunError, ReplayError};
use axum::http::StatusCode;
use plugin_api::http::{FieldError, Problem};

/// 422 with definition issues.
pub fn invalid_definition(issues: &Diagnostics) -> Problem {
    let detail = match issues.first_error() {
        Some(d) => format!("The definition has errors; the first: {}", d.message),
        None => "The definition has errors.".to_owned(),
    };
    let issues = issues
        .report()
        .issues
        .iter()
        .filter_map(|i| serde_json::to_value(i).ok())
        .collect();
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "invalid_definition",
        detail,
    )
    .with_issues(issues)
}

/// Why the store refused.
pub fn of_store(e: StoreError) -> Problem {
    match e {
        StoreError::NotFound(_) => Problem::not_found(e.to_string()),
        StoreError::Stale { .. } => Problem::new(
            StatusCode::PRECONDITION_FAILED,
            "version_mismatch",
            e.to_string(),
        ),
        StoreError::Invalid(issues) => invalid_definition(&issues),
        StoreError::Field { field, message } => Problem::invalid(
            format!("{field}: {message}"),
            vec![FieldError {
                pointer: format!("/{field}"),
                code: "bad_length".into(),
                message,
            }],
        ),
        StoreError::Db(e) => e.into(),
    }
}

/// Why a run could not be cancelled.
pub fn of_cancel(e: CancelError) -> Problem {
    match e {
        CancelError::NotFound => Problem::not_found("There is no such run."),
        CancelError::Db(e) => e.into(),
    }
}

/// Why what a run saw could not be rebuilt.
pub fn of_replay(e: ReplayError) -> Problem {
    match e {
        ReplayError::NoSuchAction { .. } => Problem::bad_parameter(format!("action_path: {e}")),
        ReplayError::Db(e) => e.into(),
    }
}

/// Why a run could not be started by hand.
pub fn of_manual(e: ManualRunError) -> Problem {
    match e {
        ManualRunError::NotFound => Problem::not_found("There is no such automation."),
        ManualRunError::UnknownTrigger { .. } => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "unknown_trigger_id",
            e.to_string(),
        ),
        ManualRunError::InvalidPayload { .. } => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_payload",
            e.to_string(),
        ),
        ManualRunError::Blocked { .. } => {
            Problem::new(StatusCode::CONFLICT, "run_blocked", e.to_string())
        }
        ManualRunError::Invalid { .. } => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_definition",
            e.to_string(),
        ),
        ManualRunError::Db(e) => e.into(),
        ManualRunError::Other(e) => Problem::internal(&e),
    }
}
