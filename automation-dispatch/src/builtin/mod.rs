//! What the engine itself contributes: `automation.log`, `automation.cron`, `automation.interval`,
//! `automation.numeric_state`, `automation.state`; and arming of every trigger that is set up per automation.

mod arm;
mod log;
mod schedule;
mod state;

pub use arm::{Arming, run as run_arming};
pub use log::Log;
pub use schedule::{Cron, Interval, Schedules, run as run_ticks};
pub use state::States;
