//! The command line: one file per command. `serve` and `demo` run the product, `validate` and
//! `eval` work offline, everything else talks to a server through its API.

mod apply;
mod args;
mod automations;
mod eval;
mod key;
mod migrate;
mod print;
mod runs;
mod serve;
mod status;
mod token;
mod validate;
mod why;

pub use args::{Cli, Command, DemoArgs, RemoteArgs, SettingsArgs};

use std::{io, process::ExitCode};

/// Exit code when the output was closed before its end: that of a program which the signal of a closed
/// pipe has ended.
pub const OUTPUT_CLOSED: u8 = 141;

/// Runs a command; anything that fails ends in one message on standard error and a non-zero code.
pub async fn run(cli: Cli) -> ExitCode {
    let result = match cli.command {
        Command::Serve(a) => serve::run(a).await,
        Command::Demo(a) => crate::demo::run(a).await,
        Command::Validate(a) => validate::run(a).await,
        Command::Eval(a) => eval::run(&a),
        Command::Apply(a) => apply::run(a).await,
        Command::Automations(a) => automations::run(a).await,
        Command::Runs(a) => runs::run(a).await,
        Command::Why(a) => why::run(a).await,
        Command::Status(a) => status::run(a).await,
        Command::Token(a) => token::run(a).await,
        Command::Key(a) => key::run(a).await,
        Command::Migrate(a) => migrate::run(a).await,
    };
    match result {
        Ok(code) => code,
        Err(e) if is_closed_output(&e) => OUTPUT_CLOSED.into(),
        Err(e) => {
            eprintln!("error: {}", chain(&e));
            ExitCode::FAILURE
        }
    }
}

/// Of output that is written without `println!`.
fn is_closed_output(e: &anyhow::Error) -> bool {
    e.downcast_ref::<io::Error>()
        .is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

/// An error with its causes, each said once.
fn chain(e: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in e.chain() {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&cause);
        }
    }
    text
}
