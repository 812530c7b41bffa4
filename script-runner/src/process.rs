//! One child process from start to end: its group, its clockwork, its pipes.

use crate::{Program, ScriptError, ScriptOutcome, ScriptSpec, env, output::Captured};
use nix::{
    sys::{
        signal::{Signal, killpg},
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::Pid,
};
use plugin_api::{Clock, clock::timeout};
use std::{
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    process::{Child, Command},
    signal::unix::{Signal as Signals, SignalKind, signal},
};

/// Between TERM and KILL at the time limit.
const GRACE: Duration = Duration::from_secs(2);
/// How long pipes are read after the child has ended; a background job may hold them open.
const DRAIN: Duration = Duration::from_secs(1);

/// Sets the file mode mask before the real program takes the process over.
const PRELUDE: &str = r#"umask 077; exec "$@""#;

/// A child and the process group it leads, which must not survive it.
///
/// The group goes by its leader's number, and that number can pass to a stranger once the leader is
/// reaped and nobody else is in the group. So the leader's end is only looked at, and it is reaped
/// after the last signal: until then the number is the group's own.
struct Group {
    leader: Child,
    /// Tells that a child of this process has ended, whichever.
    ends: Signals,
}

impl Group {
    fn spawn(command: &mut Command) -> Result<Self, ScriptError> {
        // Listens before the child is there, so that its end cannot be missed.
        let ends = signal(SignalKind::child()).map_err(ScriptError::Wait)?;
        let leader = command.spawn().map_err(ScriptError::Spawn)?;
        Ok(Self { leader, ends })
    }

    /// None once the leader has been reaped.
    fn number(&self) -> Option<Pid> {
        let id = i32::try_from(self.leader.id()?).ok()?;
        Some(Pid::from_raw(id))
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.number() {
            // The only failure is that nobody is left to receive it.
            let _ = killpg(group, signal);
        }
    }

    /// Waits for the leader's end without reaping it.
    async fn leader_ended(&mut self) {
        while self.number().is_some_and(runs) {
            self.ends.recv().await;
        }
    }

    /// TERM, a grace period, KILL.
    async fn stop(&mut self, clock: &dyn Clock) {
        self.signal(Signal::SIGTERM);
        // The leader may obey while others of the group do not, so KILL follows either way.
        let _ = timeout(clock, GRACE, self.leader_ended()).await;
        self.signal(Signal::SIGKILL);
    }

    /// Kills whoever is left of the group and reaps the leader.
    async fn finish(mut self) -> Result<ExitStatus, ScriptError> {
        self.signal(Signal::SIGKILL);
        self.leader.wait().await.map_err(ScriptError::Wait)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

/// Whether a child still runs. An error says that there is nothing to wait for; whoever reaps it
/// will learn more.
fn runs(child: Pid) -> bool {
    let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    waitid(Id::Pid(child), look) == Ok(WaitStatus::StillAlive)
}

fn command(spec: &ScriptSpec) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", PRELUDE, "sh"]);
    match &spec.program {
        Program::Shell(text) => command.args(["/bin/sh", "-c", text]),
        Program::Command {
            command: name,
            args,
        } => command.arg(name).args(args),
    };
    command
}

pub(crate) async fn run(clock: &dyn Clock, spec: ScriptSpec) -> Result<ScriptOutcome, ScriptError> {
    let scratch = tempfile::Builder::new()
        .prefix("signalbox-script-")
        .permissions(std::fs::Permissions::from_mode(0o700))
        .tempdir()
        .map_err(ScriptError::Scratch)?;
    let cwd = spec.cwd.clone().unwrap_or_else(|| scratch.path().into());
    if !cwd.is_dir() {
        return Err(ScriptError::WorkingDirectory(cwd));
    }
    let mut command = command(&spec);
    command
        .env_clear()
        .envs(env::assemble(scratch.path(), spec.env))
        .current_dir(cwd)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let started = clock.monotonic();
    let mut group = Group::spawn(&mut command)?;

    let (mut out, mut err) = (Captured::default(), Captured::default());
    let (mut out_pipe, mut err_pipe) = (group.leader.stdout.take(), group.leader.stderr.take());
    let timed_out;
    {
        let mut streams = std::pin::pin!(async {
            tokio::join!(
                async {
                    if let Some(pipe) = &mut out_pipe {
                        out.drain(pipe).await;
                    }
                },
                async {
                    if let Some(pipe) = &mut err_pipe {
                        err.drain(pipe).await;
                    }
                }
            )
        });
        let mut drained = false;
        let waited = timeout(clock, spec.timeout, async {
            loop {
                tokio::select! {
                    () = group.leader_ended() => break,
                    _ = &mut streams, if !drained => drained = true,
                }
            }
        })
        .await;
        timed_out = waited.is_err();
        if timed_out {
            group.stop(clock).await;
        }
        if !drained {
            // A background job may never let go of the pipes; what is left of it is killed below.
            let _ = timeout(clock, DRAIN, &mut streams).await;
        }
    }
    let status = group.finish().await?;
    let (stdout, out_cut) = out.finish(&spec.mask, timed_out);
    let (stderr, err_cut) = err.finish(&spec.mask, timed_out);
    Ok(ScriptOutcome {
        exit_code: if timed_out { -1 } else { exit_code(status) },
        stdout,
        stderr,
        duration: clock.monotonic().saturating_sub(started),
        timed_out,
        truncated: out_cut || err_cut,
    })
}

fn exit_code(status: ExitStatus) -> i32 {
    status
        .code()
        .or_else(|| status.signal().map(|s| 128 + s))
        .unwrap_or(-1)
}
