//! Properties of conversions and of whole programs over random input.

use proptest::prelude::*;
use serde_json::{Map, Number, Value as Json, json};
use template_engine::compare::{equal, json_text, order, to_number, to_text, truthy};
use template_engine::condition::Condition;
use template_engine::{Expression, Filters, Template, Value};

use crate::support::{NOW, env_at};

/// Finite doubles, the awkward ones included.
fn finite() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>().prop_filter("finite", |n| n.is_finite()),
        (-1_000_000_i64..1_000_000).prop_map(|n| n as f64 / 8.0),
        (any::<i32>(), -30..30).prop_map(|(n, e)| f64::from(n) * 10f64.powi(e)),
    ]
}

/// JSON of moderate size.
fn json_value() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        finite().prop_map(|n| Number::from_f64(n).map_or(Json::Null, Json::Number)),
        any::<i64>().prop_map(Json::from),
        ".{0,6}".prop_map(Json::from),
        "(0x)?[0-9]{1,4}(\\.[0-9])?".prop_map(Json::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::Array),
            prop::collection::vec(("[a-c0-2]{0,2}", inner), 0..4)
                .prop_map(|members| Json::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Pieces sources are made of, so that random ones get past the first token.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("a"),
        Just("b.c"),
        Just("["),
        Just("]"),
        Just("("),
        Just(")"),
        Just("{{"),
        Just("}}"),
        Just(" | "),
        Just("upper"),
        Just("join"),
        Just("truncate(2)"),
        Just(" ? "),
        Just(" : "),
        Just("||"),
        Just("&&"),
        Just("=="),
        Just("<"),
        Just("+"),
        Just("-"),
        Just("%"),
        Just("!"),
        Just("not "),
        Just("'x'"),
        Just("\"é\\\""),
        Just("1.5"),
        Just("00"),
        Just("."),
        Just(","),
        Just("null"),
        Just("true"),
        Just("\n"),
        Just("\u{a0}"),
        Just("😀"),
        Just("\\"),
        Just("'"),
    ];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn number_text_round_trips(n in finite()) {
        let value = Value::from(n);
        let text = to_text(&value).unwrap().into_owned();
        prop_assert_eq!(to_number(&Value::from(text.as_str())), n);
        let shape = text.trim_start_matches('-');
        prop_assert!(!shape.ends_with(".0") && !shape.starts_with('.'), "{}", text);
        let plain = n == 0.0 || (1e-6..1e21).contains(&n.abs());
        prop_assert_eq!(plain, !text.contains('e'), "{}", text);
    }

    #[test]
    fn json_text_parses_back(value in json_value()) {
        let text = json_text(&Value::of(&value)).unwrap().unwrap();
        let back: Json = serde_json::from_str(&text).unwrap();
        prop_assert!(equal(&Value::of(&back), &Value::of(&value)).unwrap(), "{}", text);
        prop_assert_eq!(json_text(&Value::of(&back)).unwrap().unwrap(), text);
    }

    #[test]
    fn equality_is_symmetric_and_reflexive(a in json_value(), b in json_value()) {
        let (a, b) = (Value::of(&a), Value::of(&b));
        prop_assert!(equal(&a, &a).unwrap());
        prop_assert_eq!(equal(&a, &b).unwrap(), equal(&b, &a).unwrap());
    }

    #[test]
    fn order_is_antisymmetric(a in json_value(), b in json_value()) {
        let (a, b) = (Value::of(&a), Value::of(&b));
        let there = order(&a, &b).unwrap();
        prop_assert_eq!(order(&b, &a).unwrap(), there.map(|o| o.reverse()));
    }

    #[test]
    fn values_survive_as_json(value in json_value()) {
        let owned = Value::of(&value).into_owned();
        prop_assert!(equal(&owned, &Value::of(&value)).unwrap());
        let back = owned.into_json().unwrap();
        prop_assert!(equal(&Value::of(&back), &Value::of(&value)).unwrap());
    }

    #[test]
    fn any_source_is_answered(source in prop_oneof![soup(), ".{0,24}"], a in json_value(), b in json_value()) {
        let filters = Filters::default();
        let env = env_at(&filters, NOW);
        let scope = json!({"a": a, "b": {"c": b}});
        if let Ok(program) = Expression::parse(&source) {
            let tested = program.test(&scope, &env);
            let value = program.evaluate(&scope, &env);
            prop_assert_eq!(tested.ok(), value.ok().map(|v| truthy(&v)));
            let _ = program.evaluate(&scope, &env.strict());
        }
        match Template::parse(&source) {
            Ok(template) if template.is_literal() => {
                prop_assert_eq!(template.render(&scope, &env).unwrap(), source.clone());
            }
            Ok(template) => {
                let _ = template.render(&scope, &env);
            }
            Err(error) => prop_assert_eq!(&error.source, &source),
        }
        let _ = Condition::parse(&json!({"not": source}));
    }

    #[test]
    fn every_filter_takes_every_value(value in json_value(), x in json_value(), y in json_value()) {
        let filters = Filters::default();
        let env = env_at(&filters, NOW);
        let scope = json!({"v": value, "x": x, "y": y});
        for name in filters.list() {
            for call in [format!("v | {name}"), format!("v | {name}(x)"), format!("v | {name}(x, y)")] {
                let program = Expression::parse(&call).unwrap();
                let result = program.evaluate(&scope, &env).map(|v| v.into_json());
                prop_assert!(result.is_ok(), "{}: {:?}", call, result);
            }
        }
    }
}
