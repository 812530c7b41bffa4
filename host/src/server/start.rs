//! From settings to a running server, and its orderly end.

use super::{
    auth::Auth,
    database::{self, Opened},
    http, key,
};
use crate::{compose, settings::Settings, token};
use anyhow::Context;
use plugin_api::{Db, core::ShutdownReason};
use plugin_runtime::Runtime;
use std::{net::SocketAddr, sync::Arc};
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle};

/// A server that accepts requests.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// The administrator token, if it was made by this start.
    pub new_token: Option<String>,
    runtime: Runtime,
    opened: Opened,
    stop: Arc<Notify>,
    serving: JoinHandle<()>,
}

/// Listens, boots the plugins, opens the API.
///
/// # Errors
/// A port in use, a database that cannot be reached, a plugin that does not start: each with what to
/// do. Nothing stays started.
pub async fn start(settings: &Settings) -> anyhow::Result<Running> {
    crate::tls::install();
    let listener = TcpListener::bind(&settings.listen).await.with_context(|| {
        format!(
            "cannot listen on {}; choose another address with --listen",
            settings.listen
        )
    })?;
    let address = listener.local_addr()?;
    let opened = database::open(settings).await?;
    let mut builder = Runtime::builder(opened.db.clone())
        .plugins(compose::plugins_with(
            &settings.retention,
            settings.lease(),
            settings.limits(),
            &settings.healthcheck,
        ))
        .dead_letter_days(settings.retention.dead_letters_days);
    let mut key_is_new = false;
    if !settings.guest {
        let loaded = key::load(settings)?;
        key_is_new = loaded.is_new;
        builder = builder.config_key(loaded.key);
    }
    let readiness = builder.readiness();
    // Ready means: the token exists and the API answers, not only that the plugins have booted.
    let hold = readiness.hold();

    let late = http::Late::default();
    let stop = Arc::new(Notify::new());
    let stopped = stop.clone();
    let app = http::outer(readiness.clone(), late.clone());
    let serving = plugin_api::spawn(async move {
        let graceful = axum::serve(listener, app)
            .with_graceful_shutdown(async move { stopped.notified().await });
        if let Err(error) = graceful.await {
            tracing::error!(%error, "The listener stopped.");
        }
    });

    let booted = boot(builder, settings, &opened, key_is_new).await;
    let (runtime, new_token) = match booted {
        Ok(b) => b,
        Err(e) => {
            stop.notify_one();
            serving.await.ok();
            return Err(e);
        }
    };
    late.open(http::api(
        runtime.router(),
        readiness,
        Auth::new(opened.db.clone()),
        runtime.clock(),
    ));
    drop(hold);
    tracing::info!(%address, node = runtime.node_id(), "Ready.");
    Ok(Running {
        address,
        new_token,
        runtime,
        opened,
        stop,
        serving,
    })
}

async fn boot(
    builder: plugin_runtime::Builder,
    settings: &Settings,
    opened: &Opened,
    key_is_new: bool,
) -> anyhow::Result<(Runtime, Option<String>)> {
    let runtime = match builder.boot().await {
        Ok(runtime) => runtime,
        Err(e) => {
            let e = key::explained(e, settings, key_is_new);
            return Err(e.context("the server cannot start"));
        }
    };
    if settings.guest {
        return Ok((runtime, None));
    }
    match token::ensure_admin(&opened.db, &*runtime.clock(), &settings.data_dir).await {
        Ok(token) => Ok((runtime, token)),
        Err(e) => {
            runtime.shutdown(ShutdownReason::Error).await;
            Err(e.context("the administrator token cannot be made"))
        }
    }
}

impl Running {
    /// Its database.
    pub fn database(&self) -> &Db {
        &self.opened.db
    }

    /// Stops in order: not ready any more, no new requests, runs get their time to a checkpoint,
    /// plugins are cleaned up, the database is closed.
    pub async fn stop(self) {
        self.runtime.readiness().stopping();
        self.stop.notify_one();
        self.runtime.shutdown(ShutdownReason::Signal).await;
        self.serving.abort();
        self.opened.db.close().await;
        drop(self.opened.locks);
    }
}
