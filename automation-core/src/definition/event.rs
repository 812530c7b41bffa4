//! Event ids and the trigger ids derived from them (decision 6, `definition §5`).

/// The normal form of an event id: the first dot ends the plugin id, later ones count as `_`.
///
/// ```
/// use automation_core::definition::normal_event;
/// assert_eq!(normal_event("healthcheck.system.degraded"), "healthcheck.system_degraded");
/// ```
pub fn normal_event(event: &str) -> String {
    match event.split_once('.') {
        Some((plugin, rest)) => format!("{plugin}.{}", rest.replace('.', "_")),
        None => event.to_owned(),
    }
}

/// The trigger id derived from an event id: runs of characters outside `[A-Za-z0-9]` become one
/// `_`, then everything is lower-cased; nothing is trimmed.
///
/// ```
/// use automation_core::definition::effective_id;
/// assert_eq!(effective_id("A--b.C"), "a_b_c");
/// assert_eq!(effective_id(".a"), "_a");
/// ```
pub fn effective_id(event: &str) -> String {
    let mut out = String::with_capacity(event.len());
    let mut gap = false;
    for c in event.chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c.to_ascii_lowercase());
            gap = false;
        } else if !gap {
            out.push('_');
            gap = true;
        }
    }
    out
}
