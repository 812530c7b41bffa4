//! A consumer of the memory queue.

use super::{Core, state::Row};
use crate::queue::{
    decide::{Fate, fate},
    each::guarded,
    stop::Stop,
};
use plugin_api::queue::{Consumer, JobError, JobHandler, Retries};
use std::{collections::HashMap, sync::Arc};
use tokio::{
    sync::{Notify, mpsc, watch},
    task::AbortHandle,
};

pub(super) struct Worker {
    core: Arc<Core>,
    queue: String,
    group: String,
    retries: Retries,
    slots: usize,
    handler: Arc<dyn JobHandler>,
    wake: Arc<Notify>,
    stop: watch::Receiver<Stop>,
    /// The running handlers by the number of their job.
    flying: HashMap<u64, AbortHandle>,
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
        stop: watch::Receiver<Stop>,
    ) -> Self {
        Self {
            core,
            queue,
            group: consumer.group.clone(),
            retries: consumer.retries,
            slots,
            handler,
            wake,
            stop,
            flying: HashMap::new(),
        }
    }

    pub async fn run(mut self) {
        let (report, mut reports) = mpsc::unbounded_channel::<Ended>();
        loop {
            let stop = *self.stop.borrow_and_update();
            match stop {
                Stop::Abort => return self.release(&mut reports),
                Stop::Draining if self.flying.is_empty() => return,
                Stop::No if self.flying.len() < self.slots => self.start(&report),
                Stop::Draining | Stop::No => {}
            }
            let next = self.core.state().next(&self.queue, &self.group);
            let next = next.filter(|_| stop == Stop::No && self.flying.len() < self.slots);
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
                Ok(()) = self.stop.changed() => {}
            }
        }
    }

    fn start(&mut self, report: &mpsc::UnboundedSender<Ended>) {
        let now = self.core.clock.now();
        let free = self.slots - self.flying.len();
        let rows = self.core.state().claim(&self.queue, &self.group, free, now);
        for row in rows {
            let seq = row.seq;
            let (handler, report) = (self.handler.clone(), report.clone());
            let task = plugin_api::spawn(async move {
                let result = guarded(handler.as_ref(), row.job()).await;
                report.send((row, result)).ok();
            });
            self.flying.insert(seq, task.abort_handle());
        }
    }

    /// Ends the handlers still running and gives their jobs to whoever looks next.
    fn release(mut self, reports: &mut mpsc::UnboundedReceiver<Ended>) {
        while let Ok((row, result)) = reports.try_recv() {
            self.end(&row, &result);
        }
        let now = self.core.clock.now();
        for (seq, task) in self.flying {
            task.abort();
            self.core.state().again(&self.queue, seq, now, false);
        }
    }

    fn end(&mut self, row: &Row, result: &Result<(), JobError>) {
        self.flying.remove(&row.seq);
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
