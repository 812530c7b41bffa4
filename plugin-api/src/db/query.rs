//! Binding values and running a statement on the pool or in a transaction.

use super::{Db, FromRow, Param, Result, Row, Sql, Tx, open, tx};
use crate::{
    fail::{self, Injected},
    values::Text,
};
use sqlx::Arguments;

/// Where a statement runs: the pool, or a transaction someone handed over.
pub enum Conn<'a> {
    /// On the pool: reads on a reader connection, writes in their own transaction.
    Db(&'a Db),
    /// Inside a transaction.
    Tx(&'a mut Tx),
}

impl<'a> From<&'a Db> for Conn<'a> {
    fn from(db: &'a Db) -> Self {
        Conn::Db(db)
    }
}
impl<'a> From<&'a mut Tx> for Conn<'a> {
    fn from(tx: &'a mut Tx) -> Self {
        Conn::Tx(tx)
    }
}

impl Conn<'_> {
    /// A statement to run here.
    pub fn sql(&mut self, sql: Sql) -> Query<'_> {
        match self {
            Conn::Db(db) => db.sql(sql),
            Conn::Tx(tx) => tx.sql(sql),
        }
    }

    /// The same place again, for a callee that takes a `Conn` by value.
    pub fn reborrow(&mut self) -> Conn<'_> {
        match self {
            Conn::Db(db) => Conn::Db(db),
            Conn::Tx(tx) => Conn::Tx(tx),
        }
    }
}

/// The arguments of one statement, in the form of the engine it will run on.
pub enum Args {
    /// For SQLite.
    #[cfg(feature = "sqlite")]
    Sqlite(sqlx::sqlite::SqliteArguments),
    /// For Postgres.
    #[cfg(feature = "postgres")]
    Postgres(sqlx::postgres::PgArguments),
}

/// A set of rows bound as one parameter list: `unnest($1::uuid[], $2::text[])` on Postgres,
/// `json_each($1)` with `value->>'column'` on SQLite. Written by [`batch_row!`](crate::batch_row).
pub trait BatchRow: Sized {
    /// Appends the rows to the arguments.
    fn bind(rows: &[Self], args: &mut Args);
}

/// Declares a row type for set-based statements (see [`BatchRow`]). Columns bind in field order.
#[macro_export]
macro_rules! batch_row {
    ($(#[$m:meta])* $v:vis struct $n:ident { $($(#[$fm:meta])* $fv:vis $f:ident : $t:ty),* $(,)? }) => {
        #[derive(Clone, $crate::serde::Serialize)]
        #[serde(crate = "plugin_api::serde")]
        $(#[$m])* $v struct $n { $($(#[$fm])* $fv $f: $t),* }
        impl $crate::db::BatchRow for $n {
            fn bind(rows: &[Self], args: &mut $crate::db::Args) {
                $crate::__bind_batch!(args, rows, $($f: $t),*);
            }
        }
    };
}

#[doc(hidden)]
#[cfg(feature = "sqlite")]
pub fn bind_json<T: serde::Serialize>(args: &mut Args, rows: &[T]) {
    match args {
        Args::Sqlite(a) => a
            .add(serde_json::to_string(rows).expect("batch rows serialise"))
            .expect("text encodes"),
        #[cfg(feature = "postgres")]
        Args::Postgres(_) => unreachable!("columns are bound one by one on Postgres"),
    }
}
#[doc(hidden)]
#[cfg(not(feature = "sqlite"))]
pub fn bind_json<T: serde::Serialize>(_: &mut Args, _: &[T]) {
    unreachable!("columns are bound one by one on Postgres")
}

#[cfg(feature = "postgres")]
#[doc(hidden)]
pub fn bind_column<T>(args: &mut Args, column: Vec<T>) -> bool
where
    Vec<T>: for<'q> sqlx::Encode<'q, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    match args {
        Args::Postgres(a) => {
            a.add(column).expect("a column encodes");
            true
        }
        #[cfg(feature = "sqlite")]
        Args::Sqlite(_) => false,
    }
}

#[doc(hidden)]
#[cfg(feature = "postgres")]
#[macro_export]
macro_rules! __bind_batch {
    ($args:ident, $rows:ident, $($f:ident : $t:ty),*) => {
        if $crate::db::is_postgres_args($args) {
            $( $crate::db::bind_column($args, $rows.iter().map(|r| r.$f.clone()).collect::<Vec<$t>>()); )*
        } else {
            $crate::db::bind_json($args, $rows);
        }
    };
}
#[doc(hidden)]
#[cfg(not(feature = "postgres"))]
#[macro_export]
macro_rules! __bind_batch {
    ($args:ident, $rows:ident, $($f:ident : $t:ty),*) => {
        $crate::db::bind_json($args, $rows);
    };
}

#[doc(hidden)]
pub fn is_postgres_args(args: &Args) -> bool {
    match args {
        #[cfg(feature = "sqlite")]
        Args::Sqlite(_) => false,
        #[cfg(feature = "postgres")]
        Args::Postgres(_) => true,
    }
}

/// A statement with its arguments, ready to run.
pub struct Query<'a> {
    on: Conn<'a>,
    sql: Sql,
    args: Args,
    replanned: bool,
}

/// Whether a statement is a transaction of its own that may write.
#[derive(Clone, Copy)]
struct Commits(bool);

impl Commits {
    async fn point(self, name: &'static str) -> Result<(), Injected> {
        match self.0 {
            true => fail::point(name).await,
            false => Ok(()),
        }
    }
}

macro_rules! run {
    ($q:ident, $reads:expr, |$query:ident, $exec:ident, $row:ident| $body:expr) => {{
        let Query {
            on,
            sql,
            args,
            replanned,
        } = $q;
        let _ = replanned;
        match (on, args) {
            #[cfg(feature = "sqlite")]
            (
                Conn::Db(Db {
                    inner: open::Inner::Sqlite { write, read, wal },
                    ..
                }),
                Args::Sqlite(a),
            ) => {
                #[allow(unused_imports)]
                use Row::Sqlite as $row;
                let $query = sqlx::query_with::<sqlx::Sqlite, _>(sql.sqlite, a);
                let $exec = if $reads { read } else { write };
                let done = $body;
                if !$reads {
                    wal.committed();
                }
                done
            }
            #[cfg(feature = "sqlite")]
            (
                Conn::Tx(Tx {
                    inner: tx::Inner::Sqlite(t, _),
                    ..
                }),
                Args::Sqlite(a),
            ) => {
                #[allow(unused_imports)]
                use Row::Sqlite as $row;
                let $query = sqlx::query_with::<sqlx::Sqlite, _>(sql.sqlite, a);
                let $exec = &mut **t;
                $body
            }
            #[cfg(feature = "postgres")]
            (
                Conn::Db(Db {
                    inner: open::Inner::Postgres { pool, .. },
                    ..
                }),
                Args::Postgres(a),
            ) => {
                #[allow(unused_imports)]
                use Row::Postgres as $row;
                let $query =
                    sqlx::query_with::<sqlx::Postgres, _>(sql.postgres, a).persistent(!replanned);
                let $exec = pool;
                $body
            }
            #[cfg(feature = "postgres")]
            (
                Conn::Tx(Tx {
                    inner: tx::Inner::Postgres(t),
                    ..
                }),
                Args::Postgres(a),
            ) => {
                #[allow(unused_imports)]
                use Row::Postgres as $row;
                let $query =
                    sqlx::query_with::<sqlx::Postgres, _>(sql.postgres, a).persistent(!replanned);
                let $exec = &mut **t;
                $body
            }
            #[cfg(all(feature = "sqlite", feature = "postgres"))]
            _ => unreachable!("arguments are made for the engine they run on"),
        }
    }};
}

impl<'a> Query<'a> {
    pub(super) fn new(on: Conn<'a>, sql: Sql, args: Args) -> Self {
        Self {
            on,
            sql,
            args,
            replanned: false,
        }
    }

    /// Plans it at every execution, for the size that its tables have then. A [pinned](Db::pinned) plan
    /// may have been made while a table was empty, when every index looks alike: a statement whose
    /// work grows with a backlog must not keep that plan. Costs a round trip on Postgres.
    pub fn replanned(mut self) -> Self {
        self.replanned = true;
        self
    }

    /// Binds the next parameter (`$1`, `$2`, …).
    pub fn bind(mut self, value: impl Param) -> Self {
        match &mut self.args {
            #[cfg(feature = "sqlite")]
            Args::Sqlite(a) => a.add(value),
            #[cfg(feature = "postgres")]
            Args::Postgres(a) => a.add(value),
        }
        .expect("newtypes encode without error");
        self
    }

    /// Binds a set of rows. On Postgres they take one parameter per column, on SQLite exactly one;
    /// bind them last, or keep scalar parameters in front, so that numbers agree.
    pub fn rows<B: BatchRow>(mut self, rows: &[B]) -> Self {
        B::bind(rows, &mut self.args);
        self
    }

    /// Binds a list of texts: `= any($1)` on Postgres, `in (select value from json_each($1))` on SQLite.
    /// NUL is escaped as in every [`Text`].
    pub fn texts(mut self, values: &[String]) -> Self {
        let values: Vec<Text> = values.iter().map(Text::new).collect();
        match &mut self.args {
            #[cfg(feature = "sqlite")]
            Args::Sqlite(a) => a.add(serde_json::to_string(&values).expect("texts serialise")),
            #[cfg(feature = "postgres")]
            Args::Postgres(a) => a.add(values),
        }
        .expect("texts encode");
        self
    }

    /// Binds a list of ids, used like [`Query::texts`].
    pub fn ids(mut self, values: &[uuid::Uuid]) -> Self {
        match &mut self.args {
            #[cfg(feature = "sqlite")]
            Args::Sqlite(a) => a.add(serde_json::to_string(values).expect("ids serialise")),
            #[cfg(feature = "postgres")]
            Args::Postgres(a) => a.add(values.to_vec()),
        }
        .expect("ids encode");
        self
    }

    /// In a [dry run](crate::dry_run), the database of a statement on the pool that may write: it
    /// runs in a transaction that is rolled back.
    fn rehearsed(&self) -> Option<Db> {
        match &self.on {
            Conn::Db(db) if crate::dry_run::is_dry_run() && !self.is_select() => {
                Some((*db).clone())
            }
            _ => None,
        }
    }

    fn commits(&self) -> Commits {
        Commits(matches!(self.on, Conn::Db(_)) && !self.is_select())
    }

    fn is_select(&self) -> bool {
        let text = self.sql.sqlite.trim_start().get(..6);
        text.is_some_and(|s| s.eq_ignore_ascii_case("select"))
    }

    /// Runs the statement; answers how many rows it touched.
    pub async fn execute(self) -> Result<u64> {
        fail::point(fail::DATABASE).await?;
        let Some(db) = self.rehearsed() else {
            return self.execute_here().await;
        };
        let Self { sql, args, .. } = self;
        let mut tx = db.begin().await?;
        let done = Query::new(Conn::Tx(&mut tx), sql, args)
            .execute_here()
            .await;
        tx.rollback().await?;
        done
    }

    async fn execute_here(self) -> Result<u64> {
        let q = self;
        let commits = q.commits();
        commits.point(fail::COMMIT).await?;
        let done: Result<u64> = run!(q, false, |query, on, _Row| Ok(query
            .execute(on)
            .await?
            .rows_affected()));
        commits.point(fail::COMMITTED).await?;
        done
    }

    /// All rows. On SQLite a text that begins with `select` runs on a reader connection.
    pub async fn all<R: FromRow>(self) -> Result<Vec<R>> {
        fail::point(fail::DATABASE).await?;
        let Some(db) = self.rehearsed() else {
            return self.all_here().await;
        };
        let Self { sql, args, .. } = self;
        let mut tx = db.begin().await?;
        let rows = Query::new(Conn::Tx(&mut tx), sql, args).all_here().await;
        tx.rollback().await?;
        rows
    }

    async fn all_here<R: FromRow>(self) -> Result<Vec<R>> {
        let q = self;
        let reads = q.is_select();
        let _ = reads;
        let commits = q.commits();
        commits.point(fail::COMMIT).await?;
        let rows: Result<Vec<R>> = run!(q, reads, |query, on, Wrap| query
            .fetch_all(on)
            .await?
            .into_iter()
            .map(|r| R::from_row(&Wrap(r)))
            .collect());
        commits.point(fail::COMMITTED).await?;
        rows
    }

    /// The first row, if any.
    pub async fn optional<R: FromRow>(self) -> Result<Option<R>> {
        Ok(self.all().await?.into_iter().next())
    }

    /// The only row; [`sqlx::Error::RowNotFound`] when there is none.
    pub async fn one<R: FromRow>(self) -> Result<R> {
        self.optional().await?.ok_or(sqlx::Error::RowNotFound)
    }
}
