//! The automation as operators write it, and what plugins contribute to it.
//!
//! A definition is parsed from YAML with positions ([`yaml`]), read into a model ([`definition`]),
//! checked in stages into diagnostics ([`validate`], [`diagnostic`]), brought to a normal form and
//! stored as immutable versions ([`store`]). Before it runs it is compiled once ([`compiled`]), so
//! that nothing is parsed on the hot path. Plugins extend what definitions can say through the four
//! [`registry`] points.

pub mod access;
pub mod builtin;
pub mod compiled;
pub mod definition;
pub mod diagnostic;
pub mod ids;
pub mod registry;
pub mod schema;
pub mod scope;
pub mod starters;
pub mod store;
pub mod validate;
pub mod yaml;

pub use diagnostic::{Diagnostic, Diagnostics, Path, PathSegment, Severity, Span, path_text};
pub use ids::{ArtifactId, AutomationId, DwellId, LockId, RunId, StepId};
