//! The runtime against the acceptance cases of plugins 19, on both engines.

mod access;
mod boot;
mod config;
mod dry_run;
mod extension;
mod hooks;
mod locks;
mod migrations;
mod nodes;
mod queue_conformance;
mod queue_sql;
mod queue_support;
mod readiness;
mod services;
mod signals;
mod statements;
