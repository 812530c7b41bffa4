//! Tests of the script runner: real processes, real time limits.

mod environment;
mod output;
mod places;
mod stopping;

use plugin_api::SystemClock;
use script_runner::{Program, Runner, ScriptOutcome, ScriptSpec};
use std::time::Duration;

/// A runner on the machine's clock: what is tested here are real processes.
fn runner() -> Runner {
    Runner::new(SystemClock::new())
}

fn shell(text: &str) -> ScriptSpec {
    ScriptSpec::new(Program::Shell(text.into()), Duration::from_secs(20))
}

async fn run(spec: ScriptSpec) -> ScriptOutcome {
    runner().run(spec).await.expect("the process starts")
}
