//! When a check runs first, so that a thousand checks do not start at once (`healthcheck §5.1.3`, `§18.1`).

/// FNV-1a, 32 bits.
pub fn fnv1a(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

/// A stable delay in `[0, min(interval, 30 s))` milliseconds, from the ids of the assignment.
pub fn jitter_ms(configuration_id: &str, system_id: &str, interval_seconds: i64) -> u64 {
    let range = interval_seconds.clamp(0, 30) as u64 * 1000;
    let hash = u64::from(fnv1a(&format!("{configuration_id}:{system_id}")));
    (hash * range) >> 32
}

/// Milliseconds until the first tick: what is left of the interval since the last run, nothing when
/// there was none or it is overdue; plus the jitter.
pub fn first_delay_ms(
    since_last_run_ms: Option<i64>,
    interval_seconds: i64,
    jitter_ms: u64,
) -> u64 {
    let left = since_last_run_ms.map_or(0, |elapsed| {
        (interval_seconds * 1000 - elapsed.max(0)).max(0)
    });
    left as u64 + jitter_ms
}
