//! Work and its floor, in turns: what else the machine does then disturbs both alike.

use crate::{
    database::Scratch,
    load::Rate,
    meter::{Used, metered},
    samples::Samples,
};
use anyhow::Result;
use std::time::Duration;

/// How many turns each of the two takes.
const TURNS: u32 = 3;

/// What both reached.
#[derive(Clone, Debug, Default)]
pub struct Turns {
    /// The work.
    pub rate: Rate,
    /// What the work's pieces took, by their own account.
    pub samples: Samples,
    /// What the work used.
    pub used: Used,
    /// The floor.
    pub floor: Rate,
}

/// Measures `floor` and `work` in turns, each for `time` altogether. `scratch` is the database that the work is done on.
///
/// # Errors
/// Those of either.
pub async fn in_turns(
    scratch: &Scratch,
    time: Duration,
    floor: impl AsyncFn(Duration) -> Result<Rate>,
    work: impl AsyncFn(Duration) -> Result<(Rate, Samples)>,
) -> Result<Turns> {
    let mut turns = Turns::default();
    for _ in 0..TURNS {
        turns.floor.add(floor(time / TURNS).await?);
        let ((rate, samples), used) = metered(scratch, work(time / TURNS)).await?;
        turns.rate.add(rate);
        turns.samples.append(samples);
        turns.used.add(used);
    }
    Ok(turns)
}
