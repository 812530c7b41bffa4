//! The engine's API over its router, on SQLite and Postgres. Names carry the acceptance cases of
//! `api.md` 13.

mod automations;
mod definitions;
mod entities;
mod form;
mod lists;
mod normalize;
mod parts;
mod plain;
mod rules;
mod runs;
mod starters;
mod world;
