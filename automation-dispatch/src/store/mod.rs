//! Reading runs, steps, artifacts, locks and dwells. Everything written about runs goes through
//! [`crate::commit`]; what is here reads, or changes rows that belong to no driver.

pub mod artifacts;
pub(crate) mod locks;
pub mod runs;
