//! What the engine of this program can run.

use super::Subject;
use crate::definition::{ActionKind, Mode};
use crate::diagnostic::{Diagnostic, Diagnostics, Path};
use std::collections::BTreeSet;

/// What an engine can run. A definition may say more than that; such a one is refused when it is
/// enabled (`not_supported_yet`), instead of failing when it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Action kinds, by key.
    pub actions: BTreeSet<&'static str>,
    /// Trigger windows.
    pub window: bool,
    /// Modes.
    pub modes: BTreeSet<&'static str>,
}

impl Capabilities {
    /// Everything a definition can say.
    pub fn all() -> Self {
        Self::of(&ActionKind::KEYS, true)
    }

    /// These action kinds, with or without windows.
    pub fn of(actions: &[&'static str], window: bool) -> Self {
        Self {
            actions: actions.iter().copied().collect(),
            window,
            modes: Mode::ALL.iter().map(|(name, _)| *name).collect(),
        }
    }

    /// The same without a mode.
    pub fn without_mode(mut self, mode: Mode) -> Self {
        self.modes.remove(mode.name());
        self
    }
}

pub(super) fn check(s: &Subject<'_>, out: &mut Diagnostics) {
    if !s.capabilities.window {
        for (i, t) in s.definition.triggers.iter().enumerate() {
            if t.window.is_some() {
                let path: Path = vec!["triggers".into(), i.into(), "window".into()];
                out.push(refused(path, "trigger windows"));
            }
        }
    }
    let mode = s.definition.mode.name();
    if !s.capabilities.modes.contains(mode) {
        out.push(refused(vec!["mode".into()], &format!("mode `{mode}`")));
    }
    for at in &s.outline.actions {
        let key = at.action.kind.key();
        if !s.capabilities.actions.contains(key) {
            let mut path = at.path.clone();
            path.push(key.into());
            out.push(refused(path, &format!("`{key}` actions")));
        }
    }
}

fn refused(path: Path, what: &str) -> Diagnostic {
    Diagnostic::error(
        "not_supported_yet",
        path,
        format!("this release does not run {what} yet"),
    )
    .help("the definition can be stored disabled until a release that runs it")
}
