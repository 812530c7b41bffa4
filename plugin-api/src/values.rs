//! Values that mean the same on both engines (decision 15): native on Postgres (`timestamptz`,
//! `uuid`, `json`), integers or text on SQLite.

use serde::{Deserialize, Serialize};

/// An instant with millisecond precision. `timestamptz` on Postgres, unix milliseconds on SQLite;
/// in JSON an RFC 3339 text `YYYY-MM-DDTHH:MM:SS.mmmZ` (see [`Ts::to_text`]), except inside batch
/// rows, which use [`Ts`] as unix milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(into = "i64")]
pub struct Ts(jiff::Timestamp);

impl Ts {
    /// The instant, cut to milliseconds.
    pub fn new(t: jiff::Timestamp) -> Self {
        Self(
            jiff::Timestamp::from_millisecond(t.as_millisecond())
                .expect("a timestamp in range stays in range"),
        )
    }
    /// From unix milliseconds; saturates at the ends of the supported range.
    pub fn from_millis(ms: i64) -> Self {
        Self(jiff::Timestamp::from_millisecond(ms).unwrap_or(if ms < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        }))
    }
    /// Unix milliseconds.
    pub fn millis(self) -> i64 {
        self.0.as_millisecond()
    }
    /// The instant as jiff's type.
    pub fn timestamp(self) -> jiff::Timestamp {
        self.0
    }
    /// RFC 3339 UTC with exactly three fraction digits, as API and payloads write it.
    pub fn to_text(self) -> String {
        format!("{:.3}", self.0)
    }
    /// Reads RFC 3339.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(Self::new)
    }
    /// This instant plus milliseconds, saturating.
    pub fn plus_millis(self, ms: i64) -> Self {
        Self::from_millis(self.millis().saturating_add(ms))
    }
}
impl From<Ts> for i64 {
    fn from(t: Ts) -> i64 {
        t.millis()
    }
}
impl From<jiff::Timestamp> for Ts {
    fn from(t: jiff::Timestamp) -> Self {
        Self::new(t)
    }
}
impl std::fmt::Display for Ts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.to_text())
    }
}

/// Writes a [`Ts`] as RFC 3339 text in API documents: `#[serde(with = "plugin_api::values::rfc3339")]`.
pub mod rfc3339 {
    use super::Ts;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    /// Serialises as text.
    pub fn serialize<S: Serializer>(t: &Ts, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&t.to_text())
    }
    /// Deserialises from text.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Ts, D::Error> {
        let text = String::deserialize(d)?;
        Ts::parse(&text).ok_or_else(|| {
            D::Error::custom("expected an RFC 3339 instant such as 2026-01-15T12:00:00.000Z")
        })
    }
    /// The same for optional instants.
    pub mod option {
        use super::super::Ts;
        use serde::{Deserialize, Deserializer, Serializer};
        /// Serialises as text or null.
        pub fn serialize<S: Serializer>(t: &Option<Ts>, s: S) -> Result<S::Ok, S::Error> {
            match t {
                Some(t) => s.serialize_str(&t.to_text()),
                None => s.serialize_none(),
            }
        }
        /// Deserialises from text or null.
        pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Ts>, D::Error> {
            Ok(Option::<String>::deserialize(d)?.and_then(|t| Ts::parse(&t)))
        }
    }
}

/// A UUID: `uuid` on Postgres, text on SQLite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Id(pub uuid::Uuid);

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A JSON document; key order and number text survive on both engines (`json` on Postgres, text on
/// SQLite).
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Doc(pub serde_json::Value);

impl Doc {
    /// Encodes a value as a document. Errors when it does not serialise to JSON.
    pub fn of<T: Serialize>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::to_value(value).map(Doc)
    }
    /// Decodes the document into a type.
    pub fn decode<T: serde::de::DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(&self.0)
    }
}

/// Free text from outside. Postgres cannot store NUL, so it is written as U+2400 on both engines.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Text(String);

impl Text {
    /// The text with NUL characters escaped.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        Self(if text.contains('\0') {
            text.replace('\0', "\u{2400}")
        } else {
            text
        })
    }
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The text, owned.
    pub fn into_string(self) -> String {
        self.0
    }
}
impl<T: Into<String>> From<T> for Text {
    fn from(t: T) -> Self {
        Self::new(t)
    }
}

/// Declares a typed id over UUIDv7 (design §3.7) that binds and reads like [`Id`].
///
/// ```
/// plugin_api::typed_id! { /// Identifies a widget.
///     pub struct WidgetId }
/// let id = WidgetId::from(uuid::Uuid::nil());
/// assert_eq!(id.to_string().parse::<WidgetId>().unwrap(), id);
/// ```
#[macro_export]
macro_rules! typed_id {
    ($(#[$m:meta])* $v:vis struct $n:ident) => {
        $(#[$m])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, $crate::serde::Serialize, $crate::serde::Deserialize)]
        #[serde(crate = "plugin_api::serde", transparent)]
        $v struct $n($crate::uuid::Uuid);
        impl $n {
            /// A new id from the clock (UUIDv7: sorts by creation time).
            pub fn new(clock: &dyn $crate::Clock) -> Self { Self(clock.new_uuid()) }
            /// The plain UUID.
            pub fn uuid(self) -> $crate::uuid::Uuid { self.0 }
        }
        impl From<$crate::uuid::Uuid> for $n { fn from(u: $crate::uuid::Uuid) -> Self { Self(u) } }
        impl ::std::fmt::Display for $n { fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result { ::std::fmt::Display::fmt(&self.0, f) } }
        impl ::std::str::FromStr for $n { type Err = $crate::uuid::Error; fn from_str(s: &str) -> Result<Self, Self::Err> { Ok(Self(s.parse()?)) } }
        $crate::__id_codec!($n);
    };
}

#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

#[doc(hidden)]
#[macro_export]
macro_rules! __id_codec {
    ($n:ident) => {
        $crate::__id_codec_sqlite!($n);
        $crate::__id_codec_postgres!($n);
        impl $crate::db::FromRow for $n {
            fn from_row(r: &$crate::db::Row) -> $crate::db::Result<Self> {
                r.at(0)
            }
        }
    };
}
#[cfg(not(feature = "sqlite"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __id_codec_sqlite {
    ($n:ident) => {};
}
#[cfg(not(feature = "postgres"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __id_codec_postgres {
    ($n:ident) => {};
}

/// What the codec macros need of sqlx, so that plugins need not depend on it.
#[doc(hidden)]
pub mod codec {
    #[cfg(feature = "postgres")]
    pub use sqlx::Postgres;
    #[cfg(feature = "sqlite")]
    pub use sqlx::Sqlite;
    pub use sqlx::encode::IsNull;
    pub use sqlx::error::BoxDynError;
    #[cfg(feature = "postgres")]
    pub use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef};
    #[cfg(feature = "sqlite")]
    pub use sqlx::sqlite::{SqliteArgumentsBuffer, SqliteTypeInfo, SqliteValueRef};
    pub use sqlx::{Decode, Encode, Type};
}
