//! Incidents with the real engine and the catalog, on SQLite and Postgres. Names carry the acceptance
//! cases of `domains.md` 13.

mod absence;
mod actions;
mod dedupe;
mod events;
mod routes;
mod statements;
mod suppression;
mod world;
