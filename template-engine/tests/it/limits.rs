//! Limits, chains, strictness and the places of errors.

use serde_json::{Value as Json, json};
use template_engine::{Detail, Env, Expression, Filters, Kind, Limits, Template, preview};

use crate::support::{NOW, env_at, eval, expression_error, place, try_eval};

#[test]
fn template_12_nesting_is_bounded() {
    let deep =
        |n: usize, open: &str, core: &str, close: &str| open.repeat(n) + core + &close.repeat(n);
    for (open, close) in [
        ("(", ")"),
        ("!", ""),
        ("not ", ""),
        ("a[", "]"),
        ("1 | f(", ")"),
        ("1 ? 2 : ", ""),
        ("-", ""),
    ] {
        assert!(
            Expression::parse(&deep(128, open, "1", close)).is_ok(),
            "{open}"
        );
        for n in [129, 5000] {
            let error = Expression::parse(&deep(n, open, "1", close)).unwrap_err();
            assert_eq!(
                (error.kind, error.detail),
                (Kind::Limit, Detail::NestingDepth),
                "{open}"
            );
            assert_eq!(error.range.start.line, 1);
        }
    }
    let limits = Limits {
        nesting: 100_000,
        source_bytes: 1 << 22,
        nodes: 1 << 20,
        ..Limits::default()
    };
    assert!(Expression::parse_with(&deep(256, "(", "1", ")"), &limits).is_ok());
    let error = Expression::parse_with(&deep(100_000, "(", "1", ")"), &limits).unwrap_err();
    assert_eq!(error.detail, Detail::NestingDepth);
    assert_eq!(error.range.start.column, 257);
}

/// Runs on a stack far too small for anything that recurses per link.
fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new()
        .stack_size(192 * 1024)
        .spawn(work)
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn template_12_1_chains_are_not_nesting() {
    on_a_small_stack(|| {
        let limits = Limits {
            source_bytes: 1 << 24,
            nodes: 1 << 22,
            ..Limits::default()
        };
        let filters = Filters::default();
        let env = env_at(&filters, NOW);
        let scope = json!({"t": 1, "x": {}, "s": "a"});
        for n in [1000, 100_000] {
            for (first, link, expected) in [
                ("f", " || f", None),
                ("t", " && t", Some(json!(1))),
                ("x", ".k", None),
                ("x", "['k']", None),
                ("s", " | upper", Some(json!("A"))),
                ("s", " | default(1)", Some(json!("a"))),
                ("1", " + 1", Some(json!(n + 1))),
                ("1", " == 1", Some(json!(false))),
                ("1", " * 1 + 0", Some(json!(1))),
            ] {
                let source = first.to_owned() + &link.repeat(n);
                let program = Expression::parse_with(&source, &limits).unwrap();
                let value = program.evaluate(&scope, &env).unwrap().into_json();
                assert_eq!(
                    value.and_then(|v| v.as_f64()),
                    expected.and_then(|v: Json| v.as_f64()),
                    "{first}{link}"
                );
                assert_eq!(program.ast().roots().len(), 1);
                drop(program.clone());
            }
            let template = Template::parse_with(&"{{ t }}".repeat(n), &limits).unwrap();
            assert_eq!(template.render(&scope, &env).unwrap().len(), n);
            assert_eq!(template.ast().roots().len(), n);
        }
    });
}

#[test]
fn template_12_sizes_are_bounded() {
    let source = format!("'{}'", "x".repeat(65_536));
    assert_eq!(expression_error(&source), "source_length 1:1");
    assert_eq!(
        expression_error(&format!("1{}", "+1".repeat(5000))),
        "node_count 1:10001"
    );
    let scope = json!({"s": "x".repeat(600_000), "l": ["y".repeat(600_000), "z".repeat(600_000)]});
    for source in [
        "s + s",
        "'a' | replace('a', s + '') | upper | replace('X', 'xx')",
        "l | json",
        "l | join",
        "s | replace('', '--')",
    ] {
        assert_eq!(
            place(&try_eval(source, &scope).unwrap_err()),
            "output_size 1:1",
            "{source}"
        );
    }
    let filters = Filters::default();
    let env = env_at(&filters, NOW);
    let error = Template::parse("a\n{{ s }}{{ s }}")
        .unwrap()
        .render(&scope, &env)
        .unwrap_err();
    assert_eq!(place(&error), "output_size 2:11");
    let small = Limits {
        output_bytes: 10,
        ..Limits::default()
    };
    assert!(
        Template::parse_with("123456{{ 'abcd' }}", &small)
            .unwrap()
            .render(&scope, &env)
            .is_ok()
    );
    assert!(
        Template::parse_with("123456{{ 'abcde' }}", &small)
            .unwrap()
            .render(&scope, &env)
            .is_err()
    );
}

#[test]
fn the_work_of_one_run_is_bounded_however_the_pieces_stay_within_the_other_limits() {
    let scope =
        json!({"s": "x".repeat(20), "l": ["x".repeat(20)], "o": {"k": "x".repeat(20)}, "n": 7});
    let few = Limits {
        work_bytes: 300,
        ..Limits::default()
    };
    let filters = Filters::default();
    let env = env_at(&filters, NOW);
    let run = |source: &str| {
        let expression = Expression::parse_with(source, &few).unwrap();
        expression
            .evaluate(&scope, &env)
            .map(|_| ())
            .map_err(|e| place(&e))
    };
    let too_much = Err("work 1:1".to_owned());
    for piece in [" | replace('', '')", " | upper", " | trim"] {
        assert_eq!(run(&format!("s{}", piece.repeat(5))), Ok(()), "{piece}");
        assert_eq!(run(&format!("s{}", piece.repeat(20))), too_much, "{piece}");
    }
    for piece in [
        "s == n",
        "l == n",
        "l == l",
        "o == o",
        "s < n",
        "s * n",
        "o[l]",
        "(l | join)",
        "(o | json)",
    ] {
        let all = |n: usize| vec![format!("({piece} ? '' : '')"); n].join(" + ");
        assert_eq!(run(&all(3)), Ok(()), "{piece}");
        assert!(
            run(&all(40)).is_err_and(|at| at.starts_with("work 1:")),
            "{piece}"
        );
    }
    // What only looks at the size or the kind is free, and a chain of `+` pays for each piece once.
    for free in [
        "(l | length)",
        "((o | default(1)) ? 1 : 2)",
        "(s | not)",
        "(s ? 1 : 2)",
    ] {
        assert_eq!(run(&vec![free; 40].join(" + ")), Ok(()), "{free}");
    }
    assert_eq!(run(&vec!["'abcde'"; 50].join(" + ")), Ok(()));
    assert!(run(&vec!["'abcde'"; 70].join(" + ")).is_err());
}

#[test]
fn by_default_a_long_chain_of_filters_over_a_long_text_is_no_hang() {
    let source = format!(
        "s{}",
        " | replace('a', 'b') | replace('b', 'a')".repeat(1000)
    );
    let error = try_eval(&source, &json!({"s": "a".repeat(250_000)})).unwrap_err();
    assert_eq!((error.kind, error.detail), (Kind::Limit, Detail::Work));
    let short = format!("s{}", " | replace('a', 'b') | replace('b', 'a')".repeat(50));
    assert!(try_eval(&short, &json!({"s": "a".repeat(250_000)})).is_ok());
}

fn nested(depth: usize) -> Json {
    (0..depth).fold(json!(7), |inner, _| json!([inner]))
}

#[test]
fn template_12_value_depth_is_bounded() {
    for (source, depth, ok) in [
        ("x | json", 128, true),
        ("x | json", 129, false),
        ("x == '7'", 128, true),
        ("x == '7'", 129, false),
        ("x < 'a'", 129, false),
        ("[1]", 1, false),
        ("o[x]", 129, false),
        ("x == x", 129, true),
        ("x * 1", 129, true),
        ("x ? 1 : 2", 129, true),
    ] {
        let result = try_eval(source, &json!({"x": nested(depth), "o": {}}));
        assert_eq!(result.is_ok(), ok, "{source} {depth}");
    }
    assert_eq!(
        place(&try_eval("1 + (x | json)", &json!({"x": nested(200)})).unwrap_err()),
        "value_depth 1:6"
    );
    assert_eq!(eval("x < 8", json!({"x": nested(100)})), Some(json!(true)));
}

#[test]
fn template_10_places() {
    for (source, expected) in [
        ("a ==  ", "unexpected_token 1:7"),
        ("a b @", "unexpected_character 1:5"),
        ("a b 'x", "unterminated_string 1:5"),
        ("😀", "unexpected_character 1:1"),
        ("'😀' @", "unexpected_character 1:6"),
        ("a\r\n  @", "unexpected_character 2:3"),
        ("(a) | nope", "unknown_filter 1:2"),
        ("b || a | nope", "unknown_filter 1:1"),
        ("x | upper | nope", "unknown_filter 1:1"),
        ("(a\n", "expected_token 2:1"),
        ("a === b", "unexpected_character 1:5"),
        ("f(x)", "expected_token 1:2"),
        ("a ? b", "expected_token 1:6"),
    ] {
        assert_eq!(expression_error(source), expected, "{source:?}");
    }
    let error = try_eval("1 +\n (aa | nope('x'))", &json!({})).unwrap_err();
    let (start, end) = (error.range.start, error.range.end);
    assert_eq!(
        (start.line, start.column, end.line, end.column),
        (2, 3, 2, 17)
    );
    assert_eq!(error.span.text(&error.source), "aa | nope('x')");
    assert_eq!(error.name.as_deref(), Some("nope"));
    assert_eq!(
        error.to_string(),
        "There is no filter called `nope` (line 2, column 3)"
    );
}

#[test]
fn template_10_templates_that_end_too_early() {
    for (source, expected) in [
        ("{{", "unterminated_expression 1:3"),
        ("a {{ ", "unterminated_expression 1:6"),
        ("{{ a b }} {{ ", "unterminated_expression 1:14"),
        ("{{ a", "expected_token 1:5"),
        ("{{ a b", "expected_token 1:6"),
        ("{{ a ", "unterminated_expression 1:6"),
        ("{{ a b }} {{ 'x", "unterminated_string 1:14"),
        ("{{}}", "unexpected_token 1:3"),
    ] {
        assert_eq!(
            place(&Template::parse(source).unwrap_err()),
            expected,
            "{source:?}"
        );
    }
}

#[test]
fn template_10_4_messages_never_quote_the_scope() {
    let filters = Filters::default();
    let env = Env {
        strict: true,
        ..env_at(&filters, NOW)
    };
    let scope = json!({"secret": "hunter2", "o": {"hunter2": null}, "n": null});
    for source in [
        "o[secret].x",
        "n[secret]",
        "secret | nope(secret)",
        "missing + secret",
    ] {
        let error = Expression::parse(source)
            .unwrap()
            .evaluate(&scope, &env)
            .unwrap_err();
        let name = error.name.clone().unwrap_or_default();
        assert!(
            !error.message.contains("hunter2") && !name.contains("hunter2"),
            "{error:?} {name}"
        );
    }
}

#[test]
fn template_parse_within_keeps_the_authors_positions() {
    let source = "\n {{ a b }} ";
    let error = Expression::parse_within(source, 4..9, &Limits::default()).unwrap_err();
    assert_eq!(place(&error), "expected_token 2:7");
    assert_eq!(error.source, source);
    let program =
        Expression::parse_within("{{ 'x\\ty' | nope }}", 2..17, &Limits::default()).unwrap();
    assert_eq!(program.source(), "{{ 'x\\ty' | nope }}");
    let filters = Filters::default();
    assert_eq!(
        place(
            &program
                .evaluate(&json!({}), &env_at(&filters, NOW))
                .unwrap_err()
        ),
        "unknown_filter 1:4"
    );
    let (late, early) = (5, 2);
    for within in [0..99, late..early, 99..99] {
        assert!(Expression::parse_within("é", within, &Limits::default()).is_err());
    }
}

#[test]
fn template_8_3_preview() {
    let filters = Filters::default();
    let env = Env {
        strict: true,
        ..env_at(&filters, NOW)
    };
    let show = |source: &str| preview(source, &json!({"a": 1}), &env);
    assert_eq!(show("plain }}").unwrap(), "plain }}");
    assert_eq!(show("{{ a b }} {{ a }}").unwrap(), "{{ a b }} {{ a }}");
    assert_eq!(show("{{ a }}{{ missing }}").unwrap(), "1");
    assert_eq!(
        show("{{ a | nope }}").unwrap_err().kind,
        Kind::UnknownFilter
    );
}
