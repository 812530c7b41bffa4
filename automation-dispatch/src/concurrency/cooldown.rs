//! `cooldown` on a trigger: for so long after a start, further firings with the same context key are
//! refused. Asked inside the bucket's critical section, so that two nodes cannot both start.

use automation_core::AutomationId;
use plugin_api::{Ts, Tx, db::DbError};
use std::collections::HashSet;

plugin_api::batch_row! {
    /// A trigger that cools down.
    pub struct Cooling {
        /// Names the answer.
        pub n: i64,
        /// The automation.
        pub automation_id: AutomationId,
        /// Effective trigger id.
        pub trigger_id: String,
        /// The context key, as indexes spell it.
        pub key: String,
        /// A run that started after this refuses the firing.
        pub since: Ts,
    }
}

plugin_api::statements! {
    pub COOLING = {
        sqlite: "select b.value->>'n' from json_each($1) b where exists (select 1 from automation_runs r where r.automation_id = b.value->>'automation_id' and r.started_at > b.value->>'since' and r.trigger_id = b.value->>'trigger_id' and coalesce('k:' || r.context_key, '-') = b.value->>'key')",
        postgres: "select b.n from unnest($1::bigint[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[]) as b(n, automation_id, trigger_id, key, since) where exists (select 1 from signalbox.automation_runs r where r.automation_id = b.automation_id and r.started_at > b.since and r.trigger_id = b.trigger_id and coalesce('k:' || r.context_key, '-') = b.key)",
    };
}

/// Those that are still cooling down.
pub async fn cooling(tx: &mut Tx, asks: &[Cooling]) -> Result<HashSet<i64>, DbError> {
    if asks.is_empty() {
        return Ok(HashSet::new());
    }
    let found: Vec<i64> = tx.sql(COOLING).rows(asks).all().await?;
    Ok(found.into_iter().collect())
}
