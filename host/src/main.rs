//! The `signalbox` binary.

use clap::Parser;
use std::{any::Any, panic, process::ExitCode};

fn main() -> ExitCode {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !is_closed_output(info.payload()) {
            usual(info);
        }
    }));
    match panic::catch_unwind(start) {
        Ok(code) => code,
        Err(cause) if is_closed_output(&*cause) => signalbox::cli::OUTPUT_CLOSED.into(),
        Err(cause) => panic::resume_unwind(cause),
    }
}

fn start() -> ExitCode {
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

/// Nobody reads the output any more, as after `signalbox runs | head -1`: `println!` panics then, but
/// it is a way for a command to end like any other.
fn is_closed_output(cause: &dyn Any) -> bool {
    cause.downcast_ref::<String>().is_some_and(|text| {
        text.starts_with("failed printing to stdout") && text.contains("Broken pipe")
    })
}
