//! Running, checking and listing migrations.

use crate::record::{self, RECORD, State, Status};
use plugin_api::{
    Clock, Migration, PluginId,
    db::{Db, DbError, Engine, Sql, Tx},
};
use std::sync::Arc;

/// Whose migrations, and where they live.
#[derive(Clone, Debug)]
pub struct Owner {
    /// `framework` or the plugin's id.
    pub name: String,
    /// The schema on Postgres.
    pub schema: String,
    /// Numbered 1, 2, 3, … in order.
    pub migrations: &'static [Migration],
}

impl Owner {
    /// The framework's own tables.
    pub fn framework() -> Self {
        Self {
            name: "framework".into(),
            schema: "signalbox".into(),
            migrations: crate::FRAMEWORK,
        }
    }
    /// A plugin's tables.
    pub fn plugin(id: &PluginId, migrations: &'static [Migration]) -> Self {
        Self {
            name: id.as_str().into(),
            schema: id.schema(),
            migrations,
        }
    }
}

/// Why a database cannot be brought to this program's version. Every error names the owner.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The list in the program is not 1, 2, 3, …
    #[error("migrations of {owner}: number {found} stands where {expected} belongs")]
    Numbering {
        /// Whose.
        owner: String,
        /// The number that belongs there.
        expected: u32,
        /// The number found.
        found: u32,
    },
    /// The text of an applied migration has changed.
    #[error(
        "migration {owner}/{number} ({name}) was changed after it was applied; restore its text and add a new migration instead"
    )]
    Changed {
        /// Whose.
        owner: String,
        /// Its number.
        number: u32,
        /// Its name.
        name: String,
    },
    /// The database was migrated by a newer program.
    #[error(
        "the database has migration {owner}/{number} ({name}), which this program does not know: it was made by a newer version"
    )]
    Newer {
        /// Whose.
        owner: String,
        /// Its number.
        number: u32,
        /// Its name.
        name: String,
    },
    /// A migration failed and left nothing behind.
    #[error("migration {owner}/{number} ({name}) failed and was rolled back: {source}")]
    Failed {
        /// Whose.
        owner: String,
        /// Its number.
        number: u32,
        /// Its name.
        name: String,
        /// What the database said.
        source: DbError,
    },
    /// The records cannot be read or created.
    #[error("migrations of {owner}: {source}")]
    Db {
        /// Whose.
        owner: String,
        /// What the database said.
        source: DbError,
    },
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Migrations applied by this run.
    pub applied: usize,
}

/// A database that a newer program has migrated while this one was running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// Whose tables.
    pub owner: String,
    /// The newest migration in the database.
    pub applied: i64,
    /// The newest one in this program.
    pub known: i64,
}

impl std::fmt::Display for Ahead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            owner,
            applied,
            known,
        } = self;
        write!(
            f,
            "the database has migration {owner}/{applied}, this program knows {owner}/{known}: it was migrated by a newer version"
        )
    }
}

/// Whether the database is ahead of this program, in one small read. What was migrated once stays; an
/// owner that is not among `owners` is not judged.
///
/// # Errors
/// When the database refuses.
pub async fn ahead(db: &Db, owners: &[Owner]) -> Result<Option<Ahead>, DbError> {
    let newest: Vec<record::Newest> = db.sql(record::NEWEST).all().await?;
    Ok(newest.into_iter().find_map(|n| {
        let owner = owners.iter().find(|o| o.name == n.owner)?;
        let known = owner.migrations.len() as i64;
        (n.number > known).then_some(Ahead {
            owner: n.owner,
            applied: n.number,
            known,
        })
    }))
}

/// Migrates one database. Uses the framework's handle.
pub struct Migrator {
    db: Db,
    clock: Arc<dyn Clock>,
}

/// Serialises migrations of the whole database, whoever their owner is.
const LOCK: &str = "signalbox.migrations";

/// A node may have to wait for a long migration of another one, longer than work usually waits.
const PATIENCE: Sql = Sql {
    sqlite: "select 1",
    postgres: "set local lock_timeout = '10min'",
};

impl Migrator {
    /// A migrator for a database.
    pub fn new(db: Db, clock: Arc<dyn Clock>) -> Self {
        Self { db, clock }
    }

    /// Applies what is missing, in order. Stops at the first error; what was applied before stays.
    pub async fn run(&self, owner: &Owner) -> Result<Report, MigrateError> {
        let mut report = Report::default();
        let lines = self.checked(owner).await?;
        let pending = lines.iter().filter(|l| l.state == State::Pending);
        let pending: Vec<u32> = pending.map(|l| l.number).collect();
        for &number in &pending {
            let migration = &owner.migrations[number as usize - 1];
            if self.apply(owner, migration).await? {
                tracing::info!(owner = %owner.name, number, name = migration.name, "Migration applied.");
                report.applied += 1;
            }
        }
        // Another node may have applied some of them meanwhile, or all; theirs must be ours.
        if !pending.is_empty() {
            self.checked(owner).await?;
        }
        Ok(report)
    }

    /// How every migration of the owner stands, the unknown ones last.
    pub async fn status(&self, owner: &Owner) -> Result<Vec<Status>, MigrateError> {
        let applied = record::applied(&self.db, &owner.name)
            .await
            .map_err(|source| db_error(owner, source))?;
        Ok(record::compare(
            &owner.name,
            owner.migrations,
            &applied,
            self.db.engine(),
        ))
    }

    /// Fails when an applied migration was changed or the database is newer; applies nothing.
    /// Answers how many are pending.
    pub async fn verify(&self, owner: &Owner) -> Result<usize, MigrateError> {
        let lines = self.checked(owner).await?;
        Ok(lines.iter().filter(|l| l.state == State::Pending).count())
    }

    async fn checked(&self, owner: &Owner) -> Result<Vec<Status>, MigrateError> {
        for (m, expected) in owner.migrations.iter().zip(1..) {
            if m.number != expected {
                return Err(MigrateError::Numbering {
                    owner: owner.name.clone(),
                    expected,
                    found: m.number,
                });
            }
        }
        let lines = self.status(owner).await?;
        for l in &lines {
            let (owner, number, name) = (l.owner.clone(), l.number, l.name.clone());
            match l.state {
                State::Changed(_) => {
                    return Err(MigrateError::Changed {
                        owner,
                        number,
                        name,
                    });
                }
                State::Unknown(_) => {
                    return Err(MigrateError::Newer {
                        owner,
                        number,
                        name,
                    });
                }
                State::Pending | State::Applied(_) => {}
            }
        }
        Ok(lines)
    }

    /// Applies one migration unless another node did so while we waited; true when it was us.
    async fn apply(&self, owner: &Owner, m: &Migration) -> Result<bool, MigrateError> {
        let mut tx = self.begin(owner).await?;
        let done = self.apply_in(&mut tx, owner, m).await;
        let done = match done {
            Ok(done) => tx.commit().await.map(|()| done),
            Err(e) => {
                tx.rollback().await.ok();
                Err(e)
            }
        };
        done.map_err(|source| MigrateError::Failed {
            owner: owner.name.clone(),
            number: m.number,
            name: m.name.into(),
            source,
        })
    }

    async fn begin(&self, owner: &Owner) -> Result<Tx, MigrateError> {
        let begin = async {
            let mut tx = self.db.begin().await?;
            if tx.is_postgres() {
                tx.sql(PATIENCE).execute().await?;
            }
            tx.lock(LOCK).await?;
            tx.script(record::bootstrap(self.db.engine())).await?;
            Ok(tx)
        };
        begin.await.map_err(|source| db_error(owner, source))
    }

    async fn apply_in(&self, tx: &mut Tx, owner: &Owner, m: &Migration) -> Result<bool, DbError> {
        let engine = self.db.engine();
        let applied: Vec<record::Applied> = tx
            .sql(record::APPLIED)
            .bind(owner.name.clone())
            .all()
            .await?;
        if applied.iter().any(|a| a.number == i64::from(m.number)) {
            return Ok(false);
        }
        if engine == Engine::Postgres {
            // The schema's name is made of a checked plugin id: letters, digits and `_`.
            let schema = &owner.schema;
            tx.script(&format!(
                "create schema if not exists {schema}; set local search_path = {schema}"
            ))
            .await?;
        }
        tx.script(record::text(m, engine)).await?;
        tx.sql(RECORD)
            .bind(owner.name.clone())
            .bind(i64::from(m.number))
            .bind(m.name.to_owned())
            .bind(record::checksum(m, engine))
            .bind(self.clock.now())
            .execute()
            .await?;
        Ok(true)
    }
}

fn db_error(owner: &Owner, source: DbError) -> MigrateError {
    MigrateError::Db {
        owner: owner.name.clone(),
        source,
    }
}
