//! A server process and a story to put it through.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use plugin_api::{Clock, SystemClock};
use signalbox::{
    client::Client,
    demo::{self, Outage, Service},
    token,
};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};
use test_kit::{TestDb, eventually_within};

/// The binary under test.
pub fn binary() -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_signalbox"));
    for (name, _) in std::env::vars()
        .filter(|(n, _)| n.starts_with("SIGNALBOX_") && n != "SIGNALBOX_TEST_POSTGRES")
    {
        c.env_remove(name);
    }
    c
}

/// A loopback address nobody listens on.
pub fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|l| l.local_addr())
        .expect("a free port")
}

/// Where a server keeps its data.
pub enum Store {
    /// In its data folder.
    Sqlite,
    /// In a database of its own.
    Postgres(TestDb),
}

/// A server that can be killed and started again.
pub struct Server {
    child: Option<Child>,
    data_dir: PathBuf,
    database_url: Option<String>,
    args: &'static [&'static str],
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Starts a server and waits until it is ready.
    pub async fn start(data_dir: &Path, database_url: Option<String>) -> Self {
        Self::start_with(data_dir, database_url, &[]).await
    }

    /// The same with further arguments.
    pub async fn start_with(
        data_dir: &Path,
        database_url: Option<String>,
        args: &'static [&'static str],
    ) -> Self {
        let mut server = Self {
            child: None,
            data_dir: data_dir.to_owned(),
            database_url,
            args,
            address: free_address(),
        };
        server.spawn().await;
        server
    }

    /// Starts another node on the database of `first`: key and administrator token were made by that
    /// one, and this one's folder gets copies, as an operator would do.
    pub async fn join(first: &Server, data_dir: &Path) -> Self {
        std::fs::create_dir(data_dir).expect("a folder");
        for file in ["config-key", "admin-token"] {
            std::fs::copy(first.data_dir.join(file), data_dir.join(file)).expect(file);
        }
        Self::start_with(data_dir, first.database_url.clone(), first.args).await
    }

    /// Starts the process (again) and waits until it is ready.
    pub async fn spawn(&mut self) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.data_dir.with_extension("log"))
            .expect("a log file");
        let mut command = binary();
        command
            .arg("serve")
            .arg("--data-dir")
            .arg(&self.data_dir)
            .arg("--listen")
            .arg(self.address.to_string())
            .args(self.args);
        if let Some(url) = &self.database_url {
            command.arg("--database-url").arg(url);
        }
        let out = log.try_clone().expect("a second handle");
        self.child = Some(
            command
                .stdin(Stdio::null())
                .stdout(out)
                .stderr(log)
                .spawn()
                .expect("the server starts"),
        );
        let url = format!("http://{}/readyz", self.address);
        signalbox::tls::install();
        let http = reqwest::Client::new();
        let ready = async || {
            http.get(&url)
                .send()
                .await
                .is_ok_and(|r| r.status().is_success())
        };
        eventually_within(Duration::from_secs(60), ready, "the server is ready").await;
    }

    /// Kills the process without warning.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
    }

    /// Asks the process to stop and waits for it; answers whether it exited with success.
    pub fn stop(&mut self) -> bool {
        self.signal(Signal::SIGTERM)
    }

    fn signal(&mut self, signal: Signal) -> bool {
        let Some(mut child) = self.child.take() else {
            return false;
        };
        kill(Pid::from_raw(child.id() as i32), signal).expect("the process can be signalled");
        child.wait().expect("the process ends").success()
    }

    /// The API as its administrator.
    pub fn client(&self) -> Client {
        let token = token::read_admin_token(&self.data_dir).expect("the administrator token");
        Client::with_token(&format!("http://{}", self.address), &token).expect("a client")
    }

    /// What the server has logged, for the message of a failing test.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.data_dir.with_extension("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// The service fails soon, and until [`recover`] ends it.
const OUTAGE: Outage = Outage {
    after: Duration::from_secs(3),
    lasting: Duration::from_secs(600),
};

/// Starts the failing service and applies the examples.
pub async fn begin_story(client: &Client) -> Service {
    let clock: Arc<dyn Clock> = SystemClock::new();
    let service = Service::start(clock, OUTAGE)
        .await
        .expect("the service starts");
    demo::apply_examples(client, &service)
        .await
        .expect("the examples apply");
    service
}

/// Ends the outage once its incident is open, however slow the machine is, and not before 10 s of it.
pub async fn recover(client: &Client, service: &Service, limit: Duration) {
    let clock = SystemClock::new();
    let soonest = service.outage().0.plus_millis(10_000);
    let opened = async || {
        demo::snapshot(client)
            .await
            .is_ok_and(|s| !s.incidents.is_empty())
    };
    eventually_within(limit, opened, "an incident has been opened").await;
    clock.sleep_until(soonest).await;
    service.recover();
}

/// Waits until the story has ended and checks that it ended as it must: one incident, resolved once.
pub async fn end_story(server: &Server, limit: Duration) {
    let client = server.client();
    let ended = async || {
        demo::snapshot(&client)
            .await
            .is_ok_and(|s| demo::finished(&s))
    };
    eventually_within(
        limit,
        ended,
        "the incident has been resolved and the run has ended",
    )
    .await;
    let s = demo::snapshot(&client).await.expect("a snapshot");
    let log = || server.log();
    assert_eq!(s.incidents.len(), 1, "exactly one incident\n{}", log());
    let resolutions = s.incidents[0]["updates"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|u| u["status_change"] == "resolved")
        .count();
    assert_eq!(
        resolutions,
        1,
        "resolved exactly once: {}\n{}",
        s.incidents[0],
        log()
    );
}
