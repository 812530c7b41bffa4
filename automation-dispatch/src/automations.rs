//! The automations as dispatch sees them: compiled once per version, found by event, and refreshed
//! by generation (design §3.8).
//!
//! Each committed change of an automation counts up one number in the database. A batch of work
//! compares it with what this index was built from – one read – and compiles just what has changed
//! since; so an edit acts on the very next occurrence, on every node, and ten thousand automations
//! cost nothing per event but a look-up.

use crate::scope::{ReadSet, Reads};
use arc_swap::ArcSwap;
use automation_core::{
    AutomationId,
    builtin::StateIndex,
    compiled::{CompiledDefinition, CompiledKind, Condition},
    registry::Registries,
    store::{AutomationStore, IndexRow, Status, StoreError},
};
use automation_entity::EntityChanged;
use plugin_api::BoxError;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
};

/// A compiled version with what its expressions read.
pub struct Program {
    compiled: CompiledDefinition,
    /// What is read at each site.
    pub reads: Reads,
}

impl std::ops::Deref for Program {
    type Target = CompiledDefinition;
    fn deref(&self) -> &CompiledDefinition {
        &self.compiled
    }
}

impl Program {
    pub(crate) fn new(compiled: CompiledDefinition) -> Self {
        Self {
            reads: Reads::of(&compiled),
            compiled,
        }
    }

    /// What the condition of the `wait_until`, or the filter of the `wait_for_trigger`, at a path
    /// reads.
    pub fn wait_reads(&self, path: &str) -> Arc<ReadSet> {
        self.reads.wait(
            &crate::walk::path::site(path),
            || match &crate::walk::path::action(&self.actions, path)?.kind {
                CompiledKind::WaitUntil { condition, .. } => Some(Condition::clone(condition)),
                CompiledKind::WaitForTrigger { filter, .. } => {
                    filter.clone().map(Condition::Expression)
                }
                _ => None,
            },
        )
    }
}

/// An automation with its current definition.
pub struct Automation {
    /// Its id.
    pub id: AutomationId,
    /// True: it fires.
    pub enabled: bool,
    /// The definition version that new runs are pinned to.
    pub version: i64,
    /// The compiled definition.
    pub program: Arc<Program>,
}

/// One consistent view.
#[derive(Default)]
struct Index {
    generation: i64,
    by_id: HashMap<AutomationId, Arc<Automation>>,
    /// Enabled automations by event, in order.
    by_event: HashMap<String, Vec<Arc<Automation>>>,
    /// Disabled ones, so that it can be told that they would have been asked.
    disabled_by_event: HashMap<String, Vec<Arc<Automation>>>,
    /// Enabled automations by the entities whose changes they listen to (`definition §10.8`).
    by_state: StateIndex<Arc<Automation>>,
    /// Disabled ones.
    disabled_by_state: StateIndex<Arc<Automation>>,
    /// Counts views, so that who derives something from them sees that there is a new one.
    serial: u64,
}

/// Programs of older versions that runs still execute.
const KEPT_PROGRAMS: usize = 512;

#[derive(Default)]
struct Older {
    by_version: HashMap<(AutomationId, i64), Arc<Program>>,
    order: VecDeque<(AutomationId, i64)>,
}

/// The index.
pub struct Automations {
    store: AutomationStore,
    registries: Arc<Registries>,
    index: ArcSwap<Index>,
    refreshing: tokio::sync::Mutex<()>,
    older: Mutex<Older>,
}

impl Automations {
    /// An empty index over a store; [`Automations::refresh`] fills it.
    pub fn new(store: AutomationStore, registries: Arc<Registries>) -> Self {
        Self {
            store,
            registries,
            index: ArcSwap::default(),
            refreshing: tokio::sync::Mutex::default(),
            older: Mutex::default(),
        }
    }

    /// The store.
    pub fn store(&self) -> &AutomationStore {
        &self.store
    }

    /// Brings the index up to date; one read when nothing has changed.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        self.refresh_to(self.store.generation().await?).await
    }

    /// The same for who knows the generation already; no read when nothing has changed.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn refresh_to(&self, generation: i64) -> Result<(), StoreError> {
        if self.index.load().generation >= generation {
            return Ok(());
        }
        let _alone = self.refreshing.lock().await;
        let before = self.index.load_full();
        if before.generation >= generation {
            return Ok(());
        }
        let changed = self.store.changed_since(before.generation).await?;
        let mut by_id = before.by_id.clone();
        for row in changed {
            let id = row.id;
            match self.compile(row, &before) {
                Some(automation) => by_id.insert(id, automation),
                None => by_id.remove(&id),
            };
        }
        let alive: std::collections::HashSet<AutomationId> =
            self.store.ids().await?.into_iter().collect();
        by_id.retain(|id, _| alive.contains(id));
        let (enabled, disabled) = in_order(&by_id).partition::<Vec<_>, _>(|a| a.enabled);
        self.index.store(Arc::new(Index {
            generation,
            by_event: by_event(&enabled),
            disabled_by_event: by_event(&disabled),
            by_state: by_state(&enabled),
            disabled_by_state: by_state(&disabled),
            by_id,
            serial: before.serial + 1,
        }));
        Ok(())
    }

    /// A row that does not compile is skipped by every look-up and named once per load.
    fn compile(&self, row: IndexRow, before: &Index) -> Option<Arc<Automation>> {
        let known = before.by_id.get(&row.id);
        let program = match known.filter(|a| a.version == row.definition_version) {
            Some(same) => same.program.clone(),
            None => match CompiledDefinition::load(&row.definition, &self.registries) {
                Ok(compiled) => Arc::new(Program::new(compiled)),
                Err(issues) => {
                    let error = issues.first_error().map(|d| d.message.clone());
                    tracing::warn!(automation = %row.id, error, "The stored definition of an automation is not valid; it does not fire.");
                    return None;
                }
            },
        };
        Some(Arc::new(Automation {
            id: row.id,
            enabled: row.status == Status::Enabled,
            version: row.definition_version,
            program,
        }))
    }

    /// Enabled automations with a trigger on an event, in order of creation.
    pub fn for_event(&self, event: &str) -> Vec<Arc<Automation>> {
        let index = self.index.load();
        index.by_event.get(event).cloned().unwrap_or_default()
    }

    /// Disabled automations with a trigger on an event.
    pub fn disabled_for_event(&self, event: &str) -> Vec<Arc<Automation>> {
        let index = self.index.load();
        let found = index.disabled_by_event.get(event);
        found.cloned().unwrap_or_default()
    }

    /// Enabled automations with an `automation.state` trigger on what a change is about, in order of
    /// creation.
    pub fn for_state(&self, change: &EntityChanged) -> Vec<Arc<Automation>> {
        let index = self.index.load();
        concerned(&index.by_state, change)
    }

    /// Disabled ones.
    pub fn disabled_for_state(&self, change: &EntityChanged) -> Vec<Arc<Automation>> {
        let index = self.index.load();
        concerned(&index.disabled_by_state, change)
    }

    /// An automation, if it is enabled.
    pub fn enabled(&self, id: AutomationId) -> Option<Arc<Automation>> {
        self.get(id).filter(|a| a.enabled)
    }

    /// An automation, enabled or not.
    pub fn get(&self, id: AutomationId) -> Option<Arc<Automation>> {
        self.index.load().by_id.get(&id).cloned()
    }

    /// Every enabled automation, and the serial of the view they are from.
    pub fn all_enabled(&self) -> (u64, Vec<Arc<Automation>>) {
        let index = self.index.load();
        let enabled = index.by_id.values().filter(|a| a.enabled).cloned();
        (index.serial, enabled.collect())
    }

    /// The program of a version: the current one from the index, an older one from its row.
    ///
    /// # Errors
    /// When the database refuses, or the stored version does not compile any more.
    pub async fn program(
        &self,
        id: AutomationId,
        version: i64,
    ) -> Result<Option<Arc<Program>>, BoxError> {
        if let Some(current) = self.get(id).filter(|a| a.version == version) {
            return Ok(Some(current.program.clone()));
        }
        let key = (id, version);
        if let Some(known) = self.older.lock().expect("programs").by_version.get(&key) {
            return Ok(Some(known.clone()));
        }
        let Some(stored) = self.store.version(id, version).await? else {
            return Ok(None);
        };
        let compiled =
            CompiledDefinition::load(&stored.definition, &self.registries).map_err(|issues| {
                match issues.first_error() {
                    Some(d) => d.message.clone(),
                    None => "the stored version does not compile".into(),
                }
            })?;
        let program = Arc::new(Program::new(compiled));
        let mut older = self.older.lock().expect("programs");
        if older.by_version.insert(key, program.clone()).is_none() {
            older.order.push_back(key);
        }
        while older.order.len() > KEPT_PROGRAMS {
            if let Some(oldest) = older.order.pop_front() {
                older.by_version.remove(&oldest);
            }
        }
        Ok(Some(program))
    }
}

/// Ids are made in order of creation.
fn in_order(
    by_id: &HashMap<AutomationId, Arc<Automation>>,
) -> impl Iterator<Item = &Arc<Automation>> {
    let mut ordered: Vec<&Arc<Automation>> = by_id.values().collect();
    ordered.sort_by_key(|a| a.id);
    ordered.into_iter()
}

/// Automations by the events of their triggers, in order of creation.
fn by_event(ordered: &[&Arc<Automation>]) -> HashMap<String, Vec<Arc<Automation>>> {
    let mut by_event: HashMap<String, Vec<Arc<Automation>>> = HashMap::new();
    for automation in ordered {
        let mut seen: Vec<&str> = Vec::new();
        for trigger in &automation.program.triggers {
            if !seen.contains(&trigger.event.as_str()) {
                seen.push(&trigger.event);
                by_event
                    .entry(trigger.event.clone())
                    .or_default()
                    .push(Arc::clone(automation));
            }
        }
    }
    by_event
}

fn by_state(ordered: &[&Arc<Automation>]) -> StateIndex<Arc<Automation>> {
    let mut index = StateIndex::default();
    for automation in ordered {
        index.add(&automation.program, *automation);
    }
    index
}

fn concerned(index: &StateIndex<Arc<Automation>>, change: &EntityChanged) -> Vec<Arc<Automation>> {
    match index.is_empty() {
        true => Vec::new(),
        false => index.concerned(&change.kind, &change.id, &change.changed_fields),
    }
}
