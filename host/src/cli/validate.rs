//! `signalbox validate`: everything `apply` checks, without a server. The plugins of this binary are
//! started on a scratch database, so documents meet the same code as on a server.

use super::args::ValidateArgs;
use crate::{apply, scratch};
use serde_json::json;
use std::{io::IsTerminal, process::ExitCode};

/// Checks the files; exit code 1 when there is an error.
pub async fn run(args: ValidateArgs) -> anyhow::Result<ExitCode> {
    let sources = apply::read_paths(&args.paths)?;
    let scratch = scratch::Scratch::start().await?;
    let prepared = apply::prepare(&scratch.api(), sources).await;
    scratch.stop().await;
    let (checked, _) = prepared?;
    let valid = !checked.has_errors();
    if args.json {
        let files: Vec<_> = checked
            .sources
            .iter()
            .map(|s| json!({"file": s.name, "report": s.diagnostics.report()}))
            .collect();
        println!("{}", json!({"valid": valid, "files": files}));
    } else {
        let report = checked.render(std::io::stdout().is_terminal());
        if !report.is_empty() {
            println!("{report}\n");
        }
        let documents: usize = checked.sources.iter().map(|s| s.documents.len()).sum();
        println!(
            "{} in {}: {}",
            count(documents, "document"),
            count(checked.sources.len(), "file"),
            checked.summary()
        );
    }
    Ok(if valid {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn count(n: usize, what: &str) -> String {
    if n == 1 {
        format!("1 {what}")
    } else {
        format!("{n} {what}s")
    }
}
