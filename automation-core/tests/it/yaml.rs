//! YAML texts: positions, limits, errors (`definition §2`).

use automation_core::yaml::{Limits, emit, read, read_all};
use automation_core::{Diagnostics, path_text};
use serde_json::json;

#[track_caller]
fn fails(text: &str, expect: &[(&str, &str, u32)]) {
    let found: Diagnostics = read(text, &Limits::default()).expect_err(text);
    let found: Vec<_> = found
        .iter()
        .map(|d| (d.code, path_text(&d.path), d.span.map_or(0, |s| s.line)))
        .collect();
    let found: Vec<_> = found.iter().map(|(c, p, l)| (*c, p.as_str(), *l)).collect();
    assert_eq!(found, expect, "{text}");
}

#[test]
fn definition_2_1_yaml_is_1_2_and_json_is_taken_as_it_is() {
    let text = "on: yes\nn: 0o17\nf: 1.50\nb: True\nnothing:\nmulti: |\n  a\n  b\n\"q\": 'it''s'\n";
    let node = read(text, &Limits::default()).unwrap();
    assert_eq!(
        node.to_json().to_string(),
        r#"{"on":"yes","n":15,"f":1.5,"b":true,"nothing":null,"multi":"a\nb\n","q":"it's"}"#
    );
    let json = "{\n\t\"a\":[1,2.0,\"\\u00e9\\/\"],\n\t\"b\":{\"c\":null}}";
    let node = read(json, &Limits::default()).unwrap();
    assert_eq!(
        node.to_json(),
        serde_json::from_str::<serde_json::Value>(json).unwrap()
    );
}

#[test]
fn definition_2_1_duplicate_keys_merge_keys_and_tags_are_errors_that_are_all_reported() {
    fails(
        "a: 1\nb: { x: 1, x: 2 }\na: 2\nc: { <<: 1 }\nd: !mine 5\n",
        &[
            ("duplicate_key", "b.x", 2),
            ("duplicate_key", "a", 3),
            ("yaml_syntax", "c", 4),
            ("yaml_syntax", "d", 5),
        ],
    );
    fails("1: a\n\"1\": b\n", &[("duplicate_key", "1", 2)]);
    fails("a: [1\n", &[("yaml_syntax", "a.0", 1)]);
    fails(
        "a: .inf\nb: 99999999999999999999\n",
        &[("yaml_syntax", "a", 1), ("yaml_syntax", "b", 2)],
    );
    fails("? [a]\n: b\n", &[("yaml_syntax", "(root)", 1)]);
    fails("a: 1\n---\nb: 2\n", &[("yaml_syntax", "(root)", 2)]);
}

#[test]
fn definition_2_1_aliases_are_expanded_under_a_budget() {
    let node = read("a: &x { k: [1, 2] }\nb: *x\n", &Limits::default()).unwrap();
    assert_eq!(
        node.to_json(),
        json!({"a": {"k": [1, 2]}, "b": {"k": [1, 2]}})
    );
    fails("a: *nope\n", &[("yaml_syntax", "a", 1)]);
    fails("a: &x [*x]\n", &[("yaml_syntax", "a.0", 1)]);
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..12 {
        let last = format!("*a{}", i - 1);
        bomb += &format!("a{i}: &a{i} [{}]\n", [last.as_str(); 9].join(", "));
    }
    let found = read(&bomb, &Limits::default()).unwrap_err();
    assert_eq!(found.iter().next().unwrap().code, "limit_exceeded");
    let long = format!(
        "a: &a {}\nb: [{}]\n",
        "x".repeat(60_000),
        ["*a"; 1000].join(", ")
    );
    let found = read(&long, &Limits::default()).unwrap_err();
    assert_eq!(found.iter().next().unwrap().code, "limit_exceeded");
    // Without aliases the size alone bounds a document.
    let long = format!("[{}]", vec!["x"; 20_000].join(", "));
    assert!(read(&long, &Limits::default()).is_ok());
}

#[test]
fn definition_2_2_depth_and_size_are_bounded() {
    for text in [
        "[".repeat(100_000),
        "- ".repeat(100_000),
        "{a: ".repeat(30_000),
        "a:\n  ".repeat(10),
    ] {
        let _ = read(&text, &Limits::default());
    }
    let deep = format!("{}{}", "[".repeat(201), "]".repeat(201));
    let found = read(&deep, &Limits::default()).unwrap_err();
    assert_eq!(found.iter().next().unwrap().code, "limit_exceeded");
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    assert!(read(&deep, &Limits::default()).is_ok());
    fails(
        &"x".repeat(256 * 1024 + 1),
        &[("limit_exceeded", "(root)", 1)],
    );
    fails(
        &format!("a: {}", "x".repeat(65_537)),
        &[("limit_exceeded", "a", 1)],
    );
}

#[test]
fn every_node_and_key_knows_its_place() {
    let text = "name: Tëst\nlist:\n  - { a: 1 }\n  - \"two\"\n";
    let node = read(text, &Limits::default()).unwrap();
    let two = node.find(&["list".into(), 1.into()]);
    assert!(two.exact);
    let s = two.node.span;
    assert_eq!((s.line, s.column, s.end_line, s.end_column), (4, 5, 4, 10));
    assert_eq!(&text[s.start..s.end], "\"two\"");
    let missing = node.find(&["list".into(), 0.into(), "b".into()]);
    assert!(!missing.exact);
    assert_eq!(missing.node.to_json(), json!({"a": 1}));
    let inner = two.node.text_span(1..3, text).unwrap();
    assert_eq!(&text[inner.start..inner.end], "wo");
    let text = "a: |\n\n    first\n      second\n";
    let node = read(text, &Limits::default()).unwrap();
    let block = node.get("a").unwrap();
    let at = block.as_str().unwrap().find("cond").unwrap();
    let inner = block.text_span(at..at + 4, text).unwrap();
    assert_eq!(
        (&text[inner.start..inner.end], inner.line, inner.column),
        ("cond", 4, 9)
    );
}

#[test]
fn files_of_several_documents_are_read_one_by_one() {
    let text = "# systems\n---\nkind: A\n---\n# nothing here\n---\nkind: [\n---\nkind: B\n...\n---\nkind: C\n";
    let all = read_all(text, &Limits::default());
    let read: Vec<_> = all
        .iter()
        .map(|d| {
            (
                d.line,
                d.root.as_ref().ok().map(|n| n.to_json()["kind"].clone()),
            )
        })
        .collect();
    assert_eq!(
        read,
        [
            (2, Some(json!("A"))),
            (6, None),
            (8, Some(json!("B"))),
            (11, Some(json!("C")))
        ]
    );
    assert!(read_all("", &Limits::default()).is_empty());
    assert!(read_all("# only a comment\n", &Limits::default()).is_empty());
}

#[test]
fn emitted_text_means_the_same_to_every_reader() {
    let value = json!({
        "yes": ["yes", "no", "1", "1.0", "null", "~", "", " x", "x ", "a: b", "a #b", "- a", "2026-01-01", "0x1F", "TRUE"],
        "lines": "first\n  second\n\nthird\n",
        "open": "first\nsecond",
        "tabs": "a\tb\nc",
        "bell": "\u{7}\u{85}\u{2028}\u{feff}😀",
        "expression": "trigger.payload.newStatus != \"healthy\"",
        "int": 1, "float": 1.0, "big": 1e300, "negative": -0.5, "empty": {}, "none": [], "nested": [[1, [2]], {"a": [{}]}],
    });
    let text = emit(&value);
    insta::assert_snapshot!(text);
    assert_eq!(
        read(&text, &Limits::default())
            .unwrap()
            .to_json()
            .to_string(),
        value.to_string()
    );
}
