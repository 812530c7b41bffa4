//! The engine on real databases, one module per theme; cases are named after `dispatch.md` C and
//! `entity.md` 23. Every test runs on SQLite and on Postgres.

mod acceptance;
mod basics;
mod branches;
mod dwells;
mod groups;
mod guarantees;
mod in_flight;
mod kills;
mod leases;
mod modes;
mod plans;
mod recovery;
mod registrations;
mod replay;
mod retention;
mod routing;
mod state_trigger;
mod statements;
mod ticks;
mod waits;
mod why;
mod windows;
mod world;
