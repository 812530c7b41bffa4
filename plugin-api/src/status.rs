//! What the loops of a process are doing (design §3.3): each loop keeps a small document here, and
//! `/status` and the command line show them all.

use crate::values::Ts;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock},
};

/// The document of one loop.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LoopStatus {
    /// `<crate or plugin>.<loop>`.
    pub name: String,
    /// When it last looked at its rows, as RFC 3339; absent before the first pass.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::values::rfc3339::option::serialize"
    )]
    pub last_pass: Option<Ts>,
    /// Items it knows to be waiting; absent when the loop does not count them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backlog: Option<u64>,
    /// Items handled since the process started.
    pub handled: u64,
    /// The last failure and when, kept until the loop is forgotten; carries no secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<LoopError>,
}

/// A failed pass.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LoopError {
    /// When.
    #[serde(serialize_with = "crate::values::rfc3339::serialize")]
    pub at: Ts,
    /// What happened.
    pub message: String,
}

/// What a process is, apart from what it does.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodeStatus {
    /// This process, unique per start.
    pub node_id: String,
    /// `sqlite` or `postgres`.
    pub storage: &'static str,
    /// True when other nodes may share the database.
    pub clustered: bool,
    /// When the boot was complete.
    #[serde(serialize_with = "crate::values::rfc3339::serialize")]
    pub started_at: Ts,
    /// The plugins that run, in the order in which they were initialised.
    pub plugins: Vec<String>,
}

/// All loops of a process, and what it is; clones share it.
#[derive(Clone, Default)]
pub struct StatusBoard(
    Arc<Mutex<BTreeMap<String, LoopStatus>>>,
    Arc<OnceLock<NodeStatus>>,
);

impl StatusBoard {
    /// The handle by which a loop reports; a second handle of one name continues the same document.
    pub fn register(&self, name: impl Into<String>) -> LoopReporter {
        let name = name.into();
        let mut all = self.0.lock().expect("status board");
        all.entry(name.clone()).or_insert_with(|| LoopStatus {
            name: name.clone(),
            ..LoopStatus::default()
        });
        LoopReporter {
            board: self.clone(),
            name,
        }
    }
    /// Says what this process is; once, when its boot is complete.
    pub fn describe(&self, node: NodeStatus) {
        self.1.set(node).ok();
    }
    /// What this process is; none during the boot.
    pub fn node(&self) -> Option<NodeStatus> {
        self.1.get().cloned()
    }
    /// Every document, by name.
    pub fn list(&self) -> Vec<LoopStatus> {
        let all = self.0.lock().expect("status board");
        all.values().cloned().collect()
    }
    /// One document.
    pub fn get(&self, name: &str) -> Option<LoopStatus> {
        self.0.lock().expect("status board").get(name).cloned()
    }
}

/// Reports for one loop; cheap to clone.
#[derive(Clone)]
pub struct LoopReporter {
    board: StatusBoard,
    name: String,
}

impl LoopReporter {
    fn update(&self, f: impl FnOnce(&mut LoopStatus)) {
        let mut all = self.board.0.lock().expect("status board");
        if let Some(status) = all.get_mut(&self.name) {
            f(status);
        }
    }
    /// A pass that went well: how many items it handled, and how many it knows to be waiting.
    pub fn pass(&self, at: Ts, handled: u64, backlog: Option<u64>) {
        self.update(|s| {
            s.last_pass = Some(at);
            s.handled += handled;
            s.backlog = backlog;
        });
    }
    /// A pass that failed.
    pub fn failed(&self, at: Ts, error: &dyn std::fmt::Display) {
        let message = error.to_string();
        self.update(|s| {
            s.last_pass = Some(at);
            s.last_error = Some(LoopError { at, message });
        });
    }
}
