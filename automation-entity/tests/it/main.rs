//! Acceptance of entity.md 23, one module per theme; what touches a database runs on both engines.

mod define;
mod derive;
mod extraction;
mod history;
mod intents;
mod kit;
mod masking;
mod nodes;
mod outbox;
mod patience;
mod scope;
mod seeds;
mod serialise;
mod settle;
mod subscribe;
mod write_elsewhere;
mod write_in;
