//! Statements as constants, so that a test can prepare every one of them on both engines.

/// A statement: one text where the engines agree, two where they differ.
#[derive(Clone, Copy, Debug)]
pub struct Sql {
    /// Text run on SQLite. Made from the common text by dropping every `signalbox.` prefix.
    pub sqlite: &'static str,
    /// Text run on Postgres, where the framework's tables live in the schema `signalbox` and are
    /// always named with it (`plugins §12.1`).
    pub postgres: &'static str,
}

const PREFIX: &[u8] = b"signalbox.";

const fn prefix_at(s: &[u8], at: usize) -> bool {
    if at + PREFIX.len() > s.len() {
        return false;
    }
    let mut i = 0;
    while i < PREFIX.len() {
        if s[at + i] != PREFIX[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// Length of `s` without its `signalbox.` prefixes. For [`statements!`](crate::statements).
pub const fn strip_len(s: &str) -> usize {
    let s = s.as_bytes();
    let (mut at, mut len) = (0, 0);
    while at < s.len() {
        if prefix_at(s, at) {
            at += PREFIX.len();
        } else {
            at += 1;
            len += 1;
        }
    }
    len
}

/// `s` without its `signalbox.` prefixes; `N` is [`strip_len`] of it. For
/// [`statements!`](crate::statements).
pub const fn strip_schema<const N: usize>(s: &str) -> [u8; N] {
    let s = s.as_bytes();
    let mut out = [0; N];
    let (mut at, mut len) = (0, 0);
    while at < s.len() {
        if prefix_at(s, at) {
            at += PREFIX.len();
        } else {
            out[len] = s[at];
            at += 1;
            len += 1;
        }
    }
    out
}

/// Declares statements as constants, and `ALL`, the list a test prepares on both engines.
///
/// ```
/// plugin_api::statements! {
///     pub GET = "select id, name from signalbox.things where id = $1";
///     pub CLAIM = {
///         sqlite: "update things set taken = 1 where id in (select id from things where taken = 0 limit $1) returning id",
///         postgres: "update signalbox.things set taken = true where id in (select id from signalbox.things where not taken limit $1 for update skip locked) returning id",
///     };
/// }
/// assert_eq!(GET.sqlite, "select id, name from things where id = $1");
/// assert_eq!(ALL.len(), 2);
/// ```
#[macro_export]
macro_rules! statements {
    ($($(#[$meta:meta])* $vis:vis $name:ident = $body:tt;)*) => {
        $($(#[$meta])* #[allow(missing_docs)] $vis const $name: $crate::db::Sql = $crate::statements!(@ $body);)*
        /// Every statement of this module with its name.
        pub const ALL: &[(&str, $crate::db::Sql)] = &[$((stringify!($name), $name)),*];
    };
    (@ { sqlite: $s:expr, postgres: $p:expr $(,)? }) => { $crate::db::Sql { sqlite: $s, postgres: $p } };
    (@ $b:literal) => {{
        const BYTES: [u8; $crate::db::strip_len($b)] = $crate::db::strip_schema($b);
        const TEXT: &str = match ::core::str::from_utf8(&BYTES) { Ok(t) => t, Err(_) => panic!("statements are UTF-8") };
        $crate::db::Sql { sqlite: TEXT, postgres: $b }
    }};
}
