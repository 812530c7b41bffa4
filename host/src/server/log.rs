//! Log output: to standard error, text or JSON.

use crate::settings::{LogFormat, Settings};
use anyhow::Context;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Sets the log up; once per process.
pub fn logging(settings: &Settings) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&settings.log).with_context(|| {
        format!(
            "log: {:?} is not a filter; write for example info or automation_dispatch=debug",
            settings.log
        )
    })?;
    // Postgres remarks on every "create … if not exists" that had nothing to do.
    let filter = if settings.log.contains("sqlx") {
        filter
    } else {
        filter.add_directive("sqlx::postgres::notice=warn".parse()?)
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let set = match settings.log_format {
        LogFormat::Text => builder
            .with_ansi(std::io::stderr().is_terminal())
            .try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    set.map_err(|e| anyhow::anyhow!("the log cannot be set up: {e}"))
}
