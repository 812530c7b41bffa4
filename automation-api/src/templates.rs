//! `/templates/render`: tries a template or condition on a context. No secrets, no live state.

use crate::Api;
use automation_core::{
    access::READ,
    definition::{Expr, ExprError},
};
use axum::{Json, extract::State};
use plugin_api::http::{ApiJson, Problem, Routes};
use serde::Deserialize;
use serde_json::{Value, json};
use template_engine::{Env, Error, Template};

pub fn routes() -> Routes<Api> {
    Routes::new().post("/templates/render", &READ, render)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Render {
    template: String,
    #[serde(default)]
    context: Value,
    mode: Option<String>,
}

/// The largest context, `api §4`.
const CONTEXT_LIMIT: usize = 256 * 1024;

async fn render(
    State(api): State<Api>,
    ApiJson(r): ApiJson<Render>,
) -> Result<Json<Value>, Problem> {
    if r.context.to_string().len() > CONTEXT_LIMIT {
        return Err(Problem::bad_parameter("context has at most 256 KiB"));
    }
    let context = if r.context.is_null() {
        json!({})
    } else {
        r.context
    };
    if !context.is_object() {
        return Err(Problem::bad_parameter("context must be an object"));
    }
    let filters = api.engine.filters();
    let env = Env::new(&filters, api.engine.clock().now().timestamp());
    let answer = match r.mode.as_deref() {
        None | Some("template") => Template::parse(&r.template)
            .and_then(|t| t.render(&context, &env))
            .map(|text| json!({"success": true, "output": text})),
        // One enclosing pair of braces is stripped here as in a definition (decision 4).
        Some("condition") => match Expr::new(r.template).parse() {
            Ok(e) => e.evaluate(&context, &env).map(|value| {
                let truth = template_engine::compare::truthy(&value);
                json!({"success": true, "boolean_result": truth, "value": value.into_json()})
            }),
            Err(ExprError::Syntax(e)) => Err(e),
            Err(e @ ExprError::Delimiters) => {
                return Ok(Json(
                    json!({"success": false, "error": {"message": e.to_string(), "line": 1, "column": 1}}),
                ));
            }
        },
        Some(_) => return Err(Problem::bad_parameter("mode must be template or condition")),
    };
    Ok(Json(answer.unwrap_or_else(|e| failure(&e))))
}

fn failure(e: &Error) -> Value {
    json!({"success": false, "error": {"message": e.message, "line": e.range.start.line, "column": e.range.start.column}})
}
