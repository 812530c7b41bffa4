//! Noticing that a newer program has migrated the database while this one runs.
//!
//! A program that starts on a newer database refuses ([`migrations::MigrateError::Newer`]). One that is
//! running during a rolling upgrade goes on: migrations of one release keep the tables usable for the
//! release before. It says so – in the log once, and by the probe `core.schema`, which warns and does
//! not decide – so that a node that was forgotten is found.

use crate::host::Host;
use migrations::{Ahead, Owner};
use plugin_api::{
    db::DbError,
    readiness::{Probe, ProbeResult},
};
use std::{sync::Weak, time::Duration};

/// Between two looks of the loop.
const EVERY: Duration = Duration::from_secs(300);

impl Host {
    /// Whose migrations this program has.
    fn owners(&self) -> Vec<Owner> {
        let declared = self.declared.lock().expect("declarations");
        let plugins = declared.migrations.iter();
        std::iter::once(Owner::framework())
            .chain(plugins.map(|(id, list)| Owner::plugin(id, list)))
            .collect()
    }

    async fn ahead(&self) -> Result<Option<Ahead>, DbError> {
        migrations::ahead(&self.db, &self.owners()).await
    }
}

/// Looks every five minutes and warns once for each migration that it does not know.
pub(crate) async fn watch(host: Weak<Host>) {
    let mut told = None;
    loop {
        let Some(clock) = host.upgrade().map(|h| h.clock.clone()) else {
            return;
        };
        clock.sleep(EVERY).await;
        let Some(host) = host.upgrade() else { return };
        // A database that does not answer is others' news.
        if let Ok(Some(ahead)) = host.ahead().await
            && told.as_ref() != Some(&ahead)
        {
            tracing::warn!(%ahead, "This node is older than its database; it goes on and should be replaced.");
            told = Some(ahead);
        }
    }
}

/// The probe `core.schema`.
pub(crate) struct SchemaProbe(pub Weak<Host>);

#[async_trait::async_trait]
impl Probe for SchemaProbe {
    async fn check(&self) -> ProbeResult {
        let found = match self.0.upgrade() {
            Some(host) => host.ahead().await,
            None => Ok(None),
        };
        match found {
            Ok(None) => ProbeResult {
                ok: true,
                message: None,
            },
            Ok(Some(ahead)) => ProbeResult {
                ok: false,
                message: Some(ahead.to_string()),
            },
            Err(_) => ProbeResult {
                ok: false,
                message: Some("the database does not answer".into()),
            },
        }
    }
}
