//! Reading the log in a test.
//!
//! A [`Logs`] is a tracing span: what runs in it, and every task started in it with
//! `plugin_api::spawn`, is recorded there, so tests of one process do not see each other's lines.
//! With `SIGNALBOX_TEST_LOG` set to a filter (`debug`, `plugin_runtime=trace`) lines are printed too.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write,
    future::Future,
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};
use tracing::{
    Event, Instrument, Level, Span, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{
    EnvFilter, Layer,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
};

/// One log line.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its level.
    pub level: Level,
    /// The module that wrote it.
    pub target: String,
    /// The sentence.
    pub message: String,
    /// The fields, as text.
    pub fields: BTreeMap<String, String>,
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.level, self.message)?;
        for (name, value) in &self.fields {
            write!(f, " {name}={value}")?;
        }
        Ok(())
    }
}

/// The log of what runs in its span. Clones record into the same place.
#[derive(Clone)]
pub struct Logs {
    span: Span,
    id: u64,
}

type Recorded = Mutex<HashMap<u64, Vec<Line>>>;

fn recorded() -> &'static Recorded {
    static RECORDED: OnceLock<Recorded> = OnceLock::new();
    RECORDED.get_or_init(Recorded::default)
}

impl Default for Logs {
    fn default() -> Self {
        Self::new()
    }
}

impl Logs {
    /// An empty log.
    pub fn new() -> Self {
        static INSTALLED: OnceLock<()> = OnceLock::new();
        static IDS: AtomicU64 = AtomicU64::new(1);
        INSTALLED.get_or_init(|| {
            let printed = std::env::var("SIGNALBOX_TEST_LOG").ok().map(|filter| {
                tracing_subscriber::fmt::layer()
                    .with_test_writer()
                    .with_filter(EnvFilter::new(filter))
            });
            let subscriber = tracing_subscriber::registry().with(Recorder).with(printed);
            // A test may have installed its own; then nothing is recorded and its assertions say so.
            let _ = tracing::subscriber::set_global_default(subscriber);
        });
        let id = IDS.fetch_add(1, Ordering::Relaxed);
        Self {
            span: tracing::error_span!(target: "test_kit::logs", "recorded", log = id),
            id,
        }
    }

    /// Runs a future, and every task it starts, in this log.
    pub async fn record<F: Future>(&self, f: F) -> F::Output {
        f.instrument(self.span.clone()).await
    }

    /// What was logged so far.
    pub fn lines(&self) -> Vec<Line> {
        let all = recorded().lock().expect("logs");
        all.get(&self.id).cloned().unwrap_or_default()
    }

    /// Lines of a level whose text, fields included, contains `part`.
    pub fn find(&self, level: Level, part: &str) -> Vec<Line> {
        let lines = self.lines().into_iter();
        lines
            .filter(|l| l.level == level && l.to_string().contains(part))
            .collect()
    }

    /// True when any line contains `part`, in whatever level.
    pub fn contains(&self, part: &str) -> bool {
        self.lines().iter().any(|l| l.to_string().contains(part))
    }
}

struct Recorder;
struct LogId(u64);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Recorder {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, ctx: Context<'_, S>) {
        if attributes.metadata().target() != "test_kit::logs" {
            return;
        }
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let (Some(span), Some(log)) = (ctx.span(id), fields.0.get("log"))
            && let Ok(log) = log.parse()
        {
            span.extensions_mut().insert(LogId(log));
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let Some(scope) = ctx.event_scope(event) else {
            return;
        };
        let Some(id) = scope
            .into_iter()
            .find_map(|s| s.extensions().get::<LogId>().map(|i| i.0))
        else {
            return;
        };
        let mut fields = Fields::default();
        event.record(&mut fields);
        let message = fields.0.remove("message").unwrap_or_default();
        let line = Line {
            level: *event.metadata().level(),
            target: event.metadata().target().to_owned(),
            message,
            fields: fields.0,
        };
        let mut all = recorded().lock().expect("logs");
        all.entry(id).or_default().push(line);
    }
}

#[derive(Default)]
struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let mut text = String::new();
        let _ = write!(text, "{value:?}");
        self.0.insert(field.name().to_owned(), text);
    }
}
