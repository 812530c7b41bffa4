//! The plugins of this binary on a database that is thrown away: so `validate` meets the code that a
//! server runs, without a server.

use crate::{apply::Local, compose};
use anyhow::Context;
use plugin_api::{Actor, Db, Principal, core::ShutdownReason, db::DbConfig};
use plugin_runtime::Runtime;
use tempfile::TempDir;

/// A scratch host.
pub struct Scratch {
    runtime: Runtime,
    db: Db,
    _folder: TempDir,
}

impl Scratch {
    /// Starts one; a fraction of a second.
    pub async fn start() -> anyhow::Result<Self> {
        crate::tls::install();
        let folder = tempfile::tempdir().context("no temporary folder can be made")?;
        let db = Db::open(&DbConfig::new(crate::settings::sqlite_url(folder.path())?))
            .await
            .context("a scratch database cannot be made")?;
        let runtime = Runtime::builder(db.clone())
            .plugins(compose::plugins())
            .boot()
            .await
            .context("the plugins do not start")?;
        Ok(Self {
            runtime,
            db,
            _folder: folder,
        })
    }

    /// Its API as an administrator.
    pub fn api(&self) -> Local {
        Local::new(
            self.runtime.router(),
            Principal {
                actor: Actor::system(),
                rules: ["*".to_owned()].into(),
            },
        )
    }

    /// Stops it.
    pub async fn stop(self) {
        self.runtime.shutdown(ShutdownReason::Manual).await;
        self.db.close().await;
    }
}
