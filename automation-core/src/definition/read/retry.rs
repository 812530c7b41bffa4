//! Reads the `retry` of a provider action.

use super::fields::Reader;
use super::trigger::duration;
use crate::definition::{Backoff, Retry};
use crate::yaml::Node;

pub(super) fn read(r: &mut Reader, node: &Node) -> Option<Retry> {
    let f = r.fields(node, &["max_attempts", "delay", "backoff", "max_delay"])?;
    let max_attempts = f.required(r, "max_attempts", |r, n| r.int(n, 1, Retry::MOST_ATTEMPTS));
    let delay = f.required(r, "delay", duration);
    let backoff = f.optional(r, "backoff", |r, n| r.one_of(n, &Backoff::ALL));
    let max_delay = f.optional(r, "max_delay", duration);
    Some(Retry {
        max_attempts: max_attempts?,
        delay: delay?,
        backoff: backoff.unwrap_or_default(),
        max_delay,
    })
}
