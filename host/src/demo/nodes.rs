//! The nodes of the demo: this very binary, started as `serve` several times on one Postgres, so that
//! one of them can be killed as an operator fears it: by SIGKILL, in the middle of the story.

use super::{Line, Snapshot};
use crate::{client::Client, token};
use anyhow::{Context, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use plugin_api::{Clock, Db, db::DbConfig, timeout};
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

/// How soon the survivors may take over what a killed node was driving.
const LEASE_SECONDS: u64 = 5;
/// How long a node may take to start.
const START: Duration = Duration::from_secs(60);
/// How long a node may take to stop: a step has 10 s to reach a checkpoint.
const STOP: Duration = Duration::from_secs(20);
/// What `serve` prints when it is ready, before its address.
const READY: &str = "Signalbox listens on ";

/// What nodes to start.
pub(super) struct Wanted {
    /// How many.
    pub count: u8,
    /// Each gets a folder in this one.
    pub data_dir: PathBuf,
    /// Postgres.
    pub database_url: String,
    /// Their log filter.
    pub log: String,
}

/// Running nodes.
pub(super) struct Nodes {
    clock: Arc<dyn Clock>,
    db: Db,
    token: String,
    nodes: Vec<Node>,
    /// Index of the node that was killed.
    killed: Option<usize>,
    /// Index of the node that took the run up last.
    drove: Option<usize>,
}

struct Node {
    name: String,
    child: Child,
    address: String,
    client: Client,
    taken_up: u64,
}

impl Nodes {
    /// Starts them, one after the other: the first brings the tables.
    pub async fn start(wanted: Wanted, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let mut started = Vec::new();
        for n in 1..=wanted.count {
            let name = format!("node-{n}");
            let folder = wanted.data_dir.join(&name);
            std::fs::create_dir_all(&folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
            let (child, address) = spawn(&wanted, &name, &folder, &*clock).await?;
            started.push((name, child, address));
        }
        let db = Db::open(&DbConfig::new(&wanted.database_url)).await?;
        let token = token::issue(&db, &*clock, "demo").await?;
        let mut nodes = Vec::new();
        for (name, child, address) in started {
            nodes.push(Node {
                client: Client::with_token(&address, &token)?,
                name,
                child,
                address,
                taken_up: 0,
            });
        }
        Ok(Self {
            clock,
            db,
            token,
            nodes,
            killed: None,
            drove: None,
        })
    }

    /// Names and addresses.
    pub fn addresses(&self) -> impl Iterator<Item = (&str, &str)> {
        self.nodes
            .iter()
            .map(|n| (n.name.as_str(), n.address.as_str()))
    }

    /// A node that lives.
    pub fn client(&self) -> &Client {
        let first = usize::from(self.killed == Some(0));
        &self.nodes[first].client
    }

    /// Tells who takes the run up, and kills that node once its run waits.
    pub async fn news(&mut self, state: &Snapshot) -> anyhow::Result<Vec<Line>> {
        let mut lines = Vec::new();
        for (i, node) in self.nodes.iter_mut().enumerate() {
            if self.killed == Some(i) {
                continue;
            }
            let status = node.client.get("/status").await?;
            let taken_up = status["runs"]["taken_up"].as_u64().unwrap_or(0);
            if taken_up > node.taken_up {
                node.taken_up = taken_up;
                self.drove = Some(i);
                lines.push(Line {
                    at: self.clock.now(),
                    who: node.name.clone().into(),
                    text: "takes the run up".into(),
                });
            }
        }
        if let (None, Some(victim), true) = (self.killed, self.drove, state.waits()) {
            lines.push(self.kill(victim).await?);
        }
        Ok(lines)
    }

    async fn kill(&mut self, victim: usize) -> anyhow::Result<Line> {
        let at = self.clock.now();
        let node = &mut self.nodes[victim];
        node.child.kill().await.context("a node cannot be killed")?;
        self.killed = Some(victim);
        let left = self.nodes.iter().enumerate().filter(|(i, _)| *i != victim);
        let left: Vec<&str> = left.map(|(_, n)| n.name.as_str()).collect();
        Ok(Line {
            at,
            who: self.nodes[victim].name.clone().into(),
            text: format!(
                "is killed (SIGKILL) while its run waits; {} {} on",
                left.join(", "),
                if left.len() == 1 { "goes" } else { "go" }
            ),
        })
    }

    /// Stops those that live, in good order.
    pub async fn stop(mut self) {
        token::revoke(&self.db, &self.token).await.ok();
        self.db.close().await;
        for node in &self.nodes {
            if let Some(id) = node.child.id() {
                kill(Pid::from_raw(id as i32), Signal::SIGTERM).ok();
            }
        }
        for node in &mut self.nodes {
            if timeout(&*self.clock, STOP, node.child.wait())
                .await
                .is_err()
            {
                node.child.kill().await.ok();
            }
        }
    }
}

/// Starts one and waits until it is ready; answers its address.
async fn spawn(
    wanted: &Wanted,
    name: &str,
    folder: &Path,
    clock: &dyn Clock,
) -> anyhow::Result<(Child, String)> {
    let program = std::env::current_exe().context("this program cannot find itself")?;
    let mut child = Command::new(program)
        .args(["serve", "--guest", "--data-dir"])
        .arg(folder)
        .args(["--listen", "127.0.0.1:0", "--log", &wanted.log])
        .args(["--lease-seconds", &LEASE_SECONDS.to_string()])
        // Not as an argument: it may carry a password, and everybody can read arguments.
        .env("SIGNALBOX_DATABASE_URL", &wanted.database_url)
        .env_remove("SIGNALBOX_CONFIG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{name} cannot be started"))?;
    let stdout = child.stdout.take().context("the node has no output")?;
    let mut lines = BufReader::new(stdout).lines();
    let Ok(address) = timeout(clock, START, address(&mut lines)).await else {
        bail!("{name} was not ready within {} s", START.as_secs());
    };
    let address = address.with_context(|| format!("{name} did not start"))?;
    plugin_api::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok((child, address))
}

async fn address(lines: &mut Lines<BufReader<ChildStdout>>) -> anyhow::Result<String> {
    while let Some(line) = lines.next_line().await? {
        if let Some(address) = line.strip_prefix(READY) {
            return Ok(address.to_owned());
        }
    }
    bail!("it ended before it was ready; what it said stands above")
}
