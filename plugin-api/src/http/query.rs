//! Query parameters: each once or several times, read into a type that says which there are.

use super::Problem;
use crate::Text;
use axum::{
    extract::{FromRequestParts, Query},
    http::request::Parts,
};
use serde::{
    Deserializer,
    de::{
        DeserializeOwned, Error as _, IntoDeserializer, Visitor,
        value::{Error, MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};

/// Query parameters; anything wrong is `bad_parameter`. A field of a list type takes a parameter that
/// is given several times (`?status=running&status=waiting`); any other field takes it once. Values
/// are free text from outside and come as [`Text`] stores it, so that both engines can be asked for
/// them.
pub struct ApiQuery<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for ApiQuery<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|e| Problem::bad_parameter(e.body_text()))?;
        read(pairs).map(ApiQuery).map_err(|e| {
            Problem::bad_parameter(format!("The query parameters are not understood: {e}."))
        })
    }
}

fn read<T: DeserializeOwned>(pairs: Vec<(String, String)>) -> Result<T, Error> {
    let mut parameters: Vec<(String, Values)> = Vec::new();
    for (name, value) in pairs {
        let value = Text::new(value).into_string();
        match parameters.iter_mut().find(|(n, _)| *n == name) {
            Some((_, known)) => known.values.push(value),
            None => parameters.push((
                name.clone(),
                Values {
                    name,
                    values: vec![value],
                },
            )),
        }
    }
    T::deserialize(MapDeserializer::new(parameters.into_iter()))
}

/// What one parameter was given.
struct Values {
    name: String,
    values: Vec<String>,
}

impl Values {
    fn one(mut self) -> Result<String, Error> {
        match self.values.len() {
            1 => Ok(self.values.remove(0)),
            n => Err(Error::custom(format!(
                "{} is given {n} times and may be given once",
                self.name
            ))),
        }
    }

    fn parsed<T: std::str::FromStr>(self, what: &str) -> Result<T, Error> {
        let name = self.name.clone();
        self.one()?
            .parse()
            .map_err(|_| Error::custom(format!("{name} must be {what}")))
    }
}

impl IntoDeserializer<'_, Error> for Values {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! whole_numbers {
    ($($method:ident $visit:ident,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.$visit(self.parsed("a whole number")?)
        }
    )*};
}

impl<'de> Deserializer<'de> for Values {
    type Error = Error;
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.one()?)
    }
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(SeqDeserializer::new(self.values.into_iter()))
    }
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(self.parsed("true or false")?)
    }
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        IntoDeserializer::<Error>::into_deserializer(self.one()?)
            .deserialize_enum(name, variants, visitor)
    }
    whole_numbers! {
        deserialize_u8 visit_u8,
        deserialize_u16 visit_u16,
        deserialize_u32 visit_u32,
        deserialize_u64 visit_u64,
        deserialize_i8 visit_i8,
        deserialize_i16 visit_i16,
        deserialize_i32 visit_i32,
        deserialize_i64 visit_i64,
    }
    forward_to_deserialize_any! {
        i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct tuple
        tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Wanted {
        status: Vec<String>,
        name: Option<String>,
        window: Option<u32>,
        all: bool,
    }

    fn parse(query: &[(&str, &str)]) -> Result<Wanted, String> {
        let pairs = query.iter().map(|(n, v)| ((*n).into(), (*v).into()));
        read(pairs.collect()).map_err(|e| e.to_string())
    }

    #[test]
    fn a_list_takes_a_parameter_several_times() {
        let found = parse(&[
            ("status", "a"),
            ("window", "5"),
            ("status", "b"),
            ("all", "true"),
            ("name", ""),
        ]);
        let expected = Wanted {
            status: vec!["a".into(), "b".into()],
            name: Some(String::new()),
            window: Some(5),
            all: true,
        };
        assert_eq!(found, Ok(expected));
        assert_eq!(parse(&[]), Ok(Wanted::default()));
    }

    #[test]
    fn a_nul_comes_as_it_is_stored() {
        let found = parse(&[("name", "a\0b"), ("status", "\0")]).expect("taken");
        assert_eq!(found.name.as_deref(), Some("a\u{2400}b"));
        assert_eq!(found.status, ["\u{2400}"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |query: &[(&str, &str)], message: &str| {
            let error = parse(query).expect_err("refused");
            assert!(error.contains(message), "{error}");
        };
        check(
            &[("name", "a"), ("name", "b")],
            "name is given 2 times and may be given once",
        );
        check(&[("window", "x")], "window must be a whole number");
        check(&[("window", "-1")], "window must be a whole number");
        check(&[("all", "1")], "all must be true or false");
        check(&[("all", "")], "all must be true or false");
        check(&[("nmae", "a")], "unknown field `nmae`");
    }
}
