//! How firings of one bucket share it (`dispatch §8`). The critical section covers only check,
//! cancel and insert – never the walk.

mod cooldown;
pub mod decide;
pub mod queue;

pub use cooldown::{ALL as COOLING_ALL, Cooling, cooling};

use automation_core::AutomationId;
use plugin_api::{Text, Tx, db::DbError, locks::key_hash};
use std::collections::{BTreeSet, HashMap};

/// Runs that exclude or count each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bucket {
    /// The automation.
    pub automation: AutomationId,
    /// None: all its runs; else those with this key, null included.
    pub context_key: Option<Option<String>>,
}

impl Bucket {
    /// As the index on active runs spells a context key; none for the whole automation.
    pub(crate) fn index_key(&self) -> Option<String> {
        self.context_key.as_ref().map(|k| index_key(k.as_deref()))
    }
}

/// A context key as expression indexes spell it: SQL holds nulls distinct, and these do not.
pub(crate) fn index_key(key: Option<&str>) -> String {
    match key {
        Some(key) => format!("k:{}", Text::new(key).as_str()),
        None => "-".to_owned(),
    }
}

/// Runs of a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// `running` or `waiting`.
    pub walking: u64,
    /// `pending`.
    pub pending: u64,
}

plugin_api::batch_row! {
    struct KeyRow { key: i64 }
}
plugin_api::batch_row! {
    struct BucketRow { n: i64, automation_id: AutomationId, key: Option<String> }
}
plugin_api::row! {
    struct CountRow { n: i64, active: i64, pending: i64 }
}

plugin_api::statements! {
    /// Takes the critical sections in one order. On SQLite the writer is alone anyway.
    pub LOCK = {
        sqlite: "select value from json_each($1)",
        postgres: "select pg_advisory_xact_lock(k) from (select k from unnest($1::bigint[]) k order by k) o",
    };
    /// A null key counts the whole automation. Two branches, so that a key is looked up in the index:
    /// beside `or` it would be compared with every active run of the automation.
    pub COUNT = {
        sqlite: "select b.value->>'n' as n, case when b.value->>'key' is null then (select count(*) from automation_runs r where r.status in ('pending', 'running', 'waiting') and r.automation_id = b.value->>'automation_id') else (select count(*) from automation_runs r where r.status in ('pending', 'running', 'waiting') and r.automation_id = b.value->>'automation_id' and coalesce('k:' || r.context_key, '-') = b.value->>'key') end as active, (select count(*) from automation_runs r where r.status = 'pending' and r.automation_id = b.value->>'automation_id' and (b.value->>'key' is null or coalesce('k:' || r.context_key, '-') = b.value->>'key')) as pending from jsonb_each($1) b",
        postgres: "with b as (select * from unnest($1::bigint[], $2::uuid[], $3::text[]) as b(n, automation_id, key)) select b.n, c.active, c.pending from b, lateral (select count(*) as active, count(*) filter (where r.status = 'pending') as pending from signalbox.automation_runs r where r.status in ('pending', 'running', 'waiting') and r.automation_id = b.automation_id and coalesce('k:' || r.context_key, '-') = b.key) c where b.key is not null union all select b.n, c.active, c.pending from b, lateral (select count(*) as active, count(*) filter (where r.status = 'pending') as pending from signalbox.automation_runs r where r.status in ('pending', 'running', 'waiting') and r.automation_id = b.automation_id) c where b.key is null",
    };
}

/// Enters the critical sections of these keys until the transaction ends.
pub async fn lock(tx: &mut Tx, keys: impl Iterator<Item = String>) -> Result<(), DbError> {
    let keys: BTreeSet<i64> = keys.map(|k| key_hash(&k)).collect();
    if keys.is_empty() || !tx.is_postgres() {
        return Ok(());
    }
    let rows: Vec<KeyRow> = keys.into_iter().map(|key| KeyRow { key }).collect();
    tx.sql(LOCK).rows(&rows).execute().await.map(drop)
}

/// Active runs of each bucket.
pub async fn count(tx: &mut Tx, buckets: &[Bucket]) -> Result<HashMap<Bucket, Occupancy>, DbError> {
    let mut counts = HashMap::new();
    let mut distinct: Vec<&Bucket> = Vec::new();
    for b in buckets {
        if counts.insert(b.clone(), Occupancy::default()).is_none() {
            distinct.push(b);
        }
    }
    if distinct.is_empty() {
        return Ok(counts);
    }
    let rows: Vec<BucketRow> = distinct
        .iter()
        .enumerate()
        .map(|(n, b)| BucketRow {
            n: n as i64,
            automation_id: b.automation,
            key: b.index_key(),
        })
        .collect();
    let found: Vec<CountRow> = tx.sql(COUNT).rows(&rows).replanned().all().await?;
    for row in found {
        if let Some(bucket) = distinct.get(row.n as usize) {
            let pending = row.pending.max(0) as u64;
            let occupancy = Occupancy {
                walking: (row.active.max(0) as u64).saturating_sub(pending),
                pending,
            };
            counts.insert((*bucket).clone(), occupancy);
        }
    }
    Ok(counts)
}
