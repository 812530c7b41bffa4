//! One child process from start to end: its group, its clockwork, its pipes.

use crate::{Program, ScriptError, ScriptOutcome, ScriptSpec, env, output::Captured};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use plugin_api::{Clock, clock::timeout};
use std::{
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::process::{Child, Command};

/// Between TERM and KILL at the time limit.
const GRACE: Duration = Duration::from_secs(2);
/// How long pipes are read after the child has ended; a background job may hold them open.
const DRAIN: Duration = Duration::from_secs(1);

/// Sets the file mode mask before the real program takes the process over.
const PRELUDE: &str = r#"umask 077; exec "$@""#;

/// A process group that must not survive its owner.
struct Group {
    leader: Pid,
    ended: bool,
}

impl Group {
    fn of(child: &Child) -> Option<Self> {
        let id = i32::try_from(child.id()?).ok()?;
        Some(Self {
            leader: Pid::from_raw(id),
            ended: false,
        })
    }
    fn signal(&self, signal: Signal) {
        // The only failure is that nobody is left to receive it.
        let _ = killpg(self.leader, signal);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.ended {
            self.signal(Signal::SIGKILL);
        }
    }
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
    let mut child = command.spawn().map_err(ScriptError::Spawn)?;
    let mut group = Group::of(&child);

    let (mut out, mut err) = (Captured::default(), Captured::default());
    let (mut out_pipe, mut err_pipe) = (child.stdout.take(), child.stderr.take());
    let mut ended = None;
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
                    status = child.wait() => return status,
                    _ = &mut streams, if !drained => drained = true,
                }
            }
        })
        .await;
        match waited {
            Ok(status) => ended = Some(status.map_err(ScriptError::Wait)?),
            Err(_) => stop(clock, &mut child, group.as_ref()).await?,
        }
        if !drained && timeout(clock, DRAIN, &mut streams).await.is_err() {
            // Somebody of the group still holds a pipe, so the group's number is still its own.
            if let Some(group) = &group {
                group.signal(Signal::SIGKILL);
            }
        }
    }
    if let Some(group) = &mut group {
        group.ended = true;
    }
    let (stdout, out_cut) = out.finish(&spec.mask);
    let (stderr, err_cut) = err.finish(&spec.mask);
    Ok(ScriptOutcome {
        exit_code: ended.map_or(-1, exit_code),
        stdout,
        stderr,
        duration: clock.monotonic().saturating_sub(started),
        timed_out: ended.is_none(),
        truncated: out_cut || err_cut,
    })
}

/// TERM, a grace period, KILL, always to the whole group; returns when the child is reaped.
async fn stop(
    clock: &dyn Clock,
    child: &mut Child,
    group: Option<&Group>,
) -> Result<(), ScriptError> {
    if let Some(group) = group {
        group.signal(Signal::SIGTERM);
    }
    let left = timeout(clock, GRACE, child.wait()).await.is_err();
    // The leader may have obeyed while others of the group did not.
    if let Some(group) = group {
        group.signal(Signal::SIGKILL);
    }
    if left {
        child.wait().await.map_err(ScriptError::Wait)?;
    }
    Ok(())
}

fn exit_code(status: ExitStatus) -> i32 {
    status
        .code()
        .or_else(|| status.signal().map(|s| 128 + s))
        .unwrap_or(-1)
}
