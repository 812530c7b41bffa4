//! The host: composes plugins by cargo features, and gives them settings, a command line and a
//! server.
//!
//! | Module | Holds |
//! |---|---|
//! | [`compose`] | which plugins this binary runs |
//! | [`cli`] | one file per command |
//! | [`settings`] | configuration file < environment < flags |
//! | [`server`], [`token`] | listener, authentication, start and stop |
//! | [`apply`], [`scratch`] | declaring documents: read, check, plan, carry out |
//! | [`demo`] | the main job on real input, told line by line |

pub mod apply;
pub mod cli;
pub mod client;
pub mod compose;
pub mod demo;
pub mod scratch;
pub mod server;
pub mod settings;
pub mod tls;
pub mod token;
