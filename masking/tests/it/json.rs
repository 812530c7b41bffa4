//! Masking of JSON documents.

use masking::{MASK, MAX_DEPTH, MaskSet};
use proptest::prelude::*;
use serde_json::{Value, json};

#[test]
fn secrets_10_2_every_string_at_any_depth_is_masked_and_keys_stay() {
    let set = MaskSet::of(["hunter2"]);
    let masked = set.mask_json(json!({
        "hunter2": "hunter2",
        "list": ["a", "x hunter2", {"deep": [null, true, "hunter2"]}],
        "n": 5,
    }));
    assert_eq!(
        masked.into_inner(),
        json!({
            "hunter2": "****",
            "list": ["a", "x ****", {"deep": [null, true, "****"]}],
            "n": 5,
        })
    );
}

#[test]
fn secrets_10_2_a_number_equal_to_a_secret_becomes_the_mask() {
    let set = MaskSet::of(["123456", "1.25"]);
    let masked = set.mask_json(json!([123456, 1234567, 1.25, "1.250"]));
    assert_eq!(
        masked.into_inner(),
        json!(["****", 1234567, "****", "****0"])
    );
}

#[test]
fn secrets_10_2_document_keys_are_masked_and_told_apart() {
    let set = MaskSet::of(["secret-1", "secret-2"]);
    let masked = set.mask_document(json!({
        "secret-1": 1, "secret-2": 2, "plain": {"xsecret-1": "secret-2"}, "****#2": 3,
    }));
    assert_eq!(
        masked.as_ref().to_string(),
        r#"{"****":1,"****#3":2,"plain":{"x****":"****"},"****#2":3}"#
    );
}

#[test]
fn secrets_10_2_content_nested_too_deep_is_masked_whole() {
    let nest = |levels: usize| (0..levels).fold(json!("leaf"), |inner, _| json!([inner]));
    let set = MaskSet::of(["hunter2"]);
    let depth = |mut value: &Value| {
        let mut levels = 0;
        while let Value::Array(items) = value {
            (value, levels) = (&items[0], levels + 1);
        }
        (levels, value.clone())
    };
    assert_eq!(
        depth(&set.mask_json(nest(MAX_DEPTH))),
        (MAX_DEPTH, json!("leaf"))
    );
    assert_eq!(
        depth(&set.mask_json(nest(MAX_DEPTH + 1))),
        (MAX_DEPTH, json!(MASK))
    );
}

#[test]
fn secrets_11_options_and_lists_are_masked_as_one_value() {
    let set = MaskSet::of(["hunter2"]);
    let row = set.mask(Some(vec!["a hunter2".to_owned()]));
    assert_eq!(row.into_inner(), Some(vec!["a ****".to_owned()]));
    assert_eq!(set.mask(None::<Value>).into_inner(), None);
}

#[test]
fn secrets_11_masked_serialises_as_the_value_itself() {
    let masked = MaskSet::of(["hunter2"]).mask_json(json!({"a": "hunter2"}));
    assert_eq!(serde_json::to_string(&masked).unwrap(), r#"{"a":"****"}"#);
    assert_eq!(masked["a"], "****");
}

fn documents() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (1000i64..1100).prop_map(Value::from),
        "[ab10 ]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("[ab10]{0,8}", inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_secret_survives_in_any_document(
        secrets in prop::collection::vec("[ab10]{4,5}", 1..5),
        document in documents(),
    ) {
        let set = MaskSet::of(&secrets);
        let members = |value: &Value| value.to_string().matches(':').count();
        let clean = set.mask_document(document.clone()).into_inner();
        for secret in &secrets {
            prop_assert!(!clean.to_string().contains(secret.as_str()), "{secret:?} in {clean}");
        }
        prop_assert_eq!(members(&clean), members(&document));
        let again = set.mask_document(clean.clone()).into_inner();
        prop_assert_eq!(again, clean);
    }
}
