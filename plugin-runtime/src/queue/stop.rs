//! The loops of a queue service from their start to their end: first asked to stop, then made to.

use plugin_api::{Clock, queue::QueueError};
use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{sync::watch, task::JoinHandle};

/// How long running handlers are waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long loops may take to give back the jobs of handlers that were ended.
const GIVING_BACK: Duration = Duration::from_secs(5);

/// How far a loop is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stop {
    /// Not at all.
    No,
    /// Take no new work, let handlers end.
    Draining,
    /// End handlers and give their jobs back.
    Abort,
}

/// Stops a loop.
pub(super) struct Stopper(watch::Sender<Stop>);

impl Stopper {
    /// Asks to stop; false when it had been asked that much before.
    pub fn stop(&self, how: Stop) -> bool {
        self.0.send_if_modified(|s| {
            let more = how > *s;
            *s = how.max(*s);
            more
        })
    }
}

type Running = (Arc<Stopper>, JoinHandle<()>);

/// The loops of one service.
#[derive(Default)]
pub(super) struct Loops(Mutex<Started>);

#[derive(Default)]
struct Started {
    stopped: bool,
    running: Vec<Running>,
}

impl Loops {
    fn started(&self) -> MutexGuard<'_, Started> {
        self.0.lock().expect("no panic while held")
    }

    /// Starts the loop that `make` makes of what tells it to stop; refused once the service has
    /// stopped.
    pub fn start<F>(
        &self,
        queue: &str,
        make: impl FnOnce(watch::Receiver<Stop>) -> F,
    ) -> Result<Arc<Stopper>, QueueError>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut started = self.started();
        if started.stopped {
            return Err(QueueError::Refused {
                queue: queue.into(),
                reason: "the queue service has stopped and takes no consumers".into(),
            });
        }
        started.running.retain(|(_, task)| !task.is_finished());
        let (stop, stopped) = watch::channel(Stop::No);
        let stopper = Arc::new(Stopper(stop));
        let task = plugin_api::spawn(make(stopped));
        started.running.push((stopper.clone(), task));
        Ok(stopper)
    }

    /// Stops all: takes no new work, waits for running handlers, ends those that take too long.
    /// `node` names the process in the log.
    pub async fn stop(&self, clock: &dyn Clock, node: &str) {
        let mut running = {
            let mut started = self.started();
            started.stopped = true;
            std::mem::take(&mut started.running)
        };
        if end(&mut running, Stop::Draining, clock, PATIENCE).await {
            return;
        }
        tracing::warn!(
            node,
            "Handlers still run after 30 s; they are ended and their jobs given back."
        );
        end(&mut running, Stop::Abort, clock, GIVING_BACK).await;
    }
}

/// Asks loops to stop and waits for them; false when that took too long.
async fn end(running: &mut [Running], how: Stop, clock: &dyn Clock, limit: Duration) -> bool {
    for (stopper, _) in running.iter() {
        stopper.stop(how);
    }
    let ended = async {
        for (_, task) in running.iter_mut().filter(|(_, t)| !t.is_finished()) {
            task.await.ok();
        }
    };
    plugin_api::timeout(clock, limit, ended).await.is_ok()
}
