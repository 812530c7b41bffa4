//! The engine's routes on a booted node.

mod definitions;
mod starters;
mod world;
