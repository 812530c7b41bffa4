//! Declaring systems, checks and automations as YAML documents: read, checked, planned, applied.
//!
//! Documents have the form of `gitops §2`. Everything is checked and every request tried before
//! anything is written, by the same API whether it is a server over HTTP (`apply`) or a scratch host
//! in this process (`validate`).
//!
//! A system is stored under the name of its document, a check under an id made of it, an automation
//! with a mark that names it; so each keeps its identity when its title changes.

mod api;
mod assignments;
mod check;
mod document;
mod plan;
mod read;
mod rehearse;
mod spec;

pub use api::{Answer, Api, Local};
pub use check::{Checked, check};
pub use document::{Document, DocumentKind};
pub use plan::{Change, Plan, plan};
pub use read::{Source, read_paths, read_text};
pub use rehearse::rehearse;

/// Checks documents, plans the changes and tries each of them: after this without an error, nothing
/// but a failure of the server or a change by somebody else stands in the way of the plan. Writes
/// nothing.
///
/// # Errors
/// Only when the API cannot be asked; what is wrong with documents is among what was checked.
pub async fn prepare(api: &dyn Api, sources: Vec<Source>) -> anyhow::Result<(Checked, Plan)> {
    let mut checked = check(api, sources).await?;
    let plan = plan(api, &checked).await?;
    rehearse(api, &mut checked, &plan).await?;
    Ok((checked, plan))
}
