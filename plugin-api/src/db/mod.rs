//! One database handle for SQLite and Postgres (decision 15).
//!
//! A [`Db`] is cheap to clone. Statements are constants made by [`statements!`](crate::statements):
//! one text where the engines agree, two where they differ; values are bound through newtypes that
//! encode natively on each engine ([`crate::values`]). A transaction is a [`Tx`] that anyone may be
//! handed; [`Conn`] is "the pool or a transaction", for code that only reads.
//!
//! SQLite has one writer connection and a pool of readers. Every transaction begins `IMMEDIATE`, so
//! a read-to-write upgrade, which SQLite answers with an instant error, never happens.

mod error;
mod open;
mod query;
mod row;
mod sql;
mod tx;
#[cfg(feature = "sqlite")]
mod wal;

pub use error::{
    DbError, is_deadlock, is_foreign_key_violation, is_lock_timeout, is_schema_mismatch,
    is_unavailable, is_unique_violation,
};
pub use open::{Db, DbConfig, Engine, Synchronous};
#[cfg(feature = "postgres")]
pub use query::bind_column;
pub use query::{Args, BatchRow, Conn, Query, bind_json, is_postgres_args};
pub use row::{FromRow, Row};
pub use sql::{Sql, strip_len, strip_schema};
pub use tx::Tx;

/// Result of a database call.
pub type Result<T, E = DbError> = std::result::Result<T, E>;

/// Values that can be bound on every engine compiled in.
pub trait Param: Send + SqliteParam + PostgresParam {}
impl<T: Send + SqliteParam + PostgresParam> Param for T {}

/// Values that can be read from every engine compiled in.
pub trait Value: SqliteValue + PostgresValue {}
impl<T: SqliteValue + PostgresValue> Value for T {}

macro_rules! engine_traits {
    ($feature:literal, $db:ty, $param:ident, $value:ident) => {
        /// What this engine asks of a bound value; empty when the engine is not compiled in.
        #[cfg(feature = $feature)]
        pub trait $param: sqlx::Type<$db> + for<'q> sqlx::Encode<'q, $db> {}
        #[cfg(feature = $feature)]
        impl<T: sqlx::Type<$db> + for<'q> sqlx::Encode<'q, $db>> $param for T {}
        /// What this engine asks of a decoded value; empty when the engine is not compiled in.
        #[cfg(feature = $feature)]
        pub trait $value: sqlx::Type<$db> + for<'r> sqlx::Decode<'r, $db> {}
        #[cfg(feature = $feature)]
        impl<T: sqlx::Type<$db> + for<'r> sqlx::Decode<'r, $db>> $value for T {}

        /// What this engine asks of a bound value; empty when the engine is not compiled in.
        #[cfg(not(feature = $feature))]
        pub trait $param {}
        #[cfg(not(feature = $feature))]
        impl<T> $param for T {}
        /// What this engine asks of a decoded value; empty when the engine is not compiled in.
        #[cfg(not(feature = $feature))]
        pub trait $value {}
        #[cfg(not(feature = $feature))]
        impl<T> $value for T {}
    };
}
engine_traits!("sqlite", sqlx::Sqlite, SqliteParam, SqliteValue);
engine_traits!("postgres", sqlx::Postgres, PostgresParam, PostgresValue);
