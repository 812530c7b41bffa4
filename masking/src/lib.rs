//! Masking: how a secret is kept out of everything a run writes.
//!
//! A run resolves secrets and hands them to actions; whatever it later stores or logs
//! (step results, artifacts, snapshots, errors, entity changes) may contain them. So every
//! store of run data takes [`Masked<T>`], and only a [`MaskSet`] can make one: a write that
//! forgets to mask does not compile (secrets §11.7).
//!
//! The path of a secret is short. The resolver *captures* each value it gives to a run in
//! the process-wide [`RunSecretRegistry`]; the write asks the registry for that run's
//! [`MaskSet`] and passes its data through it. Values of one run never mask another run's
//! output. A write that belongs to no run uses [`MaskSet::empty`], which changes nothing.
//!
//! ```
//! use masking::{MaskSet, Masked, RunSecretRegistry};
//! use serde_json::{Value, json};
//!
//! fn store(row: Masked<Value>) -> String { row.as_ref().to_string() }
//!
//! let secrets = RunSecretRegistry::new();
//! let run = 7u128; // a `Uuid` works as well
//! secrets.capture(run, "hunter2!");
//!
//! let row = secrets.set(run).mask_json(json!({"url": "https://u:hunter2!@db"}));
//! assert_eq!(store(row), r#"{"url":"https://u:****@db"}"#);
//! assert_eq!(MaskSet::empty().mask_text("hunter2!").as_ref(), "hunter2!");
//! ```
//!
//! A `Masked` cannot be made from outside:
//!
//! ```compile_fail
//! let forged = masking::Masked("hunter2!".to_owned());
//! ```
//!
//! ```compile_fail
//! let forged: masking::Masked<String> = "hunter2!".to_owned().into();
//! ```
//!
//! This crate does no input or output and knows no other crate of the workspace. It finds
//! values as they are, trimmed, and line by line; values under [`MIN_CHARS`] characters,
//! hashed, encrypted, compressed or split ones are not found (secrets §10.2.7).

mod masked;
mod registry;
mod set;

pub use masked::{Mask, Masked};
pub use registry::{RunSecretGuard, RunSecretRegistry};
pub use set::{MASK, MAX_DEPTH, MAX_TEXT_BYTES, MIN_CHARS, MaskSet, TOO_LARGE};
