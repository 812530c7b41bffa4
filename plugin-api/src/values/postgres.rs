//! How the value newtypes travel to and from Postgres (binary format).

use super::{Doc, Id, Text, Ts};
use crate::values::codec::*;
use sqlx::postgres::types::Oid;

type R<T> = Result<T, BoxDynError>;

/// 2000-01-01 in unix microseconds, the epoch of `timestamptz`.
const EPOCH: i64 = 946_684_800_000_000;

impl Type<Postgres> for Ts {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(1184))
    }
}
impl PgHasArrayType for Ts {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(1185))
    }
}
impl Encode<'_, Postgres> for Ts {
    fn encode_by_ref(&self, b: &mut PgArgumentBuffer) -> R<IsNull> {
        <i64 as Encode<'_, Postgres>>::encode_by_ref(
            &self.millis().saturating_mul(1000).saturating_sub(EPOCH),
            b,
        )
    }
}
impl Decode<'_, Postgres> for Ts {
    fn decode(v: PgValueRef<'_>) -> R<Self> {
        let us = i64::from_be_bytes(v.as_bytes()?.try_into()?);
        Ok(Ts::new(jiff::Timestamp::from_microsecond(
            us.saturating_add(EPOCH),
        )?))
    }
}

impl Type<Postgres> for Id {
    fn type_info() -> PgTypeInfo {
        <uuid::Uuid as Type<Postgres>>::type_info()
    }
}
impl PgHasArrayType for Id {
    fn array_type_info() -> PgTypeInfo {
        <uuid::Uuid as PgHasArrayType>::array_type_info()
    }
}
impl Encode<'_, Postgres> for Id {
    fn encode_by_ref(&self, b: &mut PgArgumentBuffer) -> R<IsNull> {
        <uuid::Uuid as Encode<'_, Postgres>>::encode_by_ref(&self.0, b)
    }
}
impl Decode<'_, Postgres> for Id {
    fn decode(v: PgValueRef<'_>) -> R<Self> {
        Ok(Id(<uuid::Uuid as Decode<'_, Postgres>>::decode(v)?))
    }
}

// `json`, never `jsonb`: the latter sorts keys and rewrites numbers. Binary `json` is its text.
impl Type<Postgres> for Doc {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(114))
    }
    fn compatible(t: &PgTypeInfo) -> bool {
        matches!(t.oid(), Some(Oid(114)) | Some(Oid(3802)))
    }
}
impl PgHasArrayType for Doc {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(199))
    }
}
impl Encode<'_, Postgres> for Doc {
    fn encode_by_ref(&self, b: &mut PgArgumentBuffer) -> R<IsNull> {
        b.extend_from_slice(self.0.to_string().as_bytes());
        Ok(IsNull::No)
    }
}
impl Decode<'_, Postgres> for Doc {
    fn decode(v: PgValueRef<'_>) -> R<Self> {
        let bytes = v.as_bytes()?;
        // `jsonb` carries a version byte in front.
        let text = if bytes.first() == Some(&1) {
            &bytes[1..]
        } else {
            bytes
        };
        Ok(Doc(serde_json::from_slice(text)?))
    }
}

impl Type<Postgres> for Text {
    fn type_info() -> PgTypeInfo {
        <str as Type<Postgres>>::type_info()
    }
    fn compatible(t: &PgTypeInfo) -> bool {
        <str as Type<Postgres>>::compatible(t)
    }
}
impl PgHasArrayType for Text {
    fn array_type_info() -> PgTypeInfo {
        <String as PgHasArrayType>::array_type_info()
    }
}
impl Encode<'_, Postgres> for Text {
    fn encode_by_ref(&self, b: &mut PgArgumentBuffer) -> R<IsNull> {
        <&str as Encode<'_, Postgres>>::encode(self.as_str(), b)
    }
}
impl Decode<'_, Postgres> for Text {
    fn decode(v: PgValueRef<'_>) -> R<Self> {
        Ok(Text(<String as Decode<'_, Postgres>>::decode(v)?))
    }
}

#[doc(hidden)]
#[macro_export]
macro_rules! __id_codec_postgres {
    ($n:ident) => {
        const _: () = {
            use $crate::values::{Id, codec::*};
            impl Type<Postgres> for $n {
                fn type_info() -> PgTypeInfo {
                    <Id as Type<Postgres>>::type_info()
                }
            }
            impl PgHasArrayType for $n {
                fn array_type_info() -> PgTypeInfo {
                    <Id as PgHasArrayType>::array_type_info()
                }
            }
            impl Encode<'_, Postgres> for $n {
                fn encode_by_ref(&self, b: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
                    <Id as Encode<'_, Postgres>>::encode_by_ref(&Id(self.0), b)
                }
            }
            impl Decode<'_, Postgres> for $n {
                fn decode(v: PgValueRef<'_>) -> Result<Self, BoxDynError> {
                    Ok(Self(<Id as Decode<'_, Postgres>>::decode(v)?.0))
                }
            }
        };
    };
}
