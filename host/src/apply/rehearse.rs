//! Trying a plan: every request once as a dry run, before the first one is made for good.
//!
//! The server runs the very handler of the request and rolls back what it wrote. So whatever would
//! stop `apply` in the middle stops it here, when nothing has been written, and is told with the
//! place in the document that it comes from.

use super::{
    Answer, Api, assignments,
    check::{Checked, in_spec, intern, of_issue},
    document::{Document, DocumentKind},
    plan::{Change, Plan},
};
use automation_core::diagnostic::{Diagnostic, Diagnostics, Path};
use serde_json::Value;

/// Tries every request of a plan; refusals become findings about their documents.
///
/// # Errors
/// When the API cannot be asked, fails, or lets nobody in.
pub async fn rehearse(api: &dyn Api, checked: &mut Checked, plan: &Plan) -> anyhow::Result<()> {
    for change in &plan.changes {
        let Some(answer) = change.send(api, true).await? else {
            continue;
        };
        // Tried alone, a request does not see what those before it would have created; what else
        // there is to say about it the API says first.
        if answer.status.is_success() || (answer.status == 404 && change.after_create) {
            continue;
        }
        let (source, document) = change.place;
        let d = &checked.sources[source].documents[document];
        let found = refusal(change, d, answer)?;
        checked.add(change.place, found);
    }
    Ok(())
}

fn refusal(change: &Change, d: &Document, answer: Answer) -> anyhow::Result<Diagnostics> {
    if !matches!(answer.status.as_u16(), 400 | 404 | 409 | 412 | 413 | 422) {
        answer.ok()?;
        return Ok(Diagnostics::new());
    }
    let problem = &answer.body;
    let list = |key: &str| problem[key].as_array().map_or(&[][..], Vec::as_slice);
    let mut found: Diagnostics = list("issues").iter().map(|i| of_issue(i, d)).collect();
    for e in list("errors") {
        let message = e["message"].as_str().unwrap_or("not valid");
        let pointer = e["pointer"].as_str().unwrap_or("");
        let (path, message) = place(change, d, pointer, message);
        let code = intern(e["code"].as_str().unwrap_or("invalid"));
        found.push(Diagnostic::error(code, path, message));
    }
    if found.is_empty() {
        let detail = problem["detail"].as_str().unwrap_or("the server refused");
        let code = problem["code"].as_str().unwrap_or("refused");
        found.push(match (code, change.entry) {
            ("already_exists", _) => Diagnostic::error("name_taken", d.display_name_at(), detail)
                .help("choose another title, or rename the other one in an apply of its own first"),
            (code, Some(entry)) => {
                Diagnostic::error(intern(code), assignments::entry_at(entry), detail)
            }
            (code, None) => Diagnostic::error(
                intern(code),
                vec!["metadata".into(), "name".into()],
                format!("{} {}: {detail}", d.kind.as_str(), d.name),
            ),
        });
    }
    Ok(found)
}

/// Where in a document the field of a request comes from, and the message about it.
fn place(change: &Change, d: &Document, pointer: &str, message: &str) -> (Path, String) {
    if let Some(entry) = change.entry {
        return assignments::in_own_words(d, entry, message);
    }
    let steps: Vec<Value> = pointer
        .split('/')
        .skip(1)
        .map(|step| {
            let step = step.replace("~1", "/").replace("~0", "~");
            match step.parse::<u64>() {
                Ok(index) => index.into(),
                Err(_) => step.into(),
            }
        })
        .collect();
    let metadata = |keys: &[&str]| -> Path {
        let keys = std::iter::once(&"metadata").chain(keys);
        keys.map(|k| (*k).into()).collect()
    };
    let first = steps.first().and_then(Value::as_str).unwrap_or("");
    let path = match (d.kind, first) {
        (_, "name") => d.display_name_at(),
        (DocumentKind::Healthcheck, _) => in_spec(d, &steps),
        (DocumentKind::Automation, "definition") => in_spec(d, &steps[1..]),
        (_, "group") => metadata(&["labels", "group"]),
        (_, "status") => metadata(&["labels", "enabled"]),
        (_, "description") => metadata(&["description"]),
        _ => metadata(&["name"]),
    };
    (path, message.to_owned())
}
