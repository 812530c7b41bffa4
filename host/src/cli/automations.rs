//! `signalbox automations`.

use super::{
    args::{AutomationsAction, AutomationsArgs},
    print,
};
use crate::{client::Client, settings::Remote};
use anyhow::{Context, bail};
use reqwest::Method;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Lists, shows, switches, deletes, starts.
pub async fn run(args: AutomationsArgs) -> anyhow::Result<ExitCode> {
    let client = Client::new(&Remote::load(&args.remote)?)?;
    let show = |v: &Value| println!("{v}");
    match args.action {
        None => {
            let items = client.all("/automations").await?;
            if args.remote.json {
                show(&json!(items));
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
                        ]
                    })
                    .collect();
                print::table(&["ID", "NAME", "STATUS", "GROUP", "HEALTH"], &rows);
            }
        }
        Some(AutomationsAction::Show { automation }) => {
            let id = find(&client, &automation).await?;
            if args.remote.json {
                show(&client.get(&format!("/automations/{id}")).await?);
            } else {
                print!(
                    "{}",
                    client
                        .text(&format!("/automations/{id}/definition"), "application/yaml")
                        .await?
                );
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
        }) => {
            let id = find(&client, &automation).await?;
            let payload: Value = serde_json::from_str(&payload).context("--payload is not JSON")?;
            let mut body = json!({"payload": payload});
            if let Some(t) = trigger {
                body["trigger_id"] = t.into();
            }
            let run = client
                .call(
                    Method::POST,
                    &format!("/automations/{id}/runs"),
                    Some(&body),
                )
                .await?;
            println!("Started run {}.", run["run_id"].as_str().unwrap_or(""));
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

/// The id of an automation given by id or by name.
pub async fn find(client: &Client, given: &str) -> anyhow::Result<String> {
    let items = client.all("/automations").await?;
    if let Some(a) = items.iter().find(|a| a["id"] == json!(given)) {
        return Ok(a["id"].as_str().unwrap_or_default().to_owned());
    }
    let named: Vec<&Value> = items
        .iter()
        .filter(|a| {
            a["name"]
                .as_str()
                .is_some_and(|n| n.eq_ignore_ascii_case(given))
        })
        .collect();
    match named.as_slice() {
        [one] => Ok(one["id"].as_str().unwrap_or_default().to_owned()),
        [] => bail!("there is no automation {given:?}; `signalbox automations` lists them"),
        _ => bail!(
            "{} automations are called {given:?}; name one by its id",
            named.len()
        ),
    }
}
