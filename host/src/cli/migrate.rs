//! `signalbox migrate status|run`.

use super::args::MigrateArgs;
use crate::{server, settings::Settings};
use std::process::ExitCode;

/// Shows or runs the migrations of the framework and of every plugin compiled in.
pub async fn run(args: MigrateArgs) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(&args.settings, None, None, None, None)?;
    let lines = server::migrations(&settings, args.what == "run").await?;
    for line in lines {
        println!("{line}");
    }
    Ok(ExitCode::SUCCESS)
}
