//! Save-time checks of assertions (`healthcheck §4.5`).

use super::{Assertion, Field, FieldKind, WITHOUT_VALUE, decide, operators};
use serde_json::Value;

/// Everything wrong with an assertion: name of the offending key, and what to write instead.
pub fn check(assertion: &Assertion, fields: &[Field]) -> Vec<(&'static str, String)> {
    let Some(field) = fields.iter().find(|f| f.name == assertion.field) else {
        let known: Vec<&str> = fields.iter().map(|f| f.name).collect();
        return vec![(
            "field",
            format!(
                "unknown result field {:?}; the collector gives {}",
                assertion.field,
                known.join(", ")
            ),
        )];
    };
    let mut errors = Vec::new();
    if let Some(path) = &assertion.json_path {
        if field.kind != FieldKind::JsonText {
            errors.push((
                "jsonPath",
                format!("{} is not a JSON text; remove jsonPath", field.name),
            ));
            return errors;
        }
        if let Err(error) = serde_json_path::JsonPath::parse(path) {
            errors.push(("jsonPath", format!("not a JSON path (RFC 9535): {error}")));
        }
    }
    let operator = assertion.operator.as_str();
    let allowed = operators(field.kind, assertion.json_path.is_some());
    if !allowed.contains(&operator) {
        errors.push((
            "operator",
            format!(
                "operator {operator:?} does not fit {}; use one of {}",
                field.name,
                allowed.join(", ")
            ),
        ));
        return errors;
    }
    if WITHOUT_VALUE.contains(&operator) {
        return errors;
    }
    match &assertion.value {
        None | Some(Value::Null) => {
            errors.push(("value", format!("operator {operator} needs a value")));
        }
        Some(value) => {
            if let Err(message) = value_fits(operator, field, assertion, value) {
                errors.push(("value", message));
            }
        }
    }
    errors
}

fn value_fits(
    operator: &str,
    field: &Field,
    assertion: &Assertion,
    value: &Value,
) -> Result<(), String> {
    let numeric_field = matches!(field.kind, FieldKind::Number | FieldKind::Duration);
    let wants_number = numeric_field
        || matches!(
            operator,
            "lessThan"
                | "lessThanOrEqual"
                | "greaterThan"
                | "greaterThanOrEqual"
                | "lengthEquals"
                | "lengthGreaterThan"
                | "lengthLessThan"
        );
    if wants_number {
        return match decide::number(value) {
            Some(_) => Ok(()),
            None => Err(format!("operator {operator} needs a number, not {value}")),
        };
    }
    if operator == "matches" {
        let Some(pattern) = value.as_str() else {
            return Err("operator matches needs a pattern as text".into());
        };
        return match regex::Regex::new(pattern) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("not a valid pattern: {error}")),
        };
    }
    // Under a JSON path `equals` may be compared with any JSON value.
    if assertion.json_path.is_none() && (value.is_object() || value.is_array()) {
        return Err(format!("operator {operator} needs a text or a number"));
    }
    Ok(())
}
