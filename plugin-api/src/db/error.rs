//! What can go wrong in the database, and the few kinds callers act on.

/// An error of the database driver. Its text may name tables and columns, never bound values.
pub type DbError = sqlx::Error;

/// A unique index or primary key refused the row: somebody else was first.
pub fn is_unique_violation(e: &DbError) -> bool {
    e.as_database_error()
        .is_some_and(|d| d.is_unique_violation())
}

/// A referenced row is gone (`dispatch §3.12`: a driver treats its run as cancelled).
pub fn is_foreign_key_violation(e: &DbError) -> bool {
    e.as_database_error()
        .is_some_and(|d| d.is_foreign_key_violation())
}

/// Waiting for a row or advisory lock took longer than the connection's `lock_timeout` of 30 s
/// (Postgres `55P03`), or the SQLite writer stayed busy that long.
pub fn is_lock_timeout(e: &DbError) -> bool {
    e.as_database_error()
        .and_then(|d| d.code())
        .is_some_and(|c| c == "55P03" || c == "5" || c == "517" || c == "261")
}

/// Two transactions waited for each other, and this one was ended (Postgres `40P01`): it may be tried
/// again as it is.
pub fn is_deadlock(e: &DbError) -> bool {
    e.as_database_error()
        .and_then(|d| d.code())
        .is_some_and(|c| c == "40P01")
}

/// The statement names a table or column that the database does not have: the program and the schema
/// are of different versions.
pub fn is_schema_mismatch(e: &DbError) -> bool {
    e.as_database_error().is_some_and(|d| match d.code() {
        Some(code) if code == "1" => {
            d.message().contains("no such table") || d.message().contains("no such column")
        }
        Some(code) => code == "42P01" || code == "42703" || code == "3F000",
        None => false,
    })
}

/// The database cannot be reached or refused the connection: worth trying again later, and no
/// statement about the data.
pub fn is_unavailable(e: &DbError) -> bool {
    match e {
        DbError::Io(_)
        | DbError::PoolTimedOut
        | DbError::PoolClosed
        | DbError::WorkerCrashed
        | DbError::Tls(_) => true,
        DbError::Database(d) => d
            .code()
            .is_some_and(|c| c.starts_with("08") || c.starts_with("57P")),
        _ => false,
    }
}
