//! The table `systems`, and the write paths: all of them go through the kind's handle.

use crate::{
    entity::SystemState,
    model::{NewSystem, System, SystemChange, SystemError, check_id, check_name, name_key},
};
use automation_core::registry::Cancel;
use automation_entity::{EntityHandle, MutateOpts};
use plugin_api::{BoxError, Clock, Conn, Db, Doc, Text, Ts, Tx, db::is_unique_violation};
use serde_json::{Map, Value};
use std::sync::Arc;

plugin_api::statements! {
    pub BY_IDS = {
        sqlite: "select id, name, description, metadata, created_at, updated_at from systems where id in (select value from json_each($1))",
        postgres: "select id, name, description, metadata, created_at, updated_at from systems where id = any($1)",
    };
    pub NAMES = "select id, name from systems";
    pub PAGE = "select id, name, description, metadata, created_at, updated_at from systems where (name_key, id) > ($1, $2) order by name_key, id limit $3";
    pub INSERT = "insert into systems (id, name, name_key, description, metadata, created_at, updated_at) values ($1, $2, $3, $4, $5, $6, $6)";
    pub UPDATE = "update systems set name = $2, name_key = $3, description = $4, metadata = $5, updated_at = $6 where id = $1";
    pub DELETE = "delete from systems where id = $1";
}

plugin_api::row! {
    struct SystemRow {
        id: String,
        name: Text,
        description: Option<Text>,
        metadata: Doc,
        created_at: Ts,
        updated_at: Ts,
    }
}

plugin_api::row! {
    /// Id and name only.
    pub struct NameRow {
        pub id: String,
        pub name: Text,
    }
}

impl From<SystemRow> for System {
    fn from(r: SystemRow) -> Self {
        Self {
            id: r.id,
            name: r.name.into_string(),
            description: r.description.map(Text::into_string),
            metadata: match r.metadata.0 {
                Value::Object(m) => m,
                _ => Map::new(),
            },
            created_at: r.created_at,
            updated_at: r.updated_at,
        }
    }
}

/// The systems among `ids` that exist.
pub async fn by_ids(mut at: Conn<'_>, ids: &[String]) -> Result<Vec<System>, BoxError> {
    let rows: Vec<SystemRow> = at.sql(BY_IDS).texts(ids).all().await?;
    Ok(rows.into_iter().map(System::from).collect())
}

/// Reads and writes systems.
#[derive(Clone)]
pub struct Store {
    db: Db,
    clock: Arc<dyn Clock>,
    handle: EntityHandle<SystemState>,
}

/// How metadata given to an update joins what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataStrategy {
    /// Keys given win, others stay (shallow).
    Merge,
    /// Only what is given stays.
    Replace,
}

impl Store {
    /// A store over the plugin's database.
    pub fn new(db: Db, clock: Arc<dyn Clock>, handle: EntityHandle<SystemState>) -> Self {
        Self { db, clock, handle }
    }

    /// See [`EntityHandle::patiently`].
    pub async fn patiently<T, F>(
        &self,
        cancel: &Cancel,
        write: impl FnMut() -> F + Send,
    ) -> Result<T, SystemError>
    where
        F: Future<Output = Result<T, SystemError>> + Send,
    {
        self.handle
            .patiently(cancel, SystemError::is_passing, write)
            .await
    }

    /// One system.
    pub async fn get(&self, id: &str) -> Result<System, SystemError> {
        can_exist(id)?;
        let found: Option<SystemRow> = self
            .db
            .sql(BY_IDS)
            .texts(&[id.to_owned()])
            .optional()
            .await?;
        found
            .map(System::from)
            .ok_or_else(|| SystemError::NotFound(id.to_owned()))
    }

    /// Up to `limit` systems after ([`name_key`], id), in that order.
    pub async fn page(
        &self,
        after: (&str, &str),
        limit: usize,
    ) -> Result<Vec<System>, SystemError> {
        let rows: Vec<SystemRow> = self
            .db
            .sql(PAGE)
            .bind(Text::new(after.0))
            .bind(Text::new(after.1))
            .bind(limit as i64)
            .all()
            .await?;
        Ok(rows.into_iter().map(System::from).collect())
    }

    /// Ids and names of all systems.
    pub async fn names(&self) -> Result<Vec<NameRow>, SystemError> {
        Ok(self.db.sql(NAMES).all().await?)
    }

    /// Those of the ids that exist.
    pub async fn existing(&self, ids: &[String]) -> Result<Vec<System>, BoxError> {
        by_ids(Conn::Db(&self.db), ids).await
    }

    /// Creates a system; the id is made before the write, so that the change is a create (`domains §1.3`).
    pub async fn create(&self, new: NewSystem) -> Result<System, SystemError> {
        let id = match new.id {
            Some(id) => {
                check_id(&id)?;
                id
            }
            None => self.clock.new_uuid().to_string(),
        };
        let now = self.clock.now();
        let system = System {
            id: id.clone(),
            name: check_name(&new.name)?,
            description: new.description,
            metadata: new.metadata,
            created_at: now,
            updated_at: now,
        };
        let made = system.clone();
        self.handle
            .mutate_in(&id, MutateOpts::default(), async move |tx: &mut Tx| {
                if find(tx, &system.id).await?.is_some() {
                    return Err(SystemError::IdTaken(system.id).into());
                }
                write(tx, INSERT, &system).await?;
                Ok(SystemState::from(&system))
            })
            .await
            .map_err(SystemError::from_write)?;
        Ok(made)
    }

    /// Changes a system; reads and writes in one transaction, so that concurrent changes all count.
    pub async fn change(&self, id: &str, change: SystemChange) -> Result<System, SystemError> {
        let name = change.name.as_deref().map(check_name).transpose()?;
        self.edit(id, move |s| {
            if let Some(n) = name {
                s.name = n;
            }
            if let Some(d) = change.description {
                s.description = d;
            }
            if let Some(m) = change.metadata {
                s.metadata = m.unwrap_or_default();
            }
        })
        .await
    }

    /// Merges or replaces metadata inside the write transaction (`domains §3.3`).
    pub async fn update_metadata(
        &self,
        id: &str,
        strategy: MetadataStrategy,
        metadata: Map<String, Value>,
    ) -> Result<System, SystemError> {
        self.edit(id, move |s| match strategy {
            MetadataStrategy::Replace => s.metadata = metadata,
            MetadataStrategy::Merge => s.metadata.extend(metadata),
        })
        .await
    }

    async fn edit(
        &self,
        id: &str,
        edit: impl FnOnce(&mut System) + Send,
    ) -> Result<System, SystemError> {
        can_exist(id)?;
        let now = self.clock.now();
        let mut changed = None;
        let out = &mut changed;
        self.handle
            .mutate_in(id, MutateOpts::default(), async move |tx: &mut Tx| {
                let mut system = find(tx, id)
                    .await?
                    .ok_or_else(|| SystemError::NotFound(id.to_owned()))?;
                let before = system.clone();
                edit(&mut system);
                if system != before {
                    system.updated_at = now;
                    write(tx, UPDATE, &system).await?;
                }
                let state = SystemState::from(&system);
                *out = Some(system);
                Ok(state)
            })
            .await
            .map_err(SystemError::from_write)?;
        changed.ok_or_else(|| SystemError::NotFound(id.to_owned()))
    }

    /// Deletes a system; its tombstone lets other plugins clean up (`domains §3.4`).
    pub async fn delete(&self, id: &str) -> Result<(), SystemError> {
        can_exist(id)?;
        self.handle
            .remove_in(id, MutateOpts::default(), async move |tx: &mut Tx| match tx
                .sql(DELETE)
                .bind(id.to_owned())
                .execute()
                .await?
            {
                0 => Err(SystemError::NotFound(id.to_owned()).into()),
                _ => Ok(()),
            })
            .await
            .map_err(SystemError::from_write)
    }
}

/// An id that no system can have names none, and is not asked for: the database may not even take it.
fn can_exist(id: &str) -> Result<(), SystemError> {
    check_id(id).map_err(|_| SystemError::NotFound(id.to_owned()))
}

async fn find(tx: &mut Tx, id: &str) -> Result<Option<System>, BoxError> {
    Ok(by_ids(Conn::Tx(tx), &[id.to_owned()]).await?.pop())
}

async fn write(tx: &mut Tx, statement: plugin_api::db::Sql, s: &System) -> Result<(), BoxError> {
    tx.sql(statement)
        .bind(s.id.clone())
        .bind(Text::new(s.name.clone()))
        .bind(Text::new(name_key(&s.name)))
        .bind(s.description.clone().map(Text::new))
        .bind(Doc(Value::Object(s.metadata.clone())))
        .bind(s.updated_at)
        .execute()
        .await
        .map_err(|e| -> BoxError {
            if is_unique_violation(&e) {
                SystemError::NameTaken(s.name.clone()).into()
            } else {
                e.into()
            }
        })?;
    Ok(())
}
