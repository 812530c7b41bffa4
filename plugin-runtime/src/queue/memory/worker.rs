//! A consumer of the memory queue.

use super::{Core, state::Row};
use crate::queue::{
    decide::{Fate, fate},
    each::guarded,
};
use plugin_api::queue::{Consumer, JobError, JobHandler, Retries};
use std::sync::Arc;
use tokio::sync::{Notify, mpsc, watch};

pub(super) struct Worker {
    core: Arc<Core>,
    queue: String,
    group: String,
    retries: Retries,
    slots: usize,
    handler: Arc<dyn JobHandler>,
    wake: Arc<Notify>,
    stopped: watch::Receiver<bool>,
    flying: usize,
}

type Ended = (Row, Result<(), JobError>);

impl Worker {
    pub fn new(
        core: Arc<Core>,
        queue: String,
        consumer: &Consumer,
        slots: usize,
        handler: Arc<dyn JobHandler>,
        wake: Arc<Notify>,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        Self {
            core,
            queue,
            group: consumer.group.clone(),
            retries: consumer.retries,
            slots,
            handler,
            wake,
            stopped,
            flying: 0,
        }
    }

    pub async fn run(mut self) {
        let (report, mut reports) = mpsc::unbounded_channel::<Ended>();
        loop {
            let stopping = *self.stopped.borrow();
            if stopping && self.flying == 0 {
                return;
            }
            let free = if stopping {
                0
            } else {
                self.slots - self.flying
            };
            if free > 0 {
                self.start(free, &report);
            }
            let next = self.core.state().next(&self.queue, &self.group);
            let next = next.filter(|_| !stopping && self.flying < self.slots);
            let clock = self.core.clock.clone();
            let due = async move {
                match next {
                    Some(at) => clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some((row, result)) = reports.recv() => self.end(&row, &result),
                () = self.wake.notified() => {}
                () = due => {}
                _ = self.stopped.changed(), if !stopping => {}
            }
        }
    }

    fn start(&mut self, free: usize, report: &mpsc::UnboundedSender<Ended>) {
        let now = self.core.clock.now();
        let rows = self.core.state().claim(&self.queue, &self.group, free, now);
        for row in rows {
            self.flying += 1;
            let (handler, report) = (self.handler.clone(), report.clone());
            plugin_api::spawn(async move {
                let result = guarded(handler.as_ref(), row.job()).await;
                report.send((row, result)).ok();
            });
        }
    }

    fn end(&mut self, row: &Row, result: &Result<(), JobError>) {
        self.flying -= 1;
        let now = self.core.clock.now();
        let fate = fate(result, row.executions, self.retries, now);
        let mut state = self.core.state();
        match fate {
            Fate::Done => state.remove(&self.queue, row.seq, true),
            Fate::Again { run_at, deferred } => {
                state.again(&self.queue, row.seq, run_at, deferred);
            }
            Fate::Dead(cause) => {
                state.remove(&self.queue, row.seq, false);
                tracing::error!(
                    queue = self.queue,
                    group = self.group,
                    job_id = row.job_id,
                    cause,
                    "A job failed for good."
                );
            }
        }
    }
}
