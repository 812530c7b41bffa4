//! Runs other people's programs without letting them outlive or exhaust the caller.
//!
//! A check or an action hands a [`ScriptSpec`] to the [`Runner`]; what comes back is a
//! [`ScriptOutcome`], whatever the program did. Four ideas keep it safe (`scripts §5–6`):
//!
//! - **Nothing of the host leaks in.** The child starts from an empty environment with a short
//!   allow-list; its home and its directory for temporary files are a scratch directory of its own,
//!   removed afterwards. Names that change how programs load code are refused ([`mod@env`]).
//! - **Nothing of the child leaks out.** It leads its own process group. At the time limit the whole
//!   group gets TERM, two seconds later KILL; when the caller drops the future, KILL at once. A
//!   background job of a script that has ended is killed too, whatever it did with its output.
//! - **Output is bounded.** Each stream keeps [`OUTPUT_LIMIT`] bytes; the rest is read and thrown
//!   away, so that a chatty program neither blocks nor fills memory. Secrets are masked before the
//!   cut, so that half a secret cannot stay behind at the edge; where capturing itself stopped in
//!   the middle, what may begin a secret is left out.
//! - **Load is bounded.** At most twice as many programs run as there are processors; waiting for a
//!   place does not count against the program's time limit. A caller with a time limit of its own,
//!   around several programs perhaps, is admitted first ([`Runner::admit`]) and starts its clock then.
//!
//! ```no_run
//! # async fn example(clock: std::sync::Arc<dyn plugin_api::Clock>) -> Result<(), script_runner::ScriptError> {
//! use script_runner::{Program, Runner, ScriptSpec};
//! use std::time::Duration;
//! let runner = Runner::new(clock);
//! let spec = ScriptSpec::new(Program::Shell("echo hello".into()), Duration::from_secs(5));
//! assert_eq!(runner.run(spec).await?.stdout, "hello");
//! # Ok(()) }
//! ```

pub mod env;
mod output;
mod process;

use plugin_api::{Clock, masking::MaskSet};
use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes kept of each output stream (`healthcheck §3.3.6`).
pub const OUTPUT_LIMIT: usize = 64 * 1024;

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// Text for `sh -c`.
    Shell(String),
    /// A program found through `PATH`, with its arguments as they are: no shell reads them.
    Command {
        /// Name or path.
        command: String,
        /// Arguments.
        args: Vec<String>,
    },
}

/// One execution.
#[derive(Clone, Debug)]
pub struct ScriptSpec {
    /// What to run.
    pub program: Program,
    /// Added to the base environment; later layers are already merged by the caller. Dangerous or
    /// malformed names are left out with a warning ([`env::check_name`] tells beforehand).
    pub env: BTreeMap<String, String>,
    /// Working directory; none is the scratch directory.
    pub cwd: Option<PathBuf>,
    /// Wall-clock limit, from the start of the process; waiting for a place comes before that.
    pub timeout: Duration,
    /// Masked in both streams before they are cut.
    pub mask: Arc<MaskSet>,
}

impl ScriptSpec {
    /// A program with a time limit, nothing added to its environment and nothing to mask.
    pub fn new(program: Program, timeout: Duration) -> Self {
        Self {
            program,
            env: BTreeMap::new(),
            cwd: None,
            timeout,
            mask: Arc::new(MaskSet::empty()),
        }
    }
}

/// What a program did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptOutcome {
    /// Its exit code; `128 + signal` when a signal ended it; −1 when the time limit did.
    pub exit_code: i32,
    /// Standard output: lossy UTF-8, trailing white space trimmed, masked, cut.
    pub stdout: String,
    /// Standard error, likewise.
    pub stderr: String,
    /// From start to end of the process, without the time waited for a place.
    pub duration: Duration,
    /// True when the time limit ended it.
    pub timed_out: bool,
    /// True when a stream was longer than [`OUTPUT_LIMIT`].
    pub truncated: bool,
}

/// Why a program could not be run at all.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// No scratch directory.
    #[error("cannot create a scratch directory: {0}")]
    Scratch(std::io::Error),
    /// The working directory does not exist.
    #[error("working directory {0} does not exist or is not a directory")]
    WorkingDirectory(PathBuf),
    /// The process could not be started.
    #[error("cannot start the process: {0}")]
    Spawn(std::io::Error),
    /// Its end could not be observed.
    #[error("cannot wait for the process: {0}")]
    Wait(std::io::Error),
}

/// Runs programs. Cheap to clone; clones share the limit on how many run at once.
#[derive(Clone)]
pub struct Runner {
    clock: Arc<dyn Clock>,
    places: Arc<Semaphore>,
    total: usize,
}

impl Runner {
    /// A runner with `2 × processors` places (`scripts §6.7`).
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let total = processors * 2;
        Self {
            clock,
            places: Arc::new(Semaphore::new(total)),
            total,
        }
    }

    /// Runs a program as soon as there is a place for it; otherwise as [`Places::run`].
    pub async fn run(&self, spec: ScriptSpec) -> Result<ScriptOutcome, ScriptError> {
        self.admit(1).await.run(spec).await
    }

    /// Waits for places for `programs` that shall run at once, at least one and at most all there
    /// are, and holds them until the answer is dropped. Who asks first is admitted first. All are
    /// taken together: callers that held some while waiting for more could block each other.
    pub async fn admit(&self, programs: usize) -> Places {
        let wanted = programs.clamp(1, self.total);
        let permits = u32::try_from(wanted).unwrap_or(u32::MAX);
        Places {
            clock: self.clock.clone(),
            free: Semaphore::new(wanted),
            // The semaphore is never closed, which is the only error.
            _held: self.places.clone().acquire_many_owned(permits).await.ok(),
        }
    }
}

/// Places of a [`Runner`], held by one caller for the programs it is going to run.
#[must_use = "the places are held only as long as this lives"]
pub struct Places {
    clock: Arc<dyn Clock>,
    /// Those of the held ones on which no program runs.
    free: Semaphore,
    _held: Option<OwnedSemaphorePermit>,
}

impl Places {
    /// Runs a program to its end or to its time limit. A program that fails is an outcome, not an
    /// error. Dropping the future kills the program's whole process group. More programs than
    /// there are places take turns.
    pub async fn run(&self, spec: ScriptSpec) -> Result<ScriptOutcome, ScriptError> {
        let _place = self.free.acquire().await;
        process::run(self.clock.as_ref(), spec).await
    }
}
