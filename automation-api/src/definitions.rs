//! `/definitions/validate` and `/definitions/normalize`.

use crate::{
    Api,
    bodies::{self, YamlOrJson},
    problems::invalid_definition,
};
use automation_core::{access::READ, definition::Definition, store::Source, yaml};
use axum::{Json, extract::State};
use plugin_api::http::{Problem, Routes};
use serde::Deserialize;
use serde_json::{Value, json};

pub fn routes() -> Routes<Api> {
    Routes::new()
        .post("/definitions/validate", &READ, validate)
        .post("/definitions/normalize", &READ, normalize)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    definition: Value,
}

fn source(body: YamlOrJson<Body>) -> Result<Source, Problem> {
    match body {
        YamlOrJson::Yaml(text) => Ok(Source::Text(text)),
        YamlOrJson::Json(b) => bodies::source(b.definition),
    }
}

/// Never 422: a document that does not parse is an answer too.
async fn validate(State(api): State<Api>, body: YamlOrJson<Body>) -> Result<Json<Value>, Problem> {
    let v = api.engine.automations().validate(&source(body)?);
    let mut answer = json!(v.issues.report());
    if let Some(d) = &v.definition {
        answer["normalized"] = d.to_value();
    }
    Ok(Json(answer))
}

async fn normalize(State(api): State<Api>, body: YamlOrJson<Body>) -> Result<Json<Value>, Problem> {
    let v = api.engine.automations().validate(&source(body)?);
    let Some(definition) = v.definition.as_ref().map(Definition::to_value) else {
        return Err(invalid_definition(&v.issues));
    };
    Ok(Json(
        json!({"yaml": yaml::emit(&definition), "definition": definition}),
    ))
}
