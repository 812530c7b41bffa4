//! The suites of automation-core.
mod codes;
mod conditions;
mod data_migrations;
mod definition;
mod guards;
mod positions;
mod properties;
mod rendering;
mod seeds;
mod store;
mod support;
mod validation;
mod yaml;
