//! Cancelling runs: one routine for operators, for `restart` and for disabled automations, in one
//! transaction (`dispatch §15`). The state row goes with it, so no driver's fence holds any more: it
//! finds out at its next write, and its action in flight through its token.

use crate::{
    announce,
    commit::sql as commit_sql,
    concurrency::{Bucket, queue},
    shared::Shared,
    store,
};
use automation_core::{AutomationId, RunId};
use plugin_api::{Text, Ts, Tx, db::DbError, fail};
use std::sync::Arc;

/// Why a run was cancelled; a code of `dispatch §19`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A newer run of a `restart` automation.
    Superseded,
    /// A person, with the reason given.
    Operator(Option<String>),
    /// Its automation was disabled while it waited for its turn.
    Disabled,
    /// It was active for longer than a run may be.
    TooOld,
    /// Its turn has come, and its version cannot be used.
    NoVersion,
}

impl Cause {
    fn code(&self) -> &'static str {
        match self {
            Cause::Superseded => "superseded",
            Cause::Operator(_) => "cancelled_by_operator",
            Cause::Disabled => "automation_disabled",
            Cause::TooOld => "too_old",
            Cause::NoVersion => "state_missing",
        }
    }
    /// A run that may not go on has failed; one that shall not has been cancelled.
    fn status(&self) -> &'static str {
        match self {
            Cause::TooOld | Cause::NoVersion => "failed",
            _ => "cancelled",
        }
    }
    fn text(&self) -> &str {
        match self {
            Cause::Superseded => "a newer run replaced this one",
            Cause::Operator(Some(reason)) => reason,
            Cause::Operator(None) => "cancelled by an operator",
            Cause::Disabled => "the automation was disabled before the run's turn came",
            Cause::TooOld => "the run was active for longer than a run may be",
            Cause::NoVersion => {
                "the definition version of the run is missing or does not compile any more"
            }
        }
    }
}

/// Why a cancellation was refused.
#[derive(Debug, thiserror::Error)]
pub enum CancelError {
    /// The automation has no such run.
    #[error("there is no such run")]
    NotFound,
    /// The database refused.
    #[error(transparent)]
    Db(#[from] DbError),
}

plugin_api::statements! {
    pub CANCEL = {
        sqlite: "update automation_runs set status = $1, error_code = $2, error_message = $3, finished_at = $4 where status in ('pending', 'running', 'waiting') and id in (select value from json_each($5)) returning id, automation_id",
        postgres: "update signalbox.automation_runs set status = $1, error_code = $2, error_message = $3, finished_at = $4 where status in ('pending', 'running', 'waiting') and id = any($5) returning id, automation_id",
    };
    /// Active runs of a bucket; `$2` null: of the whole automation.
    pub ACTIVE = {
        sqlite: "select id from automation_runs where status in ('pending', 'running', 'waiting') and automation_id = $1 and ($2 is null or coalesce('k:' || context_key, '-') = $2)",
        postgres: "select id from signalbox.automation_runs where status in ('pending', 'running', 'waiting') and automation_id = $1 and ($2::text is null or coalesce('k:' || context_key, '-') = $2)",
    };
}

plugin_api::row! {
    struct CancelledRow { id: RunId, automation_id: AutomationId }
}

/// Cancels those of the runs that are active.
pub async fn cancel_in(
    shared: &Arc<Shared>,
    tx: &mut Tx,
    runs: &[RunId],
    cause: Cause,
) -> Result<(), DbError> {
    if runs.is_empty() {
        return Ok(());
    }
    let now: Ts = shared.clock.now();
    let mut ids: Vec<uuid::Uuid> = runs.iter().map(|r| r.uuid()).collect();
    ids.sort_unstable();
    // State rows first, like everybody (`dispatch §9.3.5`).
    let _: Vec<RunId> = tx.sql(store::locks::LOCK_STATES).ids(&ids).all().await?;
    let cancelled: Vec<CancelledRow> = tx
        .sql(CANCEL)
        .bind(cause.status().to_owned())
        .bind(cause.code().to_owned())
        .bind(Text::new(cause.text()))
        .bind(now)
        .ids(&ids)
        .all()
        .await?;
    if cancelled.is_empty() {
        return Ok(());
    }
    let gone: Vec<uuid::Uuid> = cancelled.iter().map(|r| r.id.uuid()).collect();
    tx.sql(commit_sql::DELETE_LOCKS_OF_RUNS)
        .ids(&gone)
        .execute()
        .await?;
    tx.sql(commit_sql::DELETE_STATES)
        .ids(&gone)
        .execute()
        .await?;
    tx.sql(commit_sql::CLOSE_STEPS)
        .bind("skipped".to_owned())
        .bind("run_cancelled".to_owned())
        .bind(Text::new("the run was cancelled"))
        .bind(now)
        .ids(&gone)
        .execute()
        .await?;
    let shared = shared.clone();
    tx.after_commit(move || {
        for run in cancelled {
            shared.drivers.stop(run.id);
            announce::ended(&shared, run.id, run.automation_id, cause.status(), cause.code());
            queue::advance_if_queued(&shared, run.automation_id);
            shared.secrets.drop_run(run.id.uuid().as_u128());
            tracing::info!(run_id = %run.id, automation_id = %run.automation_id, cause = cause.code(), "A run was ended from outside.");
        }
    });
    Ok(())
}

/// Cancels every active run of a bucket but the one that replaces them.
pub async fn supersede(
    shared: &Arc<Shared>,
    tx: &mut Tx,
    bucket: &Bucket,
    by: RunId,
) -> Result<(), DbError> {
    let mut active: Vec<RunId> = tx
        .sql(ACTIVE)
        .bind(bucket.automation)
        .bind(bucket.index_key())
        .all()
        .await?;
    active.retain(|r| *r != by);
    cancel_in(shared, tx, &active, Cause::Superseded).await
}

/// An operator's cancel. A run that is over stays as it is, which is a success.
///
/// # Errors
/// [`CancelError`].
pub async fn by_operator(
    shared: &Arc<Shared>,
    automation: AutomationId,
    run: RunId,
    reason: Option<String>,
) -> Result<(), CancelError> {
    let found = store::runs::get(&shared.db, run).await?;
    if found.is_none_or(|r| r.automation_id != automation) {
        return Err(CancelError::NotFound);
    }
    fail::point("dispatch.cancel.before")
        .await
        .map_err(DbError::from)?;
    // People paste what they see: the reason may name what the run resolved (`secrets §11.5`).
    let masks = shared.secrets.set(run.uuid().as_u128());
    let reason = reason.map(|r| masks.mask_text(r).into_inner());
    shared
        .db
        .tx(async |tx| cancel_in(shared, tx, &[run], Cause::Operator(reason)).await)
        .await?;
    Ok(())
}
