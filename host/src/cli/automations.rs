//! `signalbox automations`.

use super::{
    args::{AutomationsAction, AutomationsArgs},
    print,
};
use crate::{client::Client, settings::Remote};
use anyhow::{Context, bail};
use automation_core::yaml;
use reqwest::Method;
use serde_json::{Map, Value, json};
use std::process::ExitCode;

/// Lists, shows, switches, deletes, starts.
pub async fn run(args: AutomationsArgs) -> anyhow::Result<ExitCode> {
    let client = Client::new(&Remote::load(&args.remote)?)?;
    let show = |v: &Value| println!("{v}");
    match args.action {
        None => {
            let items = client.all("/automations").await?;
            if args.remote.json {
                show(&json!({"items": items}));
            } else {
                let cell = |a: &Value, k: &str| a[k].as_str().unwrap_or("").to_owned();
                let rows: Vec<_> = items
                    .iter()
                    .map(|a| {
                        vec![
                            cell(a, "id"),
                            cell(a, "name"),
                            cell(a, "status"),
                            cell(a, "group"),
                            cell(a, "health"),
                            document_of(a).unwrap_or_default().to_owned(),
                        ]
                    })
                    .collect();
                let headings = ["ID", "NAME", "STATUS", "GROUP", "HEALTH", "DOCUMENT"];
                print::table(&headings, &rows);
            }
        }
        Some(AutomationsAction::Show { automation }) => {
            let id = find(&client, &automation).await?;
            let found = client.get(&format!("/automations/{id}")).await?;
            if args.remote.json {
                show(&found);
            } else {
                print!("{}", yaml::emit(&document(&found)));
            }
        }
        Some(AutomationsAction::Enable { automation }) => {
            switch(&client, &automation, "enabled").await?
        }
        Some(AutomationsAction::Disable { automation }) => {
            switch(&client, &automation, "disabled").await?
        }
        Some(AutomationsAction::Delete { automation }) => {
            let id = find(&client, &automation).await?;
            client
                .change(Method::DELETE, &format!("/automations/{id}"), None)
                .await?;
            println!("Deleted {automation}.");
        }
        Some(AutomationsAction::Run {
            automation,
            trigger,
            payload,
            gates,
        }) => {
            let id = find(&client, &automation).await?;
            let payload: Value = serde_json::from_str(&payload).context("--payload is not JSON")?;
            let mut body = json!({"payload": payload});
            if let Some(t) = trigger {
                body["trigger_id"] = t.into();
            }
            if gates {
                body["gates"] = "all".into();
            }
            let started = client
                .call(
                    Method::POST,
                    &format!("/automations/{id}/runs"),
                    Some(&body),
                )
                .await?;
            match (
                started["run_id"].as_str(),
                started["dwell"]["fire_at"].as_str(),
            ) {
                (None, Some(at)) => println!("`for` holds it until {at}; the run starts then."),
                (run, _) => println!("Started run {}.", run.unwrap_or_default()),
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn switch(client: &Client, automation: &str, status: &str) -> anyhow::Result<()> {
    let id = find(client, automation).await?;
    client
        .change(
            Method::PATCH,
            &format!("/automations/{id}"),
            Some(json!({"status": status})),
        )
        .await?;
    println!("{automation} is {status}.");
    Ok(())
}

/// The name of the document that declares an automation, if `apply` made it.
fn document_of(automation: &Value) -> Option<&str> {
    automation["managed_by"].as_str()?.strip_prefix("apply:")
}

/// An automation as a document. Where it comes from one, applying this one changes nothing.
fn document(a: &Value) -> Value {
    let title = a["name"].as_str().unwrap_or_default();
    let name = document_of(a).map_or_else(|| document_name(title), str::to_owned);
    let mut spec = a["definition"].clone();
    // The title fills it in.
    if let Value::Object(spec) = &mut spec
        && spec.get("name") == Some(&a["name"])
    {
        spec.shift_remove("name");
    }
    let mut metadata = json!({"name": name});
    if title != name {
        metadata["title"] = title.into();
    }
    if a["description"] != spec["description"] {
        metadata["description"] = a["description"].clone();
    }
    let mut labels = Map::new();
    if let Some(group) = a.get("group") {
        labels.insert("group".into(), group.clone());
    }
    if a["status"] == "disabled" {
        labels.insert("enabled".into(), "false".into());
    }
    if !labels.is_empty() {
        metadata["labels"] = labels.into();
    }
    json!({"apiVersion": "signalbox.dev/v1", "kind": "Automation", "metadata": metadata, "spec": spec})
}

/// What a document of something with this title could be called.
fn document_name(title: &str) -> String {
    let title = title.to_lowercase();
    let words = title.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<&str> = words.filter(|w| !w.is_empty()).collect();
    let mut name = words.join("-");
    name.truncate(63);
    match name.trim_end_matches('-') {
        "" => "automation".to_owned(),
        name => name.to_owned(),
    }
}

/// The id of an automation given by id, by name or by the name of its document.
pub async fn find(client: &Client, given: &str) -> anyhow::Result<String> {
    let items = client.all("/automations").await?;
    if let Some(a) = items.iter().find(|a| a["id"] == json!(given)) {
        return Ok(a["id"].as_str().unwrap_or_default().to_owned());
    }
    let is_called = |a: &&Value| {
        let name = a["name"].as_str();
        name.is_some_and(|n| n.eq_ignore_ascii_case(given)) || document_of(a) == Some(given)
    };
    let called: Vec<&Value> = items.iter().filter(is_called).collect();
    match called.as_slice() {
        [one] => Ok(one["id"].as_str().unwrap_or_default().to_owned()),
        [] => bail!("there is no automation {given:?}; `signalbox automations` lists them"),
        _ => bail!(
            "{} automations are called {given:?}; name one by its id",
            called.len()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_automation_is_shown_as_a_document() {
        let mut a = json!({
            "name": "Say: down!", "managed_by": "apply:say-down", "status": "disabled", "group": "Ops", "description": "Says.",
            "definition": {"name": "Say: down!", "description": "Says.", "triggers": [], "actions": []},
        });
        assert_eq!(
            document(&a),
            json!({
                "apiVersion": "signalbox.dev/v1", "kind": "Automation",
                "metadata": {"name": "say-down", "title": "Say: down!", "labels": {"group": "Ops", "enabled": "false"}},
                "spec": {"description": "Says.", "triggers": [], "actions": []},
            })
        );
        a = json!({"name": "Ärger 2", "status": "enabled", "description": "Else.", "definition": {"name": "other"}});
        let shown = document(&a);
        assert_eq!(
            shown["metadata"],
            json!({"name": "rger-2", "title": "Ärger 2", "description": "Else."})
        );
        assert_eq!(shown["spec"], json!({"name": "other"}));
        assert_eq!(document_name("…"), "automation");
    }
}
