//! Forgetting old transitions (`entity §8.7`): once a day, in batches, and never the newest row of a
//! field, without which nobody could tell since when its value holds.

use crate::engine::{ENGINE, EntityDeps, EntityEngine};
use plugin_api::{
    BoxError, Db, Ts,
    db::DbError,
    queue::{Consumer, Job, JobError, JobHandler, Recurring, Schedule},
};
use std::sync::Arc;

plugin_api::row! {
    struct Window {
        last_id: i64,
        last_at: Ts,
    }
}

plugin_api::statements! {
    /// The last of the next `$2` rows after `$1`.
    WINDOW = "select id as last_id, transitioned_at as last_at from (
            select id, transitioned_at from signalbox.entity_transitions where id > $1 order by id limit $2) as w
        order by id desc limit 1";
    PRUNE = "delete from signalbox.entity_transitions where id > $1 and id <= $2 and transitioned_at < $3
        and exists (select 1 from signalbox.entity_transitions as n
            where n.kind = entity_transitions.kind and n.entity_id = entity_transitions.entity_id
            and n.field = entity_transitions.field
            and (n.transitioned_at, n.id) > (entity_transitions.transitioned_at, entity_transitions.id))";
}

/// Rows looked at per statement: no lock is held for long.
const BATCH: i64 = 500;
/// `state_window_minutes` reaches seven days back.
const SHORTEST_DAYS: u32 = 8;
const QUEUE: &str = "automation.entity-retention";

/// Deletes rows older than `before`, except the newest of each field; answers how many.
///
/// # Errors
/// When the database refuses; what was deleted before stays deleted.
pub async fn prune(db: &Db, before: Ts) -> Result<u64, DbError> {
    let (mut after, mut pruned) = (0, 0);
    loop {
        let window = db.sql(WINDOW).bind(after).bind(BATCH).optional::<Window>();
        let Some(window) = window.await? else {
            return Ok(pruned);
        };
        let batch = db.sql(PRUNE).bind(after).bind(window.last_id).bind(before);
        pruned += batch.execute().await?;
        // Ids follow time closely enough: behind the first young row nothing is old.
        if window.last_at >= before {
            return Ok(pruned);
        }
        after = window.last_id;
    }
}

struct Daily {
    db: Db,
    engine: Arc<EntityEngine>,
}

#[async_trait::async_trait]
impl JobHandler for Daily {
    async fn handle(&self, _: Job) -> Result<(), JobError> {
        let days = self.engine.options.retention_days.max(SHORTEST_DAYS);
        let Some(shared) = self.engine.shared() else {
            return Ok(());
        };
        let before = shared
            .clock
            .now()
            .plus_millis(-i64::from(days) * 86_400_000);
        let pruned = prune(&self.db, before).await?;
        tracing::info!(pruned, days, "Old entity transitions were forgotten.");
        Ok(())
    }
}

/// Has one node of the cluster prune every night.
pub(crate) async fn schedule(
    engine: &Arc<EntityEngine>,
    deps: &EntityDeps,
) -> Result<(), BoxError> {
    let handler = Arc::new(Daily {
        db: deps.db.clone(),
        engine: engine.clone(),
    });
    let group = ENGINE.qualify("entity-retention");
    deps.queues
        .consume(QUEUE, Consumer::each(group, handler))
        .await?;
    let nightly = Recurring {
        job_id: "entity-retention".into(),
        data: serde_json::Value::Null,
        schedule: Schedule::Cron("17 3 * * *".into()),
        start_delay: None,
        priority: 0,
        skip_overlap: true,
    };
    Ok(deps.queues.schedule(QUEUE, nightly).await?)
}
