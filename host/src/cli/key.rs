//! `signalbox key`: is this node's key of secret config fields the one of the database?

use super::args::KeyArgs;
use crate::{server, settings::Settings};
use std::process::ExitCode;

/// Compares the keys, or makes this node's the database's; exit code 1 when they differ.
pub async fn run(args: KeyArgs) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(&args.settings, None, None, None, None)?;
    settings.create_data_dir()?;
    if args.replace {
        server::replace_key(&settings).await?;
    }
    let keys = server::keys(&settings).await?;
    println!("this node  {}  ({})", keys.own, keys.origin);
    let database = keys.database.as_deref();
    println!("database   {}", database.unwrap_or("none yet"));
    Ok(if database.is_none_or(|key| key == keys.own) {
        ExitCode::SUCCESS
    } else {
        println!(
            "The keys differ. `signalbox key --replace` takes this node's; secrets stored with the other cannot be read any more."
        );
        ExitCode::FAILURE
    })
}
