//! Short forms the tests are written in.

use serde_json::Value as Json;
use template_engine::{Env, Error, Expression, Filters, Template};

/// The instant the recorded cases use unless they say otherwise.
pub const NOW: &str = "2026-01-15T12:00:00.000Z";

/// An environment at an instant.
pub fn env_at<'e>(filters: &'e Filters, now: &str) -> Env<'e> {
    Env::new(filters, now.parse().expect("an instant"))
}

/// The value of an expression; `None` is Undefined.
pub fn try_eval(source: &str, scope: &Json) -> Result<Option<Json>, Error> {
    let filters = Filters::default();
    Expression::parse(source)?
        .evaluate(scope, &env_at(&filters, NOW))
        .map(|value| value.into_json())
}

/// As [`try_eval`], for sources that must work.
pub fn eval(source: &str, scope: Json) -> Option<Json> {
    try_eval(source, &scope).unwrap_or_else(|error| panic!("{source}: {error}"))
}

/// The text of a template that must work.
pub fn render(source: &str, scope: Json) -> String {
    let filters = Filters::default();
    let rendered = Template::parse(source).and_then(|t| t.render(&scope, &env_at(&filters, NOW)));
    rendered.unwrap_or_else(|error| panic!("{source}: {error}"))
}

/// `detail line:column` of the error a source gives, in an empty scope.
pub fn expression_error(source: &str) -> String {
    place(&try_eval(source, &Json::Null).expect_err(source))
}

/// `detail line:column`.
pub fn place(error: &Error) -> String {
    let start = error.range.start;
    format!("{} {}:{}", error.detail, start.line, start.column)
}
