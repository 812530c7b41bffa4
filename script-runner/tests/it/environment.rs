//! What a child sees of the host (`scripts §5`).

use crate::{run, runner, shell};
use script_runner::{
    Program, ScriptError, ScriptSpec,
    env::{EnvNameError, check_name},
};
use std::time::Duration;

#[tokio::test]
async fn the_child_sees_only_the_allow_list() {
    let out = run(shell("env | cut -d= -f1 | sort")).await;
    for name in out.stdout.lines() {
        assert!(
            [
                "PATH", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "HOSTNAME", "SHELL", "HOME",
                "TMPDIR", "PWD", "OLDPWD", "SHLVL", "_"
            ]
            .contains(&name),
            "{name} leaked into the child"
        );
    }
    // Cargo sets this for every test; the host's own settings must not be visible.
    assert!(std::env::var_os("CARGO_PKG_NAME").is_some());
}

#[tokio::test]
async fn home_and_working_directory_are_a_scratch_directory_that_disappears() {
    let out = run(shell(
        "pwd; echo $HOME; echo $TMPDIR; touch x; stat -c %a . x",
    ))
    .await;
    let lines: Vec<&str> = out.stdout.lines().collect();
    assert_eq!(lines[0], lines[1]);
    assert_eq!(lines[0], lines[2]);
    assert_eq!(&lines[3..], ["700", "600"]);
    assert!(!std::path::Path::new(lines[0]).exists());
}

#[tokio::test]
async fn added_variables_arrive_and_dangerous_ones_do_not() {
    let mut spec = shell("echo $TOKEN-$LD_PRELOAD-$IFS_X; echo \"$PATH\"");
    spec.env.insert("TOKEN".into(), "abc".into());
    spec.env.insert("LD_PRELOAD".into(), "/evil.so".into());
    spec.env.insert("PATH".into(), "/evil".into());
    let out = run(spec).await;
    let mut lines = out.stdout.lines();
    assert_eq!(lines.next(), Some("abc--"));
    assert_ne!(lines.next(), Some("/evil"));
}

#[test]
fn names_are_checked() {
    for good in [
        "A",
        "_x",
        "SIGNALBOX_TRIGGER_EVENT",
        "token2",
        "ENVIRONMENT",
    ] {
        assert_eq!(check_name(good), Ok(()));
    }
    for bad in ["", "2x", "a-b", "a b", "ä", &"x".repeat(129)] {
        assert_eq!(check_name(bad), Err(EnvNameError::Malformed(bad.into())));
    }
    for bad in [
        "PATH",
        "LD_PRELOAD",
        "DYLD_X",
        "NODE_OPTIONS",
        "BASH_ENV",
        "ENV",
        "IFS",
        "PYTHONPATH",
        "GIT_SSH_COMMAND",
        "PERL5LIB",
        "RUBYOPT",
        "ps4",
    ] {
        assert_eq!(check_name(bad), Err(EnvNameError::Dangerous(bad.into())));
    }
}

#[tokio::test]
async fn arguments_are_not_read_by_a_shell() {
    let spec = ScriptSpec::new(
        Program::Command {
            command: "printf".into(),
            args: vec!["%s|".into(), "$HOME".into(), "a b".into(), "`id`".into()],
        },
        Duration::from_secs(20),
    );
    assert_eq!(run(spec).await.stdout, "$HOME|a b|`id`|");
}

#[tokio::test]
async fn a_missing_program_and_a_missing_directory_are_told_apart() {
    let mut spec = ScriptSpec::new(
        Program::Command {
            command: "no-such-program".into(),
            args: vec![],
        },
        Duration::from_secs(20),
    );
    let out = run(spec.clone()).await;
    assert_eq!(out.exit_code, 127);
    assert!(out.stderr.contains("no-such-program"), "{}", out.stderr);

    spec.cwd = Some("/no/such/directory".into());
    assert!(matches!(
        runner().run(spec).await,
        Err(ScriptError::WorkingDirectory(_))
    ));
}
