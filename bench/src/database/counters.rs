//! What a database has done: commits that wrote, bytes of its log, processor time of its server.
//!
//! The counters are exact and cost a look. On Postgres a commit that writes takes a transaction id, so the next free id
//! counts them (statistics views lag by up to ten seconds), and the position in the write-ahead log counts bytes. SQLite
//! counts the transactions of its log in the header of the shared index (`iChange` of the WAL-index format), and what the
//! process writes is what SQLite writes. Both servers and files are used by nothing else while they are measured.

use super::Client;
use crate::usage;
use anyhow::Result;
use std::{io::Read, path::Path, time::Duration};

/// Counts since some fixed time; only differences mean anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Transactions that wrote.
    pub commits: u64,
    /// Bytes written: of the write-ahead log on Postgres, of log and tables on SQLite.
    pub written: u64,
    /// Processor time of the server; none where there is no server, or none that can be seen.
    pub server: Option<Duration>,
}

impl Counters {
    /// What was counted since an earlier look.
    #[must_use]
    pub fn since(self, earlier: Counters) -> Counters {
        Counters {
            commits: self.commits.wrapping_sub(earlier.commits),
            written: self.written.wrapping_sub(earlier.written),
            server: self
                .server
                .zip(earlier.server)
                .map(|(now, then)| now.saturating_sub(then)),
        }
    }

    /// Adds what was counted at another time.
    pub fn add(&mut self, other: Counters) {
        self.commits += other.commits;
        self.written += other.written;
        self.server = match (self.server, other.server) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        };
    }
}

/// The counters of the SQLite database with this index file.
pub(super) fn sqlite(index: &Path) -> Counters {
    let mut header = [0u8; 12];
    let read = std::fs::File::open(index).and_then(|mut file| file.read_exact(&mut header));
    let changes = [header[8], header[9], header[10], header[11]];
    Counters {
        // Without an index nothing was written yet.
        commits: read.map_or(0, |()| u64::from(u32::from_ne_bytes(changes))),
        written: usage::written(),
        server: None,
    }
}

const LOOK: &str = "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
    pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint, pg_backend_pid()::bigint";

/// The counters of the server.
pub(super) async fn postgres(client: &mut Client) -> Result<Counters> {
    let seen = client.numbers(LOOK, 3).await?;
    Ok(Counters {
        commits: seen[0] as u64,
        written: seen[1] as u64,
        server: usage::server_cpu(seen[2]),
    })
}
