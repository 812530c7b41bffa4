//! The rules of the language, by their number in the specification, where the recorded cases do not settle them.

use serde_json::json;
use template_engine::Template;

use crate::support::{eval, expression_error, place, render, try_eval};

#[test]
fn template_4_precedence_table() {
    let scope = json!({"a": 0, "b": "x", "s": "str", "c": 1, "two": 2});
    for (source, expected) in [
        ("a || b | upper", json!("X")),
        ("s == 'STR' | lower", json!(false)),
        ("(s | upper) == 'STR'", json!(true)),
        ("c ? 'a' : 'b' | upper", json!("a")),
        ("a ? 'a' : 'b' | upper", json!("B")),
        ("!s | not", json!(true)),
        ("not a == true", json!(true)),
        ("not (a == true)", json!(true)),
        ("not c == 1", json!(false)),
        ("-c + two * 3 > 4", json!(true)),
        ("'x' + 'y' | upper", json!("XY")),
        ("3 > 2 > 1", json!(false)),
        ("1 < 2 < 3", json!(true)),
        ("a ? 1 : b ? 2 : 3", json!(2)),
        ("c ? a ? 1 : 2 : 3", json!(2)),
    ] {
        assert_eq!(eval(source, scope.clone()), Some(expected), "{source}");
    }
    assert_eq!(expression_error("x | length > 3"), "expected_token 1:12");
    assert_eq!(expression_error("a | f.b"), "expected_token 1:6");
}

#[test]
fn template_q1_braces_are_no_part_of_an_expression() {
    assert_eq!(expression_error("a }} junk"), "unexpected_character 1:3");
    assert_eq!(expression_error("a}"), "unexpected_character 1:2");
    assert_eq!(expression_error("{{ a }}"), "unexpected_character 1:1");
    assert_eq!(expression_error("a b }}"), "unexpected_character 1:5");
}

#[test]
fn template_q2_own_data_only() {
    let scope = json!({"x": {}, "arr": [1, 2], "s": "abc"});
    for source in [
        "x.constructor",
        "arr.map",
        "x.__proto__",
        "s.length",
        "s[0]",
        "arr['00']",
        "arr['-1']",
        "arr[0.5]",
        "arr[' 0']",
        "constructor",
    ] {
        assert_eq!(eval(source, scope.clone()), None, "{source}");
    }
    assert_eq!(eval("arr.length", scope.clone()), Some(json!(2)));
    assert_eq!(eval("arr['1']", scope.clone()), Some(json!(2)));
    let own = json!({"o": {"": 1, "1": 2, "true": 3, "length": 4}});
    assert_eq!(
        eval("o[null] + o[missing] + o[1.0] + o[true] + o.length", own),
        Some(json!(11))
    );
}

#[test]
fn template_q3_nothing_is_ordered_with_undefined() {
    for source in [
        "missing > 500",
        "missing < 500",
        "missing >= missing",
        "'a' <= missing",
        "missing < 'z'",
    ] {
        assert_eq!(eval(source, json!({})), Some(json!(false)), "{source}");
    }
    assert_eq!(eval("null < 1", json!({})), Some(json!(true)));
}

#[test]
fn template_q4_structural_equality() {
    let scope = json!({"a": {"x": [1, {"y": null}], "z": 1.0}, "b": {"z": 1, "x": [1.0, {"y": null}]}, "l": [1], "e": [], "o": {}});
    assert_eq!(eval("a == b", scope.clone()), Some(json!(true)));
    assert_eq!(eval("a.x != b.x", scope.clone()), Some(json!(false)));
    assert_eq!(eval("l == e", scope.clone()), Some(json!(false)));
    assert_eq!(eval("e == o", scope.clone()), Some(json!(false)));
    assert_eq!(eval("l == '1'", scope.clone()), Some(json!(true)));
    // Inside, types are not converted.
    assert_eq!(
        eval("p == q", json!({"p": [1], "q": ["1"]})),
        Some(json!(false))
    );
}

#[test]
fn template_q5_characters_are_never_split() {
    for (source, expected) in [
        ("'a😀b' | truncate(2)", "a…"),
        ("'a😀b' | truncate(3)", "a😀…"),
        ("'abc' | truncate(2.9)", "ab…"),
        ("'abc' | truncate(0.5)", "…"),
        ("'abc' | truncate(3)", "abc"),
        ("'abc' | truncate(-1)", "abc"),
        ("'ßa' | capitalize", "SSa"),
        ("'😀a' | capitalize", "😀a"),
        ("'a😀c' | replace('', '-')", "a-😀-c"),
        ("'' | replace('', '-')", ""),
        ("'aXbX' | replace('X', 1)", "ab"),
        ("'a$&' | replace('$&', '$1')", "a$1"),
    ] {
        assert_eq!(eval(source, json!({})), Some(json!(expected)), "{source}");
    }
}

#[test]
fn template_q6_keys_keep_their_order() {
    let scope: serde_json::Value =
        serde_json::from_str(r#"{"o":{"b":1,"2":[1.0,1e21,-0.0],"1":"é/\u0001\u007f"}}"#).unwrap();
    assert_eq!(
        render("{{ o }}", scope),
        "{\"b\":1,\"2\":[1,1e+21,0],\"1\":\"é/\\u0001\u{7f}\"}"
    );
}

#[test]
fn template_q7_what_is_an_instant() {
    let iso = |source: &str| eval("d | iso", json!({"d": source}));
    for (source, expected) in [
        ("2026-05-30", "2026-05-30T00:00:00.000Z"),
        ("2026-05-30T12:34", "2026-05-30T12:34:00.000Z"),
        ("2026-05-30t12:34:56.7", "2026-05-30T12:34:56.700Z"),
        (
            "2026-05-30 12:34:56.123999+02:00",
            "2026-05-30T10:34:56.123Z",
        ),
        ("2026-05-30T00:30:00-0130", "2026-05-30T02:00:00.000Z"),
        ("0000-02-29", "0000-02-29T00:00:00.000Z"),
        ("Sat, 30 May 2026 12:00:00 GMT", "2026-05-30T12:00:00.000Z"),
        ("Mon, 30 May 2026 12:00 UTC", "2026-05-30T12:00:00.000Z"),
        ("1 Jan 1970 00:00:00 -0100", "1970-01-01T01:00:00.000Z"),
    ] {
        assert_eq!(iso(source), Some(json!(expected)), "{source}");
    }
    for source in [
        "",
        "0",
        "2026",
        "1748606400000",
        "2026-02-30",
        "2026-13-01",
        "2026-5-30",
        "2026-05-30T24:00",
        "2026-05-30T12:00:60",
        "2026-05-30T12:00:00.",
        "2026-05-30T12",
        " 2026-05-30",
        "2026-05-30 ",
        "2026-05-30  12:00",
        "2026-05-30T12:00+2",
        "2026-05-30T12:00 +02:00",
        "30 May 2026",
        "30 Mai 2026 12:00 GMT",
        "30 May 2026 12:00 EST",
        "30 May 2026 12:00 +02:00",
        "+010000-01-01",
        "٢٠٢٦-05-30",
    ] {
        assert_eq!(iso(source), Some(json!(source)), "{source:?}");
    }
}

#[test]
fn template_q7_years_beyond_four_digits() {
    let scope = json!({"far": 1e15, "back": -62_198_755_200_000_i64, "most": 8.64e15, "more": 8_640_000_000_000_001_i64});
    for (source, expected) in [
        ("far | date('date')", "33658-09-27"),
        ("far | date('time')", "01:46:40"),
        ("far | date('rfc2822')", "Fri, 27 Sep 33658 01:46:40 GMT"),
        ("far | iso", "+033658-09-27T01:46:40.000Z"),
        ("back | date('date')", "-0001-01-01"),
        ("back | iso", "-000001-01-01T00:00:00.000Z"),
        ("most | date('date')", "275760-09-13"),
    ] {
        assert_eq!(
            eval(source, scope.clone()),
            Some(json!(expected)),
            "{source}"
        );
    }
    assert_eq!(
        eval("more | date('time')", scope.clone()),
        Some(json!(8_640_000_000_000_001_i64))
    );
    assert_eq!(eval("more | older_than(1)", scope), Some(json!(false)));
    assert_eq!(eval("-1.5 | date('unix')", json!({})), Some(json!(-1)));
}

#[test]
fn template_q9_numbers_stay_finite() {
    let huge = "9".repeat(400);
    assert_eq!(expression_error(&huge), "number_out_of_range 1:1");
    assert_eq!(
        expression_error(&format!("a b {huge}")),
        "number_out_of_range 1:5"
    );
    assert_eq!(
        expression_error(&format!("a {huge}")),
        "number_out_of_range 1:3"
    );
    assert_eq!(
        eval("x | hours", json!({"x": 1e308})),
        Some(json!(f64::MAX))
    );
    assert_eq!(
        eval("x | minutes", json!({"x": -1e308})),
        Some(json!(-f64::MAX))
    );
    assert_eq!(
        eval("x | duration_since", json!({"x": -1.79e308})),
        Some(json!(1.79e308))
    );
}

#[test]
fn template_q10_arithmetic() {
    let scope = json!({"n": 3, "s": "5", "t": "x", "b": true, "nul": null, "l": [1], "o": {}, "big": 1e308});
    for (source, expected) in [
        ("1 + 2 * 3 - 4 / 2", json!(5)),
        ("10 - 3 - 2", json!(5)),
        ("100 / 10 / 5", json!(2)),
        ("-7 % 3", json!(-1)),
        ("7 % -3", json!(1)),
        ("7.5 % 2", json!(1.5)),
        ("- - n", json!(3)),
        ("-s", json!(-5)),
        ("s * '2'", json!(10)),
        ("s - 1", json!(4)),
        ("' 0x10 ' / 2", json!(8)),
        ("s + 1", json!("51")),
        ("1 + s", json!("15")),
        ("t + b", json!("xtrue")),
        ("b + t", json!("truex")),
        ("1.50 + t", json!("1.5x")),
        ("t + ':' + n", json!("x:3")),
        ("n + 1 + t", json!("4x")),
        ("(n - 1 | minutes) + 1", json!(120_001)),
        ("-n < n && !(n + n == 7)", json!(true)),
    ] {
        assert_eq!(eval(source, scope.clone()), Some(expected), "{source}");
    }
    for source in [
        "missing + t",
        "t + missing",
        "nul + t",
        "nul + 1",
        "b + 1",
        "b + b",
        "l + t",
        "t + o",
        "l + l",
        "n - missing",
        "n * nul",
        "b * 2",
        "-b",
        "-nul",
        "-l",
        "-t",
        "t - 1",
        "'' * 1 / 0",
        "1 / 0",
        "0 / 0",
        "5 % 0",
        "-(1 / 0)",
        "big * 10",
        "big + big",
        "'Infinity' - 1",
        "missing + missing",
        "l * 1",
        "missing - 1 + t",
    ] {
        assert_eq!(eval(source, scope.clone()), None, "{source}");
    }
    assert_eq!(
        eval(
            "trigger.a + ':' + trigger.b",
            json!({"trigger": {"a": "x"}})
        ),
        None
    );
    assert_eq!(
        eval("artifacts.my-key", json!({"artifacts": {"my": 1}})),
        None
    );
}

#[test]
fn template_q10_a_missing_operand() {
    assert_eq!(
        place(&Template::parse("{{- name -}}").unwrap_err()),
        "unexpected_token 1:11"
    );
    assert_eq!(expression_error("1 +"), "unexpected_token 1:3");
    assert_eq!(expression_error("1 + )"), "unexpected_token 1:5");
    assert_eq!(expression_error("(1 + ) 2"), "unexpected_token 1:6");
    assert_eq!(expression_error("* 1"), "unexpected_token 1:1");
    assert_eq!(expression_error("-"), "unexpected_token 1:2");
}

#[test]
fn template_2_integers_keep_their_text() {
    let scope: serde_json::Value =
        serde_json::from_str(r#"{"i":9007199254740993,"u":18446744073709551615,"f":1.0}"#).unwrap();
    assert_eq!(
        render(
            "{{ i }} {{ u | default(1) }} {{ f }} {{ i | json }}",
            scope.clone()
        ),
        "9007199254740993 18446744073709551615 1 9007199254740993"
    );
    assert_eq!(eval("i", scope.clone()), Some(json!(9007199254740993_u64)));
    assert_eq!(
        eval("i == 9007199254740992", scope.clone()),
        Some(json!(true))
    );
    assert_eq!(eval("i + 0", scope), Some(json!(9007199254740992_u64)));
}

#[test]
fn template_1_a_template_is_always_text() {
    assert_eq!(render("{{ n }}", json!({"n": 3})), "3");
    assert_eq!(
        render(
            "{{ a }}{{ b }}{{ c }}",
            json!({"a": null, "c": [1, null, {"k": "v"}]})
        ),
        "[1,null,{\"k\":\"v\"}]"
    );
    assert_eq!(render("{{ t }}", json!({"t": "{{ x }}"})), "{{ x }}");
    assert_eq!(
        render("Bearer ${{ secrets.T }} } }} {", json!({})),
        "Bearer $ } }} {"
    );
    assert_eq!(render("${{ secrets.my-key }}", json!({})), "$");
}

#[test]
fn template_6_8_lookup_comes_before_arguments() {
    let error = try_eval("1 | nope(2 | also_nope)", &json!({})).unwrap_err();
    assert_eq!(error.name.as_deref(), Some("nope"));
    assert_eq!(eval("true ? 1 : (1 | nope)", json!({})), Some(json!(1)));
    assert_eq!(
        eval("'x' | default(1, 2, 3, 4)", json!({})),
        Some(json!("x"))
    );
    assert_eq!(
        eval("'a-b' | replace('-', '+', 'c' | upper, 4)", json!({})),
        Some(json!("a+b"))
    );
    assert_eq!(eval("missing | default", json!({})), None);
}

#[test]
fn template_8_older_than_is_inclusive() {
    let scope = json!({"then": "2026-01-15T11:30:00.000Z", "future": "2026-01-15T12:00:00.001Z"});
    for (source, expected) in [
        ("then | older_than(30 | minutes)", true),
        ("then | older_than((30 | minutes) + 1)", false),
        ("then | older_than", true),
        ("then | older_than('x')", true),
        ("future | older_than(0)", false),
        ("'soon' | older_than(0)", false),
    ] {
        assert_eq!(
            eval(source, scope.clone()),
            Some(json!(expected)),
            "{source}"
        );
    }
    assert_eq!(eval("future | duration_since", scope), Some(json!(0)));
}
