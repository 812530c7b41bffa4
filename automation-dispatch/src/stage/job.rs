//! What travels from stage 1 to stage 2.

use crate::version;
use automation_core::{AutomationId, LockId, RunId};
use automation_entity::EntityChanged;
use plugin_api::queue::NewJob;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use serde_json::Value;

/// The queue between the stages.
pub const QUEUE: &str = "automation-dispatch";
/// Automations of one job at most: a thousand of them on one event are a handful of jobs.
pub const TOGETHER: usize = 256;
/// Its consumer group.
pub const GROUP: &str = "automation-dispatch-run";

/// One job (`entity §18`), tagged by `reason`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(
    tag = "reason",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
pub enum DispatchJob {
    /// An event concerns automations.
    Trigger {
        /// In order of creation; [`TOGETHER`] at most. One may stand alone, as in the reference.
        #[serde(alias = "automationId", with = "ids")]
        automation_ids: Vec<AutomationId>,
        /// Qualified event id. The reference's wire name is `triggerId`.
        #[serde(alias = "triggerId")]
        event_id: String,
        /// `kind:id`
        #[serde(rename = "ref")]
        entity_ref: String,
        /// The change.
        changed: EntityChanged,
        /// Waits for this event have been ended already: this is a decision that was put off until
        /// the woken runs rest, and a wait that they have begun since is not for this event.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        woken: bool,
    },
    /// A change may end a wait.
    Wake {
        /// The waiting run.
        run_id: RunId,
        /// Its lock.
        wait_lock_id: LockId,
        /// `kind:id`
        #[serde(rename = "ref")]
        entity_ref: String,
        /// The change.
        changed: EntityChanged,
    },
    /// An event may end a `wait_for_trigger`.
    EventWake {
        /// The waiting run.
        run_id: RunId,
        /// Its lock.
        wait_lock_id: LockId,
        /// Qualified event id.
        event_id: String,
        /// `kind:id`
        #[serde(rename = "ref")]
        entity_ref: String,
        /// The change.
        changed: EntityChanged,
    },
    /// Dwells armed for a context key may not hold any more (`dispatch §6.4`).
    InverseCancel {
        /// The key.
        context_key: String,
    },
}

/// Ids as one text, separated by commas: a list of hundreds costs one string, not hundreds, each time
/// a job is copied. One alone is what the reference writes.
mod ids {
    use super::*;

    pub fn text(ids: &[AutomationId]) -> String {
        let ids: Vec<String> = ids.iter().map(AutomationId::to_string).collect();
        ids.join(",")
    }

    pub fn serialize<S: Serializer>(ids: &[AutomationId], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&text(ids))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<AutomationId>, D::Error> {
        /// For a while they were written as a list.
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Text(String),
            List(Vec<AutomationId>),
        }
        match Form::deserialize(from)? {
            Form::List(ids) => Ok(ids),
            Form::Text(text) => {
                let ids = text.split(',').map(str::parse).collect::<Result<_, _>>();
                ids.map_err(D::Error::custom)
            }
        }
    }
}

impl DispatchJob {
    /// The job to enqueue. Its id collapses only onto one that has not started; whatever is
    /// delivered again is made harmless downstream (`dispatch §17`).
    pub fn enqueue(&self, change_id: uuid::Uuid) -> Result<NewJob, serde_json::Error> {
        let id = match self {
            DispatchJob::Trigger {
                automation_ids,
                event_id,
                entity_ref,
                ..
            } => {
                let first = ids::text(automation_ids.get(..1).unwrap_or_default());
                format!("trigger:{first}:{event_id}:{entity_ref}:{change_id}")
            }
            DispatchJob::Wake {
                wait_lock_id,
                entity_ref,
                ..
            } => format!("wake:{wait_lock_id}:{entity_ref}:{change_id}"),
            DispatchJob::EventWake { wait_lock_id, .. } => {
                format!("event_wake:{wait_lock_id}:{change_id}")
            }
            DispatchJob::InverseCancel { context_key } => {
                format!("inverse:{context_key}:{change_id}")
            }
        };
        Ok(NewJob::new(version::mark(serde_json::to_value(self)?)).id(id))
    }

    /// A trigger job whose decisions wait until the runs that it woke rest.
    pub fn put_off(data: &Value, automations: &[AutomationId]) -> NewJob {
        let mut data = data.clone();
        data["woken"] = true.into();
        Self::part(&data, automations)
    }

    /// A trigger job for some of its automations. It has no id, so that it collapses onto nothing.
    pub fn part(data: &Value, automations: &[AutomationId]) -> NewJob {
        let mut data = data.clone();
        // The reference's name for the same field: with both, the job could not be read.
        if let Some(fields) = data.as_object_mut() {
            fields.remove("automationId");
        }
        data["automationIds"] = ids::text(automations).into();
        NewJob::new(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn automations(n: usize) -> Vec<AutomationId> {
        let id = |i: usize| AutomationId::from(uuid::Uuid::from_u128(i as u128 + 1));
        (0..n).map(id).collect()
    }

    fn trigger(field: &str, ids: Value) -> Value {
        json!({
            "reason": "trigger", field: ids, "triggerId": "world.changed", "ref": "thing:x",
            "changed": {
                "kind": "thing", "id": "x", "prev": null, "next": {"status": "up"}, "delta": {"status": "up"},
                "changedFields": ["status"], "actor": {"type": "system", "id": "system"},
                "occurredAt": "2026-01-15T12:00:00.000Z", "changeId": "019bc186-de00-7001-8000-00000000ffff",
            },
        })
    }

    fn ids_in(data: &Value) -> Vec<AutomationId> {
        match serde_json::from_value(data.clone()).expect("the job is read") {
            DispatchJob::Trigger { automation_ids, .. } => automation_ids,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_form_of_the_automations_of_a_job_is_read_and_a_part_of_each_names_its_own() {
        let all = automations(3);
        let one = json!(all[0]);
        for (data, expected) in [
            (trigger("automationId", one), &all[..1]),
            (trigger("automationIds", ids::text(&all).into()), &all[..]),
            (trigger("automationIds", json!(all)), &all[..]),
        ] {
            assert_eq!(ids_in(&data), expected);
            let part = DispatchJob::part(&data, &all[..1]);
            assert_eq!(ids_in(&part.data), &all[..1], "{data}");
        }
    }
}
