//! The hook service: emitting, subscribing, the barrier, leaving.

use super::{
    barrier::Staging,
    broadcast::Broadcasts,
    envelope::{self, Deliver},
    local::Local,
    pulse::Pulse,
    queue_of, store_error,
};
use crate::queue::REGISTER_GROUP;
use async_trait::async_trait;
use plugin_api::{
    Actor, Clock, Db, Doc, PluginId, Tx,
    db::DbError,
    hints::Hints,
    hook::{HookBus, HookError, HookMode, NewEvent, RawHookHandler},
    queue::{Consumer, NewJob, QueueManager, Retries, Subscription, Unsubscribe},
};
use serde_json::Value;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};
use tokio::sync::RwLock;

/// Hooks on the framework's database.
pub struct SqlHookBus {
    core: Arc<Core>,
}

struct Core {
    db: Db,
    clock: Arc<dyn Clock>,
    queues: Arc<dyn QueueManager>,
    node: String,
    staging: Arc<Staging>,
    /// Held for reading while an event is staged, for writing while the barrier opens.
    gate: RwLock<()>,
    groups: Mutex<HashMap<String, Member>>,
    broadcasts: Arc<Broadcasts>,
    pulse: Arc<Pulse>,
    local: Local,
}

/// A group of this process, by its full name.
enum Member {
    /// Registered; consumes once the barrier is open.
    Waiting {
        queue: String,
        consumer: Box<Consumer>,
    },
    /// Consumes.
    Running(Subscription),
}

impl SqlHookBus {
    /// A bus whose barrier is closed. Touches the database only once it is used.
    pub fn new(
        db: Db,
        queues: Arc<dyn QueueManager>,
        clock: Arc<dyn Clock>,
        node_id: String,
    ) -> Arc<Self> {
        let staging = Arc::new(Staging {
            db: db.clone(),
            clock: clock.clone(),
            queues: queues.clone(),
            node: node_id.clone(),
            open: false.into(),
        });
        let broadcasts = Broadcasts::new(db.clone(), clock.clone(), node_id.clone());
        let broadcasts = Arc::new(broadcasts);
        Arc::new(Self {
            core: Arc::new(Core {
                pulse: Pulse::new(broadcasts.clone(), staging.clone()),
                broadcasts,
                db,
                clock,
                queues,
                node: node_id,
                staging,
                gate: RwLock::new(()),
                groups: Mutex::default(),
                local: Local::default(),
            }),
        })
    }

    /// Where nodes share a database, wakes those whose hints were lost, from now on (see the
    /// module `pulse`). To be called before the bus is used.
    pub fn wake_through(&self, hints: Arc<dyn Hints>) {
        self.core.pulse.hints.set(hints).ok();
    }

    /// Opens the barrier: what was emitted before goes, in order, to every group of this boot, and
    /// from now on events flow. To be called once, after the last `after_plugins_ready`.
    pub async fn open_barrier(&self) -> Result<(), HookError> {
        let core = &self.core;
        let _gate = core.gate.write().await;
        let all = "hook:*";
        core.pulse.start().await.map_err(store_error(all))?;
        core.broadcasts
            .bury_predecessors()
            .await
            .map_err(store_error(all))?;
        for (group, queue, consumer) in core.waiting() {
            let running = core
                .queues
                .consume(&queue, consumer)
                .await
                .map_err(store_error(&queue))?;
            let unwanted = {
                let mut groups = core.groups();
                match groups.get_mut(&group) {
                    Some(member) => {
                        *member = Member::Running(running);
                        None
                    }
                    None => Some(running),
                }
            };
            if let Some(running) = unwanted {
                running.unsubscribe().await;
            }
        }
        core.staging.open().await.map_err(store_error(all))
    }

    /// How many instance-local deliveries failed since the process started.
    pub fn local_failures(&self) -> u64 {
        self.core.local.failures()
    }

    /// Leaves: the broadcast groups of this node go, so that nothing is stored for it any more.
    /// Work-queue groups stay.
    pub async fn stop(&self) {
        self.core.pulse.stop();
        if let Err(error) = self.core.broadcasts.leave_all().await {
            tracing::warn!(node = self.core.node, %error, "The node's broadcast groups could not be removed; others remove them after 60 s.");
        }
    }
}

impl Core {
    fn groups(&self) -> MutexGuard<'_, HashMap<String, Member>> {
        self.groups.lock().expect("no panic while held")
    }

    fn waiting(&self) -> Vec<(String, String, Consumer)> {
        let groups = self.groups();
        let waiting = groups.iter().filter_map(|(group, member)| match member {
            Member::Waiting { queue, consumer } => {
                Some((group.clone(), queue.clone(), (**consumer).clone()))
            }
            Member::Running(_) => None,
        });
        waiting.collect()
    }

    /// Takes a group's name for this process, or answers that it is taken.
    fn take(&self, queue: &str, consumer: &Consumer) -> bool {
        let mut groups = self.groups();
        if groups.contains_key(&consumer.group) {
            return false;
        }
        let member = Member::Waiting {
            queue: queue.to_owned(),
            consumer: Box::new(consumer.clone()),
        };
        groups.insert(consumer.group.clone(), member);
        true
    }

    async fn join(&self, queue: &str, group: &str) -> Result<(), DbError> {
        self.pulse.start().await?;
        self.broadcasts.join(queue, group).await
    }

    /// Stores an event until the barrier opens.
    async fn stage(&self, tx: Option<&mut Tx>, hook: &str, envelope: Doc) -> Result<(), HookError> {
        let staged = async {
            self.pulse.start().await?;
            self.staging.stage(tx, hook, envelope).await
        };
        staged.await.map_err(store_error(hook))
    }

    async fn register(
        self: &Arc<Self>,
        hook: &str,
        consumer: Consumer,
        broadcast: bool,
    ) -> Result<Subscription, HookError> {
        let queue = queue_of(hook);
        let group = consumer.group.clone();
        let _gate = self.gate.read().await;
        let registered = if broadcast {
            self.join(&queue, &group).await
        } else {
            self.db
                .sql(REGISTER_GROUP)
                .bind(queue.as_str())
                .bind(group.as_str())
                .bind(self.clock.now())
                .execute()
                .await
                .map(drop)
        };
        let started = match registered {
            Err(e) => Err(store_error(hook)(e)),
            Ok(()) if self.staging.is_open() => {
                let running = self.queues.consume(&queue, consumer).await;
                running.map(Some).map_err(store_error(hook))
            }
            Ok(()) => Ok(None),
        };
        match started {
            Ok(None) => {}
            Ok(Some(running)) => {
                self.groups()
                    .insert(group.clone(), Member::Running(running));
            }
            Err(error) => {
                self.groups().remove(&group);
                return Err(error);
            }
        }
        Ok(Arc::new(Leave {
            core: self.clone(),
            queue,
            group,
            broadcast,
        }))
    }
}

struct Leave {
    core: Arc<Core>,
    queue: String,
    group: String,
    broadcast: bool,
}
#[async_trait]
impl Unsubscribe for Leave {
    async fn unsubscribe(&self) {
        let Some(member) = self.core.groups().remove(&self.group) else {
            return;
        };
        if let Member::Running(running) = member {
            running.unsubscribe().await;
        }
        if self.broadcast
            && let Err(error) = self.core.broadcasts.leave(&self.queue, &self.group).await
        {
            tracing::warn!(group = self.group, %error, "A broadcast group could not be removed.");
        }
    }
}

struct LeaveLocal {
    core: Arc<Core>,
    hook: String,
    id: u64,
}
#[async_trait]
impl Unsubscribe for LeaveLocal {
    async fn unsubscribe(&self) {
        self.core.local.remove(&self.hook, self.id);
    }
}

/// Only the plugin whose id begins the hook's id emits it.
fn check_owner(by: &PluginId, hook: &str) -> Result<(), HookError> {
    let owned = hook
        .strip_prefix(by.as_str())
        .is_some_and(|rest| rest.starts_with('.'));
    if owned {
        return Ok(());
    }
    Err(HookError::NotOwner {
        hook: hook.into(),
        plugin: by.clone(),
    })
}

#[async_trait]
impl HookBus for SqlHookBus {
    async fn emit(
        &self,
        by: &PluginId,
        hook: &str,
        payload: Value,
        actor: Actor,
        tx: Option<&mut Tx>,
    ) -> Result<(), HookError> {
        check_owner(by, hook)?;
        let core = &self.core;
        let envelope = envelope::seal(payload, &envelope::meta(actor, core.clock.as_ref()));
        if !core.staging.is_open() {
            // Inside a transaction the gate must not be waited for: who opens it may need our rows.
            let _gate = match tx {
                None => Some(core.gate.read().await),
                Some(_) => None,
            };
            if tx.is_some() || !core.staging.is_open() {
                return core.stage(tx, hook, envelope).await;
            }
        }
        let (queue, jobs) = (queue_of(hook), vec![NewJob::new(envelope.0)]);
        let stored = match tx {
            Some(tx) => core.queues.enqueue_in(tx, &queue, jobs).await,
            None => core.queues.enqueue(&queue, jobs).await,
        };
        stored.map(drop).map_err(store_error(hook))
    }

    async fn emit_all(
        &self,
        by: &PluginId,
        hook: &str,
        events: Vec<NewEvent>,
        tx: &mut Tx,
    ) -> Result<(), HookError> {
        check_owner(by, hook)?;
        let core = &self.core;
        let clock = core.clock.as_ref();
        let seal = |e: NewEvent| {
            let meta = envelope::meta_of(e.actor, e.cause, clock);
            envelope::seal(e.payload, &meta)
        };
        let sealed: Vec<_> = events.into_iter().map(seal).collect();
        if !core.staging.is_open() {
            for envelope in sealed {
                core.stage(Some(&mut *tx), hook, envelope).await?;
            }
            return Ok(());
        }
        let jobs = sealed.into_iter().map(|e| NewJob::new(e.0)).collect();
        let stored = core.queues.enqueue_in(tx, &queue_of(hook), jobs).await;
        stored.map(drop).map_err(store_error(hook))
    }

    async fn emit_local(
        &self,
        by: &PluginId,
        hook: &str,
        payload: Value,
        actor: Actor,
    ) -> Result<(), HookError> {
        check_owner(by, hook)?;
        let meta = envelope::meta(actor, self.core.clock.as_ref());
        self.core.local.call(hook, payload, meta).await;
        Ok(())
    }

    async fn subscribe(
        &self,
        by: &PluginId,
        hook: &str,
        mode: HookMode,
        handler: Arc<dyn RawHookHandler>,
    ) -> Result<Subscription, HookError> {
        let core = &self.core;
        let consumer = |group: String, retries| {
            Consumer::each(group, Arc::new(Deliver(handler.clone())))
                .retries(retries)
                .concurrency(1)
        };
        match mode {
            HookMode::InstanceLocal => Ok(Arc::new(LeaveLocal {
                core: core.clone(),
                hook: hook.to_owned(),
                id: core.local.add(hook, handler),
            })),
            HookMode::WorkQueue { worker_group, .. } if worker_group.trim().is_empty() => {
                Err(HookError::NoGroup {
                    hook: hook.into(),
                    plugin: by.clone(),
                })
            }
            HookMode::WorkQueue {
                worker_group,
                retries,
            } => {
                let consumer = consumer(by.qualify(&worker_group), retries);
                if !core.take(&queue_of(hook), &consumer) {
                    return Err(HookError::DuplicateGroup {
                        hook: hook.into(),
                        plugin: by.clone(),
                        group: worker_group,
                    });
                }
                core.register(hook, consumer, false).await
            }
            HookMode::Broadcast => {
                // A plugin may listen twice; each listener is a group of its own.
                let name = by.qualify(&format!("{hook}.broadcast.{}", core.node));
                let mut consumer = consumer(name.clone(), Retries::Limited(0));
                let mut listener = 1;
                while !core.take(&queue_of(hook), &consumer) {
                    listener += 1;
                    consumer.group = format!("{name}.{listener}");
                }
                core.register(hook, consumer, true).await
            }
        }
    }
}
