//! Migrations outside a boot, for `signalbox migrate`.

use super::database;
use crate::{compose, settings::Settings};
use migrations::{Migrator, Owner, State};
use plugin_api::SystemClock;

/// One line per migration; runs the missing ones first when `run` says so.
pub async fn migrations(settings: &Settings, run: bool) -> anyhow::Result<Vec<String>> {
    let opened = database::open(settings).await?;
    let migrator = Migrator::new(opened.db.clone(), SystemClock::new());
    let mut owners = vec![("framework".to_owned(), Owner::framework())];
    owners.extend(
        compose::migrations()
            .into_iter()
            .map(|(id, m)| (id.to_string(), Owner::plugin(&id, m))),
    );
    let mut lines = Vec::new();
    for (name, owner) in &owners {
        if run {
            migrator.run(owner).await?;
        }
        for status in migrator.status(owner).await? {
            let state = match status.state {
                State::Pending => "pending".to_owned(),
                State::Applied(at) => format!("applied {at}"),
                State::Changed(at) => format!("applied {at}, but its text has changed since"),
                State::Unknown(at) => format!("applied {at}, unknown to this program"),
            };
            lines.push(format!("{name:<12} {:<24} {state}", status.name));
        }
    }
    opened.db.close().await;
    Ok(lines)
}
