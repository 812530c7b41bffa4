//! What a measured phase costs beside time: processor, commits, bytes written.

use crate::{
    database::{Counters, Scratch},
    report::Figure,
    statements, usage,
};
use anyhow::Result;
use std::{future::Future, time::Duration};

/// What one or more phases used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    /// Processor time of this process: the engine's, and that of the benchmark's own clients.
    pub cpu: Duration,
    /// What the database did.
    pub database: Counters,
}

impl Used {
    /// Adds another phase.
    pub fn add(&mut self, other: Used) {
        self.cpu += other.cpu;
        self.database.add(other.database);
    }

    /// Figures per piece of work, such as a `run`.
    pub fn per(&self, piece: &str, pieces: u64) -> Vec<Figure> {
        let each = |total: f64| total / pieces.max(1) as f64;
        let mut figures = vec![
            Figure::new(
                format!("cpu per {piece}"),
                each(self.cpu.as_secs_f64() * 1e3),
                "ms",
            ),
            Figure::new(
                format!("commits per {piece}"),
                each(self.database.commits as f64),
                "",
            ),
            Figure::new(
                format!("written per {piece}"),
                each(self.database.written as f64 / 1e3),
                "kB",
            ),
        ];
        if let Some(server) = self.database.server {
            let per = each(server.as_secs_f64() * 1e3);
            figures.push(Figure::new(format!("server cpu per {piece}"), per, "ms"));
        }
        figures
    }
}

/// Runs a phase and answers what it used.
///
/// # Errors
/// Those of the phase, or when the counters cannot be read.
pub async fn metered<T>(
    scratch: &Scratch,
    phase: impl Future<Output = Result<T>>,
) -> Result<(T, Used)> {
    let database = scratch.counters().await?;
    let cpu = usage::cpu()?;
    let done = phase.await?;
    let used = Used {
        cpu: usage::cpu()?.saturating_sub(cpu),
        database: scratch.counters().await?.since(database),
    };
    Ok((done, used))
}

/// Runs a phase whose statements are counted; answers how many there were for each piece it did.
///
/// # Errors
/// Those of the phase.
pub async fn statements_per(
    piece: &str,
    phase: impl Future<Output = Result<u64>>,
) -> Result<Figure> {
    statements::start();
    let done = phase.await;
    let pieces = *done.as_ref().unwrap_or(&0);
    let counted = statements::stop(piece, pieces);
    let per = counted as f64 / done?.max(1) as f64;
    Ok(Figure::new(format!("statements per {piece}"), per, ""))
}
