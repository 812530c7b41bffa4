//! Putting work on a system, in two ways.
//!
//! [Closed](closed): so many clients, each of which begins the next piece when its last is finished. It finds what the
//! system sustains. [Open](open): pieces begin at a rate, whether earlier ones are finished or not, as the world outside
//! does. It finds how long a piece takes when the system is not the one that sets the pace.

use crate::{
    samples::Samples,
    stopwatch::{Moment, pause_until},
};
use anyhow::Result;
use std::{future::Future, sync::Arc, time::Duration};

/// Pieces of work, and the time they took together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rate {
    /// How many were finished.
    pub done: u64,
    /// From the first one's begin to the last one's end.
    pub time: Duration,
}

impl Rate {
    /// Pieces a second.
    pub fn per_second(self) -> f64 {
        self.done as f64 / self.time.as_secs_f64()
    }

    /// Adds another measurement of the same work.
    pub fn add(&mut self, other: Rate) {
        self.done += other.done;
        self.time += other.time;
    }
}

/// Keeps `clients` pieces of work in flight for a time, at least one each, and waits for those begun. `one` gets the client's number and how
/// many pieces that client has begun before; it answers how many things were done.
///
/// # Errors
/// The first error of a piece.
pub async fn closed<F, Fut>(clients: usize, time: Duration, one: F) -> Result<Rate>
where
    F: Fn(usize, u64) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<u64>> + Send,
{
    let one = Arc::new(one);
    let begun = Moment::now();
    let end = begun.plus(time);
    let tasks: Vec<_> = (0..clients)
        .map(|client| {
            let one = one.clone();
            plugin_api::spawn(async move {
                let (mut done, mut pieces) = (0, 0);
                loop {
                    done += one(client, pieces).await?;
                    pieces += 1;
                    if end.is_past() {
                        return Ok::<u64, anyhow::Error>(done);
                    }
                }
            })
        })
        .collect();
    let mut done = 0;
    for task in tasks {
        done += task.await??;
    }
    Ok(Rate {
        done,
        time: begun.elapsed(),
    })
}

/// Begins `per_second` pieces of work a second for a time; answers how long each took by its own account.
///
/// # Errors
/// The first error of a piece.
pub async fn open<F, Fut>(per_second: f64, time: Duration, one: F) -> Result<Samples>
where
    F: Fn(u64) -> Fut,
    Fut: Future<Output = Result<Duration>> + Send + 'static,
{
    let pieces = (per_second * time.as_secs_f64()).max(1.0) as u64;
    let begun = Moment::now();
    let mut tasks = Vec::with_capacity(pieces as usize);
    for n in 0..pieces {
        pause_until(begun.plus(Duration::from_secs_f64(n as f64 / per_second))).await;
        tasks.push(plugin_api::spawn(one(n)));
    }
    let mut samples = Samples::default();
    for task in tasks {
        samples.push(task.await??);
    }
    Ok(samples)
}
