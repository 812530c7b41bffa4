//! `signalbox demo`: the main job on real input, told line by line, on one server or on several nodes.

mod nodes;
mod run;
mod service;
mod snapshot;
mod story;

pub use run::{apply_examples, run};
pub use service::{Outage, Service};
pub use snapshot::snapshot;
pub use story::{Line, Snapshot, Story, finished, stuck};
