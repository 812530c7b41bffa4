//! Declaring systems, checks and automations as YAML documents: read, checked, planned, applied.
//!
//! Documents have the form of `gitops §2`. Everything is checked before anything is written, by the
//! same API whether it is a server over HTTP (`apply`) or a scratch host in this process
//! (`validate`).

mod api;
mod check;
mod document;
mod plan;
mod read;
mod spec;

pub use api::{Answer, Api, Local};
pub use check::{Checked, check};
pub use document::{Document, DocumentKind};
pub use plan::{Change, Plan, plan};
pub use read::{Source, read_paths, read_text};
