//! The decision ledger: one row for each `(automation, trigger, occurrence)` that had an effect,
//! written in the transaction of that effect (`dispatch §3.10`).

use automation_core::{AutomationId, RunId};
use plugin_api::{Ts, Tx, db::DbError};
use std::collections::HashSet;

/// `<automation>|<trigger>|<occurrence>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LedgerKey {
    automation: AutomationId,
    text: String,
}

impl LedgerKey {
    /// The key of one decision.
    pub fn new(automation: AutomationId, trigger: &str, occurrence: &str) -> Self {
        Self {
            automation,
            text: format!("{automation}|{trigger}|{occurrence}").replace('\0', "\u{2400}"),
        }
    }
    /// The automation it is about.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn automation(&self) -> AutomationId {
        self.automation
    }
    /// As stored; also the run's `dedup_key`.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A dwell was armed.
    DwellArmed,
    /// One was armed already.
    DwellKept,
    /// A run was created.
    RunStarted(RunId),
    /// The bucket refused it.
    RunRefused,
    /// A run was created and waits for its turn.
    RunQueued(RunId),
    /// A condition was false or failed.
    ConditionsFailed,
    /// The window holds it back.
    WindowHeld,
    /// The window let it pass, and a gate behind it gave no decision of its own.
    WindowPassed,
}

impl Decision {
    /// As stored; none when the evaluation is to go on behind the window.
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Decision::DwellArmed => "dwell_armed",
            Decision::DwellKept => "dwell_kept",
            Decision::RunStarted(_) => "run_started",
            Decision::RunQueued(_) => "run_queued",
            Decision::RunRefused => "run_refused",
            Decision::ConditionsFailed => "conditions_failed",
            Decision::WindowHeld => "window_held",
            Decision::WindowPassed => return None,
        })
    }

    pub(crate) fn run(self) -> Option<RunId> {
        match self {
            Decision::RunStarted(run) | Decision::RunQueued(run) => Some(run),
            _ => None,
        }
    }

    /// What the window gate said, where it is what decided.
    pub(crate) fn window_fired(self) -> Option<i64> {
        match self {
            Decision::WindowHeld => Some(0),
            Decision::WindowPassed => Some(1),
            _ => None,
        }
    }
}

plugin_api::batch_row! {
    struct LedgerRow {
        key: String,
        automation_id: AutomationId,
        window_fired: Option<i64>,
        decision: Option<String>,
        run_id: Option<RunId>,
        decided_at: Ts,
    }
}

plugin_api::statements! {
    /// A row without a decision (a crash after the window gate) takes this one; any other stays.
    pub WRITE = {
        sqlite: "insert into automation_occurrences(key, automation_id, window_fired, decision, run_id, decided_at) select value->>'key', value->>'automation_id', value->>'window_fired', value->>'decision', value->>'run_id', value->>'decided_at' from jsonb_each($1) where true on conflict(key) do update set decision = excluded.decision, run_id = excluded.run_id, decided_at = excluded.decided_at where automation_occurrences.decision is null returning key",
        postgres: "insert into signalbox.automation_occurrences as o (key, automation_id, window_fired, decision, run_id, decided_at) select * from unnest($1::text[], $2::uuid[], $3::bigint[], $4::text[], $5::uuid[], $6::timestamptz[]) on conflict(key) do update set decision = excluded.decision, run_id = excluded.run_id, decided_at = excluded.decided_at where o.decision is null returning key",
    };
    /// Replaces what this same transaction wrote.
    pub CHANGE = {
        sqlite: "update automation_occurrences set decision = r.value->>'decision', run_id = r.value->>'run_id' from jsonb_each($1) r where automation_occurrences.key = r.value->>'key'",
        postgres: "update signalbox.automation_occurrences o set decision = r.decision, run_id = r.run_id from unnest($1::text[], $2::uuid[], $3::bigint[], $4::text[], $5::uuid[], $6::timestamptz[]) as r(key, automation_id, window_fired, decision, run_id, decided_at) where o.key = r.key",
    };
}

fn rows(now: Ts, decisions: &[(LedgerKey, Decision)]) -> Vec<LedgerRow> {
    let mut seen = HashSet::new();
    decisions
        .iter()
        .filter(|(key, _)| seen.insert(&key.text))
        .map(|(key, decision)| LedgerRow {
            key: key.text.clone(),
            automation_id: key.automation,
            window_fired: decision.window_fired(),
            decision: decision.name().map(str::to_owned),
            run_id: decision.run(),
            decided_at: now,
        })
        .collect()
}

/// Records decisions; answers the keys that were not decided before. A key that comes twice is
/// recorded for its first.
pub(crate) async fn write(
    tx: &mut Tx,
    now: Ts,
    decisions: &[(LedgerKey, Decision)],
) -> Result<HashSet<String>, DbError> {
    let rows = rows(now, decisions);
    if rows.is_empty() {
        return Ok(HashSet::new());
    }
    let fresh: Vec<String> = tx.sql(WRITE).rows(&rows).all().await?;
    Ok(fresh.into_iter().collect())
}

/// Changes decisions that this transaction recorded.
pub(crate) async fn change(
    tx: &mut Tx,
    now: Ts,
    decisions: &[(LedgerKey, Decision)],
) -> Result<(), DbError> {
    let rows = rows(now, decisions);
    if !rows.is_empty() {
        tx.sql(CHANGE).rows(&rows).execute().await?;
    }
    Ok(())
}
