//! The `signalbox` binary.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = signalbox::cli::Cli::parse();
    match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime.block_on(signalbox::cli::run(cli)),
        Err(e) => {
            eprintln!("error: the asynchronous runtime cannot start: {e}");
            ExitCode::FAILURE
        }
    }
}
