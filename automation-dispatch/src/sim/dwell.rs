//! Dwells on the model store (`dwell/`).

use super::{
    exec::Core,
    fire,
    node::Node,
    store::{
        Dwell,
        tx::{Aborted, Key, Tx},
    },
};
use crate::{
    dwell::{
        decide::{Expiry, Standing, armed_trigger, equality, expiry},
        timer,
    },
    fire::{Candidate, Decision, Firing, LedgerKey, trigger_scope, view},
    gates::decide::{Verdict, conditions},
    guards::{Guard, taken_out},
    walk::view::{Base, Live},
};
use automation_core::DwellId;
use plugin_api::{Actor, Ts};
use serde_json::{Value, json};
use std::sync::Arc;
use template_engine::Env;

/// A dwell to arm.
pub struct Arm {
    pub key: LedgerKey,
    pub firing: Firing,
    pub payload: Arc<Value>,
    pub fire_at: Ts,
}

fn has_own_gate(node: &Node, event: &str) -> bool {
    node.sim
        .registries
        .trigger(event)
        .is_some_and(|r| r.evaluate_config.is_some())
}

/// The status of an entity, when the scheduler lets it be read.
async fn status(node: &Node, entity: &str) -> Result<Option<String>, ()> {
    node.pause().await;
    let core = node.sim.core();
    if core.store.plan.readers_fail(core.now) {
        return Err(());
    }
    let id = entity.strip_prefix("thing:").unwrap_or(entity);
    Ok(core.store.things.get(id).map(|t| t.status.clone()))
}

/// Since when it has had it, from the transition log.
async fn since(node: &Node, entity: &str, status: &str) -> Option<Ts> {
    node.pause().await;
    let core = node.sim.core();
    let id = entity.strip_prefix("thing:").unwrap_or(entity);
    let (at, newest) = core.store.things.get(id)?.history.last()?;
    (newest == status).then(|| Ts::from_millis(*at))
}

/// `dwell::arm`.
pub async fn arm(node: &Node, tx: &mut Tx, now: Ts, arms: Vec<Arm>) -> Result<(), Aborted> {
    let decisions: Vec<(LedgerKey, Decision)> = arms
        .iter()
        .map(|a| (a.key.clone(), Decision::DwellArmed))
        .collect();
    let mut fresh = fire::ledger(tx, &decisions).await?;
    for arm in arms {
        if !fresh.remove(arm.key.text()) {
            continue;
        }
        let o = &arm.firing.occurrence;
        let automation = &arm.firing.automation;
        let trigger = &automation.program.triggers[arm.firing.trigger];
        let entity = match &o.entity {
            _ if has_own_gate(node, &trigger.event) => None,
            Some((kind, id)) => Some(format!("{kind}:{id}")),
            None => o.context_key.as_ref().map(|k| format!("thing:{k}")),
        };
        let armed = match &entity {
            Some(entity) => status(node, entity).await.ok().flatten(),
            None => None,
        };
        let row = Dwell {
            automation: automation.id,
            trigger: trigger.id.clone(),
            event: trigger.event.clone(),
            key: o.context_key.clone(),
            armed_ref: entity.filter(|_| armed.is_some()),
            armed_status: armed,
            hash: trigger.hash.clone(),
            payload: Value::clone(&arm.payload),
            cause: o.cause.clone(),
            fire_at: arm.fire_at.millis(),
            created_at: now.millis(),
        };
        let made = insert(node, tx, row.clone()).await?
            || supersede(tx, &row, automation.version).await? && insert(node, tx, row).await?;
        if !made {
            fire::record(tx, &arm.key, Decision::DwellKept);
        }
    }
    Ok(())
}

/// `rows::insert` with its timer: false when the key is taken.
async fn insert(node: &Node, tx: &mut Tx, row: Dwell) -> Result<bool, Aborted> {
    let unique = row.unique();
    tx.lock(Key::OneDwell(format!("{unique:?}"))).await?;
    let same = |core: &mut Core| {
        let mut all = core.store.dwells.iter();
        all.find(|(_, d)| d.unique() == unique).map(|(id, _)| *id)
    };
    // A row that somebody is deleting is waited for, and stays if that comes to nothing; what this
    // transaction holds it has deleted itself.
    while let Some(id) = tx.see(same).filter(|id| !tx.holds(&Key::Dwell(*id))) {
        if tx.see(|core| !core.store.is_locked(&Key::Dwell(id))) {
            return Ok(false);
        }
        tx.lock(Key::Dwell(id)).await?;
        if tx.see(|core| core.store.dwells.contains_key(&id)) {
            return Ok(false);
        }
    }
    if !tx.armed.insert(format!("{unique:?}")) {
        return Ok(false);
    }
    tx.refer(row.automation);
    let id = DwellId::from(node.sim.uuid());
    let mut job = timer(id, Ts::from_millis(row.fire_at));
    if taken_out(Guard::DwellInJobId) {
        job.job_id = Some(format!("dwell:{unique:?}"));
    }
    tx.enqueue(crate::dwell::QUEUE, job);
    tx.write(move |core| {
        // The unique index: two that saw nothing wait for each other in reality.
        if core.store.dwells.values().any(|d| d.unique() == unique) {
            core.broken("24: two dwells of one key".to_owned());
        }
        core.tell(|| {
            format!(
                "armed {} until {}",
                row.trigger,
                row.fire_at % 1_000_000_000 / 1000
            )
        });
        core.store.dwells.insert(id, row);
    });
    Ok(true)
}

/// `rows::supersede`: true when the row in the way was of an older form of the trigger.
async fn supersede(tx: &mut Tx, new: &Dwell, version: i64) -> Result<bool, Aborted> {
    tx.statement().await;
    let found = tx.see(|core| {
        let current = &core.store.automations.get(&new.automation)?.current;
        let mut all = core.store.dwells.iter();
        let old = all.find(|(_, d)| d.unique() == new.unique() && d.hash != new.hash);
        old.filter(|_| current.version == version)
            .map(|(id, _)| *id)
    });
    match found {
        Some(id) => claim(tx, id).await,
        None => Ok(false),
    }
}

/// `rows::claim`: true when this transaction takes the row.
async fn claim(tx: &mut Tx, id: DwellId) -> Result<bool, Aborted> {
    tx.lock(Key::Dwell(id)).await?;
    let mine = tx.see(|core| core.store.dwells.contains_key(&id));
    if mine {
        tx.write(move |core| {
            core.store.dwells.remove(&id);
        });
    }
    Ok(mine)
}

/// `DELETE_OF_DISABLED`.
pub async fn disarm(tx: &mut Tx, automation: automation_core::AutomationId) -> Result<(), Aborted> {
    let all: Vec<DwellId> = tx.see(|core| {
        let of = core
            .store
            .dwells
            .iter()
            .filter(|(_, d)| d.automation == automation);
        of.map(|(id, _)| *id).collect()
    });
    for id in all {
        claim(tx, id).await?;
    }
    Ok(())
}

async fn standing(node: &Node, dwell: &Dwell) -> Standing {
    if has_own_gate(node, &dwell.event) {
        return Standing::OwnGate;
    }
    let (Some(entity), Some(armed)) = (&dwell.armed_ref, &dwell.armed_status) else {
        return Standing::Unknown;
    };
    let Ok(current) = status(node, entity).await else {
        return Standing::Unknown;
    };
    let since = match &current {
        Some(now) if now == armed && !taken_out(Guard::HeldSinceArm) => {
            since(node, entity, armed).await
        }
        _ => None,
    };
    equality(Some(armed), current.as_deref(), since)
}

/// `dwell::expire`: the instants of those that were early.
pub async fn expire(
    node: &Node,
    tx: &mut Tx,
    ids: &[DwellId],
) -> Result<Vec<Option<i64>>, Aborted> {
    let now = node.instant();
    let mut outcomes = Vec::new();
    let mut fires = Vec::new();
    for id in ids {
        tx.statement().await;
        outcomes.push(None);
        let Some(dwell) = tx.see(|core| core.store.dwells.get(id).cloned()) else {
            continue;
        };
        if dwell.fire_at > now {
            *outcomes.last_mut().expect("pushed") = Some(dwell.fire_at);
            continue;
        }
        let found = tx.see(|core| {
            let automation = core.store.enabled(dwell.automation)?;
            let armed = (&*dwell.trigger, &*dwell.event, &*dwell.hash);
            let at = armed_trigger(&automation.program.triggers, armed)?;
            Some((automation, at))
        });
        let Some(found) = found else {
            claim(tx, *id).await?;
            continue;
        };
        let held = tx.see(|core| truth(core, &dwell));
        let standing = standing(node, &dwell).await;
        let (at, due) = (
            Ts::from_millis(dwell.created_at),
            Ts::from_millis(dwell.fire_at),
        );
        match expiry(&standing, at, due, Ts::from_millis(now)) {
            Expiry::Early => *outcomes.last_mut().expect("pushed") = Some(dwell.fire_at),
            Expiry::Drop => {
                if claim(tx, *id).await? {
                    tx.see(|core| super::invariants::dwell_drops(core, &dwell));
                }
            }
            Expiry::Rearm { fire_at } => {
                if claim(tx, *id).await? {
                    let length = dwell.fire_at - dwell.created_at;
                    rearm(
                        node,
                        tx,
                        *id,
                        Dwell {
                            fire_at: fire_at.millis(),
                            created_at: fire_at.millis() - length,
                            ..dwell
                        },
                    );
                }
            }
            Expiry::Proceed => fires.push((*id, dwell, found, held)),
        }
    }
    let mut candidates = Vec::new();
    for (id, dwell, (automation, trigger), held) in fires {
        let at = Ts::from_millis(now);
        let actor = Actor::system();
        let mut base = Base {
            trigger: Arc::new(trigger_scope(
                &dwell.trigger,
                &dwell.event,
                &actor,
                &dwell.payload,
            )),
            now: Arc::new(json!(at.to_text())),
            live: Live::none(),
        };
        base.live = node.live(&automation.program.reads.expiries[trigger]).await;
        let env = Env::new(node.sim.registries.filters(), at.timestamp());
        if conditions(&automation.program, &view(&base), &env) != Verdict::Pass {
            claim(tx, id).await?;
            continue;
        }
        if taken_out(Guard::ClaimWithRun) {
            // The reference: the row goes first, in a transaction of its own.
            let mut first = Tx::begin(node, "claim").await?;
            if !claim(&mut first, id).await? {
                continue;
            }
            first.write(move |core| core.store.memory.claimed.push(id));
            first.commit().await?;
        } else if !claim(tx, id).await? && !taken_out(Guard::DwellClaim) {
            continue;
        }
        let trigger = &automation.program.triggers[trigger];
        let shown = dwell.clone();
        tx.write(move |core| super::invariants::dwell_fires(core, id, &shown, held));
        candidates.push(Candidate {
            occurrence: format!("dwell:{id}"),
            cause: dwell.cause.clone(),
            cooldown_ms: fire::cooldown(node, trigger, &base, at),
            trigger_id: trigger.id.clone(),
            event: trigger.event.clone(),
            payload: Arc::new(dwell.payload),
            actor,
            context_key: dwell.key,
            dedup_key: Some(format!("dwell:{id}")),
            ledger: None,
            gated: true,
            base,
            automation,
        });
    }
    if !candidates.is_empty() {
        fire::start(node, tx, candidates).await?;
    }
    Ok(outcomes)
}

/// The row in the place of one that this transaction has claimed.
fn rearm(node: &Node, tx: &mut Tx, _claimed: DwellId, row: Dwell) {
    let id = DwellId::from(node.sim.uuid());
    tx.enqueue(crate::dwell::QUEUE, timer(id, Ts::from_millis(row.fire_at)));
    tx.write(move |core| {
        let unique = row.unique();
        if core.store.dwells.values().any(|d| d.unique() == unique) {
            // The unique index: nothing is inserted, the one that is there stays.
            return;
        }
        core.tell(|| format!("re-armed {}", row.trigger));
        core.store.dwells.insert(id, row);
    });
}

/// What really was: the status held without a break from the arm until now.
fn truth(core: &Core, dwell: &Dwell) -> bool {
    let (Some(entity), Some(armed)) = (&dwell.armed_ref, &dwell.armed_status) else {
        return true;
    };
    let id = entity.strip_prefix("thing:").unwrap_or(entity);
    let Some(thing) = core.store.things.get(id) else {
        return true;
    };
    let length = dwell.fire_at - dwell.created_at;
    let long_enough = |at: i64| at <= dwell.created_at || at + length <= core.now;
    thing.status == *armed && thing.history.last().is_none_or(|(at, _)| long_enough(*at))
}

/// `dwell::inverse::cancel`.
pub async fn inverse_cancel(node: &Node, tx: &mut Tx, key: &str) -> Result<(), Aborted> {
    if taken_out(Guard::InverseCancel) {
        return Ok(());
    }
    let began = node.instant();
    tx.statement().await;
    let armed: Vec<(DwellId, Dwell)> = tx.see(|core| {
        let of = |d: &Dwell| d.key.as_deref() == Some(key) && d.created_at < began;
        let all = core.store.dwells.iter().filter(|(_, d)| of(d));
        all.map(|(id, d)| (*id, d.clone())).collect()
    });
    for (id, dwell) in armed {
        if standing(node, &dwell).await == Standing::Over {
            claim(tx, id).await?;
        }
    }
    Ok(())
}

/// `dwell::own_gate_said_no`.
pub async fn own_gate_said_no(node: &Node, tx: &mut Tx, firing: &Firing) -> Result<(), Aborted> {
    let trigger = &firing.automation.program.triggers[firing.trigger];
    if !has_own_gate(node, &trigger.event) {
        return Ok(());
    }
    let unique = (
        firing.automation.id,
        trigger.id.clone(),
        firing.occurrence.context_key.clone(),
    );
    tx.statement().await;
    let found = tx.see(|core| {
        let mut all = core.store.dwells.iter();
        all.find(|(_, d)| d.unique() == unique).map(|(id, _)| *id)
    });
    if let Some(id) = found {
        claim(tx, id).await?;
    }
    Ok(())
}
