//! A throw-away Postgres: found or installed, started on a free port, always removed.
//!
//! The server is kept by a small shell script whose standard input is a pipe from this
//! process. When the pipe closes (normal end, error, panic, Ctrl-C, even `kill -9`) the
//! script stops the server and removes its files. So no signal handling is needed here and
//! nothing is ever left behind.

mod install;

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::unistd::{Uid, User};
use tempfile::TempDir;

use crate::shell::say;

/// Where tests and benchmarks find the server: `postgres://user:password@host:port/db`.
pub const URL_VARIABLE: &str = "SIGNALBOX_TEST_POSTGRES";

/// What a cluster is for decides how careful it is with data.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Nothing needs to survive a crash of the machine: no flushing to disk.
    Tests,
    /// Commits reach the disk, as they do in production.
    Measurements,
}

impl Purpose {
    /// Options of the server process. Many test processes connect at once, hence the
    /// connections; TCP on loopback only, and a password, because other users of the
    /// machine can reach that port.
    fn server_options(self, port: u16) -> String {
        let common = format!(
            "-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
             -c max_connections=1000 -c shared_buffers=128MB -c timezone=UTC"
        );
        match self {
            Self::Tests => format!(
                "{common} -c fsync=off -c synchronous_commit=off -c full_page_writes=off \
                 -c wal_level=minimal -c max_wal_senders=0 -c checkpoint_timeout=30min"
            ),
            Self::Measurements => common,
        }
    }
}

/// Keeps a server until standard input ends. Arguments: the directory of the programs, the
/// directory of the cluster, the options of the server.
const KEEPER: &str = r#"
set -eu
trap '' INT TERM HUP
bin=$1 dir=$2 options=$3
trap 'rm -rf "$dir"' EXIT
"$bin/initdb" --pgdata="$dir/data" --username=signalbox --pwfile="$dir/password" \
    --auth=password --encoding=UTF8 --no-locale --no-sync >&2
"$bin/pg_ctl" start --wait --timeout=60 --silent --pgdata="$dir/data" --log="$dir/log" \
    --options="$options" >&2 </dev/null || { cat "$dir/log" >&2; exit 1; }
echo ready
cat >/dev/null || :
"$bin/pg_ctl" stop --mode=immediate --silent --pgdata="$dir/data" >/dev/null 2>&1
"#;

/// A running server; dropping it stops the server and removes its files.
pub struct Cluster {
    keeper: Child,
    url: String,
    /// Held for its name only; the keeper removes the directory before this tries to.
    dir: TempDir,
}

impl Cluster {
    /// Starts a server and waits until it accepts connections.
    ///
    /// Fails with what to install when Postgres is missing, or with the server's own words
    /// when it does not start.
    pub fn start(purpose: Purpose) -> Result<Self> {
        let programs = install::programs()?;
        let password = random_hex()?;
        let dir = tempfile::Builder::new()
            .prefix("signalbox-pg-")
            .tempdir()
            .context("no temporary directory can be created")?;
        std::fs::write(dir.path().join("password"), &password)?;

        // The port is free now; should another program take it in between, start again.
        for _ in 0..3 {
            let port = free_port()?;
            let mut keeper = keep(&programs, dir.path(), &purpose.server_options(port))?;
            match wait_until_ready(&mut keeper) {
                Ok(()) => {
                    let url = format!("postgres://signalbox:{password}@127.0.0.1:{port}/postgres");
                    return Ok(Self { keeper, url, dir });
                }
                Err(error) if error.contains("Address already in use") => {
                    std::fs::create_dir_all(dir.path())?;
                    std::fs::write(dir.path().join("password"), &password)?;
                }
                Err(error) => bail!("the temporary Postgres did not start:\n{error}"),
            }
        }
        bail!("the temporary Postgres found no free port in three attempts");
    }

    /// Where the server is; the database named here exists and is empty.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // Errors are not worth more than a word: the work itself is done.
        if let Err(error) = self.keeper.wait() {
            say(&format!(
                "The temporary Postgres in {} was not stopped: {error}",
                self.dir.path().display()
            ));
        }
    }
}

/// Installs Postgres where that is ours to do, or says how; starts nothing.
pub fn ensure_installed() -> Result<()> {
    install::programs().map(drop)
}

/// The `pg` command: a server for trying things out.
pub fn serve() -> Result<()> {
    let cluster = Cluster::start(Purpose::Tests)?;
    println!("{}", cluster.url());
    say("Postgres runs until Ctrl-C or the end of standard input; its data is then removed.");
    say(&format!(
        "For single test binaries: export {URL_VARIABLE}={}",
        cluster.url()
    ));
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

/// Starts the keeper in a process group of its own, so that Ctrl-C does not reach it, and
/// as an ordinary user, since Postgres refuses to run as root.
fn keep(programs: &Path, dir: &Path, options: &str) -> Result<Child> {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", KEEPER, "keeper"])
        .args([programs, dir])
        .arg(options)
        .current_dir(dir)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if Uid::effective().is_root() {
        let user = unprivileged_user()?;
        let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
        for path in [dir.to_owned(), dir.join("password")] {
            chown(&path, Some(uid), Some(gid))
                .with_context(|| format!("{} cannot be given to {}", path.display(), user.name))?;
        }
        command.uid(uid).gid(gid);
    }
    command.spawn().context("/bin/sh could not be started")
}

fn unprivileged_user() -> Result<User> {
    for name in ["postgres", "nobody"] {
        if let Some(user) = User::from_name(name)? {
            return Ok(user);
        }
    }
    bail!(
        "Postgres refuses to run as root and there is no user `postgres` or `nobody`; run this as another user"
    )
}

/// Waits for the keeper's word, or gives everything it said instead.
fn wait_until_ready(keeper: &mut Child) -> Result<(), String> {
    let mut word = String::new();
    if let Some(stdout) = keeper.stdout.take() {
        // An unreadable pipe is the same as an empty one: not ready.
        BufReader::new(stdout).read_line(&mut word).unwrap_or(0);
    }
    if word.trim() == "ready" {
        return Ok(());
    }
    drop(keeper.stdin.take());
    let mut said = String::new();
    if let Some(mut stderr) = keeper.stderr.take()
        && let Err(error) = stderr.read_to_string(&mut said)
    {
        said = error.to_string();
    }
    match keeper.wait() {
        Ok(status) => Err(format!("{said}\n({status})")),
        Err(error) => Err(format!("{said}\n({error})")),
    }
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?.port())
}

fn random_hex() -> Result<String> {
    let mut bytes = [0u8; 16];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .context("/dev/urandom cannot be read")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_cluster_listens_while_it_lives_and_leaves_nothing_behind() {
        let cluster = Cluster::start(Purpose::Tests).unwrap();
        let address = cluster.url().split(['@', '/']).nth(3).unwrap().to_owned();
        let dir = cluster.dir.path().to_owned();
        assert!(dir.join("data").is_dir());
        TcpStream::connect(&address).unwrap();
        drop(cluster);
        assert!(!dir.exists());
        assert!(TcpStream::connect(&address).is_err());
    }
}
