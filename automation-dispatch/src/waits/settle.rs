//! Woken first, decided later: a firing of an automation is decided after those of its runs that this
//! node woke for the same event have come to rest (`dispatch §5.4.2`). So a run that an event ends is
//! over when the same event asks whether another may start.

use crate::{drive::Drivers, shared::Shared};
use automation_core::{AutomationId, RunId};
use plugin_api::Ts;
use std::{collections::HashMap, sync::Mutex, time::Duration};

/// No run holds a decision up for longer; its action may take as long as it likes.
const LIMIT_MS: i64 = 10_000;
/// How soon to look again although no run has left.
const LOOK: Duration = Duration::from_millis(100);

/// Runs that this node woke by an event and that are not known to rest yet.
#[derive(Default)]
pub struct Settling(Mutex<HashMap<AutomationId, (Ts, Vec<RunId>)>>);

impl Settling {
    /// Remembers who was woken.
    pub fn woken(&self, now: Ts, runs: &HashMap<AutomationId, Vec<RunId>>) {
        if runs.is_empty() {
            return;
        }
        let mut settling = self.0.lock().expect("settling");
        for (automation, runs) in runs {
            let entry = settling
                .entry(*automation)
                .or_insert_with(|| (now, Vec::new()));
            entry.0 = now;
            entry.1.extend(runs);
        }
    }

    /// Ends when decisions of an automation need not wait any more.
    pub async fn rest(&self, shared: &Shared, automation: AutomationId) {
        while self.is_busy(automation, &shared.drivers, shared.clock.now()) {
            shared.drivers.leaving(&*shared.clock, LOOK).await;
        }
    }

    /// Whether decisions of an automation have to wait.
    pub fn is_busy(&self, automation: AutomationId, drivers: &Drivers, now: Ts) -> bool {
        let mut settling = self.0.lock().expect("settling");
        let Some((since, runs)) = settling.get_mut(&automation) else {
            return false;
        };
        runs.retain(|run| drivers.has(*run));
        let busy = !runs.is_empty() && now.millis() - since.millis() < LIMIT_MS;
        if !busy {
            settling.remove(&automation);
        }
        busy
    }
}
