//! Configurations: create, change, pause, resume, delete.

use super::{CheckError, Checks};
use crate::{
    entity::Cause,
    store::{
        assignments,
        configurations::{self, Configuration},
        runs,
    },
    validate::{self, CheckInput, ValidCheck},
};
use plugin_api::{
    Conn, Doc, Id, Text, Tx,
    db::{DbError, is_unique_violation},
};

impl Checks {
    /// By id or name.
    pub async fn get(&self, key: &str) -> Result<Configuration, CheckError> {
        configurations::find(Conn::Db(&self.db), key)
            .await?
            .ok_or_else(|| CheckError::NotFound(key.to_owned()))
    }

    /// Validates without storing; answers what would be stored.
    pub fn validate(&self, name: &str, input: &CheckInput) -> Result<ValidCheck, CheckError> {
        validate::check(&self.strategies, name, input).map_err(CheckError::Invalid)
    }

    /// Stores a new configuration.
    pub async fn create(
        &self,
        name: &str,
        input: &CheckInput,
    ) -> Result<Configuration, CheckError> {
        let id = Id(self.clock.new_uuid());
        self.create_as(id, name, input).await
    }

    async fn create_as(
        &self,
        id: Id,
        name: &str,
        input: &CheckInput,
    ) -> Result<Configuration, CheckError> {
        let valid = self.validate(name, input)?;
        let now = self.clock.now();
        let c = Configuration {
            id,
            name: Text::new(name.trim()),
            strategy_id: valid.strategy_id,
            config: Doc(valid.config),
            collectors: Some(Doc::of(&valid.collectors)?),
            interval_seconds: valid.interval_seconds,
            paused: input.paused.unwrap_or(false),
            created_at: now,
            updated_at: now,
        };
        configurations::insert(Conn::Db(&self.db), &c)
            .await
            .map_err(|e| taken(e, name))?;
        Ok(c)
    }

    /// Creates the configuration `key` stands for, its id or its name, or changes it to the input.
    /// `name` is its name from now on; none: it keeps the one it has, and a new one is called `key`.
    /// The second value is true when it was created. Repeating it changes nothing.
    pub async fn put(
        &self,
        key: &str,
        name: Option<&str>,
        input: &CheckInput,
    ) -> Result<(Configuration, bool), CheckError> {
        let at = || Conn::Db(&self.db);
        let mut found = configurations::find(at(), key).await?;
        if found.is_none() {
            let id = key.parse().unwrap_or_else(|_| self.clock.new_uuid());
            match self.create_as(Id(id), name.unwrap_or(key), input).await {
                // Perhaps somebody else created it in between; what was asked for is a change then.
                Err(CheckError::NameTaken(taken)) => {
                    found = configurations::find(at(), key).await?;
                    if found.is_none() {
                        return Err(CheckError::NameTaken(taken));
                    }
                }
                created => return Ok((created?, true)),
            }
        }
        let old = found.ok_or_else(|| CheckError::NotFound(key.to_owned()))?;
        let name = name.unwrap_or(old.name.as_str()).trim().to_owned();
        let valid = self.validate(&name, input)?;
        Ok((self.change(old, &name, valid, input.paused).await?, false))
    }

    async fn change(
        &self,
        old: Configuration,
        name: &str,
        valid: ValidCheck,
        paused: Option<bool>,
    ) -> Result<Configuration, CheckError> {
        let new = Configuration {
            name: Text::new(name),
            strategy_id: valid.strategy_id,
            config: Doc(valid.config),
            collectors: Some(Doc::of(&valid.collectors)?),
            interval_seconds: valid.interval_seconds,
            updated_at: self.clock.now(),
            ..old.clone()
        };
        let same = new.name == old.name
            && new.strategy_id == old.strategy_id
            && new.config == old.config
            && new.collectors == old.collectors
            && new.interval_seconds == old.interval_seconds;
        if !same {
            let written = configurations::update(Conn::Db(&self.db), &new).await;
            if !written.map_err(|e| taken(e, name))? {
                return Err(CheckError::NotFound(old.name.into_string()));
            }
        }
        // Also when nothing changed: the same request again then makes up for one that failed here.
        for a in assignments::of_configuration(Conn::Db(&self.db), new.id).await? {
            self.reschedule(a.system_id.as_str(), new.id).await?;
        }
        match paused {
            Some(paused) => self.set_paused(&new.id.to_string(), paused).await,
            None => Ok(if same { old } else { new }),
        }
    }

    /// Pauses or resumes a configuration: its assignments leave the health of their systems, or
    /// come back; their schedule stays.
    pub async fn set_paused(&self, key: &str, paused: bool) -> Result<Configuration, CheckError> {
        let c = self.get(key).await?;
        if c.paused == paused {
            return Ok(c);
        }
        let now = self.clock.now();
        let mut tx = self.writer.begin().await?;
        let systems = self.locked_systems(&mut tx, c.id).await?;
        self.writer
            .write_with(
                &mut tx,
                &systems,
                Cause::change(Some(c.id)),
                async |tx: &mut Tx| {
                    configurations::set_paused(Conn::Tx(tx), c.id, paused, now).await?;
                    Ok(())
                },
            )
            .await?;
        tx.commit().await?;
        self.get(&c.id.to_string()).await
    }

    /// Deletes a configuration with its assignments and runs. Its assignments go first: its runs,
    /// which may be many, then count nowhere and can go without keeping systems locked. Interrupted
    /// in between, it leaves a check that nothing is assigned to.
    pub async fn delete(&self, key: &str) -> Result<(), CheckError> {
        let id = self.get(key).await?.id;
        self.withdraw(id, async |tx: &mut Tx| {
            assignments::delete_configuration(Conn::Tx(tx), id).await
        })
        .await?;
        while runs::delete_some(Conn::Db(&self.db), id).await? > 0 {}
        // With the assignments that were made meanwhile.
        self.withdraw(id, async |tx: &mut Tx| {
            configurations::delete(Conn::Tx(tx), id).await
        })
        .await
    }

    /// Makes a change that ends all assignments of a configuration, and what follows from that.
    async fn withdraw(
        &self,
        id: Id,
        change: impl AsyncFnOnce(&mut Tx) -> plugin_api::db::Result<()>,
    ) -> Result<(), CheckError> {
        let mut tx = self.writer.begin().await?;
        let systems = self.locked_systems(&mut tx, id).await?;
        self.writer
            .write_with(
                &mut tx,
                &systems,
                Cause::change(None),
                async |tx: &mut Tx| {
                    change(tx).await?;
                    for system in &systems {
                        self.announce(tx, system, id).await?;
                    }
                    Ok(())
                },
            )
            .await?;
        tx.commit().await?;
        for system in &systems {
            self.reschedule(system, id).await?;
        }
        Ok(())
    }

    /// Locks a configuration and lists the systems it checks.
    async fn locked_systems(&self, tx: &mut Tx, id: Id) -> Result<Vec<String>, DbError> {
        Self::lock(tx, id).await?;
        let assigned = assignments::of_configuration(Conn::Tx(tx), id).await?;
        Ok(assigned
            .into_iter()
            .map(|a| a.system_id.into_string())
            .collect())
    }
}

fn taken(e: DbError, name: &str) -> CheckError {
    if is_unique_violation(&e) {
        CheckError::NameTaken(name.trim().to_owned())
    } else {
        CheckError::Db(e)
    }
}
