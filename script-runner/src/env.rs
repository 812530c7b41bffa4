//! The environment of a child: what it inherits, and which names may be set (`scripts §5`).

use std::{collections::BTreeMap, path::Path};

/// Inherited from the host when set there; nothing else of the host is visible.
const INHERITED: [&str; 8] = [
    "PATH", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "HOSTNAME", "SHELL",
];

/// Names that make a program load other code, or make a shell read text differently.
const REFUSED: [&str; 10] = [
    "PATH",
    "NODE_OPTIONS",
    "NODE_PATH",
    "BASH_ENV",
    "ENV",
    "IFS",
    "SHELLOPTS",
    "PS4",
    "RUBYOPT",
    "GIT_SSH",
];
/// The same as beginnings of names.
const REFUSED_PREFIXES: [&str; 7] = [
    "LD_", "DYLD_", "BUN_", "DENO_", "GIT_SSH", "PYTHON", "PERL5",
];

/// Why a name cannot be set for a script.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvNameError {
    /// Not `^[a-zA-Z_][a-zA-Z0-9_]*$` of at most 128 characters.
    #[error(
        "environment name {0:?} must consist of letters, digits and _, must not begin with a digit, and has at most 128 characters"
    )]
    Malformed(String),
    /// It would change how programs load code.
    #[error("environment name {0} is not allowed: it changes how programs find or load code")]
    Dangerous(String),
}

/// Checks a name of `env` or `secretEnv`, for validation when a config is saved.
pub fn check_name(name: &str) -> Result<(), EnvNameError> {
    let bytes = name.as_bytes();
    let well_formed = matches!(bytes.first(), Some(b'a'..=b'z' | b'A'..=b'Z' | b'_'))
        && bytes.len() <= 128
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || *b == b'_');
    if !well_formed {
        return Err(EnvNameError::Malformed(name.into()));
    }
    let upper = name.to_ascii_uppercase();
    if REFUSED.contains(&upper.as_str()) || REFUSED_PREFIXES.iter().any(|p| upper.starts_with(p)) {
        return Err(EnvNameError::Dangerous(name.into()));
    }
    Ok(())
}

/// The whole environment of a child: inherited names, then the scratch directory as home and as
/// place for temporary files, then what the caller added.
pub(crate) fn assemble(
    scratch: &Path,
    added: BTreeMap<String, String>,
) -> BTreeMap<String, std::ffi::OsString> {
    let mut all: BTreeMap<String, std::ffi::OsString> = INHERITED
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), std::env::var_os(name)?)))
        .collect();
    all.insert("HOME".into(), scratch.into());
    all.insert("TMPDIR".into(), scratch.into());
    for (name, value) in added {
        match check_name(&name) {
            Ok(()) if !value.contains('\0') => {
                all.insert(name, value.into());
            }
            Ok(()) => {
                tracing::warn!(
                    name,
                    "A script variable holds a NUL character and was left out."
                );
            }
            Err(error) => tracing::warn!(%error, "A script variable was left out."),
        }
    }
    all
}
