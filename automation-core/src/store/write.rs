//! Writing: validate outside the transaction, then one fenced statement and its version row inside
//! it. Losing a race means looking again at what is there now.

use super::read::name_key;
use super::{
    Automation, AutomationChange, AutomationStore, KEPT_VERSIONS, NewAutomation, Source, Status,
    StoreError, Stored, Summary, TOPIC, input, sql,
};
use crate::definition::{Action, ActionKind, Definition};
use crate::diagnostic::Diagnostics;
use crate::ids::AutomationId;
use crate::validate::Validation;
use plugin_api::{Actor, Doc, Text, Ts, Tx};
use serde_json::Value;

impl AutomationStore {
    /// Stores a new automation; its first version is number 1.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for structural errors, and for any error when it is to be enabled;
    /// [`StoreError::Field`] for a bad name or group.
    pub async fn create(&self, new: NewAutomation, actor: &Actor) -> Result<Stored, StoreError> {
        let (definition, issues) = accept(self.validate(&new.definition), new.status)?;
        let now = self.clock.now();
        let summary = Summary {
            id: AutomationId::new(&*self.clock),
            name: input::name(new.name.as_deref().unwrap_or(&definition.name))?,
            description: new.description.or_else(|| definition.description.clone()),
            group: input::group(new.group.as_deref())?,
            status: new.status,
            managed_by: new.managed_by,
            version: 1,
            definition_version: 1,
            trigger_events: events(&definition),
            created_at: now,
            updated_at: now,
        };
        let automation = Automation {
            summary,
            definition: definition.to_value(),
        };
        let mut tx = self.begin().await?;
        let generation: i64 = tx.sql(sql::BUMP).one().await?;
        tx.sql(sql::INSERT)
            .bind(automation.id)
            .bind(Text::new(&automation.name))
            .bind(Text::new(name_key(&automation.name)))
            .bind(automation.description.as_ref().map(Text::new))
            .bind(automation.group.as_ref().map(Text::new))
            .bind(automation.status.name().to_owned())
            .bind(Doc(automation.definition.clone()))
            .bind(automation.managed_by.clone())
            .bind(lines(&automation.trigger_events))
            .bind(lines(&actions(&definition)))
            .bind(generation)
            .bind(now)
            .execute()
            .await?;
        insert_version(&mut tx, &automation, actor, now).await?;
        tx.commit().await?;
        Ok(Stored { automation, issues })
    }

    /// Changes an automation; `expected` is the version the caller saw, none for callers that own
    /// the row whatever it holds. A change that changes nothing writes nothing. Enabling validates
    /// the definition again, also when it stays as it is.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Stale`], and those of [`AutomationStore::create`].
    pub async fn update(
        &self,
        id: AutomationId,
        expected: Option<i64>,
        change: AutomationChange,
        actor: &Actor,
    ) -> Result<Stored, StoreError> {
        loop {
            let old = self.get(id).await?;
            if let Some(expected) = expected.filter(|e| *e != old.version) {
                return Err(StoreError::Stale {
                    id,
                    expected,
                    current: old.version,
                });
            }
            let (new, definition, issues) = self.changed(&old, &change)?;
            if definition.is_none() && new.summary == old.summary {
                return Ok(Stored {
                    automation: old,
                    issues,
                });
            }
            if let Some(automation) = self.replace(&old, new, definition.as_ref(), actor).await? {
                return Ok(Stored { automation, issues });
            }
            // Somebody was faster: with an expectation the next round answers that it is stale,
            // without one the change is applied to what is there now.
        }
    }

    /// Deletes an automation in `tx`, with everything that belongs to it. Runs of it are the caller's to
    /// lock before, or to cancel.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] and [`StoreError::Stale`].
    pub async fn delete_in(
        &self,
        tx: &mut Tx,
        id: AutomationId,
        expected: Option<i64>,
    ) -> Result<(), StoreError> {
        // In the order of an edit, or the two could wait for each other.
        tx.sql(sql::BUMP).one::<i64>().await?;
        let found: Option<i64> = tx.sql(sql::LOCK).bind(id).optional().await?;
        let current = found.ok_or(StoreError::NotFound(id))?;
        if let Some(expected) = expected.filter(|e| *e != current) {
            return Err(StoreError::Stale {
                id,
                expected,
                current,
            });
        }
        tx.sql(sql::DELETE).bind(id).execute().await?;
        let hints = self.hints.clone();
        tx.after_commit(move || hints.notify(TOPIC));
        Ok(())
    }

    async fn begin(&self) -> Result<Tx, StoreError> {
        let mut tx = self.db.begin().await?;
        let hints = self.hints.clone();
        tx.after_commit(move || hints.notify(TOPIC));
        Ok(tx)
    }

    /// The row after a change, its definition if that is a new one, and what there is to say.
    fn changed(
        &self,
        old: &Automation,
        change: &AutomationChange,
    ) -> Result<(Automation, Option<Definition>, Diagnostics), StoreError> {
        let mut new = old.clone();
        let row = &mut new.summary;
        if let Some(name) = &change.name {
            row.name = input::name(name)?;
        }
        if let Some(description) = &change.description {
            row.description = description.clone();
        }
        if let Some(group) = &change.group {
            row.group = input::group(group.as_deref())?;
        }
        if let Some(owner) = &change.managed_by {
            row.managed_by = owner.clone();
        }
        row.status = change.status.unwrap_or(row.status);
        let enabling = row.status == Status::Enabled && old.status == Status::Disabled;
        let (definition, issues) = match &change.definition {
            Some(source) => {
                let (definition, issues) = accept(self.validate(source), row.status)?;
                (Some(definition), issues)
            }
            None if enabling => {
                let stored = Source::Value(old.definition.clone());
                (None, accept(self.validate(&stored), row.status)?.1)
            }
            None => (None, Diagnostics::new()),
        };
        if let Some(d) = &definition {
            row.trigger_events = events(d);
            new.definition = d.to_value();
        }
        // Key order is part of a definition; equality of values does not see it, their texts do.
        let text = |value: &Value| value.to_string();
        let definition = definition.filter(|_| text(&new.definition) != text(&old.definition));
        Ok((new, definition, issues))
    }

    /// Writes a changed row unless somebody changed it since; none then.
    async fn replace(
        &self,
        old: &Automation,
        mut new: Automation,
        definition: Option<&Definition>,
        actor: &Actor,
    ) -> Result<Option<Automation>, StoreError> {
        let now = self.clock.now();
        new.summary.version = old.version + 1;
        new.summary.updated_at = now;
        if definition.is_some() {
            new.summary.definition_version = new.version;
        }
        let names = match definition {
            Some(d) => actions(d),
            None => match Definition::read_stored(&old.definition) {
                Ok(read) => actions(&read.definition),
                Err(_) => Vec::new(),
            },
        };
        let mut tx = self.begin().await?;
        let generation: i64 = tx.sql(sql::BUMP).one().await?;
        let written = tx
            .sql(sql::UPDATE)
            .bind(new.id)
            .bind(old.version)
            .bind(Text::new(&new.name))
            .bind(Text::new(name_key(&new.name)))
            .bind(new.description.as_ref().map(Text::new))
            .bind(new.group.as_ref().map(Text::new))
            .bind(new.status.name().to_owned())
            .bind(Doc(new.definition.clone()))
            .bind(new.definition_version)
            .bind(new.managed_by.clone())
            .bind(lines(&new.trigger_events))
            .bind(lines(&names))
            .bind(generation)
            .bind(now)
            .execute()
            .await?;
        if written == 0 {
            tx.rollback().await?;
            return Ok(None);
        }
        if definition.is_some() {
            insert_version(&mut tx, &new, actor, now).await?;
            tx.sql(sql::PRUNE)
                .bind(new.id)
                .bind(KEPT_VERSIONS - 1)
                .execute()
                .await?;
        }
        tx.commit().await?;
        Ok(Some(new))
    }
}

/// Whether a definition may be stored with a status (`definition §13.3`).
fn accept(validation: Validation, status: Status) -> Result<(Definition, Diagnostics), StoreError> {
    let allowed = validation.may_store(status == Status::Enabled);
    match validation.definition {
        Some(definition) if allowed => Ok((definition, validation.issues)),
        _ => Err(StoreError::Invalid(validation.issues)),
    }
}

async fn insert_version(
    tx: &mut Tx,
    automation: &Automation,
    actor: &Actor,
    now: Ts,
) -> Result<(), StoreError> {
    let actor = serde_json::to_value(actor).unwrap_or(Value::Null);
    tx.sql(sql::INSERT_VERSION)
        .bind(automation.id)
        .bind(automation.definition_version)
        .bind(Doc(automation.definition.clone()))
        .bind(Doc(actor))
        .bind(now)
        .execute()
        .await?;
    Ok(())
}

fn events(definition: &Definition) -> Vec<String> {
    unique(definition.triggers.iter().map(|t| t.event.as_str()))
}

/// Provider actions at any depth.
fn actions(definition: &Definition) -> Vec<String> {
    fn collect<'d>(list: &'d [Action], out: &mut Vec<&'d str>) {
        for a in list {
            match &a.kind {
                ActionKind::Provider { action, .. } => out.push(action),
                ActionKind::Choose {
                    branches,
                    otherwise,
                } => {
                    for b in branches {
                        collect(&b.sequence, out);
                    }
                    collect(otherwise.as_deref().unwrap_or_default(), out);
                }
                ActionKind::Parallel(list) | ActionKind::Sequence(list) => collect(list, out),
                ActionKind::Repeat { sequence, .. } => collect(sequence, out),
                _ => {}
            }
        }
    }
    let mut out = Vec::new();
    collect(&definition.actions, &mut out);
    unique(out.into_iter())
}

fn unique<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for name in names {
        if !out.iter().any(|n| n == name) {
            out.push(name.to_owned());
        }
    }
    out
}

/// Names, each between line breaks.
pub(super) fn lines(names: &[String]) -> String {
    let mut out = String::from("\n");
    for name in names {
        out.push_str(name);
        out.push('\n');
    }
    out
}
