//! `signalbox eval`: the expression language on the command line. Never strips braces (decision 4).

use super::args::EvalArgs;
use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::{
    io::{BufRead, Write},
    process::ExitCode,
};
use template_engine::{Env, Error, Expression, Filters, Template, condition::Condition};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    id: Value,
    mode: String,
    source: Value,
    #[serde(default)]
    scope: Value,
    now: Option<String>,
    #[serde(default)]
    strict: bool,
}

/// Why there is no value.
enum Failure {
    /// The language says so, at a position of the source.
    Language(Error),
    /// The request itself is wrong.
    Request(String),
}

/// Evaluates one source, or answers requests line by line.
pub fn run(args: &EvalArgs) -> anyhow::Result<ExitCode> {
    let filters = Filters::default();
    if args.jsonl {
        return lines(&filters);
    }
    let scope = read_scope(&args.scope)?;
    let request = Request {
        id: Value::Null,
        mode: args.mode.clone(),
        source: Value::from(args.source.clone().unwrap_or_default()),
        scope,
        now: args.now.clone(),
        strict: args.strict,
    };
    match evaluate(&request, &filters) {
        Ok(Some(Value::String(text))) if request.mode == "template" => println!("{text}"),
        Ok(Some(value)) => println!("{value}"),
        Ok(None) => println!("undefined"),
        Err(Failure::Request(reason)) => bail!(reason),
        Err(Failure::Language(error)) => {
            eprint!("{}", render(&error));
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn read_scope(text: &str) -> anyhow::Result<Value> {
    let (text, from) = match text.strip_prefix('@') {
        Some(path) => (
            std::fs::read_to_string(path)
                .with_context(|| format!("cannot read the scope file {path}"))?,
            path.to_owned(),
        ),
        None => (text.to_owned(), "--scope".to_owned()),
    };
    let scope: Value =
        serde_json::from_str(&text).with_context(|| format!("{from} is not JSON"))?;
    if !scope.is_object() {
        bail!("{from} must be a JSON object such as {{\"trigger\": {{}}}}");
    }
    Ok(scope)
}

fn lines(filters: &Filters) -> anyhow::Result<ExitCode> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut input = std::io::stdin().lock();
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = input.read_until(b'\n', &mut line);
        if read.context("standard input cannot be read")? == 0 {
            return Ok(ExitCode::SUCCESS);
        }
        if let Some(answer) = answer_bytes(&line, filters) {
            writeln!(out, "{answer}")?;
            out.flush()?;
        }
    }
}

/// The answer to a line, however broken it is; none to a blank one.
fn answer_bytes(line: &[u8], filters: &Filters) -> Option<Value> {
    match std::str::from_utf8(line) {
        Ok(text) if text.trim().is_empty() => None,
        Ok(text) => Some(answer(text, filters)),
        Err(e) => {
            let column = String::from_utf8_lossy(&line[..e.valid_up_to()])
                .chars()
                .count()
                + 1;
            Some(
                json!({"id": null, "error": {"kind": "request", "line": 1, "column": column, "message": "the line is not UTF-8"}}),
            )
        }
    }
}

/// One answer: `id` and exactly one of `result`, `undefined`, `error`.
fn answer(line: &str, filters: &Filters) -> Value {
    let request: Request = match serde_json::from_str(line) {
        Ok(r) => r,
        Err(e) => {
            let id = serde_json::from_str::<Map<String, Value>>(line)
                .ok()
                .and_then(|m| m.get("id").cloned())
                .unwrap_or(Value::Null);
            return json!({"id": id, "error": {"kind": "request", "line": 1, "column": e.column().max(1), "message": e.to_string()}});
        }
    };
    match evaluate(&request, filters) {
        Ok(Some(value)) => json!({"id": request.id, "result": value}),
        Ok(None) => json!({"id": request.id, "undefined": true}),
        Err(Failure::Language(e)) => json!({"id": request.id, "error": {
            "kind": e.kind.name(), "line": e.range.start.line, "column": e.range.start.column, "detail": e.detail.name(), "message": e.message,
        }}),
        Err(Failure::Request(message)) => {
            json!({"id": request.id, "error": {"kind": "request", "line": 1, "column": 1, "message": message}})
        }
    }
}

fn evaluate(r: &Request, filters: &Filters) -> Result<Option<Value>, Failure> {
    let now = match &r.now {
        Some(text) => text.parse().map_err(|_| {
            Failure::Request(format!("now must be an RFC 3339 instant, not {text:?}"))
        })?,
        None => plugin_api::Clock::now(&*plugin_api::SystemClock::new()).timestamp(),
    };
    let env = Env::new(filters, now);
    let env = if r.strict { env.strict() } else { env };
    let empty = json!({});
    let scope = match &r.scope {
        Value::Null => &empty,
        Value::Object(_) => &r.scope,
        _ => return Err(Failure::Request("scope must be an object".into())),
    };
    let text = || {
        r.source
            .as_str()
            .ok_or_else(|| Failure::Request("source must be a text in this mode".into()))
    };
    match r.mode.as_str() {
        "template" => Template::parse(text()?)
            .and_then(|t| t.render(scope, &env))
            .map(|t| Some(Value::from(t)))
            .map_err(Failure::Language),
        "expression" => Expression::parse(text()?)
            .and_then(|e| e.evaluate(scope, &env).map(|v| v.into_json()))
            .map_err(Failure::Language),
        "condition" => {
            let condition =
                Condition::parse(&r.source).map_err(|e| Failure::Request(e.to_string()))?;
            condition
                .test(scope, &env)
                .map(|b| Some(Value::from(b)))
                .map_err(Failure::Language)
        }
        other => Err(Failure::Request(format!(
            "mode must be expression, template or condition, not {other:?}"
        ))),
    }
}

/// The error under its source line, with a mark at the column.
fn render(e: &Error) -> String {
    let at = e.range.start;
    let line = e
        .source
        .lines()
        .nth(at.line.saturating_sub(1) as usize)
        .unwrap_or("");
    let pad: String = line
        .chars()
        .take(at.column.saturating_sub(1) as usize)
        .map(|c| if c == '\t' { '\t' } else { ' ' })
        .collect();
    format!(
        "error[{}]: {}\n --> line {}, column {}\n  | {line}\n  | {pad}^\n",
        e.detail.name(),
        e.message,
        at.line,
        at.column
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_exactly_one_of_result_undefined_error() {
        let filters = Filters::default();
        let ask = |line: &str| answer(line, &filters);
        assert_eq!(
            ask(r#"{"id":1,"mode":"expression","source":"a + 1","scope":{"a":1}}"#),
            json!({"id":1,"result":2})
        );
        assert_eq!(
            ask(r#"{"id":2,"mode":"expression","source":"b","scope":{}}"#),
            json!({"id":2,"undefined":true})
        );
        let e = ask(r#"{"id":3,"mode":"expression","source":"a ==","scope":{}}"#);
        assert_eq!(
            (
                &e["error"]["kind"],
                &e["error"]["line"],
                &e["error"]["column"]
            ),
            (&json!("parse"), &json!(1), &json!(5))
        );
        assert_eq!(
            ask(r#"{"id":4,"mode":"condition","source":{"not":"a"},"scope":{"a":0}}"#),
            json!({"id":4,"result":true})
        );
        assert_eq!(
            ask(r#"{"id":5,"mode":"guess","source":"a"}"#)["error"]["kind"],
            json!("request")
        );
    }

    #[test]
    fn a_broken_request_is_answered_and_the_next_line_too() {
        let filters = Filters::default();
        let ask = |line: &[u8]| answer_bytes(line, &filters);
        let broken = ask(b"{\"id\":1,\"source\":\"\xff\"}\n").expect("an answer");
        assert_eq!(
            (&broken["id"], &broken["error"]["column"]),
            (&json!(null), &json!(19))
        );
        assert_eq!(ask(b"  \r\n"), None);
        for scope in ["[1]", "\"text\"", "5"] {
            let line =
                format!("{{\"id\":1,\"mode\":\"expression\",\"source\":\"a\",\"scope\":{scope}}}");
            let answer = ask(line.as_bytes()).expect("an answer");
            assert_eq!(
                (&answer["id"], &answer["error"]["message"]),
                (&json!(1), &json!("scope must be an object"))
            );
        }
    }

    #[test]
    fn an_expression_in_braces_is_an_error_at_the_first_brace() {
        let e = answer(
            r#"{"id":1,"mode":"expression","source":"{{ a }}","scope":{}}"#,
            &Filters::default(),
        );
        assert_eq!(e["error"]["column"], json!(1));
    }
}
