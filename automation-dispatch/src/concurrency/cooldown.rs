//! `cooldown` on a trigger: for so long after a start, further firings with the same context key are
//! refused. Asked inside the bucket's critical section, so that two nodes cannot both start. Runs started
//! by hand do not count: no gate was asked for them, and a try must not silence the real firing after it.

use automation_core::AutomationId;
use plugin_api::{Ts, Tx, db::DbError};
use std::collections::HashMap;

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

plugin_api::row! {
    struct LastRow { n: i64, started_at: Ts }
}

plugin_api::statements! {
    /// The newest start of each that is not over yet. Only a run that was started by hand has no dedup
    /// key.
    pub COOLING = {
        sqlite: "select b.value->>'n' as n, r.started_at from jsonb_each($1) b join automation_runs r on r.id = (select l.id from automation_runs l where l.automation_id = b.value->>'automation_id' and l.started_at > b.value->>'since' and l.trigger_id = b.value->>'trigger_id' and coalesce('k:' || l.context_key, '-') = b.value->>'key' and l.dedup_key is not null order by l.started_at desc limit 1)",
        postgres: "select b.n, r.started_at from unnest($1::bigint[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[]) as b(n, automation_id, trigger_id, key, since), lateral (select l.started_at from signalbox.automation_runs l where l.automation_id = b.automation_id and l.started_at > b.since and l.trigger_id = b.trigger_id and coalesce('k:' || l.context_key, '-') = b.key and l.dedup_key is not null order by l.started_at desc limit 1) r",
    };
}

/// Those that are still cooling down, with the start they cool down from.
pub async fn cooling(tx: &mut Tx, asks: &[Cooling]) -> Result<HashMap<i64, Ts>, DbError> {
    if asks.is_empty() {
        return Ok(HashMap::new());
    }
    let found: Vec<LastRow> = tx.sql(COOLING).rows(asks).all().await?;
    Ok(found.into_iter().map(|r| (r.n, r.started_at)).collect())
}
