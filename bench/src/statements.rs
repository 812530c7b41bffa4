//! Counting and timing the statements that go to the database.
//!
//! The driver tells of each statement in its log, at a level nobody listens to in production. A listener is switched on
//! for a short phase of its own, so that measured phases do not pay for it. Begin, commit and rollback are not among them,
//! nor the look whether a pooled connection still lives.

use std::{
    collections::HashMap,
    fmt::Debug,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
    subscriber::Interest,
};

static COUNTING: AtomicBool = AtomicBool::new(false);
static TOLD: AtomicBool = AtomicBool::new(false);
static COUNTED: Mutex<Option<HashMap<String, Counted>>> = Mutex::new(None);

/// Where the driver tells of statements.
const TARGET: &str = "sqlx::query";
/// Statements shown by [`tell`].
const SHOWN: usize = 25;
/// Characters of a statement that name it.
const NAMED: usize = 130;

/// What is known of one statement.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    times: u64,
    took: Duration,
}

/// Installs the listener, once a process. If `told`, each counted phase is printed to standard error, statement by
/// statement.
pub fn install(told: bool) {
    TOLD.store(told, Ordering::Relaxed);
    // Somebody else's listener means that nothing is counted.
    let _ = tracing::subscriber::set_global_default(Listener);
}

/// Starts counting from zero.
pub fn start() {
    *COUNTED.lock().expect("statements") = Some(HashMap::new());
    COUNTING.store(true, Ordering::Relaxed);
}

/// Stops counting; answers how many statements there were for `pieces` pieces of work.
pub fn stop(piece: &str, pieces: u64) -> u64 {
    COUNTING.store(false, Ordering::Relaxed);
    let counted = COUNTED.lock().expect("statements").take();
    let counted = counted.unwrap_or_default();
    if TOLD.load(Ordering::Relaxed) {
        tell(&counted, piece, pieces);
    }
    counted.values().map(|c| c.times).sum()
}

/// The statements that took longest, with how often each came and how long it took for one piece of work.
fn tell(counted: &HashMap<String, Counted>, piece: &str, pieces: u64) {
    let mut all: Vec<(&String, &Counted)> = counted.iter().collect();
    all.sort_by_key(|(_, c)| std::cmp::Reverse(c.took));
    let each = |n: f64| n / pieces.max(1) as f64;
    eprintln!("statements of {pieces} × {piece}: times and µs for each {piece}, µs each time");
    for (text, c) in all.into_iter().take(SHOWN) {
        let micros = c.took.as_secs_f64() * 1e6;
        eprintln!(
            "{:>8.3} {:>9.1} {:>9.1}  {text}",
            each(c.times as f64),
            each(micros),
            micros / c.times.max(1) as f64,
        );
    }
}

struct Listener;

impl Subscriber for Listener {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.target().starts_with(TARGET) {
            Interest::sometimes()
        } else {
            Interest::never()
        }
    }
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        COUNTING.load(Ordering::Relaxed) && metadata.target().starts_with(TARGET)
    }
    fn event(&self, event: &Event<'_>) {
        let mut told = Told::default();
        event.record(&mut told);
        if let Some(counted) = COUNTED.lock().expect("statements").as_mut() {
            let one = counted.entry(told.name()).or_default();
            one.times += 1;
            one.took += Duration::from_secs_f64(told.seconds.max(0.0));
        }
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// What the driver tells of one statement.
#[derive(Default)]
struct Told {
    /// Its first words; all of it when it is short.
    summary: String,
    /// The rest, when there is any.
    statement: String,
    seconds: f64,
}

impl Told {
    /// Its text in one line, cut.
    fn name(&self) -> String {
        let text = match self.statement.trim() {
            "" => &self.summary,
            statement => statement,
        };
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        line.chars().take(NAMED).collect()
    }
}

impl Visit for Told {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "summary" => self.summary = value.to_owned(),
            "db.statement" => self.statement = value.to_owned(),
            _ => {}
        }
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        if field.name() == "elapsed_secs" {
            self.seconds = value;
        }
    }
    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}
