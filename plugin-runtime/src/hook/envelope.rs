//! What travels: `{payload, meta: {actor, emittedAt, deliveryId}}` (`plugins §6.4`). A later form of it
//! says so as `meta.v`, and is left for the nodes that know it.

use plugin_api::{
    Actor, Cause, Clock, Doc, RequestContext, Ts,
    hook::{EventMeta, RawHookHandler},
    queue::{Job, JobError, JobHandler},
    skew,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Meta data for an event emitted now.
pub(super) fn meta(actor: Actor, clock: &dyn Clock) -> EventMeta {
    let cause = RequestContext::current().cause;
    meta_of(actor, cause.as_deref().cloned(), clock)
}

/// As [`meta`], with a cause of its own.
pub(super) fn meta_of(actor: Actor, cause: Option<Cause>, clock: &dyn Clock) -> EventMeta {
    EventMeta {
        actor,
        emitted_at: clock.now(),
        delivery_id: clock.new_uuid().to_string(),
        cause,
    }
}

/// An event as stored.
pub(super) fn seal(payload: Value, meta: &EventMeta) -> Doc {
    Doc(json!({ "payload": payload, "meta": meta }))
}

/// Payload and meta data of a stored event. A raw payload counts as emitted by the system, and a
/// malformed actor as the system too.
fn open(job: Job) -> (Value, EventMeta) {
    let raw = EventMeta {
        actor: Actor::system(),
        emitted_at: job.enqueued_at,
        delivery_id: job.job_id.clone(),
        cause: None,
    };
    let sealed = job.data.as_object().and_then(|o| {
        let meta = o.get("meta").filter(|_| o.len() == 2)?;
        o.get("payload")?;
        Some(EventMeta {
            emitted_at: Ts::parse(meta.get("emittedAt")?.as_str()?)?,
            delivery_id: meta.get("deliveryId")?.as_str()?.to_owned(),
            actor: stored_actor(meta.get("actor")?, &job.job_id),
            cause: meta.get("cause").and_then(|c| Cause::deserialize(c).ok()),
        })
    });
    match (sealed, job.data) {
        (Some(meta), Value::Object(mut o)) => (o.remove("payload").unwrap_or_default(), meta),
        (_, data) => (data, raw),
    }
}

fn stored_actor(value: &Value, job_id: &str) -> Actor {
    let (actor, well_formed) = Actor::from_stored(value);
    if !well_formed {
        tracing::warn!(
            job_id,
            "An event's actor is malformed; it counts as emitted by the system."
        );
    }
    actor
}

/// The form of the envelope that this program knows.
const FORM: i64 = 1;

/// Hands the events of a queue to a hook handler, in the name of who emitted them.
pub(super) struct Deliver(pub Arc<dyn RawHookHandler>);

#[async_trait::async_trait]
impl JobHandler for Deliver {
    async fn handle(&self, job: Job) -> Result<(), JobError> {
        let sealed = job
            .data
            .get("meta")
            .filter(|_| job.data.get("payload").is_some());
        if let Err(newer) = sealed.map_or(Ok(()), |meta| skew::check(meta, FORM)) {
            tracing::warn!(job_id = job.job_id, %newer, "An event cannot be read by this node.");
            return Err(JobError::Defer(skew::LEAVE_FOR));
        }
        let (payload, meta) = open(job);
        let context = RequestContext {
            cause: meta.cause.clone().map(Arc::new),
            ..RequestContext::of(meta.actor.clone())
        };
        context.scope(self.0.handle(payload, meta)).await
    }
}
