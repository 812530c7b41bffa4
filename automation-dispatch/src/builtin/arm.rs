//! Arming triggers that are set up per automation, on every node, whenever the automations change
//! (`dispatch §5.1`, R-17).

use crate::{
    concurrency::queue,
    dwell,
    fire::{Firing, Occurrence},
    shared::Shared,
    stage::fire_in_tx,
    why,
};
use automation_core::{
    compiled::CompiledTrigger,
    registry::{Fire, Teardown, TriggerIdentity, TriggerSource},
    store::TOPIC,
};
use plugin_api::{Actor, BoxError, Ts};
use serde_json::Value;
use std::{collections::HashMap, sync::Arc, time::Duration};

/// A look without a hint, in case one was lost.
const FALLBACK: Duration = Duration::from_secs(30);

struct Armed {
    hash: String,
    teardown: Box<dyn Teardown>,
}

/// What is armed on this node.
#[derive(Default)]
pub struct Arming {
    armed: HashMap<TriggerIdentity, Armed>,
    serial: Option<u64>,
}

impl Arming {
    /// Arms what is new or changed, disarms what is gone. A trigger that cannot be armed is tried
    /// again at the next change.
    ///
    /// # Errors
    /// When the automations cannot be read.
    pub async fn reconcile(&mut self, shared: &Arc<Shared>) -> Result<(), BoxError> {
        shared.automations.refresh().await?;
        let (serial, automations) = shared.automations.all_enabled();
        if self.serial == Some(serial) {
            return Ok(());
        }
        let mut wanted = HashMap::new();
        for automation in &automations {
            for trigger in &automation.program.triggers {
                let Some(registered) = shared.registries.trigger(&trigger.event) else {
                    continue;
                };
                if let TriggerSource::Setup(setup) = &registered.source {
                    let identity = TriggerIdentity {
                        automation_id: automation.id,
                        trigger_id: trigger.id.clone(),
                    };
                    wanted.insert(identity, (hash_of(trigger), setup.clone(), trigger));
                }
            }
        }
        let over: Vec<TriggerIdentity> = self
            .armed
            .iter()
            .filter(|(id, a)| wanted.get(*id).is_none_or(|w| w.0 != a.hash))
            .map(|(id, _)| id.clone())
            .collect();
        for identity in over {
            if let Some(old) = self.armed.remove(&identity) {
                old.teardown.teardown().await;
            }
        }
        let mut complete = true;
        for (identity, (hash, setup, trigger)) in wanted {
            if self.armed.contains_key(&identity) {
                continue;
            }
            let fire = fire_of(shared, &identity, &trigger.event);
            let config = trigger.config.clone();
            match setup.setup(config, identity.clone(), fire).await {
                Ok(teardown) => {
                    self.armed.insert(identity, Armed { hash, teardown });
                }
                Err(error) => {
                    complete = false;
                    tracing::error!(automation = %identity.automation_id, trigger = identity.trigger_id, %error, "A trigger could not be armed; it is tried again.");
                }
            }
        }
        let gone: Vec<dwell::Dwell> = shared.db.sql(dwell::DELETE_OF_DISABLED).all().await?;
        why::switched_off(shared, &gone);
        queue::cancel_disabled(shared).await?;
        self.serial = complete.then_some(serial);
        Ok(())
    }
}

/// What a set-up sees of a trigger, and nothing else: a new filter does not arm it again.
fn hash_of(trigger: &CompiledTrigger) -> String {
    format!("{}|{}", trigger.event, trigger.config)
}

/// Fires one trigger of one automation, and only that one, and only while it is on the event that was
/// armed (`dispatch §A.31`).
fn fire_of(shared: &Arc<Shared>, identity: &TriggerIdentity, event: &str) -> Fire {
    let armed = Arc::new((identity.clone(), event.to_owned()));
    let shared = shared.clone();
    Arc::new(move |payload, occurrence, at| {
        let (shared, armed) = (shared.clone(), armed.clone());
        Box::pin(async move { tick(&shared, &armed.0, &armed.1, payload, occurrence, at).await })
    })
}

async fn tick(
    shared: &Arc<Shared>,
    identity: &TriggerIdentity,
    event: &str,
    payload: Value,
    occurrence: String,
    at: Ts,
) -> Result<(), BoxError> {
    shared.automations.refresh().await?;
    let Some(automation) = shared.automations.enabled(identity.automation_id) else {
        return Ok(());
    };
    let found = automation
        .program
        .triggers
        .iter()
        // Under the same id there may be another trigger by now. Another schedule of the same event is
        // fired: a node that has not armed it yet may well be the one that takes its ticks.
        .position(|t| t.id == identity.trigger_id && t.event == event);
    let Some(trigger) = found else {
        return Ok(());
    };
    let event = automation.program.triggers[trigger].event.clone();
    let context_key = shared
        .registries
        .trigger(&event)
        .and_then(|t| t.context_key.as_ref().and_then(|key| key(&payload)));
    let firing = Firing {
        automation,
        trigger,
        occurrence: Arc::new(Occurrence {
            id: occurrence,
            at,
            event,
            payload: Arc::new(payload),
            actor: Actor::system(),
            context_key,
            entity: None,
            cause: None,
        }),
    };
    let Err(error) = fire_in_tx(shared, &[firing]).await else {
        return Ok(());
    };
    // It may have been deleted meanwhile: then there is nothing its decisions could belong to.
    shared.automations.refresh().await?;
    match shared.automations.get(identity.automation_id) {
        None => Ok(()),
        Some(_) => Err(error.to_string().into()),
    }
}

/// Keeps triggers armed until the task is stopped.
pub async fn run(shared: Arc<Shared>, mut arming: Arming) {
    let changed = shared.hints.listen(TOPIC);
    loop {
        tokio::select! {
            () = changed.wait() => {}
            () = shared.clock.sleep(FALLBACK) => {}
        }
        if let Err(error) = arming.reconcile(&shared).await {
            tracing::warn!(%error, "Triggers could not be reconciled; it is tried again.");
        }
    }
}
