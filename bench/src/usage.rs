//! What this process uses: processor time, memory, bytes written.

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeVal,
};
use std::time::Duration;

/// Processor time of this process so far, all threads, user and system.
///
/// # Errors
/// When the system does not tell.
pub fn cpu() -> anyhow::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let time = |t: TimeVal| {
        let micros = t.tv_sec() * 1_000_000 + t.tv_usec();
        Duration::from_micros(micros.max(0) as u64)
    };
    Ok(time(usage.user_time()) + time(usage.system_time()))
}

/// Memory in use by this process, in megabytes (10⁶ bytes); none where `/proc` does not tell.
pub fn memory() -> Option<f64> {
    status("VmRSS:")
}

/// The most memory this process ever had, in megabytes; none where `/proc` does not tell.
pub fn peak_memory() -> Option<f64> {
    status("VmHWM:")
}

fn status(field: &str) -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|line| line.starts_with(field))?;
    let kibibytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024.0 / 1e6)
}

/// Bytes this process has handed to the system for writing; 0 where `/proc` does not tell.
pub fn written() -> u64 {
    let text = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let field = text.lines().find_map(|line| line.strip_prefix("wchar: "));
    field.and_then(|n| n.trim().parse().ok()).unwrap_or(0)
}

/// Processor time of the process with this id, its siblings and their parent: of a database server, seen from one of its
/// backends. None where `/proc` does not tell, such as for a server on another machine.
pub fn server_cpu(backend: i64) -> Option<Duration> {
    let parent = stat(backend)?.parent;
    let mut ticks = stat(parent)?.with_children;
    for entry in std::fs::read_dir("/proc").ok()? {
        let name = entry.ok()?.file_name();
        let Some(id) = name.to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        // A process may end while we look; its parent then counts its time.
        if let Some(other) = stat(id).filter(|s| s.parent == parent) {
            ticks += other.own;
        }
    }
    Some(Duration::from_millis(ticks * 10))
}

struct Stat {
    parent: i64,
    /// Ticks of 10 ms.
    own: u64,
    /// The same with those of children that have ended.
    with_children: u64,
}

fn stat(id: i64) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name may hold spaces and brackets; what follows its last bracket is fixed.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at).and_then(|f| f.parse::<u64>().ok());
    let own = number(11)? + number(12)?;
    Some(Stat {
        parent: i64::try_from(number(1)?).ok()?,
        own,
        with_children: own + number(13)? + number(14)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        let mut sum = 0u64;
        for i in 0..20_000_000u64 {
            sum = std::hint::black_box(sum.wrapping_add(i));
        }
        assert!(cpu().unwrap() > Duration::ZERO);
        if std::path::Path::new("/proc/self/status").exists() {
            assert!(memory().unwrap() > 1.0);
            assert!(peak_memory() >= memory());
            assert!(server_cpu(std::process::id().into()).is_some());
        }
    }
}
