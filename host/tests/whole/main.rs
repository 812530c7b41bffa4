//! Every plugin of the binary on one engine, in process and on a virtual clock: the seeds' own
//! examples, the main job, and what only shows when domains meet.
#![cfg(all(feature = "catalog", feature = "incident", feature = "healthcheck"))]

mod reactive;
mod seeds;
mod seeds_windows;
mod statements;
mod story;
mod switch;
mod world;
