//! For plugins with entities: a transition log in memory, and the check that a kind reads the same on
//! every node (`entity §15`).

use async_trait::async_trait;
use automation_entity::{
    EntityChanged, EntityHandle, EntityState, FieldTransition, Intent, Newest, Recording,
    TOMBSTONE, TransitionStore,
};
use plugin_api::{BoxError, Ts, Tx, db::DbError};
use std::sync::{Arc, Mutex};
use uuid::Uuid;

/// Called when the store opens a transaction of its own.
type OnTransaction = Arc<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct Memory {
    changes: Vec<EntityChanged>,
    rows: Vec<Row>,
    intents: Vec<Intent>,
    failing: u32,
    on_transaction: Option<OnTransaction>,
}

/// One row of the log in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The kind.
    pub kind: String,
    /// The entity.
    pub entity_id: String,
    /// Field and texts.
    pub transition: FieldTransition,
    /// When.
    pub at: Ts,
    /// The change it belongs to.
    pub change_id: Uuid,
}

/// A transition log in memory behind the trait of the real one. It takes part in no transaction of
/// the database: what a rolled-back `mutate_in` has recorded here stays.
#[derive(Clone, Default)]
pub struct MemoryTransitions(Arc<Mutex<Memory>>);

impl MemoryTransitions {
    /// An empty log.
    pub fn new() -> Self {
        Self::default()
    }
    /// Every row, in order.
    pub fn rows(&self) -> Vec<Row> {
        self.memory().rows.clone()
    }
    /// Rows as `id.field: from > to`, in order.
    pub fn transitions(&self) -> Vec<String> {
        let text = |r: &Row| {
            let FieldTransition {
                field,
                from_value,
                to_value,
            } = &r.transition;
            let from = from_value.as_deref().unwrap_or("-");
            format!("{}.{field}: {from} > {to_value}", r.entity_id)
        };
        self.memory().rows.iter().map(text).collect()
    }
    /// The outgoing changes of a kind, in order.
    pub fn read_for(&self, kind: &str) -> Vec<EntityChanged> {
        let changes = self.memory().changes.clone();
        changes.into_iter().filter(|c| c.kind == kind).collect()
    }
    /// Intents that nobody has settled.
    pub fn intents_left(&self) -> usize {
        self.memory().intents.len()
    }
    /// Calls `f` whenever a transaction of the store opens: proves that `apply` committed before.
    pub fn on_transaction(&self, f: impl Fn() + Send + Sync + 'static) {
        self.memory().on_transaction = Some(Arc::new(f));
    }
    /// Lets the next `n` recordings fail.
    pub fn fail_next(&self, n: u32) {
        self.memory().failing = n;
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.0.lock().expect("transitions in memory")
    }

    fn add(&self, recording: &Recording) {
        let change = recording.change();
        let mut memory = self.memory();
        for transition in recording.rows() {
            let stored = memory
                .rows
                .iter()
                .any(|r| r.change_id == change.change_id && r.transition.field == transition.field);
            if !stored {
                memory.rows.push(Row {
                    kind: change.kind.clone(),
                    entity_id: change.id.clone(),
                    transition: transition.clone(),
                    at: change.occurred_at,
                    change_id: change.change_id,
                });
            }
        }
        memory.changes.push(change.clone());
        if recording.settles_intent() {
            memory.intents.retain(|i| i.change_id != change.change_id);
        }
    }
}

#[async_trait]
impl TransitionStore for MemoryTransitions {
    async fn record(&self, recording: &Recording) -> Result<(), BoxError> {
        let opened = self.memory().on_transaction.clone();
        if let Some(opened) = opened {
            opened();
        }
        {
            let mut memory = self.memory();
            if memory.failing > 0 {
                memory.failing -= 1;
                return Err("the transition log is told to fail".into());
            }
        }
        self.add(recording);
        Ok(())
    }
    async fn record_in(&self, _: &mut Tx, recording: &Recording) -> Result<(), DbError> {
        self.add(recording);
        Ok(())
    }
    async fn newest(&self, kind: &str, id: &str, field: &str) -> Result<Option<Newest>, BoxError> {
        let memory = self.memory();
        let newest = memory.rows.iter().rev().find(|r| {
            r.kind == kind
                && r.entity_id == id
                && [field, TOMBSTONE].contains(&&*r.transition.field)
        });
        Ok(newest.map(|r| match r.transition.field == TOMBSTONE {
            true => Newest::Ended(r.at),
            false => Newest::Value(r.transition.to_value.clone(), r.at),
        }))
    }
    async fn count(&self, kind: &str, id: &str, field: &str, since: Ts) -> Result<i64, BoxError> {
        let memory = self.memory();
        let counted = memory.rows.iter().filter(|r| {
            r.kind == kind && r.entity_id == id && r.transition.field == field && r.at >= since
        });
        Ok(counted.count() as i64)
    }
    async fn begin_intent(&self, intent: &Intent) -> Result<Option<Intent>, BoxError> {
        let mut memory = self.memory();
        let mut intents = memory.intents.iter();
        let old = intents.find(|i| i.kind == intent.kind && i.id == intent.id);
        if let Some(old) = old {
            return Ok(Some(old.clone()));
        }
        memory.intents.push(intent.clone());
        Ok(None)
    }
    async fn end_intent(&self, _: &str, _: &str, change_id: Uuid) -> Result<(), BoxError> {
        self.memory().intents.retain(|i| i.change_id != change_id);
        Ok(())
    }
    async fn intent(&self, kind: &str, id: &str) -> Result<Option<Intent>, BoxError> {
        let memory = self.memory();
        let mut intents = memory.intents.iter();
        Ok(intents.find(|i| i.kind == kind && i.id == id).cloned())
    }
    async fn intents(&self, before: Ts, limit: i64) -> Result<Vec<Intent>, BoxError> {
        let memory = self.memory();
        let old = memory.intents.iter().filter(|i| i.created_at < before);
        Ok(old.take(limit as usize).cloned().collect())
    }
    async fn oldest_intent(&self) -> Result<Option<Ts>, BoxError> {
        Ok(self.memory().intents.iter().map(|i| i.created_at).min())
    }
}

/// A kind whose readers do not agree: its state is read from the memory of a process.
#[derive(Debug, thiserror::Error)]
#[error(
    "{kind}:{id} was written on one node as {written} and reads as {read} by {by} on the other"
)]
pub struct NodeLocal {
    /// The kind.
    pub kind: String,
    /// The entity.
    pub id: String,
    /// The state as JSON.
    pub written: String,
    /// What the other node answers.
    pub read: String,
    /// `get` or `get_many`.
    pub by: &'static str,
}

/// The two-node check of `entity §15`: writes `id` on `here` by `write`, which must go through the
/// handle it is given, and asks `there`, an engine on the same database, at once.
///
/// # Errors
/// [`NodeLocal`] when the other node sees something else; the error of `write`.
pub async fn reads_agree<S: EntityState>(
    here: &EntityHandle<S>,
    there: &EntityHandle<S>,
    id: &str,
    write: impl AsyncFnOnce(&EntityHandle<S>) -> Result<S, BoxError>,
) -> Result<(), BoxError> {
    let written = serde_json::to_value(write(here).await?)?;
    let by_get = there.get(id).await?;
    let ids = [id.to_owned()];
    let by_many = there.get_many(&ids).await?.remove(id);
    for (by, read) in [("get", by_get), ("get_many", by_many)] {
        let read = serde_json::to_value(read)?;
        if !automation_entity::same(&read, &written) {
            return Err(NodeLocal {
                kind: here.kind().to_owned(),
                id: id.to_owned(),
                written: written.to_string(),
                read: read.to_string(),
                by,
            }
            .into());
        }
    }
    Ok(())
}
