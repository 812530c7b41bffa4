//! Fuzzing with a fixed budget: sources from a grammar, then damaged byte by byte.
//!
//! Every run has a seed of its own, so that new sources are met each time; a failure names the seed and the round, and
//! `SIGNALBOX_FUZZ_SEED` runs the same sources again. `SIGNALBOX_FUZZ_ITERATIONS` asks for more rounds.

use serde_json::{Value as Json, json};
use std::hash::{BuildHasher, Hasher, RandomState};
use template_engine::ast::{Ast, NodeId, NodeKind};
use template_engine::{Env, Error, Expression, Filters, Template, Value};

use crate::support::{NOW, env_at};

const ROUNDS: u64 = 8_000;

/// A small generator of random numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

/// A source of the grammar.
fn expression(r: &mut Random, depth: usize) -> String {
    let inner = |r: &mut Random| expression(r, depth.saturating_sub(1));
    let form = if depth == 0 { r.below(6) } else { r.below(16) };
    match form {
        0 | 1 => r
            .pick(&["n", "s", "t", "o", "l", "nul", "missing", "d", "$", "not_a"])
            .to_owned(),
        2 => r
            .pick(&["0", "1", "007", "2.5", "3600000", "1000000000000000000000"])
            .to_owned(),
        3 => r
            .pick(&[
                "''",
                "'x'",
                "\"é😀\"",
                "'\\n\\q\\''",
                "'2026-05-30'",
                "'0x1F'",
                "'}}'",
            ])
            .to_owned(),
        4 => r.pick(&["true", "false", "null"]).to_owned(),
        5 => format!("o.{}", r.pick(&["a", "b", "not", "zz", "a.k", "length"])),
        6 => format!("({})", inner(r)),
        7 => format!("{}{}", r.pick(&["!", "not ", "-", "- "]), inner(r)),
        8 => format!("{} ? {} : {}", inner(r), inner(r), inner(r)),
        9 => format!("({}).{}", inner(r), r.pick(&["a", "k", "length"])),
        10 => format!("l[{}]", inner(r)),
        11 => format!("({})[{}]", inner(r), inner(r)),
        12 | 13 => {
            let operator = r.pick(&[
                "||", "&&", "==", "!=", "<", ">", "<=", ">=", "+", "-", "*", "/", "%",
            ]);
            let gap = r.pick(&["", " ", "\n ", "\u{a0}"]);
            format!("{}{gap}{operator}{gap}{}", inner(r), inner(r))
        }
        _ => {
            let name = r.pick(&[
                "upper",
                "lower",
                "capitalize",
                "trim",
                "truncate",
                "length",
                "json",
                "iso",
                "date",
                "join",
                "replace",
                "not",
                "minutes",
                "hours",
                "duration_since",
                "older_than",
                "default",
                "nope",
            ]);
            match r.below(4) {
                0 => format!("{} | {name}", inner(r)),
                1 => format!("{} | {name}()", inner(r)),
                2 => format!("{} | {name}({})", inner(r), inner(r)),
                _ => format!("{} | {name}({}, {})", inner(r), inner(r), inner(r)),
            }
        }
    }
}

fn template(r: &mut Random) -> String {
    let mut out = String::new();
    for _ in 0..r.below(4) {
        out.push_str(r.pick(&["", "text ", "{", "}", "}}", "é\n", "$"]));
        let expression = expression(r, 2);
        out.push_str(&format!("{{{{ {expression} }}}}"));
    }
    out
}

/// Removes, doubles, swaps or overwrites characters.
fn damage(r: &mut Random, source: &str) -> String {
    let mut chars: Vec<char> = source.chars().collect();
    for _ in 0..=r.below(3) {
        if chars.is_empty() {
            break;
        }
        let at = r.below(chars.len());
        match r.below(4) {
            0 => {
                chars.remove(at);
            }
            1 => chars.insert(at, chars[at]),
            2 => {
                let other = r.below(chars.len());
                chars.swap(at, other);
            }
            _ => {
                chars[at] = r
                    .pick(&[
                        "'", "{", "}", "|", "(", "]", "\\", "\0", "é", "😀", "=", "&", "9",
                    ])
                    .chars()
                    .next()
                    .unwrap_or('x')
            }
        }
    }
    chars.into_iter().collect()
}

fn scope() -> Json {
    json!({
        "n": 3, "s": "ßtring 😀", "t": true, "nul": null, "d": "2026-01-01T00:00:00Z", "$": -0.5, "not_a": "7",
        "o": {"a": {"k": [1, {"k": 2}]}, "b": "x", "not": 1, "length": 9, "": "empty"},
        "l": [0, "1", null, [1, 2], {"a": 1.5e-9}],
    })
}

/// The tree as source again, every node in parentheses.
fn print(ast: &Ast, id: NodeId) -> String {
    let sub = |id: &NodeId| print(ast, *id);
    match &ast.get(id).expect("a node of this tree").kind {
        NodeKind::Null => "null".to_owned(),
        NodeKind::Bool(b) => b.to_string(),
        NodeKind::Number(n) => n.to_string(),
        NodeKind::String(s) => format!("'{}'", s.replace('\\', "\\\\").replace('\'', "\\'")),
        NodeKind::Identifier(name) => name.clone(),
        NodeKind::Member { object, name, .. } => format!("({}).{name}", sub(object)),
        NodeKind::Index { object, index } => format!("({})[{}]", sub(object), sub(index)),
        NodeKind::Not(operand) => format!("(!{})", sub(operand)),
        NodeKind::Negate(operand) => format!("(-{})", sub(operand)),
        NodeKind::Binary {
            operator,
            left,
            right,
        } => format!("({} {} {})", sub(left), operator.symbol(), sub(right)),
        NodeKind::Conditional {
            test,
            then,
            otherwise,
        } => format!("({} ? {} : {})", sub(test), sub(then), sub(otherwise)),
        NodeKind::Filter {
            input, name, args, ..
        } => {
            let args: Vec<String> = args.iter().map(sub).collect();
            format!("({} | {name}({}))", sub(input), args.join(", "))
        }
    }
}

fn shown(result: Result<Value<'_>, Error>) -> Result<Option<Json>, &'static str> {
    result
        .map(Value::into_json)
        .map_err(|error| error.detail.name())
}

/// Everything that must hold of a source, whatever it is.
fn check(source: &str, scope: &Json, env: &Env<'_>) {
    match Expression::parse(source) {
        Err(error) => check_error(source, &error),
        Ok(program) => {
            let value = shown(program.evaluate(scope, env));
            let ast = program.ast();
            assert_eq!(ast.roots().len(), 1);
            for (id, node) in ast.nodes() {
                assert!(
                    source
                        .get(node.span.start as usize..node.span.end as usize)
                        .is_some_and(|s| !s.is_empty())
                );
                assert!(
                    ast.children(id).iter().all(|child| *child < id),
                    "children precede their parents"
                );
            }
            let again =
                Expression::parse(&print(&ast, ast.roots()[0])).expect("a printed tree parses");
            assert_eq!(
                shown(again.evaluate(scope, env)),
                value,
                "the printed tree means the same"
            );
            let part = program.part(ast.roots()[0]).expect("the root is a part");
            assert_eq!(shown(part.evaluate(scope, env)), value);
            if let Err(error) = program.evaluate(scope, &env.strict()) {
                check_error(source, &error);
            }
            for reference in ast.references() {
                assert!(reference.span.text(source).contains(reference.root));
            }
        }
    }
    match Template::parse(source) {
        Err(error) => check_error(source, &error),
        Ok(template) => {
            if let Err(error) = template.render(scope, env) {
                check_error(source, &error);
            }
            let _ = template.render(scope, &env.strict());
            assert_eq!(template.is_literal(), template.ast().roots().is_empty());
        }
    }
}

fn check_error(source: &str, error: &Error) {
    assert_eq!(error.source, source);
    assert!(error.span.start <= error.span.end && error.span.end as usize <= source.len());
    assert!(
        source.is_char_boundary(error.span.start as usize)
            && source.is_char_boundary(error.span.end as usize)
    );
    assert!(
        error.range.start <= error.range.end
            && error.kind == error.detail.kind()
            && !error.message.is_empty()
    );
    let line = source
        .split('\n')
        .nth(error.range.start.line as usize - 1)
        .expect("the line exists");
    assert!(error.range.start.column as usize <= line.encode_utf16().count() + 1);
}

#[test]
fn template_12_3_no_source_breaks_the_engine() {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse().ok());
    let rounds = number("SIGNALBOX_FUZZ_ITERATIONS").unwrap_or(ROUNDS);
    // What hash maps take against attackers is random enough.
    let random = || RandomState::new().build_hasher().finish();
    let seed = number("SIGNALBOX_FUZZ_SEED").unwrap_or_else(random);
    println!("SIGNALBOX_FUZZ_SEED={seed} repeats this run");
    let filters = Filters::default();
    let env = env_at(&filters, NOW);
    let scope = scope();
    let mut random = Random(seed);
    let mut parsed = 0;
    for round in 0..rounds {
        let depth = 1 + random.below(4);
        let source = if round % 3 == 0 {
            template(&mut random)
        } else {
            expression(&mut random, depth)
        };
        let source = if round % 2 == 0 {
            source
        } else {
            damage(&mut random, &source)
        };
        parsed += u64::from(Expression::parse(&source).is_ok());
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            check(&source, &scope, &env)
        }));
        assert!(
            outcome.is_ok(),
            "SIGNALBOX_FUZZ_SEED={seed}: round {round} broke on {source:?}"
        );
    }
    assert!(
        parsed * 10 > rounds * 3,
        "the generator makes sense often enough: {parsed} of {rounds} with the seed {seed}"
    );
}
