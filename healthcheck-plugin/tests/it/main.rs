//! Tests of the health checks. Names carry the acceptance cases of the specification.

mod assertions;
mod engine;
mod evaluation;
mod execution;
mod history;
mod locked;
mod numbers;
mod outages;
mod probe;
mod routes;
mod saving;
mod schedule;
mod secrecy;
mod world;
