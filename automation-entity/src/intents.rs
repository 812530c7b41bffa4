//! The loop that settles what a crash left of durable kinds (`entity §8.8`): at boot, when a write
//! ended without saying how, and every 30 s as long as there are intents. Without any it sleeps.

use crate::engine::EntityEngine;
use plugin_api::{BoxError, Clock, Ts};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// An intent of this age is not that of a running write any more, most likely; the entity's lock
/// makes sure.
const GRACE_MS: i64 = 60_000;
const AGAIN: Duration = Duration::from_secs(30);

pub(crate) async fn run(
    engine: Arc<EntityEngine>,
    clock: Arc<dyn Clock>,
    mut stopped: watch::Receiver<bool>,
) {
    // At boot whatever its age: what this process has promised is guarded by its locks.
    let mut before = Ts::from_millis(i64::MAX);
    loop {
        let again = match pass(&engine, before).await {
            Ok(again) => again,
            Err(error) => {
                tracing::warn!(%error, "Recovery of entity intents failed; it is tried again.");
                true
            }
        };
        let Some(shared) = engine.shared() else {
            return;
        };
        let pause = async {
            if again {
                clock.sleep(AGAIN).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            _ = stopped.wait_for(|s| *s) => return,
            () = shared.recovery.woken() => {}
            () = pause => {}
        }
        before = clock.now().plus_millis(-GRACE_MS);
    }
}

/// True while there are intents, also young ones.
async fn pass(engine: &EntityEngine, before: Ts) -> Result<bool, BoxError> {
    engine.recover(before).await?;
    let shared = engine.shared().ok_or("the entity engine is not bound")?;
    Ok(shared.store.oldest_intent().await?.is_some())
}
