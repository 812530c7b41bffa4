//! Reading what dwells were armed on: hold predicates, and status with its age.

use super::{Arm, decide::Standing, rows::Dwell};
use crate::shared::Shared;
use automation_core::registry::HoldAsk;
use automation_entity::{HEALTH_READER, Newest, split_ref};
use plugin_api::{BoxError, Ts};
use serde_json::Value;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// Window asked of the health reader where only status matters.
const HEALTH_WINDOW_MINUTES: u32 = 60;

/// A status when it was read, and of what.
pub(super) struct ArmedStatus {
    pub status: String,
    pub entity_ref: String,
}

/// The status each dwell hangs on, read from the triggering kind, else from the health of the
/// context key (`dispatch §6.1`). None for triggers that are confirmed otherwise, and where nothing
/// can be read.
pub(super) async fn statuses_to_arm(
    shared: &Arc<Shared>,
    arms: &[Arm],
) -> Vec<Option<ArmedStatus>> {
    let mut refs: Vec<Option<String>> = Vec::with_capacity(arms.len());
    for arm in arms {
        let o = &arm.firing.occurrence;
        let event = &arm.firing.automation.program.triggers[arm.firing.trigger].event;
        let otherwise = shared
            .registries
            .trigger(event)
            .is_some_and(|r| r.holds.is_some() || r.evaluate_config.is_some());
        refs.push(match (&o.entity, &o.context_key) {
            _ if otherwise => None,
            (Some((kind, id)), _) => Some(format!("{kind}:{id}")),
            (None, Some(key)) => Some(format!("health:{key}")),
            (None, None) => None,
        });
    }
    let wanted: Vec<&str> = refs.iter().flatten().map(String::as_str).collect();
    let read = statuses(shared, &wanted).await;
    refs.into_iter()
        .map(|r| {
            let entity_ref = r?;
            let status = read.get(&entity_ref)??.to_owned();
            Some(ArmedStatus { status, entity_ref })
        })
        .collect()
}

/// Statuses by ref. What one kind's reader cannot tell says nothing of the other kinds.
#[derive(Default)]
struct Statuses {
    found: HashMap<String, String>,
    /// Kinds that were read.
    read: HashSet<String>,
}

impl Statuses {
    /// None when there was no way to read it; else its status, if it exists and has one.
    fn get(&self, entity_ref: &str) -> Option<Option<&str>> {
        let (kind, _) = split_ref(entity_ref)?;
        let known = self.read.contains(kind);
        known.then(|| self.found.get(entity_ref).map(String::as_str))
    }
}

/// Field `status` of entities by ref, read once for each kind. A reader that fails is named in the
/// log and leaves its own kind unread (`dispatch §10`: one kind's outage does not affect others).
async fn statuses(shared: &Arc<Shared>, refs: &[&str]) -> Statuses {
    let mut by_kind: HashMap<&str, Vec<String>> = HashMap::new();
    for (kind, id) in refs.iter().filter_map(|r| split_ref(r)) {
        let ids = by_kind.entry(kind).or_default();
        if !ids.iter().any(|i| i == id) {
            ids.push(id.to_owned());
        }
    }
    let mut statuses = Statuses::default();
    for (kind, ids) in by_kind {
        match of_kind(shared, kind, &ids).await {
            Ok(Some(found)) => {
                let refs = found.into_iter().map(|(id, s)| (format!("{kind}:{id}"), s));
                statuses.found.extend(refs);
                statuses.read.insert(kind.to_owned());
            }
            // Nobody can read this kind: there is nothing to compare.
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(kind, %error, "The status of entities could not be read; dwells on them count as held.");
            }
        }
    }
    statuses
}

/// The statuses of entities of one kind, by id; none when nobody can read the kind.
async fn of_kind(
    shared: &Arc<Shared>,
    kind: &str,
    ids: &[String],
) -> Result<Option<HashMap<String, String>>, BoxError> {
    if let Some(erased) = shared.entities.kind(kind) {
        let values = erased.read_values(ids).await?.into_iter();
        let status = |v: &Value| v.get("status").and_then(Value::as_str).map(str::to_owned);
        return Ok(Some(
            values
                .filter_map(|(id, v)| Some((id, status(&v)?)))
                .collect(),
        ));
    }
    if kind != "health" {
        return Ok(None);
    }
    let Some(reader) = shared.services.optional(&HEALTH_READER)? else {
        return Ok(None);
    };
    let health = reader.health(ids, HEALTH_WINDOW_MINUTES).await?.into_iter();
    Ok(Some(health.map(|(id, h)| (id, h.status)).collect()))
}

/// Since when an entity has had a status, from the transition log, else from the health provider.
async fn since(shared: &Arc<Shared>, entity_ref: &str, status: &str) -> Option<Ts> {
    let (kind, id) = split_ref(entity_ref)?;
    match shared.history.newest(kind, id, "status").await {
        Ok(Some(Newest::Value(text, at))) if text == status || text == format!("{status:?}") => {
            return Some(at);
        }
        Ok(_) => {}
        Err(error) => {
            tracing::warn!(entity_ref, %error, "The age of a status could not be read; the dwell counts as held.");
            return None;
        }
    }
    if kind != "health" {
        return None;
    }
    let reader = shared.services.optional(&HEALTH_READER).ok()??;
    let health = reader
        .health(&[id.to_owned()], HEALTH_WINDOW_MINUTES)
        .await
        .ok()?
        .remove(id)?;
    (health.status == status).then_some(health.in_status_since)?
}

/// What current state says of each dwell.
pub(super) async fn standings(shared: &Arc<Shared>, dwells: &[Dwell]) -> Vec<Standing> {
    let mut out = vec![Standing::Unknown; dwells.len()];
    let mut by_event: HashMap<&str, Vec<usize>> = HashMap::new();
    let mut equal: Vec<usize> = Vec::new();
    for (i, d) in dwells.iter().enumerate() {
        match shared.registries.trigger(&d.event_id) {
            Some(r) if r.holds.is_some() => by_event.entry(&d.event_id).or_default().push(i),
            Some(r) if r.evaluate_config.is_some() => out[i] = Standing::OwnGate,
            _ => equal.push(i),
        }
    }
    for (event, positions) in by_event {
        held_predicates(shared, event, &positions, dwells, &mut out).await;
    }
    equality(shared, &equal, dwells, &mut out).await;
    out
}

async fn held_predicates(
    shared: &Arc<Shared>,
    event: &str,
    positions: &[usize],
    dwells: &[Dwell],
    out: &mut [Standing],
) {
    let Some(hold) = shared
        .registries
        .trigger(event)
        .and_then(|r| r.holds.clone())
    else {
        return;
    };
    let asks: Vec<HoldAsk> = positions
        .iter()
        .map(|i| HoldAsk {
            context_key: dwells[*i].context_key.clone(),
            payload: dwells[*i].payload_snapshot.0.clone(),
        })
        .collect();
    match hold.check(&asks).await {
        Ok(answers) => {
            for (i, answer) in positions.iter().zip(answers) {
                out[*i] = if answer.holds {
                    Standing::Holds {
                        since: answer.since,
                    }
                } else {
                    Standing::Over
                };
            }
        }
        // Fails open: conditions still apply (`dispatch §6.3`).
        Err(error) => {
            tracing::warn!(event, %error, "A hold predicate failed; its dwells count as held.");
        }
    }
}

async fn equality(
    shared: &Arc<Shared>,
    positions: &[usize],
    dwells: &[Dwell],
    out: &mut [Standing],
) {
    let refs: Vec<&str> = positions
        .iter()
        .filter_map(|i| dwells[*i].armed_ref.as_deref())
        .collect();
    if refs.is_empty() {
        return;
    }
    let current = statuses(shared, &refs).await;
    for i in positions {
        let d = &dwells[*i];
        let (Some(entity_ref), Some(armed)) = (&d.armed_ref, &d.armed_status) else {
            continue;
        };
        let Some(now) = current.get(entity_ref) else {
            continue;
        };
        let held_since = if now == Some(armed) {
            since(shared, entity_ref, armed).await
        } else {
            None
        };
        out[*i] = super::decide::equality(Some(armed), now, held_since);
    }
}
