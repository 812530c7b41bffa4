//! Instance-local subscribers: in memory, in this process, no retries (`plugins §6.3`).

use futures::{FutureExt, future::join_all};
use plugin_api::{
    RequestContext,
    hook::{EventMeta, RawHookHandler},
};
use serde_json::Value;
use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

type Listener = (u64, Arc<dyn RawHookHandler>);

#[derive(Default)]
pub(super) struct Local {
    listeners: Mutex<HashMap<String, Vec<Listener>>>,
    serial: AtomicU64,
    failures: AtomicU64,
}

impl Local {
    /// Adds a listener; the answer removes it.
    pub fn add(&self, hook: &str, handler: Arc<dyn RawHookHandler>) -> u64 {
        let id = self.serial.fetch_add(1, Ordering::Relaxed);
        let mut all = self.listeners.lock().expect("no panic while held");
        all.entry(hook.to_owned()).or_default().push((id, handler));
        id
    }

    pub fn remove(&self, hook: &str, id: u64) {
        let mut all = self.listeners.lock().expect("no panic while held");
        if let Some(listeners) = all.get_mut(hook) {
            listeners.retain(|(i, _)| *i != id);
        }
    }

    /// How many deliveries failed since the process started.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Calls every listener, all at once; failures and panics are logged and counted.
    pub async fn call(&self, hook: &str, payload: Value, meta: EventMeta) {
        let listeners = {
            let all = self.listeners.lock().expect("no panic while held");
            all.get(hook).cloned().unwrap_or_default()
        };
        let context = RequestContext::of(meta.actor.clone());
        let calls = listeners.iter().map(|(_, handler)| {
            AssertUnwindSafe(handler.handle(payload.clone(), meta.clone())).catch_unwind()
        });
        for result in context.scope(join_all(calls)).await {
            let error = match result {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error.to_string(),
                Err(panic) => crate::queue::panic_text(panic.as_ref()).to_owned(),
            };
            self.failures.fetch_add(1, Ordering::Relaxed);
            tracing::error!(hook, error, "An instance-local listener failed.");
        }
    }
}
