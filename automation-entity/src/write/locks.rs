//! One async mutex per entity that is being written, in this process.

use plugin_api::{Clock, timeout};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// How long a writer waits for its turn.
const PATIENCE: Duration = Duration::from_secs(30);

/// The mutexes, as long as somebody holds or awaits them.
#[derive(Default)]
pub(crate) struct EntityLocks(Mutex<HashMap<String, Arc<AsyncMutex<()>>>>);

/// A held mutex.
pub(crate) struct Turn {
    locks: Arc<EntityLocks>,
    key: String,
    guard: Option<OwnedMutexGuard<()>>,
}

impl EntityLocks {
    /// Waits at most 30 s; none when it was in vain.
    pub async fn take(locks: &Arc<Self>, clock: &dyn Clock, key: String) -> Option<Turn> {
        let mutex = {
            let mut all = locks.0.lock().expect("entity locks");
            all.entry(key.clone()).or_default().clone()
        };
        let mut turn = Turn {
            locks: locks.clone(),
            key,
            guard: None,
        };
        turn.guard = match mutex.clone().try_lock_owned() {
            Ok(guard) => Some(guard),
            Err(_) => timeout(clock, PATIENCE, mutex.lock_owned()).await.ok(),
        };
        turn.guard.is_some().then_some(turn)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.lock().expect("entity locks").len()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.guard = None;
        let mut all = self.locks.0.lock().expect("entity locks");
        // Whoever waits holds a clone, taken under this very lock.
        if all
            .get(&self.key)
            .is_some_and(|m| Arc::strong_count(m) == 1)
        {
            all.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lock_that_nobody_wants_is_forgotten() {
        let (locks, clock) = (
            Arc::new(EntityLocks::default()),
            plugin_api::SystemClock::new(),
        );
        let first = EntityLocks::take(&locks, &*clock, "a".into()).await;
        let second = EntityLocks::take(&locks, &*clock, "b".into()).await;
        assert_eq!(locks.len(), 2);
        drop((first, second));
        assert_eq!(locks.len(), 0);
    }
}
