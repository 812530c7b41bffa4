//! `signalbox serve`.

use super::args::ServeArgs;
use crate::{server, settings::Settings, token};
use std::process::ExitCode;

/// Runs the server until it is told to stop.
pub async fn run(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let mut settings = Settings::load(
        &args.settings,
        args.listen.as_deref(),
        args.log.as_deref(),
        args.log_format.as_deref(),
        args.lease_seconds,
    )?
    .with_recheck(args.recheck_seconds)
    .with_retention(&args.retention);
    settings.guest = args.guest;
    server::logging(&settings)?;
    let running = server::start(&settings).await?;
    if let Some(token) = &running.new_token {
        token::announce(&settings.data_dir, token);
    } else if !settings.guest && !token::admin_token_path(&settings.data_dir).exists() {
        println!(
            "The administrator token of this database was made by another start. Copy its file admin-token into {}, or issue a new one with `signalbox token`.",
            settings.data_dir.display()
        );
    }
    println!("Signalbox listens on http://{}", running.address);
    let reason = server::stop_signal().await;
    tracing::info!(
        reason,
        "Stopping: no new work is taken, running steps get 10 s to reach a checkpoint."
    );
    running.stop().await;
    Ok(ExitCode::SUCCESS)
}
