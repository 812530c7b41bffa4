//! Named fail points: places where a test makes the program fail, hang or die.
//!
//! `fail::point("entity.after_commit").await?` does nothing unless the cargo feature `fail-points` is
//! on (only the test kit turns it on) *and* the running task belongs to a [`Scope`] that armed the
//! name. A scope travels with [`spawn`](crate::spawn) like the request context does, so each node of
//! a test has its own, tests in one process do not meet, and [`Scope::kill`] can stop every task of
//! a node where it stands – what SIGKILL does, without a process.

/// The error of an armed point; turns into any boxed error, and into a database error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("injected failure at {0}")]
pub struct Injected(pub &'static str);

/// The point that every statement, begin and commit of a node passes: the database itself. Failing
/// there means that it cannot be reached, hanging that it does not answer.
pub const DATABASE: &str = "db";

/// Before a transaction, or a writing statement of its own, is committed.
pub const COMMIT: &str = "db.commit";
/// After it was committed, before anybody was told.
pub const COMMITTED: &str = "db.committed";

impl From<Injected> for crate::db::DbError {
    fn from(e: Injected) -> Self {
        if e.0 == DATABASE {
            Self::Io(std::io::Error::new(
                std::io::ErrorKind::ConnectionRefused,
                e.to_string(),
            ))
        } else {
            Self::Protocol(e.to_string())
        }
    }
}

/// A place that a test can make fail. Names are `<crate>.<place>`.
#[cfg(not(feature = "fail-points"))]
#[inline(always)]
pub async fn point(_name: &'static str) -> Result<(), Injected> {
    Ok(())
}

#[cfg(feature = "fail-points")]
pub use armed::{Action, Scope, point};

#[cfg(feature = "fail-points")]
pub(crate) use armed::current;

#[cfg(feature = "fail-points")]
mod armed {
    use super::Injected;
    use std::{
        collections::HashMap,
        future::Future,
        sync::{Arc, Mutex},
    };
    use tokio::{sync::watch, task::AbortHandle};

    /// What happens at an armed point.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Action {
        /// The next `n` visits fail.
        Error(u32),
        /// Every visit panics.
        Panic,
        /// Every visit waits until the point is disarmed.
        Hang,
        /// The `n`th visit from now is the node's last moment; see [`Scope::kill`].
        Kill(u32),
    }

    #[derive(Default)]
    struct State {
        points: HashMap<&'static str, Action>,
        visits: HashMap<&'static str, u64>,
        tasks: Vec<AbortHandle>,
        killed: bool,
    }

    /// The fail points and tasks of one node.
    #[derive(Clone)]
    pub struct Scope {
        state: Arc<Mutex<State>>,
        changed: watch::Sender<()>,
    }

    tokio::task_local! {
        static SCOPE: Scope;
    }

    impl Default for Scope {
        fn default() -> Self {
            Self {
                state: Arc::default(),
                changed: watch::Sender::new(()),
            }
        }
    }

    impl Scope {
        /// Runs a future, and every task it starts, in this scope.
        pub async fn run<F: Future>(&self, f: F) -> F::Output {
            SCOPE.scope(self.clone(), f).await
        }
        /// Arms a point.
        pub fn arm(&self, name: &'static str, action: Action) {
            self.state
                .lock()
                .expect("scope")
                .points
                .insert(name, action);
            self.changed.send_replace(());
        }
        /// Disarms a point and releases who hangs there.
        pub fn disarm(&self, name: &'static str) {
            self.state.lock().expect("scope").points.remove(name);
            self.changed.send_replace(());
        }
        /// How often a point was passed, armed or not.
        pub fn visits(&self, name: &'static str) -> u64 {
            let state = self.state.lock().expect("scope");
            state.visits.get(name).copied().unwrap_or(0)
        }
        /// Stops every task of this scope where it stands and lets no new one start.
        pub fn kill(&self) {
            let tasks = {
                let mut state = self.state.lock().expect("scope");
                state.killed = true;
                std::mem::take(&mut state.tasks)
            };
            for task in tasks {
                task.abort();
            }
        }
        /// Whether it was killed.
        pub fn is_killed(&self) -> bool {
            self.state.lock().expect("scope").killed
        }
        pub(crate) fn track(&self, task: AbortHandle) {
            let mut state = self.state.lock().expect("scope");
            if state.killed {
                task.abort();
                return;
            }
            if state.tasks.len() >= 64 && state.tasks.len().is_power_of_two() {
                state.tasks.retain(|t| !t.is_finished());
            }
            state.tasks.push(task);
        }
        fn visit(&self, name: &'static str) -> Option<Action> {
            let mut state = self.state.lock().expect("scope");
            *state.visits.entry(name).or_default() += 1;
            let action = state.points.get(name).copied();
            match action {
                Some(Action::Error(n)) if n > 1 => {
                    state.points.insert(name, Action::Error(n - 1));
                }
                Some(Action::Kill(n)) if n > 1 => {
                    state.points.insert(name, Action::Kill(n - 1));
                    return None;
                }
                Some(Action::Error(_) | Action::Kill(_)) => {
                    state.points.remove(name);
                }
                _ => {}
            }
            action
        }
        fn hangs(&self, name: &'static str) -> bool {
            let state = self.state.lock().expect("scope");
            state.points.get(name) == Some(&Action::Hang)
        }
    }

    pub(crate) fn current() -> Option<Scope> {
        SCOPE.try_with(Clone::clone).ok()
    }

    /// A place that a test can make fail. Names are `<crate>.<place>`.
    pub async fn point(name: &'static str) -> Result<(), Injected> {
        let Some(scope) = current() else {
            return Ok(());
        };
        let mut changed = scope.changed.subscribe();
        match scope.visit(name) {
            None => Ok(()),
            Some(Action::Error(_)) => Err(Injected(name)),
            Some(Action::Panic) => panic!("{}", Injected(name)),
            Some(Action::Kill(_)) => {
                scope.kill();
                std::future::pending().await
            }
            Some(Action::Hang) => {
                while scope.hangs(name) {
                    if changed.changed().await.is_err() {
                        break;
                    }
                }
                Ok(())
            }
        }
    }
}
