//! From paths to files to documents.

use super::document::{Document, envelope};
use anyhow::{Context, bail};
use automation_core::{
    diagnostic::{Diagnostic, Diagnostics, Path as DocPath},
    yaml,
};
use std::path::{Path, PathBuf};

/// One file with what is wrong in it so far.
pub struct Source {
    /// The path as given or found.
    pub name: String,
    /// The text.
    pub text: String,
    /// Its documents, as far as they can be read.
    pub documents: Vec<Document>,
    /// Findings, located in `text`.
    pub diagnostics: Diagnostics,
}

const MAX_FILE: usize = 1024 * 1024;
const MAX_DOCUMENTS: usize = 500;

/// Reads files, and the `*.yaml` and `*.yml` files of folders, in sorted order.
///
/// # Errors
/// A path that does not exist or cannot be read, or a folder without such files.
pub fn read_paths(paths: &[PathBuf]) -> anyhow::Result<Vec<Source>> {
    let mut files = Vec::new();
    for path in paths {
        let meta =
            std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
        if !meta.is_dir() {
            files.push(path.clone());
            continue;
        }
        let before = files.len();
        collect(path, &mut files)?;
        if files.len() == before {
            bail!(
                "the folder {} holds no *.yaml or *.yml file",
                path.display()
            );
        }
    }
    files.dedup();
    files.iter().map(|f| read_file(f)).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let mut entries = std::fs::read_dir(folder)
        .and_then(|d| {
            d.map(|e| e.map(|e| e.path()))
                .collect::<Result<Vec<_>, _>>()
        })
        .with_context(|| format!("cannot read the folder {}", folder.display()))?;
    entries.sort();
    for path in entries {
        let hidden = path
            .file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with('.'));
        if hidden {
            continue;
        }
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "yaml" || e == "yml") {
            files.push(path);
        }
    }
    Ok(())
}

fn read_file(path: &Path) -> anyhow::Result<Source> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = String::from_utf8(bytes).map_err(|e| {
        anyhow::anyhow!(
            "{} is not UTF-8 (byte {})",
            path.display(),
            e.utf8_error().valid_up_to()
        )
    })?;
    Ok(read_text(path.display().to_string(), text))
}

/// Reads a text that holds any number of documents. A broken document does not hide the others.
pub fn read_text(name: String, text: String) -> Source {
    let limits = yaml::Limits {
        bytes: MAX_FILE,
        ..yaml::Limits::default()
    };
    let mut source = Source {
        name,
        text,
        documents: Vec::new(),
        diagnostics: Diagnostics::new(),
    };
    let read = yaml::read_all(&source.text, &limits);
    if read.is_empty() {
        source.diagnostics.push(Diagnostic::warning(
            "empty_file",
            DocPath::new(),
            "the file holds no document",
        ));
    }
    if read.len() > MAX_DOCUMENTS {
        let message = format!(
            "the file holds {} documents; at most {MAX_DOCUMENTS} are allowed",
            read.len()
        );
        source
            .diagnostics
            .push(Diagnostic::error("limit_exceeded", DocPath::new(), message));
        return source;
    }
    for document in read {
        match document.root {
            Err(found) => source.diagnostics.append(found),
            Ok(root) => match envelope(root, &source.text) {
                Ok(d) => source.documents.push(d),
                Err(found) => source.diagnostics.append(found),
            },
        }
    }
    source
}
