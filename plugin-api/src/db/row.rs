//! Reading rows of either engine.

use super::{Result, Value};

/// One row as it came from the engine.
pub enum Row {
    /// From SQLite.
    #[cfg(feature = "sqlite")]
    Sqlite(sqlx::sqlite::SqliteRow),
    /// From Postgres.
    #[cfg(feature = "postgres")]
    Postgres(sqlx::postgres::PgRow),
}

impl Row {
    /// The value of a named column. Errors when the column is missing or of another type.
    pub fn get<T: Value>(&self, column: &str) -> Result<T> {
        match self {
            #[cfg(feature = "sqlite")]
            Row::Sqlite(r) => sqlx::Row::try_get(r, column),
            #[cfg(feature = "postgres")]
            Row::Postgres(r) => sqlx::Row::try_get(r, column),
        }
    }

    /// The value of the column at a zero-based position.
    pub fn at<T: Value>(&self, index: usize) -> Result<T> {
        match self {
            #[cfg(feature = "sqlite")]
            Row::Sqlite(r) => sqlx::Row::try_get(r, index),
            #[cfg(feature = "postgres")]
            Row::Postgres(r) => sqlx::Row::try_get(r, index),
        }
    }
}

/// A type built from one row; usually written by [`row!`](crate::row).
pub trait FromRow: Sized {
    /// Builds the value from a row of a statement that names the columns it needs.
    fn from_row(row: &Row) -> Result<Self>;
}

macro_rules! scalar {
    ($($t:ty),*) => { $(impl FromRow for $t { fn from_row(r: &Row) -> Result<Self> { r.at(0) } })* };
}
scalar!(
    i64,
    bool,
    String,
    Option<String>,
    Option<i64>,
    crate::values::Id,
    crate::values::Ts,
    crate::values::Doc,
    Option<crate::values::Ts>
);

/// Declares a struct and reads it from a row by column name: `row! { pub struct Incident { pub id: Id, pub opened_at: Ts } }`.
#[macro_export]
macro_rules! row {
    ($(#[$m:meta])* $v:vis struct $n:ident { $($(#[$fm:meta])* $fv:vis $f:ident : $t:ty),* $(,)? }) => {
        $(#[$m])* $v struct $n { $($(#[$fm])* $fv $f: $t),* }
        impl $crate::db::FromRow for $n {
            fn from_row(r: &$crate::db::Row) -> $crate::db::Result<Self> {
                Ok(Self { $($f: r.get(stringify!($f))?),* })
            }
        }
    };
}
