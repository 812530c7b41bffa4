//! Settings: configuration file < environment < flags, each value knowing where it came from, so
//! that a message can name the place to change it.

mod file;
mod healthcheck;
mod retention;

use crate::cli::{RemoteArgs, SettingsArgs};
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};

pub use file::FileSettings;
pub use healthcheck::HealthcheckSettings;
pub use retention::{RetentionArgs, RetentionSettings};

/// Where a command finds its server.
#[derive(Clone, Debug)]
pub struct Remote {
    /// `http://…`, without `/api/v1`.
    pub server: String,
    /// A token given on the command line or in the environment.
    pub token: Option<String>,
    /// Where the administrator token lies otherwise.
    pub data_dir: PathBuf,
}

impl Remote {
    /// Merges the server's configuration file, environment and flags.
    pub fn load(a: &RemoteArgs) -> anyhow::Result<Self> {
        let file = FileSettings::read_if_given(a.config.as_deref())?;
        let server = match (&a.server, &file.listen) {
            (Some(given), _) => given.clone(),
            (None, Some(listen)) => format!("http://{}", reachable(listen)),
            (None, None) => format!("http://{DEFAULT_LISTEN}"),
        };
        let data_dir = a.data_dir.clone().or(file.data_dir);
        Ok(Self {
            server,
            token: a.token.clone(),
            data_dir: data_dir.unwrap_or_else(default_data_dir),
        })
    }
}

const DEFAULT_LISTEN: &str = "127.0.0.1:8080";

/// The address at which a server that listens there is reached from this machine.
fn reachable(listen: &str) -> String {
    match listen.parse::<std::net::SocketAddr>() {
        Ok(mut address) if address.ip().is_unspecified() => {
            address.set_ip(match address.is_ipv4() {
                true => std::net::Ipv4Addr::LOCALHOST.into(),
                false => std::net::Ipv6Addr::LOCALHOST.into(),
            });
            address.to_string()
        }
        _ => listen.to_owned(),
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Everything `serve` needs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Folder for database, key and token.
    pub data_dir: PathBuf,
    /// `sqlite://…` or `postgres://…`.
    pub database_url: String,
    /// Where the API listens.
    pub listen: String,
    /// Log filter.
    pub log: String,
    /// Log format.
    pub log_format: LogFormat,
    /// SQLite: sync at every commit, to survive power cuts too.
    pub sqlite_full_sync: bool,
    /// Connections of the main Postgres pool.
    pub max_connections: u32,
    /// How long the lease of a walking run lasts when its node has died: the time until another node
    /// goes on with it.
    pub lease_seconds: u64,
    /// After how many seconds a `wait_until` that nothing has woken is looked at; 0: never.
    pub recheck_seconds: u64,
    /// How much history is kept.
    pub retention: RetentionSettings,
    /// How health checks are run.
    pub healthcheck: HealthcheckSettings,
    /// On a database that belongs to others: makes no administrator and brings no key of its own.
    pub guest: bool,
}

/// What `lease_seconds` may be: less leaves a busy database no time to renew leases.
pub const LEASE_SECONDS: std::ops::RangeInclusive<u64> = 5..=3600;
/// What it is by default (`dispatch §1`).
pub const DEFAULT_LEASE_SECONDS: u64 = 60;

/// What `recheck_seconds` may be; 0 turns it off.
pub const RECHECK_SECONDS: std::ops::RangeInclusive<u64> = 0..=86_400;
/// What it is by default (`dispatch §1`).
pub const DEFAULT_RECHECK_SECONDS: u64 = 300;

/// The default data folder.
pub fn default_data_dir() -> PathBuf {
    PathBuf::from("signalbox-data")
}

impl Settings {
    /// Merges file, environment and flags (clap has already put flags over environment).
    pub fn load(
        args: &SettingsArgs,
        listen: Option<&str>,
        log: Option<&str>,
        log_format: Option<&str>,
        lease_seconds: Option<u64>,
    ) -> anyhow::Result<Self> {
        let file = FileSettings::read_if_given(args.config.as_deref())?;
        let data_dir = args
            .data_dir
            .clone()
            .or(file.data_dir)
            .unwrap_or_else(default_data_dir);
        let database_url = match args.database_url.clone().or(file.database_url) {
            Some(url) => check_url(url)?,
            None => sqlite_url(&data_dir)?,
        };
        let log_format = match log_format.map(str::to_owned).or(file.log_format).as_deref() {
            None | Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            Some(other) => bail!("log_format must be text or json, not {other:?}"),
        };
        Ok(Self {
            data_dir,
            database_url,
            listen: listen
                .map(str::to_owned)
                .or(file.listen)
                .unwrap_or_else(|| DEFAULT_LISTEN.into()),
            log: log
                .map(str::to_owned)
                .or(file.log)
                .unwrap_or_else(|| "info".into()),
            log_format,
            sqlite_full_sync: file.sqlite_full_sync.unwrap_or(false),
            max_connections: file.max_connections.unwrap_or(10),
            lease_seconds: lease_seconds
                .or(file.lease_seconds)
                .unwrap_or(DEFAULT_LEASE_SECONDS),
            recheck_seconds: file.recheck_seconds.unwrap_or(DEFAULT_RECHECK_SECONDS),
            retention: RetentionSettings::default().changed(&file.retention),
            healthcheck: file.healthcheck,
            guest: false,
        })
    }

    /// How long leases last, for the engine.
    pub fn lease(&self) -> automation_dispatch::LeaseTimes {
        automation_dispatch::LeaseTimes::lasting(std::time::Duration::from_secs(self.lease_seconds))
    }

    /// What protects the engine, for the engine.
    pub fn limits(&self) -> automation_dispatch::Limits {
        automation_dispatch::Limits {
            recheck_ms: self.recheck_seconds as i64 * 1000,
            ..Default::default()
        }
    }

    /// With what environment or flag say about looking at waits again.
    pub fn with_recheck(mut self, seconds: Option<u64>) -> Self {
        self.recheck_seconds = seconds.unwrap_or(self.recheck_seconds);
        self
    }

    /// With what environment and flags say about history.
    pub fn with_retention(mut self, said: &RetentionArgs) -> Self {
        self.retention = self.retention.changed(said);
        self
    }

    /// Creates the data folder, readable by its owner only.
    pub fn create_data_dir(&self) -> anyhow::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.data_dir)
            .with_context(|| format!("cannot create the data folder {}", self.data_dir.display()))
    }

    /// True when the database is Postgres.
    pub fn is_postgres(&self) -> bool {
        self.database_url.starts_with("postgres")
    }
}

fn check_url(url: String) -> anyhow::Result<String> {
    let engines: &[(&str, bool)] = &[
        ("sqlite:", cfg!(feature = "sqlite")),
        ("postgres:", cfg!(feature = "postgres")),
        ("postgresql:", cfg!(feature = "postgres")),
    ];
    match engines.iter().find(|(scheme, _)| url.starts_with(scheme)) {
        Some((_, true)) => Ok(url),
        Some((scheme, false)) => bail!(
            "database_url begins with {scheme}, but this binary was built without that engine"
        ),
        None => bail!(
            "database_url must begin with postgres:// or sqlite://, for example postgres://user@localhost/signalbox"
        ),
    }
}

/// The SQLite URL of a data folder. The path is percent-encoded as far as sqlx decodes it.
pub fn sqlite_url(data_dir: &Path) -> anyhow::Result<String> {
    let path = data_dir.join("signalbox.db");
    let path = path
        .to_str()
        .with_context(|| format!("the data folder {} is not UTF-8", data_dir.display()))?;
    Ok(format!(
        "sqlite://{}",
        path.replace('%', "%25")
            .replace('?', "%3F")
            .replace('#', "%23")
    ))
}

/// The file of a SQLite URL, as [`sqlite_url`] writes it.
pub fn sqlite_path(url: &str) -> PathBuf {
    let path = url.trim_start_matches("sqlite:").trim_start_matches("//");
    let path = path.split('?').next().unwrap_or(path);
    path.replace("%23", "#")
        .replace("%3F", "?")
        .replace("%25", "%")
        .into()
}

/// A database URL without its password, for messages.
pub fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let authority = rest.split('/').next().unwrap_or(rest);
    match authority.rsplit_once('@') {
        Some((user, host)) => {
            let user = user.split(':').next().unwrap_or("");
            let tail = &rest[authority.len()..];
            let tail = tail.split('?').next().unwrap_or(tail);
            format!("{scheme}://{user}@{host}{tail}")
        }
        None => format!("{scheme}://{}", rest.split('?').next().unwrap_or(rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_never_reaches_a_message() {
        assert_eq!(
            without_password("postgres://u:secret@db:5432/x?sslmode=require&password=p"),
            "postgres://u@db:5432/x"
        );
        assert_eq!(
            without_password("postgres://u:p@ss@db/x"),
            "postgres://u@db/x"
        );
        assert_eq!(
            without_password("sqlite://signalbox-data/signalbox.db"),
            "sqlite://signalbox-data/signalbox.db"
        );
    }

    #[test]
    fn flags_win_over_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("signalbox.yaml");
        std::fs::write(&path, "listen: 127.0.0.1:1\ndata_dir: /from/file\n").unwrap();
        let args = SettingsArgs {
            config: Some(path),
            data_dir: Some("/from/flag".into()),
            database_url: None,
        };
        let s = Settings::load(&args, None, None, None, None).unwrap();
        assert_eq!(
            (s.listen.as_str(), s.data_dir.to_str().unwrap()),
            ("127.0.0.1:1", "/from/flag")
        );
        assert_eq!(s.database_url, "sqlite:///from/flag/signalbox.db");
    }

    #[test]
    fn waits_are_looked_at_again_as_often_as_the_settings_say() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("signalbox.yaml");
        let load = |text: &str, flag: Option<u64>| {
            std::fs::write(&path, text).unwrap();
            let args = SettingsArgs {
                config: Some(path.clone()),
                ..Default::default()
            };
            let settings = Settings::load(&args, None, None, None, None).unwrap();
            settings.with_recheck(flag).limits().recheck_ms
        };
        assert_eq!(load("log: info\n", None), 300_000);
        assert_eq!(load("recheck_seconds: 0\n", None), 0);
        assert_eq!(load("recheck_seconds: 0\n", Some(60)), 60_000);
        let others = automation_dispatch::Limits::default();
        assert_eq!(others.recheck_ms, 300_000, "both defaults are the same");
    }

    #[test]
    fn commands_find_the_server_of_a_configuration_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("signalbox.yaml");
        std::fs::write(&path, "listen: 0.0.0.0:9000\ndata_dir: /from/file\n").unwrap();
        let args = |server: Option<&str>| RemoteArgs {
            server: server.map(str::to_owned),
            token: None,
            data_dir: None,
            config: Some(path.clone()),
            json: false,
        };
        let found = Remote::load(&args(None)).unwrap();
        assert_eq!(found.server, "http://127.0.0.1:9000");
        assert_eq!(found.data_dir, Path::new("/from/file"));
        let given = Remote::load(&args(Some("http://elsewhere:1"))).unwrap();
        assert_eq!(given.server, "http://elsewhere:1");
    }

    #[test]
    fn an_unknown_database_scheme_says_what_to_write() {
        let args = SettingsArgs {
            database_url: Some("mysql://x".into()),
            ..Default::default()
        };
        let odd = Path::new("a?b#c%d");
        let url = sqlite_url(odd).unwrap();
        assert_eq!(sqlite_path(&url), odd.join("signalbox.db"));
        let e = Settings::load(&args, None, None, None, None)
            .unwrap_err()
            .to_string();
        assert!(e.contains("postgres://") && e.contains("sqlite://"), "{e}");
    }
}
