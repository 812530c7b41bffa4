//! How the value newtypes travel to and from SQLite.

use super::{Doc, Id, Text, Ts};
use crate::values::codec::*;

type R<T> = Result<T, BoxDynError>;

impl Type<Sqlite> for Ts {
    fn type_info() -> SqliteTypeInfo {
        <i64 as Type<Sqlite>>::type_info()
    }
    fn compatible(t: &SqliteTypeInfo) -> bool {
        <i64 as Type<Sqlite>>::compatible(t)
    }
}
impl Encode<'_, Sqlite> for Ts {
    fn encode_by_ref(&self, b: &mut SqliteArgumentsBuffer) -> R<IsNull> {
        <i64 as Encode<'_, Sqlite>>::encode_by_ref(&self.millis(), b)
    }
}
impl Decode<'_, Sqlite> for Ts {
    fn decode(v: SqliteValueRef<'_>) -> R<Self> {
        Ok(Ts::from_millis(<i64 as Decode<'_, Sqlite>>::decode(v)?))
    }
}

macro_rules! as_text {
    ($t:ty, |$e:ident| $enc:expr, |$d:ident| $dec:expr) => {
        impl Type<Sqlite> for $t {
            fn type_info() -> SqliteTypeInfo {
                <str as Type<Sqlite>>::type_info()
            }
        }
        impl Encode<'_, Sqlite> for $t {
            fn encode_by_ref(&self, b: &mut SqliteArgumentsBuffer) -> R<IsNull> {
                let $e = self;
                <String as Encode<'_, Sqlite>>::encode($enc, b)
            }
        }
        impl Decode<'_, Sqlite> for $t {
            fn decode(v: SqliteValueRef<'_>) -> R<Self> {
                let $d = <&str as Decode<'_, Sqlite>>::decode(v)?;
                Ok($dec)
            }
        }
    };
}
as_text!(Id, |v| v.0.to_string(), |t| Id(t.parse()?));
as_text!(Doc, |v| v.0.to_string(), |t| Doc(serde_json::from_str(t)?));
as_text!(Text, |v| v.as_str().to_owned(), |t| Text(t.to_owned()));

#[doc(hidden)]
#[macro_export]
macro_rules! __id_codec_sqlite {
    ($n:ident) => {
        const _: () = {
            use $crate::values::{Id, codec::*};
            impl Type<Sqlite> for $n {
                fn type_info() -> SqliteTypeInfo {
                    <Id as Type<Sqlite>>::type_info()
                }
                fn compatible(t: &SqliteTypeInfo) -> bool {
                    <Id as Type<Sqlite>>::compatible(t)
                }
            }
            impl Encode<'_, Sqlite> for $n {
                fn encode_by_ref(
                    &self,
                    b: &mut SqliteArgumentsBuffer,
                ) -> Result<IsNull, BoxDynError> {
                    <Id as Encode<'_, Sqlite>>::encode_by_ref(&Id(self.0), b)
                }
            }
            impl Decode<'_, Sqlite> for $n {
                fn decode(v: SqliteValueRef<'_>) -> Result<Self, BoxDynError> {
                    Ok(Self(<Id as Decode<'_, Sqlite>>::decode(v)?.0))
                }
            }
        };
    };
}
