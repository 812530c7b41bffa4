//! The suites of automation-core.
mod builtin;
mod codes;
mod conditions;
mod data_migrations;
mod definition;
mod guards;
mod positions;
mod properties;
mod registry;
mod rendering;
mod scope;
mod seeds;
mod store;
mod support;
mod validation;
mod yaml;
