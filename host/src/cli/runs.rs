//! `signalbox runs`.

use super::{
    args::{RunsAction, RunsArgs},
    automations, print,
};
use crate::{client::Client, settings::Remote};
use anyhow::bail;
use reqwest::Method;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Lists, shows, cancels.
pub async fn run(args: RunsArgs) -> anyhow::Result<ExitCode> {
    let client = Client::new(&Remote::load(&args.remote)?)?;
    match args.action {
        None => {
            if !(1..=200).contains(&args.limit) {
                bail!("--limit must be a whole number from 1 to 200");
            }
            let mut path = format!("/runs?limit={}", args.limit);
            if let Some(s) = &args.status {
                path.push_str(&format!("&status={s}"));
            }
            if let Some(a) = &args.automation {
                path.push_str(&format!(
                    "&automation_id={}",
                    automations::find(&client, a).await?
                ));
            }
            let page = client.get(&path).await?;
            if args.remote.json {
                println!("{page}");
            } else {
                let names = names(&client).await?;
                let rows: Vec<_> = page["items"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|r| row(r, &names))
                    .collect();
                print::table(
                    &["RUN", "AUTOMATION", "CONTEXT", "STATUS", "STARTED", "WHY"],
                    &rows,
                );
            }
        }
        Some(RunsAction::Show { id }) => {
            let run = client.get(&format!("/runs/{id}")).await?;
            let logs = client.all(&format!("/runs/{id}/logs")).await?;
            if args.remote.json {
                println!("{}", json!({"run": run, "logs": logs}));
            } else {
                show(&run, &logs);
            }
        }
        Some(RunsAction::Cancel { id, reason }) => {
            let run = client
                .call(
                    Method::POST,
                    &format!("/runs/{id}/cancel"),
                    Some(&reason.map_or(json!({}), |r| json!({"reason": r}))),
                )
                .await?;
            println!("Run {id} is {}.", text(&run, "status"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn text<'v>(v: &'v Value, key: &str) -> &'v str {
    v[key].as_str().unwrap_or("")
}

async fn names(client: &Client) -> anyhow::Result<Vec<(String, String)>> {
    Ok(client
        .all("/automations")
        .await?
        .iter()
        .map(|a| (text(a, "id").to_owned(), text(a, "name").to_owned()))
        .collect())
}

fn row(r: &Value, names: &[(String, String)]) -> Vec<String> {
    let automation = text(r, "automation_id");
    let name = names
        .iter()
        .find(|(id, _)| id == automation)
        .map_or(automation, |(_, n)| n);
    vec![
        text(r, "id").to_owned(),
        name.to_owned(),
        text(r, "context_key").to_owned(),
        text(r, "status").to_owned(),
        print::time(&r["started_at"]),
        text(r, "error_message").to_owned(),
    ]
}

fn show(run: &Value, logs: &[Value]) {
    println!(
        "Run {} of automation {}",
        text(run, "id"),
        text(run, "automation_id")
    );
    println!(
        "  status   {} {}",
        text(run, "status"),
        text(run, "error_message")
    );
    println!(
        "  trigger  {} ({})",
        text(run, "trigger_id"),
        text(run, "trigger_event_id")
    );
    println!("  context  {}", text(run, "context_key"));
    println!(
        "  started  {}   finished {}\n",
        print::time(&run["started_at"]),
        print::time(&run["finished_at"])
    );
    let steps: Vec<_> = run["steps"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|s| {
            let what = s["provider_action_id"]
                .as_str()
                .unwrap_or_else(|| text(s, "action_kind"));
            vec![
                text(s, "action_path").to_owned(),
                what.to_owned(),
                text(s, "status").to_owned(),
                print::time(&s["started_at"]),
                text(s, "error_message").to_owned(),
            ]
        })
        .collect();
    print::table(&["STEP", "WHAT", "STATUS", "STARTED", "ERROR"], &steps);
    for a in run["artifacts"].as_array().into_iter().flatten() {
        println!(
            "\nartifact {} of {}: {}",
            text(a, "artifact_type"),
            text(a, "action_id"),
            a["data"]
        );
    }
    if !logs.is_empty() {
        println!();
    }
    for l in logs {
        println!(
            "{}  {:<5}  {}",
            print::time(&l["at"]),
            text(l, "level"),
            text(l, "message")
        );
    }
}
