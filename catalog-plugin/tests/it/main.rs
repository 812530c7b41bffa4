//! The catalog with the real engine, on SQLite and Postgres. Names carry the acceptance cases of
//! `domains.md` 13.

mod changes;
mod metadata;
mod routes;
mod statements;
mod world;
