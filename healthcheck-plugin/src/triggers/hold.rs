//! Hold predicates (`healthcheck §10.6`): does what a dwell was armed on still hold, and since when?
//!
//! An outage usually goes healthy, degraded, unhealthy. Comparing with the status at arm time would
//! cancel the dwell at the escalation, and the alarm would be lost; "still not healthy" keeps it.

use crate::{
    evaluate::decide::failing,
    status::Status,
    store::{health, transitions},
};
use async_trait::async_trait;
use automation_core::registry::{Hold, HoldAnswer, HoldAsk};
use plugin_api::{BoxError, Conn, Db, Id, Ts};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};

/// What must hold of a system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum While {
    /// Any status but healthy.
    NotHealthy,
    /// Healthy.
    Healthy,
    /// The status the payload calls new.
    AsNew,
}

const GONE: HoldAnswer = HoldAnswer {
    holds: false,
    since: None,
};

/// Holds of a system's status.
pub struct SystemHold {
    db: Db,
    holds: While,
}

impl SystemHold {
    /// A predicate over the plugin's tables.
    pub fn new(db: Db, holds: While) -> Self {
        Self { db, holds }
    }

    fn holds(&self, status: Status, ask: &HoldAsk) -> bool {
        match self.holds {
            While::NotHealthy => status != Status::Healthy,
            While::Healthy => status == Status::Healthy,
            While::AsNew => {
                let new = ask.payload.get("newStatus").and_then(Value::as_str);
                new.and_then(Status::parse) == Some(status)
            }
        }
    }
}

fn system_of(ask: &HoldAsk) -> Option<String> {
    let named = ask.payload.get("systemId").and_then(Value::as_str);
    ask.context_key
        .clone()
        .or_else(|| named.map(str::to_owned))
        .filter(|id| !id.is_empty())
}

#[async_trait]
impl Hold for SystemHold {
    async fn check(&self, asks: &[HoldAsk]) -> Result<Vec<HoldAnswer>, BoxError> {
        let ids: BTreeSet<String> = asks.iter().filter_map(system_of).collect();
        let ids: Vec<String> = ids.into_iter().collect();
        let counted = health::counted(Conn::Db(&self.db), &ids).await?;
        let since: HashMap<String, (Option<Status>, Option<Ts>)> = match self.holds {
            While::NotHealthy => transitions::left_healthy(Conn::Db(&self.db), &ids)
                .await?
                .into_iter()
                .map(|r| (r.system_id.into_string(), (None, r.since)))
                .collect(),
            While::Healthy | While::AsNew => transitions::newest(Conn::Db(&self.db), &ids)
                .await?
                .into_iter()
                .map(|r| {
                    let to = Status::parse(&r.to_status);
                    (r.system_id.into_string(), (to, Some(r.transitioned_at)))
                })
                .collect(),
        };
        let answer = |ask: &HoldAsk| {
            let Some(id) = system_of(ask) else {
                return GONE;
            };
            let aggregate = counted.get(&id).and_then(|checks| health::of(checks));
            let Some(aggregate) = aggregate else {
                return GONE;
            };
            if !self.holds(aggregate.status, ask) {
                return GONE;
            }
            // A row into another status means that one was lost: the age is unknown.
            let since = match since.get(&id) {
                Some((Some(to), _)) if *to != aggregate.status => None,
                Some((_, since)) => *since,
                None => None,
            };
            HoldAnswer { holds: true, since }
        };
        Ok(asks.iter().map(answer).collect())
    }
}

/// Holds of one check: its status is not healthy, or its newest run failed.
pub struct CheckHold {
    db: Db,
}

impl CheckHold {
    /// A predicate over the plugin's tables.
    pub fn new(db: Db) -> Self {
        Self { db }
    }
}

#[async_trait]
impl Hold for CheckHold {
    async fn check(&self, asks: &[HoldAsk]) -> Result<Vec<HoldAnswer>, BoxError> {
        let ids: BTreeSet<String> = asks.iter().filter_map(system_of).collect();
        let ids: Vec<String> = ids.into_iter().collect();
        // Runs are only added in between, so the times are of these runs and perhaps of newer ones.
        let counted = health::counted(Conn::Db(&self.db), &ids).await?;
        let times = health::times(Conn::Db(&self.db), &ids).await?;
        let answer = |ask: &HoldAsk| {
            let configuration = ask.payload.get("configurationId").and_then(Value::as_str);
            let configuration = configuration.and_then(|id| id.parse().ok()).map(Id)?;
            let system = system_of(ask)?;
            let checks = counted.get(&system)?;
            let check = checks
                .iter()
                .find(|c| c.configuration_id == configuration)?;
            let (holds, fine) = failing(&check.runs, &check.thresholds);
            if !holds {
                return None;
            }
            let times = times.get(&(system, configuration))?;
            let newer = times.len().saturating_sub(check.runs.len());
            // Never fine as far as we look back: at least since the oldest run we see.
            let since = fine.map_or(times.last(), |index| times.get(index + newer));
            Some(HoldAnswer {
                holds: true,
                since: since.copied(),
            })
        };
        Ok(asks.iter().map(|ask| answer(ask).unwrap_or(GONE)).collect())
    }
}
