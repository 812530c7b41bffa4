//! `signalbox token`: a new administrator token, for when the first is lost. Works on the database
//! itself, with or without a running server: who can write there needs no other permission.

use super::args::TokenArgs;
use crate::{server, settings::Settings, token};
use plugin_api::SystemClock;
use std::process::ExitCode;

/// Issues a token, shows it, and puts it where the command line finds it.
pub async fn run(args: TokenArgs) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(&args.settings, None, None, None, None)?;
    let db = server::connect_existing(&settings).await?;
    settings.create_data_dir()?;
    let new = token::issue(&db, &*SystemClock::new(), "admin").await?;
    db.close().await;
    token::announce(&settings.data_dir, &new);
    token::keep(&settings.data_dir, &new)?;
    Ok(ExitCode::SUCCESS)
}
