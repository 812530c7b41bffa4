//! `signalbox status`.

use super::{args::RemoteArgs, print};
use crate::{client::Client, settings::Remote};
use std::process::ExitCode;

/// Shows readiness and the loops; exit code 1 when the server is not ready.
pub async fn run(args: RemoteArgs) -> anyhow::Result<ExitCode> {
    let remote = Remote::load(&args)?;
    let client = Client::new(&remote)?;
    let (ready, probes) = client.readiness().await?;
    let status = client.get("/status").await?;
    if args.json {
        println!(
            "{}",
            serde_json::json!({"ready": ready, "readiness": probes, "status": status})
        );
    } else {
        println!(
            "{} is {}",
            remote.server,
            if ready { "ready" } else { "not ready" }
        );
        let rows: Vec<Vec<String>> = probes["probes"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|p| {
                let ok = if p["ok"] == true { "ok" } else { "not ok" };
                vec![
                    p["name"].as_str().unwrap_or("").into(),
                    ok.into(),
                    p["message"].as_str().unwrap_or("").into(),
                ]
            })
            .collect();
        print::table(&["PROBE", "STATE", "MESSAGE"], &rows);
        println!();
        let rows: Vec<Vec<String>> = status["loops"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|l| {
                vec![
                    print::shortened(l["name"].as_str().unwrap_or(""), 60),
                    print::time(&l["last_pass"]),
                    l["backlog"]
                        .as_u64()
                        .map(|b| b.to_string())
                        .unwrap_or_default(),
                    l["last_error"]["message"].as_str().unwrap_or("").into(),
                ]
            })
            .collect();
        print::table(&["LOOP", "LAST PASS", "BACKLOG", "LAST ERROR"], &rows);
    }
    Ok(if ready {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
