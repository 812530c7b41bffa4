//! Following single events: who was called for them, and when their runs were over.
//!
//! The action notes calls. The end of a run is what the engine announces after its last commit; those who fall behind the
//! announcements ask the database instead, so that no run's end is missed.

use crate::stopwatch::{self, Moment};
use anyhow::{Context, Result, bail};
use plugin_api::{Db, Id, signal::Signals};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::{broadcast::error::RecvError, oneshot};
use uuid::Uuid;

/// What one event took.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// From its commit to the call of its action.
    pub call: Duration,
    /// From its commit to the end of its run.
    pub end: Duration,
}

/// What is on its way on all nodes of a benchmark.
#[derive(Default)]
pub struct Progress {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By thing: not called yet.
    expected: HashMap<String, Expected>,
    /// By run: called, and not over.
    running: HashMap<Uuid, oneshot::Sender<Moment>>,
    calls: u64,
    last_call: Option<Moment>,
}

struct Expected {
    called: oneshot::Sender<Moment>,
    ended: oneshot::Sender<Moment>,
}

/// The far end of an event that was announced with [`Progress::expect`].
pub struct Ticket {
    called: oneshot::Receiver<Moment>,
    ended: oneshot::Receiver<Moment>,
}

impl Ticket {
    /// Waits for the call and the end, counted from the event's commit.
    ///
    /// # Errors
    /// When either does not come in time.
    pub async fn follow(self, committed: Moment) -> Result<Timing> {
        let called = stopwatch::within("an action to be called", self.called).await?;
        let called = called.context("the event was given up")?;
        let ended = stopwatch::within("a run to end", self.ended).await?;
        Ok(Timing {
            call: called.since(committed),
            end: ended.context("the run was given up")?.since(committed),
        })
    }
}

plugin_api::statements! {
    ENDED = {
        sqlite: "select id from automation_runs where finished_at is not null and id in (select value from json_each($1))",
        postgres: "select id from signalbox.automation_runs where finished_at is not null and id = any($1)",
    };
}

impl Progress {
    /// Announces an event of a thing. One of a thing may be on its way at a time.
    ///
    /// # Errors
    /// When there is one.
    pub fn expect(&self, thing: &str) -> Result<Ticket> {
        let ((called, when_called), (ended, when_ended)) = (oneshot::channel(), oneshot::channel());
        let mut state = self.state.lock().expect("progress");
        let before = state
            .expected
            .insert(thing.to_owned(), Expected { called, ended });
        if before.is_some() {
            bail!("an event of {thing} is on its way: the engine cannot keep up");
        }
        Ok(Ticket {
            called: when_called,
            ended: when_ended,
        })
    }

    /// Notes a call of the action.
    pub(super) fn called(&self, thing: &str, run: Uuid) {
        let now = Moment::now();
        let mut state = self.state.lock().expect("progress");
        state.calls += 1;
        state.last_call = Some(now);
        if let Some(expected) = state.expected.remove(thing) {
            state.running.insert(run, expected.ended);
            // Whoever does not follow the event any more does not need to know.
            let _ = expected.called.send(now);
        }
    }

    /// Calls so far.
    pub fn calls(&self) -> u64 {
        self.state.lock().expect("progress").calls
    }

    /// When the last call was.
    pub fn last_call(&self) -> Option<Moment> {
        self.state.lock().expect("progress").last_call
    }

    fn ended(&self, run: Uuid) {
        let ended = self.state.lock().expect("progress").running.remove(&run);
        if let Some(ended) = ended {
            let _ = ended.send(Moment::now());
        }
    }

    /// Listens to what a node announces, until the task is stopped.
    pub(super) fn listen(
        self: &Arc<Self>,
        signals: &dyn Signals,
        db: Db,
    ) -> tokio::task::JoinHandle<()> {
        let (me, mut announced) = (self.clone(), signals.subscribe());
        plugin_api::spawn(async move {
            loop {
                match announced.recv().await {
                    Ok(sent) => {
                        let signal = &sent.signal;
                        if signal.signal_id == "automation.run.status" {
                            let over = matches!(
                                signal.payload["status"].as_str(),
                                Some("success" | "failed" | "cancelled")
                            );
                            let run = signal.payload["run_id"].as_str().unwrap_or_default();
                            if let (true, Ok(run)) = (over, run.parse()) {
                                me.ended(run);
                            }
                        }
                    }
                    Err(RecvError::Lagged(_)) => me.ask(&db).await,
                    Err(RecvError::Closed) => return,
                }
            }
        })
    }

    /// Asks the database which of the running runs are over.
    async fn ask(&self, db: &Db) {
        let running: Vec<Uuid> = {
            let state = self.state.lock().expect("progress");
            state.running.keys().copied().collect()
        };
        let over: Vec<Id> = match db.sql(ENDED).ids(&running).all().await {
            Ok(over) => over,
            Err(error) => return eprintln!("Runs could not be asked for: {error}"),
        };
        for run in over {
            self.ended(run.0);
        }
    }
}
