//! `signalbox runs`.

use super::{
    args::{RunsAction, RunsArgs},
    automations, print,
};
use crate::{client::Client, settings::Remote};
use anyhow::bail;
use plugin_api::Ts;
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
                let path = format!("/automations/{}", text(&run, "automation_id"));
                let automation = client.find(&path).await?.unwrap_or_default();
                show(&run, &automation, &logs);
            }
        }
        Some(RunsAction::Cancel { id, reason }) => {
            let path = format!("/runs/{id}");
            let before = client.get(&path).await?;
            let reason = reason.map_or(json!({}), |r| json!({"reason": r}));
            let run = client
                .call(Method::POST, &format!("{path}/cancel"), Some(&reason))
                .await?;
            let status = text(&run, "status");
            match before["finished_at"].is_null() && status == "cancelled" {
                true => println!("Run {id} is cancelled."),
                false => println!("Run {id} had already ended: {status}."),
            }
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
        failure(r),
    ]
}

/// What a run or step ended with: `wait_timeout: no resolution within an hour`.
fn failure(v: &Value) -> String {
    let parts = [text(v, "error_code"), text(v, "error_message")];
    let parts: Vec<&str> = parts.into_iter().filter(|p| !p.is_empty()).collect();
    parts.join(": ")
}

/// What a waiting step waits for, and until when; nothing for a container, whose steps tell it.
fn awaited(step: &Value, run: &Value, automation: &Value) -> String {
    let info = &step["result_payload"];
    if let Some(seconds) = info["sleepSeconds"].as_i64() {
        let end = Ts::parse(text(step, "started_at")).map(|at| at.plus_millis(seconds * 1000));
        return format!("waits until {}", print::time(&json!(end.map(Ts::to_text))));
    }
    if let Some(last) = info["attempts"].as_array().and_then(|a| a.last()) {
        let at = print::time(&last["retryAt"]);
        return format!("is tried again at {at}, after: {}", text(last, "error"));
    }
    let what = if let Some(event) = info["event"].as_str() {
        let key = info["contextKey"].as_str();
        format!(
            "{event}{}",
            key.map_or(String::new(), |k| format!(" for {k}"))
        )
    } else if let Some(refs) = info["wakeRefs"].as_array() {
        // Another version of the definition may say something else there.
        let is_same = automation["definition_version"] == run["definition_version"];
        let action = written(&automation["definition"], text(step, "action_path"));
        let condition = action.map(|a| &a["wait_until"]["condition"]);
        match condition.filter(|c| is_same && !c.is_null()) {
            Some(Value::String(expression)) => expression.clone(),
            Some(condition) => condition.to_string(),
            None => {
                let refs: Vec<&str> = refs.iter().filter_map(Value::as_str).collect();
                format!("its condition about {}", refs.join(", "))
            }
        }
    } else {
        return String::new();
    };
    match info["timeoutAt"].is_null() {
        true => format!("waits for {what}, without a timeout"),
        false => format!(
            "waits for {what}, until {}",
            print::time(&info["timeoutAt"])
        ),
    }
}

/// The action of a definition at the path of a step.
fn written<'v>(definition: &'v Value, path: &str) -> Option<&'v Value> {
    let path = path.replace('[', ".").replace(']', "");
    let mut parts = path.split('.');
    let mut at = definition;
    while let Some(part) = parts.next() {
        at = below(at, part)?;
        match part {
            // The number of a pass is not written, and a branch is no list.
            "repeat" => drop(parts.next()),
            "parallel" => {
                at = below(at, parts.next()?)?;
                parts.next();
            }
            _ => {}
        }
    }
    Some(at)
}

fn below<'v>(at: &'v Value, part: &str) -> Option<&'v Value> {
    match part.parse::<usize>() {
        Ok(index) => at.get(index),
        Err(_) => at.get(part),
    }
}

fn show(run: &Value, automation: &Value, logs: &[Value]) {
    println!(
        "Run {} of {} (automation {})",
        text(run, "id"),
        text(automation, "name"),
        text(run, "automation_id")
    );
    println!("  status   {} {}", text(run, "status"), failure(run));
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
            let told = match text(s, "status") {
                "waiting" => awaited(s, run, automation),
                _ => failure(s),
            };
            vec![
                text(s, "action_path").to_owned(),
                what.to_owned(),
                text(s, "status").to_owned(),
                print::time(&s["started_at"]),
                told,
            ]
        })
        .collect();
    print::table(&["STEP", "WHAT", "STATUS", "STARTED", "DETAIL"], &steps);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_tells_what_it_waits_for_and_until_when() {
        let run = json!({"definition_version": 3});
        let automation = json!({"definition_version": 3, "definition": {"actions": [
            {"repeat": {"count": 2, "sequence": [{"parallel": [
                {"wait_until": {"condition": "health.system.status == 'healthy'"}},
                {"sequence": [{"wait_until": {"condition": {"not": "a"}}}]},
            ]}]}},
        ]}});
        let tell = |path: &str, info: Value| {
            let step = json!({"action_path": path, "started_at": "2026-01-15T12:00:00.000Z", "result_payload": info});
            awaited(&step, &run, &automation)
        };
        let event = json!({"event": "incident.resolved", "contextKey": "i1", "timeoutAt": "2026-01-15T13:00:00.000Z"});
        assert_eq!(
            tell("actions[1]", event),
            "waits for incident.resolved for i1, until 2026-01-15 13:00:00"
        );
        let refs = || json!({"wakeRefs": ["health:shop"]});
        let parallel = "actions[0].repeat[1].sequence[0].parallel";
        assert_eq!(
            tell(&format!("{parallel}[0][0]"), refs()),
            "waits for health.system.status == 'healthy', without a timeout"
        );
        assert_eq!(
            tell(&format!("{parallel}[1][0].sequence[0]"), refs()),
            r#"waits for {"not":"a"}, without a timeout"#
        );
        assert_eq!(
            tell("actions[7]", refs()),
            "waits for its condition about health:shop, without a timeout"
        );
        assert_eq!(
            tell("actions[1]", json!({"sleepSeconds": 90, "waitLockId": "l"})),
            "waits until 2026-01-15 12:01:30"
        );
        let tries =
            json!({"attempts": [{"error": "refused", "retryAt": "2026-01-15T12:00:10.000Z"}]});
        assert_eq!(
            tell("actions[1]", tries),
            "is tried again at 2026-01-15 12:00:10, after: refused"
        );
        assert_eq!(tell("actions[0]", Value::Null), "");
    }
}
