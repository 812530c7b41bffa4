//! Starting a run by hand (`dispatch §16`): no gates, no conditions, no concurrency check; works on
//! disabled automations; answers the run's id without waiting for its walk. Or firing a trigger by hand
//! (`api §5.1`, `gates: all`): what comes of it is decided as for any other occurrence.

use crate::{
    automations::Automation,
    dwell,
    fire::{self, Candidate, Fired, Firing, Occurrence, Started, start, trigger_scope},
    shared::Shared,
    walk::view::{Base, Live},
};
use automation_core::{AutomationId, RunId};
use plugin_api::{Actor, BoxError, Ts, db::DbError, queue::JobError};
use serde_json::Value;
use std::sync::Arc;

/// A run to start by hand.
#[derive(Clone, Debug)]
pub struct ManualRun {
    /// Of which automation.
    pub automation_id: AutomationId,
    /// Effective trigger id; none: the first trigger.
    pub trigger_id: Option<String>,
    /// `trigger.payload`; an object.
    pub payload: Value,
    /// Refuse a payload that does not fit the trigger's schema.
    pub validate_payload: bool,
    /// The caller.
    pub actor: Actor,
}

/// Why a run was not started.
#[derive(Debug, thiserror::Error)]
pub enum ManualRunError {
    /// No such automation.
    #[error("there is no such automation")]
    NotFound,
    /// The automation has no trigger of that id.
    #[error("the automation has no trigger {trigger_id}; it has {known}")]
    UnknownTrigger {
        /// What was asked for.
        trigger_id: String,
        /// What there is.
        known: String,
    },
    /// The payload does not fit the trigger.
    #[error("the payload does not fit the trigger: {reason}")]
    InvalidPayload {
        /// The first problem.
        reason: String,
    },
    /// A gate said no, or failed.
    #[error(
        "the gate `{gate}` holds it back; `signalbox why` and the decisions of the automation say why"
    )]
    Blocked {
        /// As decisions name it.
        gate: &'static str,
    },
    /// The stored definition does not compile.
    #[error("the stored definition of the automation is not valid")]
    Invalid {},
    /// The database refused.
    #[error(transparent)]
    Db(#[from] DbError),
    /// Anything else.
    #[error(transparent)]
    Other(BoxError),
}

impl From<JobError> for ManualRunError {
    fn from(e: JobError) -> Self {
        match e {
            JobError::Retry(e) | JobError::Permanent(e) => Self::Other(e),
            JobError::Defer(_) => Self::Other("the run was put off".into()),
        }
    }
}

/// What became of a trigger that was fired by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManualFiring {
    /// A run has started.
    Run(RunId),
    /// A run waits for its turn.
    Queued(RunId),
    /// A dwell is armed, and ends then.
    Dwell(Ts),
}

/// What a request is about.
struct Found {
    automation: Arc<Automation>,
    /// Position of the trigger.
    trigger: usize,
    context_key: Option<String>,
}

async fn find(shared: &Arc<Shared>, request: &ManualRun) -> Result<Found, ManualRunError> {
    shared
        .automations
        .refresh()
        .await
        .map_err(|e| ManualRunError::Other(Box::new(e)))?;
    let Some(automation) = shared.automations.get(request.automation_id) else {
        let stored = shared.automations.store().get(request.automation_id).await;
        return Err(match stored {
            Ok(_) => ManualRunError::Invalid {},
            Err(automation_core::store::StoreError::NotFound(_)) => ManualRunError::NotFound,
            Err(e) => ManualRunError::Other(Box::new(e)),
        });
    };
    let triggers = &automation.program.triggers;
    let found = match &request.trigger_id {
        Some(id) => triggers.iter().position(|t| t.id == *id),
        None => (!triggers.is_empty()).then_some(0),
    };
    let Some(at) = found else {
        let known: Vec<&str> = triggers.iter().map(|t| t.id.as_str()).collect();
        return Err(ManualRunError::UnknownTrigger {
            trigger_id: request.trigger_id.clone().unwrap_or_default(),
            known: known.join(", "),
        });
    };
    let trigger = &triggers[at];
    let registered = shared.registries.trigger(&trigger.event);
    if let (true, Some(registered)) = (request.validate_payload, &registered) {
        let key = format!("trigger:{}", trigger.event);
        let check = shared.artifact_checks.get_or_make(&key, || {
            automation_core::schema::ConfigCheck::new(registered.payload_schema.clone())
        });
        let mut payload = request.payload.clone();
        if let Ok(check) = check.as_ref()
            && let Err(problem) = check.lenient(&mut payload)
        {
            return Err(ManualRunError::InvalidPayload {
                reason: problem.to_string(),
            });
        }
    }
    let context_key =
        registered.and_then(|t| t.context_key.as_ref().and_then(|key| key(&request.payload)));
    Ok(Found {
        trigger: at,
        context_key,
        automation,
    })
}

/// Starts it, whatever the gates would say.
pub async fn run(shared: &Arc<Shared>, request: ManualRun) -> Result<RunId, ManualRunError> {
    let Found {
        automation,
        trigger,
        context_key,
    } = find(shared, &request).await?;
    let trigger = &automation.program.triggers[trigger];
    let candidate = Candidate {
        trigger_id: trigger.id.clone(),
        event: trigger.event.clone(),
        base: Base {
            trigger: Arc::new(trigger_scope(
                &trigger.id,
                &trigger.event,
                &request.actor,
                &request.payload,
            )),
            now: Arc::default(),
            live: Live::none(),
        },
        payload: Arc::new(request.payload),
        actor: request.actor,
        context_key,
        occurrence: shared.clock.new_uuid().to_string(),
        cause: None,
        cooldown_ms: None,
        dedup_key: None,
        ledger: None,
        gated: false,
        automation: automation.clone(),
    };
    let mut tx = shared.db.begin().await?;
    let started = start(shared, &mut tx, vec![candidate]).await?;
    tx.commit().await?;
    match started.first() {
        Some(Started::Run(run)) => Ok(*run),
        _ => Err(ManualRunError::Other("no run was created".into())),
    }
}

/// Fires its trigger: the gates decide, and what they say is recorded like any other decision.
pub async fn fire(
    shared: &Arc<Shared>,
    request: ManualRun,
) -> Result<ManualFiring, ManualRunError> {
    let Found {
        automation,
        trigger,
        context_key,
    } = find(shared, &request).await?;
    if shared.automations.enabled(automation.id).is_none() {
        return Err(ManualRunError::Blocked { gate: "enabled" });
    }
    let firing = Firing {
        occurrence: Arc::new(Occurrence {
            id: shared.clock.new_uuid().to_string(),
            at: shared.clock.now(),
            event: automation.program.triggers[trigger].event.clone(),
            payload: Arc::new(request.payload),
            actor: request.actor,
            context_key: context_key.clone(),
            entity: None,
            cause: None,
        }),
        trigger,
        automation: automation.clone(),
    };
    let mut tx = shared.db.begin().await?;
    let fired = fire::fire(shared, &mut tx, &[firing]).await?;
    let trigger_id = &automation.program.triggers[trigger].id;
    let dwell = match fired.first() {
        Some(Fired::Armed) => {
            dwell::ends_at(&mut tx, automation.id, trigger_id, context_key.as_deref()).await?
        }
        _ => None,
    };
    // Whatever was decided stands, a no as well: a window has counted it.
    tx.commit().await?;
    match (fired.first().copied(), dwell) {
        (Some(Fired::Start(Started::Run(run))), _) => Ok(ManualFiring::Run(run)),
        (Some(Fired::Start(Started::Queued { run, .. })), _) => Ok(ManualFiring::Queued(run)),
        (Some(Fired::Start(Started::Cooldown { .. })), _) => {
            Err(ManualRunError::Blocked { gate: "cooldown" })
        }
        (Some(Fired::Start(_)), _) => Err(ManualRunError::Blocked {
            gate: "concurrency",
        }),
        (Some(Fired::Blocked(gate)), _) => Err(ManualRunError::Blocked { gate }),
        (_, Some(ends_at)) => Ok(ManualFiring::Dwell(ends_at)),
        (_, None) => Err(ManualRunError::Other("nothing was decided".into())),
    }
}
