//! Keeping a node's clock equal to the database's.
//!
//! Persisted instants are compared with one clock only, the database's; a node adds to its own the
//! difference that it measured. The measurement is as good as half a round trip, so a difference
//! inside that is left alone and the clock does not jitter.

use plugin_api::{
    Clock, Db, SystemClock, Ts,
    core::ClockSync,
    db::{DbError, Sql},
};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

const NOW: Sql = Sql {
    sqlite: "select 0",
    postgres: "select clock_timestamp()",
};
/// Measured again at most this often.
const PAUSE: Duration = Duration::from_secs(20);
/// Measured again at least this often.
pub(crate) const IDLE: Duration = Duration::from_secs(300);

/// The offset of one node's clock.
pub(crate) struct DbClock {
    db: Db,
    clock: Arc<SystemClock>,
    last: Mutex<Option<Duration>>,
}

impl DbClock {
    pub fn new(db: Db, clock: Arc<SystemClock>) -> Self {
        Self {
            db,
            clock,
            last: Mutex::default(),
        }
    }

    /// Measures now.
    pub async fn measure(&self) -> Result<(), DbError> {
        let (sent, start) = (self.clock.now(), self.clock.monotonic());
        let theirs: Ts = self.db.sql(NOW).one().await?;
        let round_trip = (self.clock.monotonic() - start).as_millis() as i64;
        let ours = sent.millis() + round_trip / 2;
        let difference = theirs.millis() - ours;
        if difference.abs() > round_trip / 2 + 1 {
            let offset = self.clock.offset_ms() + difference;
            self.clock.set_offset_ms(offset);
            tracing::info!(
                offset_ms = offset,
                changed_by_ms = difference,
                "The clock now follows the database's."
            );
        }
        *self.last.lock().expect("clock") = Some(self.clock.monotonic());
        Ok(())
    }
}

#[async_trait::async_trait]
impl ClockSync for DbClock {
    async fn sync(&self) -> Result<(), DbError> {
        let last = *self.last.lock().expect("clock");
        match last {
            Some(last) if self.clock.monotonic() - last < PAUSE => Ok(()),
            _ => self.measure().await,
        }
    }
}
