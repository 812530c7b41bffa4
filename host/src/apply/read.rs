//! From paths to files to documents.

use super::document::{Document, envelope};
use anyhow::{Context, bail};
use automation_core::{
    diagnostic::{Diagnostic, Diagnostics, Path as DocPath},
    yaml,
};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

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

/// Reads files, and the `*.yaml` and `*.yml` files of folders: sorted, those of a folder before those
/// of the folders in it.
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
        collect(path, &mut BTreeSet::new(), &mut files)?;
        if files.len() == before {
            bail!(
                "the folder {} holds no *.yaml or *.yml file",
                path.display()
            );
        }
    }
    // A file that is named twice is one.
    let mut seen = BTreeSet::new();
    files.retain(|f| f.canonicalize().map_or(true, |real| seen.insert(real)));
    files.iter().map(|f| read_file(f)).collect()
}

/// A folder that links lead to a second time was read already, and so was a file.
fn collect(
    folder: &Path,
    seen: &mut BTreeSet<PathBuf>,
    files: &mut Vec<PathBuf>,
) -> anyhow::Result<()> {
    let mut is_new = |path: &Path| {
        let real = path.canonicalize();
        let real = real.with_context(|| format!("cannot read {}", path.display()))?;
        Ok::<bool, anyhow::Error>(seen.insert(real))
    };
    if !is_new(folder)? {
        return Ok(());
    }
    let mut entries = std::fs::read_dir(folder)
        .and_then(|d| {
            d.map(|e| e.map(|e| e.path()))
                .collect::<Result<Vec<_>, _>>()
        })
        .with_context(|| format!("cannot read the folder {}", folder.display()))?;
    entries.sort();
    let mut folders = Vec::new();
    for path in entries {
        let hidden = path
            .file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with('.'));
        if hidden {
            continue;
        }
        if path.is_dir() {
            folders.push(path);
        } else if path.extension().is_some_and(|e| e == "yaml" || e == "yml") && is_new(&path)? {
            files.push(path);
        }
    }
    for path in folders {
        collect(&path, seen, files)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_to_a_folder_above_gives_each_file_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let inner = dir.path().join("inner");
        std::fs::create_dir(&inner).expect("a folder");
        for path in [dir.path().join("b.yaml"), inner.join("a.yml")] {
            std::fs::write(path, "a: 1\n").expect("a file");
        }
        std::os::unix::fs::symlink(dir.path(), inner.join("up")).expect("a link");
        std::os::unix::fs::symlink(dir.path().join("b.yaml"), inner.join("c.yaml"))
            .expect("a link");
        let sources = read_paths(&[dir.path().to_owned()]).expect("files");
        let names: Vec<&str> = sources
            .iter()
            .filter_map(|s| Path::new(&s.name).file_name()?.to_str())
            .collect();
        assert_eq!(names, ["b.yaml", "a.yml"]);
    }
}
