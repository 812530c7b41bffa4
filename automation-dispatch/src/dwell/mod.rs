//! Dwells: `for:` on a trigger (`dispatch §6`).
//!
//! Arming writes one row for `(automation, trigger, context key)` and a timer at its end; a row that
//! is there already is kept, so a trigger that re-fires every minute still elapses. When the time has
//! come, what fired must still hold and must have held throughout; then the row is taken and the run
//! created in one transaction, so exactly one of several racing callers starts it.

pub mod decide;
mod expire;
mod hold;
mod inverse;
mod rows;

pub use expire::{expire, run as run_timers};
pub use inverse::{cancel as inverse_cancel, check as inverse_check};
pub use rows::{ALL, DELETE_OF_DISABLED, DUE, Dwell, OF_AUTOMATION, ends_at};

use crate::{
    fire::{Decision, Firing, LedgerKey, ledger},
    shared::Shared,
    version,
    why::{self, Cancelled, Entry, Ruling},
};
use automation_core::DwellId;
use plugin_api::{
    Doc, Text, Ts, Tx,
    db::DbError,
    queue::{JobError, NewJob},
};
use serde_json::{Value, json};
use std::{collections::HashSet, sync::Arc};

/// Queue of dwell timers.
pub const QUEUE: &str = "automation-dwell";
/// Its consumer group.
pub const GROUP: &str = "automation-dwell-fire";

/// A dwell to arm.
pub struct Arm {
    /// The decision to record.
    pub key: LedgerKey,
    /// What fired.
    pub firing: Firing,
    /// What later gates and the run see.
    pub payload: Arc<Value>,
    /// Its end.
    pub fire_at: Ts,
}

/// The timer of a dwell. The row's id is in the job's, so that a re-arm after a cancel has a job of
/// its own (`dispatch §6.1`).
pub(crate) fn timer(id: DwellId, at: Ts) -> NewJob {
    NewJob::new(version::mark(json!({"dwellId": id})))
        .id(format!("dwell:{id}"))
        .at(at)
}

/// Arms dwells in `tx`, with their ledger rows and timers.
pub async fn arm(
    shared: &Arc<Shared>,
    tx: &mut Tx,
    now: Ts,
    arms: Vec<Arm>,
) -> Result<(), JobError> {
    let decisions: Vec<(LedgerKey, Decision)> = arms
        .iter()
        .map(|a| (a.key.clone(), Decision::DwellArmed))
        .collect();
    let mut fresh = ledger::write(tx, now, &decisions).await?;
    let (arms, again): (Vec<Arm>, Vec<Arm>) =
        arms.into_iter().partition(|a| fresh.remove(a.key.text()));
    let again = again
        .iter()
        .map(|a| Entry::of(&a.firing, now, Ruling::Duplicate));
    let again: Vec<Entry> = again.collect();
    if arms.is_empty() {
        shared.decisions.record_all_in(tx, again);
        return Ok(());
    }
    let statuses = hold::statuses_to_arm(shared, &arms).await;
    let mut rows = Vec::with_capacity(arms.len());
    for (arm, status) in arms.iter().zip(statuses) {
        let trigger = &arm.firing.automation.program.triggers[arm.firing.trigger];
        rows.push(rows::NewDwell {
            id: DwellId::new(&*shared.clock),
            automation_id: arm.firing.automation.id,
            trigger_id: trigger.id.clone(),
            event_id: trigger.event.clone(),
            context_key: arm.firing.occurrence.context_key.clone().map(Text::new),
            armed_status: status.as_ref().map(|s| s.status.clone()),
            armed_ref: status.map(|s| s.entity_ref),
            trigger_hash: trigger.hash.clone(),
            payload_snapshot: Doc(Value::clone(&arm.payload)),
            actor_snapshot: Doc(json!(arm.firing.occurrence.actor)),
            cause: arm.firing.occurrence.cause.as_ref().map(|c| Doc(json!(c))),
            fire_at: arm.fire_at,
            created_at: now,
        });
    }
    let made = insert(shared, tx, now, &arms, &rows).await?;
    let kept: Vec<(LedgerKey, Decision)> = arms
        .iter()
        .zip(&rows)
        .filter(|(_, row)| !made.contains(&row.id))
        .map(|(arm, _)| (arm.key.clone(), Decision::DwellKept))
        .collect();
    ledger::change(tx, now, &kept).await?;
    let jobs: Vec<NewJob> = rows
        .iter()
        .filter(|row| made.contains(&row.id))
        .map(|row| timer(row.id, row.fire_at))
        .collect();
    if !jobs.is_empty() {
        shared.queues.enqueue_in(tx, QUEUE, jobs).await?;
    }
    for (arm, row) in arms.iter().zip(&rows) {
        let ruling = match made.contains(&row.id) {
            true => Ruling::DwellArmed {
                until: row.fire_at,
                again: false,
            },
            false => Ruling::DwellKept,
        };
        let entry = Entry::of(&arm.firing, now, ruling);
        shared.decisions.record_in(tx, entry);
        tracing::debug!(automation = %arm.firing.automation.id, trigger = row.trigger_id, fire_at = %row.fire_at, armed = made.contains(&row.id), "A dwell was armed, or kept.");
    }
    shared.decisions.record_all_in(tx, again);
    Ok(())
}

/// Inserts rows; answers those that are there now. A row that is there already is kept, unless its
/// trigger has been edited since: it would be dropped at its end, and the match that finds it would
/// be lost with it (`dispatch §6.2.2`: it re-arms on its next match).
async fn insert(
    shared: &Arc<Shared>,
    tx: &mut Tx,
    now: Ts,
    arms: &[Arm],
    rows: &[rows::NewDwell],
) -> Result<HashSet<DwellId>, DbError> {
    let mut made: HashSet<DwellId> = rows::insert(tx, rows).await?.into_iter().collect();
    // After the insert, which has waited for whoever was about to arm the same key.
    let met = arms.iter().zip(rows).filter(|(_, r)| !made.contains(&r.id));
    let successors: Vec<rows::Successor> = met
        .map(|(arm, row)| rows::Successor {
            automation_id: row.automation_id,
            trigger_id: row.trigger_id.clone(),
            context_key: row.context_key.clone(),
            trigger_hash: row.trigger_hash.clone(),
            version: arm.firing.automation.version,
        })
        .collect();
    let old = rows::supersede(tx, &successors).await?;
    if old.is_empty() {
        return Ok(made);
    }
    for dwell in old {
        tracing::debug!(dwell = %dwell.id, "An armed dwell makes way: its trigger has been edited and matched again.");
        let (_, entry) = why::dropped(shared, &dwell, false, now);
        shared.decisions.record_in(tx, entry);
    }
    let again: Vec<rows::NewDwell> = rows
        .iter()
        .filter(|r| !made.contains(&r.id))
        .cloned()
        .collect();
    made.extend(rows::insert(tx, &again).await?);
    Ok(made)
}

/// A trigger's own gate said no: what its dwell hangs on is over (`dispatch §6.3`).
pub async fn own_gate_said_no(
    shared: &Arc<Shared>,
    tx: &mut Tx,
    firing: &Firing,
) -> Result<(), DbError> {
    let trigger = &firing.automation.program.triggers[firing.trigger];
    let own_gate = shared
        .registries
        .trigger(&trigger.event)
        .is_some_and(|r| r.holds.is_none() && r.evaluate_config.is_some());
    if own_gate
        && rows::delete_by_key(
            tx,
            firing.automation.id,
            &trigger.id,
            firing.occurrence.context_key.as_deref(),
        )
        .await?
    {
        let ruling = Ruling::DwellCancelled(Cancelled::OwnGate);
        let entry = Entry::of(firing, shared.clock.now(), ruling);
        shared.decisions.record_in(tx, entry);
    }
    Ok(())
}
