//! Built-in triggers that need no code of the engine: their configs, payloads and gates
//! (`definition §10`). The engine registers them under its plugin id `automation` and arms the
//! schedules.

mod cron;
mod interval;
mod numeric_state;
mod state;
mod state_index;

pub use cron::{CronConfig, CronPayload, check_cron, cron};
pub use interval::{IntervalConfig, interval};
pub use numeric_state::{
    NUMERIC_STATE_EVENT, NumericStateConfig, NumericStatePayload, numeric_state, numeric_state_fact,
};
pub use state::{STATE_EVENT, StateConfig, StateKinds, StatePayload, state, state_payload};
pub use state_index::StateIndex;
