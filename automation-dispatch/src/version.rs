//! The form of the engine's jobs, and what happens to jobs of a newer one.
//!
//! During a rolling upgrade nodes of two releases share the queues. Every job says in which form it
//! was written; a job of a newer form is put back for a newer node, with a warning, and never dropped
//! (`plugin_api::skew`). Rows that a job only points to are judged where they are read: a checkpoint by
//! its own format, a definition by its validation.

use plugin_api::{
    Tx,
    queue::{BatchHandler, Job, JobError, Verdict},
    skew::{self, LEAVE_FOR},
};
use serde_json::Value;

/// The form that this release writes, and the newest it reads.
const FORM: i64 = 1;

/// A job's data with its form.
pub fn mark(mut data: Value) -> Value {
    data["v"] = FORM.into();
    data
}

/// A verdict for a job of a newer form.
///
/// # Errors
/// A deferral.
pub fn check(job: &Job) -> Result<(), JobError> {
    skew::check(&job.data, FORM).map_err(|newer| {
        tracing::warn!(job_id = job.job_id, %newer, "A job cannot be handled by this node.");
        JobError::Defer(LEAVE_FOR)
    })
}

/// A handler that never sees a job of a newer form.
pub struct Known<H>(pub H);

#[async_trait::async_trait]
impl<H: BatchHandler> BatchHandler for Known<H> {
    async fn handle(&self, tx: &mut Tx, jobs: &[Job]) -> Result<Vec<Verdict>, JobError> {
        let checked: Vec<_> = jobs.iter().map(|j| skew::check(&j.data, FORM)).collect();
        let Some(Err(newer)) = checked.iter().find(|c| c.is_err()) else {
            return self.0.handle(tx, jobs).await;
        };
        let left = checked.iter().filter(|c| c.is_err()).count();
        tracing::warn!(jobs = left, first = %newer, "Jobs cannot be handled by this node.");
        let known = jobs.iter().zip(&checked).filter(|(_, c)| c.is_ok());
        let known: Vec<Job> = known.map(|(j, _)| j.clone()).collect();
        let mut verdicts = self.0.handle(tx, &known).await?.into_iter();
        Ok(checked
            .iter()
            .map(|c| match c {
                // A handler that answers too few is found out by the queue.
                Ok(()) => verdicts.next(),
                Err(_) => Some(Verdict::Failed(JobError::Defer(LEAVE_FOR))),
            })
            .map_while(|v| v)
            .collect())
    }
}
