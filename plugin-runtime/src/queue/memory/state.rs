//! The rows of the memory queue: plain data under one mutex.

use super::{CAPACITY, refused};
use crate::queue::{HOOK_PREFIX, decide::LEASE_MS, schedule::Grid};
use plugin_api::{
    Ts,
    queue::{Job, NewJob, QueueDepth, QueueError, QueueStats, Recurring, RecurringDetails},
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};
use tokio::sync::Notify;

/// One job of one group; the group is empty while the queue has none.
#[derive(Clone)]
pub(super) struct Row {
    pub seq: u64,
    pub group: String,
    pub job_id: String,
    pub named: bool,
    pub data: Value,
    pub priority: i32,
    pub run_at: Ts,
    pub due_at: Ts,
    pub enqueued_at: Ts,
    /// Counted executions.
    pub executions: u32,
    pub started: bool,
    pub running: bool,
    pub recurring: Option<String>,
}

struct Repeat {
    settings: Recurring,
    grid: Grid,
    next_at: Ts,
}

#[derive(Default)]
struct Rows {
    groups: BTreeMap<String, Vec<Arc<Notify>>>,
    jobs: Vec<Row>,
    recurring: BTreeMap<String, Repeat>,
    completed: u64,
    failed: u64,
}

/// Every queue.
#[derive(Default)]
pub(super) struct State {
    queues: HashMap<String, Rows>,
    jobs: usize,
    seq: u64,
}

impl Rows {
    fn wake(&self) {
        self.groups.values().flatten().for_each(|n| n.notify_one());
    }

    /// Gives a job to every group; one that must not overlap not to those that still have its
    /// predecessor. Answers how many rows that added.
    fn fan_out(&mut self, row: &Row, skip_overlap: bool, seq: &mut u64) -> usize {
        let mut added = 0;
        for group in self.groups.keys() {
            let same = |j: &Row| row.named && j.named && !j.started && j.job_id == row.job_id;
            let before = |j: &Row| skip_overlap && j.recurring == row.recurring;
            let mut theirs = self.jobs.iter().filter(|j| j.group == *group);
            if theirs.any(|j| same(j) || before(j)) {
                continue;
            }
            *seq += 1;
            self.jobs.push(Row {
                seq: *seq,
                group: group.clone(),
                ..row.clone()
            });
            added += 1;
        }
        added
    }
}

impl State {
    /// Errors when `more` jobs do not fit.
    pub fn room(&self, queue: &str, more: usize) -> Result<(), QueueError> {
        if self.jobs + more > CAPACITY {
            return Err(refused(
                queue,
                format!("the memory backend keeps at most {CAPACITY} jobs"),
            ));
        }
        Ok(())
    }

    pub fn enqueue(
        &mut self,
        queue: &str,
        jobs: Vec<(String, bool, NewJob)>,
        now: Ts,
    ) -> Result<(), QueueError> {
        let groups = self.queues.get(queue).map_or(0, |q| q.groups.len());
        self.room(queue, jobs.len() * groups.max(1))?;
        let rows = self.queues.entry(queue.to_owned()).or_default();
        for (job_id, named, job) in jobs {
            let run_at = job.run_at.unwrap_or(now);
            let mut row = Row {
                seq: 0,
                group: String::new(),
                job_id,
                named,
                data: job.data,
                priority: job.priority,
                run_at,
                due_at: run_at,
                enqueued_at: now,
                executions: 0,
                started: false,
                running: false,
                recurring: None,
            };
            let waits_already = named && rows.jobs.iter().any(|j| j.job_id == row.job_id);
            if !rows.groups.is_empty() {
                self.jobs += rows.fan_out(&row, false, &mut self.seq);
            } else if !queue.starts_with(HOOK_PREFIX) && !waits_already {
                self.seq += 1;
                row.seq = self.seq;
                rows.jobs.push(row);
                self.jobs += 1;
            }
        }
        rows.wake();
        Ok(())
    }

    /// Registers a group and a worker of it; jobs that waited for a group become its.
    pub fn listen(&mut self, queue: &str, group: &str, wake: Arc<Notify>, now: Ts) {
        let rows = self.queues.entry(queue.to_owned()).or_default();
        rows.groups.entry(group.to_owned()).or_default().push(wake);
        for job in rows.jobs.iter_mut().filter(|j| j.group.is_empty()) {
            job.group = group.to_owned();
        }
        // A recurring job that nobody watched does not make up for what it missed.
        for repeat in rows.recurring.values_mut() {
            if let Ok(due) = repeat.grid.due(repeat.next_at, now, LEASE_MS)
                && due.tick.is_none()
                && repeat.next_at <= now
            {
                repeat.next_at = due.next_at;
            }
        }
    }

    /// A worker has left. A broadcast group goes with its last one, and its jobs with it.
    pub fn unlisten(&mut self, queue: &str, wake: &Arc<Notify>) {
        let Some(rows) = self.queues.get_mut(queue) else {
            return;
        };
        rows.groups.retain(|group, workers| {
            workers.retain(|w| !Arc::ptr_eq(w, wake));
            !workers.is_empty() || !is_broadcast(queue, group)
        });
        let (groups, before) = (&rows.groups, rows.jobs.len());
        rows.jobs
            .retain(|j| j.group.is_empty() || groups.contains_key(&j.group));
        self.jobs -= before - rows.jobs.len();
    }

    /// Starts up to `free` ready jobs of a group.
    pub fn claim(&mut self, queue: &str, group: &str, free: usize, now: Ts) -> Vec<Row> {
        let Some(rows) = self.queues.get_mut(queue) else {
            return Vec::new();
        };
        self.jobs += tick(rows, now, &mut self.seq);
        let mut ready: Vec<&mut Row> = rows
            .jobs
            .iter_mut()
            .filter(|j| j.group == group && !j.running && j.run_at <= now)
            .collect();
        ready.sort_by_key(|j| (std::cmp::Reverse(j.priority), j.seq));
        ready
            .into_iter()
            .take(free)
            .map(|j| {
                (j.running, j.started) = (true, true);
                j.executions += 1;
                j.clone()
            })
            .collect()
    }

    /// The next instant at which a group has something to do.
    pub fn next(&self, queue: &str, group: &str) -> Option<Ts> {
        let rows = self.queues.get(queue)?;
        let jobs = rows.jobs.iter();
        let waiting = jobs.filter(|j| j.group == group && !j.running);
        let ticks = rows.recurring.values().map(|r| r.next_at);
        waiting.map(|j| j.run_at).chain(ticks).min()
    }

    /// A job is gone, handled or failed for good.
    pub fn remove(&mut self, queue: &str, seq: u64, handled: bool) {
        let Some(rows) = self.queues.get_mut(queue) else {
            return;
        };
        let before = rows.jobs.len();
        rows.jobs.retain(|j| j.seq != seq);
        self.jobs -= before - rows.jobs.len();
        *(if handled {
            &mut rows.completed
        } else {
            &mut rows.failed
        }) += 1;
    }

    /// A job runs again later. Every worker of its group hears of it: who had it may be stopping.
    pub fn again(&mut self, queue: &str, seq: u64, run_at: Ts, deferred: bool) {
        let Some(rows) = self.queues.get_mut(queue) else {
            return;
        };
        if let Some(job) = rows.jobs.iter_mut().find(|j| j.seq == seq) {
            (job.running, job.run_at) = (false, run_at);
            job.executions -= u32::from(deferred);
            let workers = rows.groups.get(&job.group);
            workers.into_iter().flatten().for_each(|n| n.notify_one());
        }
    }

    /// Creates or updates. Equal settings change nothing, unless the job waits for an instant beyond
    /// the `furthest` that a clock that is right can have set.
    pub fn schedule(
        &mut self,
        queue: &str,
        settings: Recurring,
        grid: Grid,
        first: Ts,
        furthest: Ts,
    ) {
        let rows = self.queues.entry(queue.to_owned()).or_default();
        let same = |r: &Repeat| {
            let (a, b) = (&r.settings, &settings);
            (
                &a.data,
                &a.schedule,
                a.start_delay,
                a.priority,
                a.skip_overlap,
            ) == (
                &b.data,
                &b.schedule,
                b.start_delay,
                b.priority,
                b.skip_overlap,
            )
        };
        let old = rows.recurring.get(&settings.job_id);
        if old.is_some_and(|r| same(r) && r.next_at <= furthest) {
            return;
        }
        self.jobs -= drop_ticks(rows, &settings.job_id);
        rows.recurring.insert(
            settings.job_id.clone(),
            Repeat {
                settings,
                grid,
                next_at: first,
            },
        );
        rows.wake();
    }

    pub fn cancel(&mut self, queue: &str, job_id: &str) {
        if let Some(rows) = self.queues.get_mut(queue) {
            rows.recurring.remove(job_id);
            self.jobs -= drop_ticks(rows, job_id);
        }
    }

    pub fn recurring(&self, queue: &str) -> Vec<RecurringDetails> {
        let rows = self.queues.get(queue);
        let all = rows.into_iter().flat_map(|r| r.recurring.values());
        all.map(|r| RecurringDetails {
            job_id: r.settings.job_id.clone(),
            data: r.settings.data.clone(),
            schedule: r.settings.schedule.clone(),
            next_at: r.next_at,
        })
        .collect()
    }

    pub fn stats(&self, queue: &str) -> QueueStats {
        let Some(rows) = self.queues.get(queue) else {
            return QueueStats::default();
        };
        let processing = rows.jobs.iter().filter(|j| j.running).count() as u64;
        QueueStats {
            pending: rows.jobs.len() as u64 - processing,
            processing,
            completed: rows.completed,
            failed: rows.failed,
            consumer_groups: rows.groups.len() as u64,
        }
    }
}

impl State {
    /// Queues in which jobs are due and not started.
    pub fn depths(&self, now: Ts) -> Vec<QueueDepth> {
        let mut depths: Vec<QueueDepth> = self
            .queues
            .iter()
            .filter_map(|(queue, rows)| {
                let due = rows.jobs.iter().filter(|j| !j.running && j.run_at <= now);
                let (waiting, oldest) = due.fold((0, None), |(n, oldest), j| {
                    let oldest = oldest.map_or(j.due_at, |o: Ts| o.min(j.due_at));
                    (n + 1, Some(oldest))
                });
                Some(QueueDepth {
                    queue: queue.clone(),
                    waiting,
                    oldest: oldest?,
                })
            })
            .collect();
        depths.sort_by(|a, b| a.queue.cmp(&b.queue));
        depths
    }
}

/// Whether a group of a hook's queue is a node's own: `<plugin>.<hook>.broadcast.<node>`
/// (`plugins §6`). Such a group lives with its node; the SQL queue's are removed by the hook service.
fn is_broadcast(queue: &str, group: &str) -> bool {
    queue
        .strip_prefix(HOOK_PREFIX)
        .is_some_and(|hook| group.contains(&format!(".{hook}.broadcast.")))
}

fn drop_ticks(rows: &mut Rows, recurring: &str) -> usize {
    let before = rows.jobs.len();
    rows.jobs
        .retain(|j| j.started || j.recurring.as_deref() != Some(recurring));
    before - rows.jobs.len()
}

/// Makes the ticks that are due; answers how many rows that added.
fn tick(rows: &mut Rows, now: Ts, seq: &mut u64) -> usize {
    let mut ticks = Vec::new();
    for (id, repeat) in &mut rows.recurring {
        if repeat.next_at > now {
            continue;
        }
        let Ok(due) = repeat.grid.due(repeat.next_at, now, i64::MAX) else {
            continue;
        };
        repeat.next_at = due.next_at;
        let Some(at) = due.tick else { continue };
        let tick = Row {
            seq: 0,
            group: String::new(),
            job_id: format!("{id}@{at}"),
            named: true,
            data: repeat.settings.data.clone(),
            priority: repeat.settings.priority,
            run_at: at,
            due_at: at,
            enqueued_at: now,
            executions: 0,
            started: false,
            running: false,
            recurring: Some(id.clone()),
        };
        ticks.push((tick, repeat.settings.skip_overlap));
    }
    ticks.sort_by_key(|(tick, _)| tick.due_at);
    let fan_out = |(tick, skip): &(Row, bool)| rows.fan_out(tick, *skip, seq);
    let added = ticks.iter().map(fan_out).sum();
    if added > 0 {
        rows.wake();
    }
    added
}

impl Row {
    /// The job as the handler gets it.
    pub fn job(&self) -> Job {
        Job {
            job_id: self.job_id.clone(),
            data: self.data.clone(),
            attempt: self.executions,
            enqueued_at: self.enqueued_at,
            due_at: self.due_at,
        }
    }
}
