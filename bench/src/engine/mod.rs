//! The dispatch engine under the loads that matter, one file a workload.
//!
//! To add one: a file with a `WORKLOAD`, and its line in [`WORKLOADS`]. Most need a [`Stage`](stage::Stage): one node on a
//! database of its own, with the floors beside it. A definition that the engine does not run yet is a figure without a
//! value, and the reason as its note.

mod automations;
mod backlog;
mod dwell;
mod filters;
mod hooks;
mod latency;
mod nodes;
mod parallel;
mod single;
mod stage;
mod start;
mod waiting;

use crate::jobs::Workload;

/// Every workload.
pub const WORKLOADS: &[&Workload] = &[
    &single::WORKLOAD,
    &backlog::WORKLOAD,
    &latency::WORKLOAD,
    &hooks::WORKLOAD,
    &automations::WORKLOAD,
    &filters::WORKLOAD,
    &dwell::WORKLOAD,
    &waiting::WORKLOAD,
    &parallel::WORKLOAD,
    &nodes::WORKLOAD,
    &start::WORKLOAD,
];
