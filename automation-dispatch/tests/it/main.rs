//! The engine on real databases, one module per theme; cases are named after `dispatch.md` C and
//! `entity.md` 23. Every test runs on SQLite and on Postgres.

mod acceptance;
mod basics;
mod dwells;
mod guarantees;
mod modes;
mod recovery;
mod registrations;
mod routing;
mod statements;
mod waits;
mod world;
