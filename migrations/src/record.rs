//! What the database says was applied, beside what the program has.

use plugin_api::{
    Migration, Ts,
    db::{Db, DbError, Engine},
};
use sha2::{Digest, Sha256};

/// The checksum of a migration's text for one engine: SHA-256 in hex, line ends as `\n`.
pub fn checksum(migration: &Migration, engine: Engine) -> String {
    let text = text(migration, engine).replace("\r\n", "\n");
    Sha256::digest(text.as_bytes())
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

/// The text for one engine.
pub(crate) fn text(migration: &Migration, engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => migration.sqlite,
        Engine::Postgres => migration.postgres,
    }
}

/// How one migration of an owner stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Not applied yet.
    Pending,
    /// Applied at this instant, text unchanged.
    Applied(Ts),
    /// Applied, but the text has changed since.
    Changed(Ts),
    /// In the database, unknown to this program: the database is newer.
    Unknown(Ts),
}

/// One line of [`Migrator::status`](crate::Migrator::status).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// `framework` or a plugin's id.
    pub owner: String,
    /// Its number.
    pub number: u32,
    /// Its name, as the program has it, else as it was recorded.
    pub name: String,
    /// How it stands.
    pub state: State,
}

plugin_api::row! {
    /// A row of `signalbox.schema_migrations`.
    #[derive(Clone, Debug)]
    pub(crate) struct Applied {
        pub(crate) number: i64,
        pub(crate) name: String,
        pub(crate) checksum: String,
        pub(crate) applied_at: Ts,
    }
}

plugin_api::row! {
    /// The newest record of an owner.
    pub(crate) struct Newest {
        pub(crate) owner: String,
        pub(crate) number: i64,
    }
}

plugin_api::statements! {
    pub(crate) EXISTS = {
        sqlite: "select count(*) from sqlite_master where type = 'table' and name = 'schema_migrations'",
        postgres: "select count(*) from pg_catalog.pg_class where oid = to_regclass('signalbox.schema_migrations')",
    };
    pub(crate) APPLIED = "select number, name, checksum, applied_at from signalbox.schema_migrations where owner = $1 order by number";
    pub(crate) NEWEST = "select owner, max(number) as number from signalbox.schema_migrations group by owner";
    pub(crate) RECORD = "insert into signalbox.schema_migrations (owner, number, name, checksum, applied_at) values ($1, $2, $3, $4, $5)";
}

/// Creates the table of records; run under the lock, so that two nodes do not race.
pub(crate) fn bootstrap(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => {
            "create table if not exists schema_migrations (
                owner text not null, number integer not null, name text not null,
                checksum text not null, applied_at integer not null,
                primary key (owner, number)) without rowid"
        }
        Engine::Postgres => {
            "create schema if not exists signalbox;
             create table if not exists signalbox.schema_migrations (
                owner text not null, number bigint not null, name text not null,
                checksum text not null, applied_at timestamptz not null,
                primary key (owner, number))"
        }
    }
}

/// The records of one owner by number; none when the database was never migrated.
pub(crate) async fn applied(db: &Db, owner: &str) -> Result<Vec<Applied>, DbError> {
    if db.sql(EXISTS).one::<i64>().await? == 0 {
        return Ok(Vec::new());
    }
    db.sql(APPLIED).bind(owner.to_owned()).all().await
}

/// Sets the program's list beside the records.
pub(crate) fn compare(
    owner: &str,
    list: &[Migration],
    applied: &[Applied],
    engine: Engine,
) -> Vec<Status> {
    let line = |number, name: &str, state| Status {
        owner: owner.to_owned(),
        number,
        name: name.to_owned(),
        state,
    };
    let mut lines: Vec<Status> = list
        .iter()
        .map(|m| {
            let record = applied.iter().find(|a| a.number == i64::from(m.number));
            let state = match record {
                None => State::Pending,
                Some(a) if a.checksum == checksum(m, engine) => State::Applied(a.applied_at),
                Some(a) => State::Changed(a.applied_at),
            };
            line(m.number, m.name, state)
        })
        .collect();
    for a in applied {
        if !list.iter().any(|m| i64::from(m.number) == a.number) {
            lines.push(line(a.number as u32, &a.name, State::Unknown(a.applied_at)));
        }
    }
    lines
}
