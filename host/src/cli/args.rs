//! What can be typed.

use crate::settings::RetentionArgs;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Reactive automation for system health.
#[derive(Debug, Parser)]
#[command(name = "signalbox", version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server.
    Serve(ServeArgs),
    /// Watch a service fail, an incident open, the service recover and the incident resolve.
    Demo(DemoArgs),
    /// Check YAML documents offline; exits 1 when there are errors.
    Validate(ValidateArgs),
    /// Evaluate an expression or template.
    Eval(EvalArgs),
    /// Show what documents would change on a server, and change it.
    Apply(ApplyArgs),
    /// List automations, switch them on or off, start one by hand.
    Automations(AutomationsArgs),
    /// List runs, show one with its steps, cancel one.
    Runs(RunsArgs),
    /// Tell why an automation acted, and why it did not.
    Why(WhyArgs),
    /// Show whether the server is ready and what its loops do.
    Status(RemoteArgs),
    /// Issue a new administrator token, for when the first is lost.
    Token(TokenArgs),
    /// Compare this node's key of secret settings with the database's.
    Key(KeyArgs),
    /// Look at or run database migrations.
    Migrate(MigrateArgs),
}

/// Where data lives and how the server is reached.
#[derive(Debug, Args, Clone, Default)]
pub struct SettingsArgs {
    /// Configuration file (YAML). Flags win over environment variables, which win over the file.
    #[arg(long, env = "SIGNALBOX_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder for the SQLite database, the encryption key and the administrator token [default: ./signalbox-data].
    #[arg(long, env = "SIGNALBOX_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// postgres://… or sqlite://…; by default SQLite in the data folder.
    #[arg(
        long,
        env = "SIGNALBOX_DATABASE_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    pub database_url: Option<String>,
}

/// `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Data and database.
    #[command(flatten)]
    pub settings: SettingsArgs,
    /// Address to listen on [default: 127.0.0.1:8080].
    #[arg(long, env = "SIGNALBOX_LISTEN", value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Log filter such as `info` or `automation_dispatch=debug` [default: info].
    #[arg(long, env = "SIGNALBOX_LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// `text` or `json` [default: text].
    #[arg(long, env = "SIGNALBOX_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// Seconds until another node goes on with the runs of one that died, 5 to 3600 [default: 60].
    #[arg(
        long,
        env = "SIGNALBOX_LEASE_SECONDS",
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(5..=3600)
    )]
    pub lease_seconds: Option<u64>,
    /// Seconds until a `wait_until` that nothing has woken is looked at, 0 to 86400; 0 turns it off [default: 300].
    #[arg(
        long,
        env = "SIGNALBOX_RECHECK_SECONDS",
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(0..=86_400)
    )]
    pub recheck_seconds: Option<u64>,
    /// The database belongs to others: make no administrator and bring no key. For the nodes of the demo.
    #[arg(long, hide = true)]
    pub guest: bool,
    /// How much history is kept.
    #[command(flatten)]
    pub retention: RetentionArgs,
}

/// `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Stop when the incident has been resolved; fail when that has not happened within 90 s.
    #[arg(long)]
    pub once: bool,
    /// Run on this Postgres database instead of a temporary SQLite file.
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,
    /// Run so many nodes on one Postgres database, and kill one of them mid-story.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    pub nodes: u8,
    /// Keep the data here instead of in a temporary folder, so that a killed demo can be continued.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Address of the API [default: a free port on 127.0.0.1].
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Show the server's log too.
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
}

/// `validate`.
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// Files, or folders whose *.yaml and *.yml files are read.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Print the issues as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `eval`.
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// The expression or template.
    #[arg(required_unless_present = "jsonl", value_name = "SOURCE")]
    pub source: Option<String>,
    /// `expression`, `template` or `condition`.
    #[arg(long, default_value = "expression")]
    pub mode: String,
    /// The variables: JSON text, or @FILE.
    #[arg(long, default_value = "{}", value_name = "JSON|@FILE")]
    pub scope: String,
    /// Freeze the clock at this instant (RFC 3339).
    #[arg(long)]
    pub now: Option<String>,
    /// Missing references are errors.
    #[arg(long)]
    pub strict: bool,
    /// Read one JSON request a line on standard input and answer each with a line.
    ///
    /// A request is {"id": …, "mode": …, "source": …} and may have "scope", "now" and "strict". An answer has
    /// the request's "id", which may be any JSON value (null when the request could not be read), and one of
    /// "result", "undefined" and "error". The exit code is 0 whatever the answers are: look for "error".
    #[arg(long)]
    pub jsonl: bool,
}

/// How a command finds the server. Its flags may stand before a subcommand and after it.
#[derive(Debug, Args, Clone)]
pub struct RemoteArgs {
    /// The server's address [default: where the configuration file says it listens, else
    /// http://127.0.0.1:8080].
    #[arg(long, global = true, env = "SIGNALBOX_SERVER", value_name = "URL")]
    pub server: Option<String>,
    /// API token; by default the administrator token in the data folder.
    #[arg(
        long,
        global = true,
        env = "SIGNALBOX_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    pub token: Option<String>,
    /// The data folder with the administrator token [default: ./signalbox-data].
    #[arg(long, global = true, env = "SIGNALBOX_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The server's configuration file, for its address and data folder.
    #[arg(long, global = true, env = "SIGNALBOX_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON as the API answers it.
    #[arg(long, global = true)]
    pub json: bool,
}

/// `apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// Files, or folders whose *.yaml and *.yml files are read.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Change without asking.
    #[arg(long)]
    pub yes: bool,
    /// The server.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// `automations`.
#[derive(Debug, Args)]
pub struct AutomationsArgs {
    /// What to do; without it, list.
    #[command(subcommand)]
    pub action: Option<AutomationsAction>,
    /// The server.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// What to do with automations.
#[derive(Debug, Subcommand)]
pub enum AutomationsAction {
    /// Show one as a document, as `apply` takes it.
    Show {
        /// Id, name or name of its document.
        automation: String,
    },
    /// Let it fire.
    Enable {
        /// Id, name or name of its document.
        automation: String,
    },
    /// Stop it from firing; runs in progress go on.
    Disable {
        /// Id, name or name of its document.
        automation: String,
    },
    /// Delete it with its runs.
    Delete {
        /// Id, name or name of its document.
        automation: String,
    },
    /// Start a run by hand.
    Run {
        /// Id, name or name of its document.
        automation: String,
        /// Effective trigger id; the first trigger by default.
        #[arg(long)]
        trigger: Option<String>,
        /// Payload as JSON.
        #[arg(long, default_value = "{}")]
        payload: String,
        /// Ask the gates first, as for any other occurrence: `enabled`, filter, window, `for`, conditions,
        /// mode.
        #[arg(long)]
        gates: bool,
    },
}

/// `runs`.
#[derive(Debug, Args)]
pub struct RunsArgs {
    /// What to do; without it, list the newest.
    #[command(subcommand)]
    pub action: Option<RunsAction>,
    /// Only runs with this status.
    #[arg(long)]
    pub status: Option<String>,
    /// Only runs of this automation (id, name or name of its document).
    #[arg(long)]
    pub automation: Option<String>,
    /// How many, 1 to 200.
    #[arg(long, default_value_t = 20)]
    pub limit: u32,
    /// The server.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// What to do with runs.
#[derive(Debug, Subcommand)]
pub enum RunsAction {
    /// Show a run with its steps, artifacts and log.
    Show {
        /// The run.
        id: String,
    },
    /// Cancel a run.
    Cancel {
        /// The run.
        id: String,
        /// Why; kept with the run.
        #[arg(long)]
        reason: Option<String>,
    },
}

/// `why`.
#[derive(Debug, Args)]
pub struct WhyArgs {
    /// Id, name or name of its document.
    pub automation: String,
    /// Only what concerns this context key, such as a system.
    #[arg(long, value_name = "KEY")]
    pub context: Option<String>,
    /// Only what was decided in this time, such as 90s, 15m, 1h or 2d, or since an instant (RFC 3339).
    #[arg(long, value_name = "DURATION|INSTANT")]
    pub since: Option<String>,
    /// Only this verdict, such as filter_false.
    #[arg(long)]
    pub verdict: Option<String>,
    /// How many decisions, 1 to 200.
    #[arg(long, default_value_t = 20)]
    pub limit: u32,
    /// The server.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// `token`.
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// Data and database.
    #[command(flatten)]
    pub settings: SettingsArgs,
}

/// `key`.
#[derive(Debug, Args)]
pub struct KeyArgs {
    /// Make this node's key the database's. Secrets stored with another key cannot be read any more.
    #[arg(long)]
    pub replace: bool,
    /// Data and database.
    #[command(flatten)]
    pub settings: SettingsArgs,
}

/// `migrate`.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// `status` or `run`.
    #[arg(value_parser = ["status", "run"])]
    pub what: String,
    /// Data and database.
    #[command(flatten)]
    pub settings: SettingsArgs,
}
