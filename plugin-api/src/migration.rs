//! Embedded migrations (`plugins §12.2`): numbered, forward only, equal numbers on both engines.

/// One migration with its text for each engine.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// 1, 2, 3, … without gaps.
    pub number: u32,
    /// Lower-case words joined by `_`.
    pub name: &'static str,
    /// Statements for SQLite.
    pub sqlite: &'static str,
    /// Statements for Postgres.
    pub postgres: &'static str,
}

/// Embeds files of a crate's `migrations/` folder: `migrations!["0001_init", "0002_more"]` reads
/// `migrations/sqlite/0001_init.sql`, `migrations/postgres/0001_init.sql` and so on.
#[macro_export]
macro_rules! migrations {
    ($($file:literal),* $(,)?) => {
        &[$($crate::Migration {
            number: $crate::migration_number($file),
            name: $file,
            sqlite: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite/", $file, ".sql")),
            postgres: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/postgres/", $file, ".sql")),
        }),*]
    };
}

/// The number at the start of a migration's file name.
pub const fn migration_number(file: &str) -> u32 {
    let b = file.as_bytes();
    let (mut i, mut n) = (0, 0);
    while i < b.len() && b[i].is_ascii_digit() {
        n = n * 10 + (b[i] - b'0') as u32;
        i += 1;
    }
    n
}
