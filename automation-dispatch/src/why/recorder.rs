//! The buffer between those who decide and the ring, and the task that empties it.
//!
//! Recording takes a lock for as long as it takes to append, whatever the database does. The task
//! sleeps while there is nothing; then it lets decisions gather for half a second, longer while more
//! come than fit, and writes them at one go, in transactions of a few hundred rows. So the ring costs
//! a fixed share of the database at most, and what does not fit into it – decisions beyond the
//! buffer, or beyond an automation's own ring – is never written.

use super::{
    entry::Entry,
    explain,
    store::{self, DecisionRow},
};
use crate::shared::Shared;
use automation_core::AutomationId;
use plugin_api::{Clock, Doc, Id, LoopReporter, Text, Ts, Tx, db::DbError};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::Notify;

/// How long decisions gather before they are written.
const GATHER: Duration = Duration::from_millis(500);
/// The same while more are made than fit: most are lost anyway, and must not cost others the database.
const GATHER_OVERLOADED: Duration = Duration::from_secs(2);
/// Decisions that wait at most; beyond that the oldest go.
const CAPACITY: usize = 2048;
/// Rows of one transaction.
const BATCH: usize = 256;
/// Explanations computed at a stretch before other tasks get their turn.
const STRETCH: usize = 32;
/// Rings cut by one statement.
const PRUNED: usize = 64;
/// Milliseconds between two sentences about lost decisions.
const TELL_MS: i64 = 60_000;

/// Takes decisions; cheap to clone, never blocks.
#[derive(Clone)]
pub struct Recorder(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    /// Size of an automation's ring; 0: nothing is kept.
    keep: u32,
    buffer: Mutex<Buffer>,
    /// Told when the buffer is not empty any more.
    arrived: Notify,
    /// Held while the buffer is written: rings are in order, and counters have one owner.
    written: tokio::sync::Mutex<Written>,
}

#[derive(Default)]
struct Buffer {
    entries: VecDeque<Entry>,
    dropped: u64,
}

#[derive(Default)]
struct Written {
    /// Rows of a ring since it was last cut.
    since: HashMap<AutomationId, u32>,
    /// Decisions lost since that was last told, and when it was.
    lost: u64,
    told: Option<Ts>,
    /// More came than fit when it was emptied last.
    overloaded: bool,
}

impl Recorder {
    /// A recorder for rings of this size; 0 keeps nothing.
    pub fn new(clock: Arc<dyn Clock>, keep: u32) -> Self {
        Self(Arc::new(Inner {
            clock,
            keep,
            buffer: Mutex::default(),
            arrived: Notify::new(),
            written: tokio::sync::Mutex::default(),
        }))
    }

    /// Records a decision that stands.
    pub fn record(&self, entry: Entry) {
        self.push([entry]);
    }

    /// Records decisions that stand, in their order.
    pub fn record_all(&self, entries: Vec<Entry>) {
        if !entries.is_empty() {
            self.push(entries);
        }
    }

    fn push(&self, entries: impl IntoIterator<Item = Entry>) {
        if self.0.keep == 0 {
            return;
        }
        let mut buffer = self.0.buffer.lock().expect("decisions");
        for mut entry in entries {
            entry.id = Some(Id(self.0.clock.new_uuid()));
            if buffer.entries.len() >= CAPACITY {
                buffer.entries.pop_front();
                buffer.dropped += 1;
            }
            buffer.entries.push_back(entry);
        }
        drop(buffer);
        self.0.arrived.notify_one();
    }

    /// Records a decision once the transaction that makes it commits.
    pub fn record_in(&self, tx: &mut Tx, entry: Entry) {
        let this = self.clone();
        tx.after_commit(move || this.record(entry));
    }

    /// Records decisions once the transaction that makes them commits.
    pub fn record_all_in(&self, tx: &mut Tx, entries: Vec<Entry>) {
        if entries.is_empty() || self.0.keep == 0 {
            return;
        }
        let this = self.clone();
        tx.after_commit(move || this.record_all(entries));
    }

    /// Takes what waits: the newest of each automation as far as its ring goes, in order.
    fn take(&self) -> (Vec<Entry>, u64) {
        let (entries, dropped) = {
            let mut buffer = self.0.buffer.lock().expect("decisions");
            (
                std::mem::take(&mut buffer.entries),
                std::mem::take(&mut buffer.dropped),
            )
        };
        let mut of_each: HashMap<AutomationId, u32> = HashMap::new();
        let mut kept: Vec<Entry> = entries
            .into_iter()
            .rev()
            .filter(|e| {
                let n = of_each.entry(e.automation()).or_default();
                *n += 1;
                *n <= self.0.keep
            })
            .collect();
        kept.reverse();
        (kept, dropped)
    }
}

/// Writes decisions as they come, until the task is stopped.
pub async fn run(shared: Arc<Shared>, status: LoopReporter) {
    loop {
        shared.decisions.0.arrived.notified().await;
        let overloaded = shared.decisions.0.written.lock().await.overloaded;
        let gather = if overloaded {
            GATHER_OVERLOADED
        } else {
            GATHER
        };
        shared.clock.sleep(gather).await;
        let written = flush(&shared).await;
        status.pass(shared.clock.now(), written, None);
    }
}

/// Writes what waits, now; answers how many decisions were kept.
pub async fn flush(shared: &Shared) -> u64 {
    let recorder = &shared.decisions.0;
    let mut written = recorder.written.lock().await;
    let (entries, dropped) = shared.decisions.take();
    written.lost += dropped;
    written.overloaded = dropped > 0;
    let mut kept = 0;
    for batch in entries.chunks(BATCH) {
        let rows = rows(shared, batch).await;
        let Some(n) = write(shared, &rows).await else {
            // Nobody waits for a database that is not there.
            break;
        };
        kept += n;
        for row in &rows {
            *written.since.entry(row.automation_id).or_default() += 1;
        }
    }
    written.lost += entries.len() as u64 - kept;
    if kept > 0 {
        cut(shared, &mut written.since).await;
    }
    tell(&mut written, shared.clock.now());
    kept
}

async fn rows(shared: &Shared, entries: &[Entry]) -> Vec<DecisionRow> {
    let mut rows = Vec::with_capacity(entries.len());
    for (n, entry) in entries.iter().enumerate() {
        if n % STRETCH == STRETCH - 1 {
            tokio::task::yield_now().await;
        }
        rows.push(row(shared, entry));
    }
    rows
}

/// The row of an entry, masked with the secrets of the run it made.
fn row(shared: &Shared, entry: &Entry) -> DecisionRow {
    let run = entry.ruling.run();
    let masks = shared.secrets.set_for(run.map(|r| r.uuid().as_u128()));
    let text = |t: &str| Text::new(masks.mask_text(t).into_inner());
    let detail = explain::detail(entry, &shared.filters);
    DecisionRow {
        automation_id: entry.automation(),
        id: entry.id.unwrap_or_else(|| Id(shared.clock.new_uuid())),
        at: entry.at,
        occurrence: text(entry.subject.occurrence()),
        trigger_id: entry.subject.trigger_id().to_owned(),
        context_key: entry.subject.context_key().map(text),
        verdict: entry.ruling.verdict().to_owned(),
        gate: entry.ruling.gate().map(str::to_owned),
        detail: Doc(masks.mask_json(detail).into_inner()),
        run_id: run,
    }
}

/// Writes rows; a batch that is refused is split, so that one bad row costs only itself. Answers how
/// many were written; none when the database does not answer.
async fn write(shared: &Shared, rows: &[DecisionRow]) -> Option<u64> {
    match insert(shared, rows).await {
        Ok(()) => return Some(rows.len() as u64),
        Err(error) if plugin_api::db::is_unavailable(&error) => {
            tracing::debug!(%error, "Decisions could not be kept.");
            return None;
        }
        Err(error) => {
            tracing::debug!(%error, decisions = rows.len(), "A batch of decisions was refused and is split.");
        }
    }
    let mut written = 0;
    for row in rows {
        written += u64::from(insert(shared, std::slice::from_ref(row)).await.is_ok());
    }
    Some(written)
}

async fn insert(shared: &Shared, rows: &[DecisionRow]) -> Result<(), DbError> {
    plugin_api::fail::point("dispatch.decisions").await?;
    shared.db.tx(async |tx| store::insert(tx, rows).await).await
}

/// Cuts the rings that have grown by a quarter since they were cut last.
async fn cut(shared: &Shared, since: &mut HashMap<AutomationId, u32>) {
    let keep = shared.decisions.0.keep;
    let slack = (keep / 4).max(1);
    let grown: Vec<uuid::Uuid> = since
        .iter()
        .filter(|(_, n)| **n >= slack)
        .map(|(a, _)| a.uuid())
        .collect();
    for chunk in grown.chunks(PRUNED) {
        match store::prune(&shared.db, chunk, keep).await {
            Ok(_) => {
                for id in chunk {
                    since.remove(&AutomationId::from(*id));
                }
            }
            Err(error) => {
                tracing::debug!(%error, "Rings of decisions could not be cut; it is tried again.");
            }
        }
    }
}

/// One sentence about what was lost, a minute at most.
fn tell(written: &mut Written, now: Ts) {
    let due = written
        .told
        .is_none_or(|at| now.millis() - at.millis() >= TELL_MS);
    if written.lost > 0 && due {
        tracing::warn!(
            decisions = written.lost,
            "Some decisions will be missing from `signalbox why`: they came faster than they are kept, or the database refused them. Automations are not affected."
        );
        written.lost = 0;
        written.told = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::why::Ruling;
    use plugin_api::SystemClock;

    fn entry(automation: u128, n: usize) -> Entry {
        let automation = AutomationId::from(uuid::Uuid::from_u128(automation));
        Entry::plain(automation, &n.to_string(), Ruling::Duplicate)
    }

    fn occurrences(entries: &[Entry]) -> Vec<&str> {
        entries.iter().map(|e| e.subject.occurrence()).collect()
    }

    #[test]
    fn a_full_buffer_drops_the_oldest_and_counts_them() {
        let recorder = Recorder::new(SystemClock::new(), u32::MAX);
        for n in 0..CAPACITY + 10 {
            recorder.record(entry(1, n));
        }
        let (kept, dropped) = recorder.take();
        assert_eq!((kept.len(), dropped), (CAPACITY, 10));
        assert_eq!(kept[0].subject.occurrence(), "10");
        assert!(kept.windows(2).all(|w| w[0].id < w[1].id), "in order");
        assert_eq!(recorder.take().0.len(), 0);
    }

    #[test]
    fn beyond_a_ring_nothing_is_written() {
        let recorder = Recorder::new(SystemClock::new(), 2);
        recorder.record_all(vec![entry(1, 1), entry(2, 2), entry(1, 3), entry(1, 4)]);
        let (kept, dropped) = recorder.take();
        assert_eq!(occurrences(&kept), ["2", "3", "4"]);
        assert_eq!(dropped, 0, "a ring is meant to forget");
    }

    #[test]
    fn a_ring_of_nothing_records_nothing() {
        let recorder = Recorder::new(SystemClock::new(), 0);
        recorder.record(entry(1, 1));
        assert!(recorder.take().0.is_empty());
    }
}
