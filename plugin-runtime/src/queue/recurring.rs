//! Recurring jobs as rows. A tick is made by whoever moves `next_at` from the instant it read: a
//! conditional update, so each instant ticks once in the whole cluster. Who makes a tick holds the
//! row until the tick is there, so who updates or removes the job takes the row first and then finds
//! every tick of the old one.

use super::{
    manager::{Core, db_error},
    schedule::Grid,
    sql, topic,
};
use plugin_api::{
    Doc, Text, Ts,
    db::DbError,
    fail,
    queue::{QueueError, Recurring, RecurringDetails, Schedule},
};
use std::collections::HashMap;

/// Ticks made in one transaction.
const BATCH: i64 = 500;

/// Creates or updates. Equal settings change nothing, so that a plugin may schedule at every boot
/// and on every node without moving the grid or losing a pending tick; unless the job waits for an
/// instant that it cannot have come to by a clock that is right.
pub(super) async fn schedule(core: &Core, queue: &str, r: Recurring) -> Result<(), QueueError> {
    let schedule_error = |reason: String| QueueError::Schedule {
        job_id: r.job_id.clone(),
        reason,
    };
    let grid = Grid::new(&r.schedule).map_err(schedule_error)?;
    let delay_ms = r
        .start_delay
        .map(|d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
    let (now, ahead_ms) = (core.clock.now(), delay_ms.unwrap_or(0));
    let first = grid.first(now, ahead_ms).map_err(schedule_error)?;
    let furthest = grid.furthest(now, ahead_ms).map_err(schedule_error)?;
    let (interval_ms, cron) = match &r.schedule {
        Schedule::IntervalMs(ms) => (Some(*ms as i64), None),
        Schedule::Cron(text) => (None, Some(text.clone())),
    };
    let row = sql::Stored {
        job_id: Text::new(r.job_id),
        data: Doc(r.data),
        interval_ms,
        cron,
        start_delay_ms: delay_ms,
        priority: r.priority,
        skip_overlap: r.skip_overlap,
        next_at: first,
    };
    put(core, queue, row, furthest)
        .await
        .map_err(db_error(queue))
}

async fn put(core: &Core, queue: &str, row: sql::Stored, furthest: Ts) -> Result<(), DbError> {
    let mut tx = core.db.begin().await?;
    tx.lock(&format!(
        "core.queue.recurring:{queue}:{}",
        row.job_id.as_str()
    ))
    .await?;
    let old: Option<sql::Stored> = tx
        .sql(sql::RECURRING_GET)
        .bind(queue)
        .bind(row.job_id.clone())
        .optional()
        .await?;
    if old.is_some_and(|old| old.same_settings(&row) && old.next_at <= furthest) {
        return tx.rollback().await;
    }
    tx.sql(sql::RECURRING_PUT)
        .bind(queue)
        .bind(row.job_id.clone())
        .bind(row.data)
        .bind(row.interval_ms)
        .bind(row.cron)
        .bind(row.start_delay_ms)
        .bind(row.priority)
        .bind(row.skip_overlap)
        .bind(row.next_at)
        .execute()
        .await?;
    tx.sql(sql::RECURRING_DROP_TICKS)
        .bind(queue)
        .bind(row.job_id)
        .execute()
        .await?;
    tx.commit().await?;
    core.hints.notify(&topic(queue));
    Ok(())
}

/// Removes a recurring job and its ticks that have not started.
pub(super) async fn cancel(core: &Core, queue: &str, job_id: &str) -> Result<(), DbError> {
    let mut tx = core.db.begin().await?;
    for statement in [sql::RECURRING_DELETE, sql::RECURRING_DROP_TICKS] {
        tx.sql(statement).bind(queue).bind(job_id).execute().await?;
    }
    tx.commit().await
}

/// Makes the ticks that are due. An instant older than `grace_ms` was missed and makes none.
pub(super) async fn make_ticks(
    core: &Core,
    queue: &str,
    now: Ts,
    grace_ms: i64,
) -> Result<(), DbError> {
    loop {
        let due: Vec<sql::Stored> = core
            .db
            .sql(sql::RECURRING_DUE)
            .bind(queue)
            .bind(now)
            .bind(BATCH)
            .all()
            .await?;
        let last = (due.len() as i64) < BATCH;
        if !due.is_empty() {
            tick(core, queue, now, grace_ms, due).await?;
        }
        if last {
            return Ok(());
        }
    }
}

async fn tick(
    core: &Core,
    queue: &str,
    now: Ts,
    grace_ms: i64,
    mut due: Vec<sql::Stored>,
) -> Result<(), DbError> {
    due.sort_by(|a, b| a.job_id.cmp(&b.job_id));
    let mut instants = HashMap::new();
    let mut moves = Vec::with_capacity(due.len());
    for row in due {
        let decided = Grid::new(&schedule_of(&row)).and_then(|g| g.due(row.next_at, now, grace_ms));
        let next_at = match decided {
            Ok(d) => {
                if let Some(at) = d.tick {
                    instants.insert(row.job_id.clone(), at);
                }
                d.next_at
            }
            Err(reason) => {
                tracing::error!(
                    queue,
                    job_id = row.job_id.as_str(),
                    reason,
                    "A recurring job cannot tick; it is looked at again in an hour."
                );
                now.plus_millis(3_600_000)
            }
        };
        moves.push(sql::Advance {
            job_id: row.job_id,
            expected: row.next_at,
            interval_ms: row.interval_ms,
            cron: row.cron,
            next_at,
        });
    }
    fail::point("queue.tick").await?;
    let mut tx = core.db.begin().await?;
    let moved: Vec<sql::Stored> = tx
        .sql(sql::RECURRING_ADVANCE)
        .bind(queue)
        .rows(&moves)
        .all()
        .await?;
    let mut ticks: Vec<_> = moved
        .iter()
        .filter_map(|row| Some(tick_row(row, *instants.get(&row.job_id)?)))
        .collect();
    ticks.sort_by(|a, b| (a.due_at, &a.job_id).cmp(&(b.due_at, &b.job_id)));
    if !ticks.is_empty() {
        tx.sql(sql::ENQUEUE_TICKS)
            .bind(queue)
            .bind(now)
            .rows(&ticks)
            .execute()
            .await?;
    }
    tx.commit().await?;
    if !ticks.is_empty() {
        core.hints.notify(&topic(queue));
    }
    Ok(())
}

fn tick_row(row: &sql::Stored, at: Ts) -> sql::Tick {
    sql::Tick {
        job_id: Text::new(format!("{}@{at}", row.job_id.as_str())),
        recurring: row.job_id.clone(),
        data: row.data.clone(),
        priority: row.priority,
        due_at: at,
        skip_overlap: row.skip_overlap,
    }
}

fn schedule_of(row: &sql::Stored) -> Schedule {
    match (&row.cron, row.interval_ms) {
        (Some(cron), _) => Schedule::Cron(cron.clone()),
        (None, ms) => Schedule::IntervalMs(ms.unwrap_or(0).max(0) as u64),
    }
}

/// A stored recurring job as callers see it.
pub(super) fn details(row: sql::Stored) -> RecurringDetails {
    RecurringDetails {
        schedule: schedule_of(&row),
        job_id: row.job_id.into_string(),
        data: row.data.0,
        next_at: row.next_at,
    }
}

impl sql::Stored {
    fn same_settings(&self, other: &Self) -> bool {
        self.data == other.data
            && self.interval_ms == other.interval_ms
            && self.cron == other.cron
            && self.start_delay_ms == other.start_delay_ms
            && self.priority == other.priority
            && self.skip_overlap == other.skip_overlap
    }
}
