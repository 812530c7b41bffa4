//! Hourly buckets of runs (`healthcheck §15.1–15.2`), written with each run, read by the provider.

use crate::{rollup, sketch::Sketch, status::Status};
use plugin_api::{Conn, Doc, Id, Text, Ts, db::Result};
use serde_json::{Map, Value};

plugin_api::row! {
    /// A bucket as stored.
    #[derive(Clone, Debug)]
    pub struct Bucket {
        /// Its id.
        pub id: Id,
        /// The configuration.
        pub configuration_id: Id,
        /// The system.
        pub system_id: Text,
        /// Start of its hour.
        pub bucket_start: Ts,
        /// Runs in it.
        pub run_count: i64,
        /// Of these healthy.
        pub healthy_count: i64,
        /// Of these degraded.
        pub degraded_count: i64,
        /// Of these unhealthy.
        pub unhealthy_count: i64,
        /// Runs that had a latency.
        pub latency_count: i64,
        /// Their sum in milliseconds.
        pub latency_sum_ms: i64,
        /// Smallest latency.
        pub min_latency_ms: Option<i64>,
        /// Largest latency.
        pub max_latency_ms: Option<i64>,
        /// 95th percentile of the latencies.
        pub p95_latency_ms: Option<f64>,
        /// Averages, rates and error counters per collector entry.
        pub aggregated_result: Option<Doc>,
        /// The sketch the percentile comes from.
        pub tdigest_state: Option<Doc>,
    }
}

plugin_api::row! {
    /// All buckets of one system since some instant, summed.
    #[derive(Clone, Debug)]
    pub struct Recent {
        /// The system.
        pub system_id: Text,
        /// Runs.
        pub run_count: i64,
        /// Of these healthy.
        pub healthy_count: i64,
        /// Runs with a latency.
        pub latency_count: i64,
        /// Their sum.
        pub latency_sum_ms: i64,
        /// Largest of the buckets' 95th percentiles: an upper bound.
        pub p95_latency_ms: Option<f64>,
    }
}

plugin_api::statements! {
    GET = "select id, configuration_id, system_id, bucket_start, run_count, healthy_count, degraded_count,
            unhealthy_count, latency_count, latency_sum_ms, min_latency_ms, max_latency_ms, p95_latency_ms,
            aggregated_result, tdigest_state
        from health_check_aggregates
        where configuration_id = $1 and system_id = $2 and bucket_start = $3 and bucket_size = 'hourly'
          and coalesce(source_id, '') = ''";
    PUT = "insert into health_check_aggregates
        (id, configuration_id, system_id, bucket_start, bucket_size, run_count, healthy_count, degraded_count,
         unhealthy_count, latency_count, latency_sum_ms, avg_latency_ms, min_latency_ms, max_latency_ms,
         p95_latency_ms, aggregated_result, tdigest_state)
        values ($1, $2, $3, $4, 'hourly', $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
        on conflict (configuration_id, system_id, bucket_start, bucket_size, coalesce(source_id, '')) do update set
            run_count = excluded.run_count, healthy_count = excluded.healthy_count,
            degraded_count = excluded.degraded_count, unhealthy_count = excluded.unhealthy_count,
            latency_count = excluded.latency_count, latency_sum_ms = excluded.latency_sum_ms,
            avg_latency_ms = excluded.avg_latency_ms, min_latency_ms = excluded.min_latency_ms,
            max_latency_ms = excluded.max_latency_ms, p95_latency_ms = excluded.p95_latency_ms,
            aggregated_result = excluded.aggregated_result, tdigest_state = excluded.tdigest_state";
    RECENT = {
        sqlite: "select system_id, cast(sum(run_count) as bigint) as run_count,
                cast(sum(healthy_count) as bigint) as healthy_count,
                cast(sum(latency_count) as bigint) as latency_count,
                cast(sum(latency_sum_ms) as bigint) as latency_sum_ms, max(p95_latency_ms) as p95_latency_ms
            from health_check_aggregates
            where bucket_size = 'hourly' and bucket_start >= $1
              and system_id in (select value from json_each($2))
            group by system_id",
        postgres: "select system_id, cast(sum(run_count) as bigint) as run_count,
                cast(sum(healthy_count) as bigint) as healthy_count,
                cast(sum(latency_count) as bigint) as latency_count,
                cast(sum(latency_sum_ms) as bigint) as latency_sum_ms, max(p95_latency_ms) as p95_latency_ms
            from health_check_aggregates
            where bucket_size = 'hourly' and bucket_start >= $1 and system_id = any($2)
            group by system_id",
    };
    DELETE_SYSTEM = "delete from health_check_aggregates where system_id = $1";
}

/// Start of the UTC hour an instant lies in.
pub fn hour_of(at: Ts) -> Ts {
    const HOUR_MS: i64 = 3_600_000;
    Ts::from_millis(at.millis().div_euclid(HOUR_MS) * HOUR_MS)
}

/// One run as the buckets see it.
pub struct Sample<'a> {
    /// The system.
    pub system_id: &'a str,
    /// The configuration.
    pub configuration_id: Id,
    /// When it was recorded.
    pub at: Ts,
    /// Its status.
    pub status: Status,
    /// Its wall time.
    pub latency_ms: Option<i64>,
    /// Its collectors' results.
    pub collectors: Option<&'a Map<String, Value>>,
}

/// Adds a run to its bucket. Reads and writes: the caller holds the system's lock.
pub async fn add(mut at: Conn<'_>, new_id: Id, sample: &Sample<'_>) -> Result<()> {
    let start = hour_of(sample.at);
    let stored: Option<Bucket> = at
        .sql(GET)
        .bind(sample.configuration_id)
        .bind(Text::new(sample.system_id))
        .bind(start)
        .optional()
        .await?;
    let mut b = stored.unwrap_or_else(|| empty(new_id, sample, start));
    b.run_count += 1;
    match sample.status {
        Status::Healthy => b.healthy_count += 1,
        Status::Degraded => b.degraded_count += 1,
        Status::Unhealthy => b.unhealthy_count += 1,
    }
    if let Some(ms) = sample.latency_ms {
        b.latency_count += 1;
        b.latency_sum_ms += ms;
        b.min_latency_ms = Some(b.min_latency_ms.map_or(ms, |m| m.min(ms)));
        b.max_latency_ms = Some(b.max_latency_ms.map_or(ms, |m| m.max(ms)));
        let mut sketch: Sketch = b
            .tdigest_state
            .as_ref()
            .and_then(|d| d.decode().ok())
            .unwrap_or_default();
        sketch.add(ms as f64);
        b.p95_latency_ms = sketch.quantile(0.95);
        b.tdigest_state = Doc::of(&sketch).ok();
    }
    if let Some(collectors) = sample.collectors {
        let so_far = b.aggregated_result.take().map(|d| d.0);
        b.aggregated_result = Some(Doc(rollup::add(so_far, collectors)));
    }
    let average = (b.latency_count > 0).then(|| b.latency_sum_ms as f64 / b.latency_count as f64);
    at.sql(PUT)
        .bind(b.id)
        .bind(b.configuration_id)
        .bind(b.system_id)
        .bind(b.bucket_start)
        .bind(b.run_count)
        .bind(b.healthy_count)
        .bind(b.degraded_count)
        .bind(b.unhealthy_count)
        .bind(b.latency_count)
        .bind(b.latency_sum_ms)
        .bind(average)
        .bind(b.min_latency_ms)
        .bind(b.max_latency_ms)
        .bind(b.p95_latency_ms)
        .bind(b.aggregated_result)
        .bind(b.tdigest_state)
        .execute()
        .await?;
    Ok(())
}

fn empty(id: Id, sample: &Sample<'_>, bucket_start: Ts) -> Bucket {
    Bucket {
        id,
        configuration_id: sample.configuration_id,
        system_id: Text::new(sample.system_id),
        bucket_start,
        run_count: 0,
        healthy_count: 0,
        degraded_count: 0,
        unhealthy_count: 0,
        latency_count: 0,
        latency_sum_ms: 0,
        min_latency_ms: None,
        max_latency_ms: None,
        p95_latency_ms: None,
        aggregated_result: None,
        tdigest_state: None,
    }
}

/// Sums over the hourly buckets that begin at or after an instant, for systems that have any.
pub async fn recent(mut at: Conn<'_>, since: Ts, system_ids: &[String]) -> Result<Vec<Recent>> {
    at.sql(RECENT).bind(since).texts(system_ids).all().await
}

/// Deletes the buckets of a system.
pub async fn delete_system(mut at: Conn<'_>, system_id: &str) -> Result<()> {
    at.sql(DELETE_SYSTEM)
        .bind(Text::new(system_id))
        .execute()
        .await?;
    Ok(())
}
