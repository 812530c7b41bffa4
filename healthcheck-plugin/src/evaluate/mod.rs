//! From runs to a status: of one check through its thresholds, of a system as the worst of its checks
//! (`healthcheck §6`). Pure functions of stored runs and thresholds ([`decide`]).

pub mod decide;
mod thresholds;

pub use thresholds::{Consecutive, StoredThresholds, ThresholdError, Thresholds, Window};

/// Runs of one assignment that are looked at, newest first (`healthcheck §6.1`).
pub const RUNS_CONSIDERED: usize = 100;
