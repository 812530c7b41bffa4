//! Source files as the rules see them: the text, and the text without comments and literals.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// One text file of the repository.
pub struct Source {
    /// Relative to the workspace.
    pub path: PathBuf,
    /// As it is on disk.
    pub text: String,
}

impl Source {
    /// Whether this is Rust.
    pub fn is_rust(&self) -> bool {
        self.path.extension().is_some_and(|ending| ending == "rs")
    }

    /// The text with comments and the insides of string and character literals blanked, so
    /// that a rule about code does not trip over prose. Lines keep their numbers.
    pub fn code(&self) -> String {
        code_of(&self.text)
    }
}

/// Every text file under `root` that belongs to the repository, sorted by path: hidden
/// folders other than `.ci`, `.cargo` and `.config`, build output and data are left out.
pub fn walk(root: &Path) -> Result<Vec<Source>> {
    let mut files = Vec::new();
    collect(root, root, &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<Source>) -> Result<()> {
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("{} cannot be read", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() && belongs(&entry.file_name().to_string_lossy()) {
            collect(root, &path, files)?;
        } else if kind.is_file()
            && entry.file_name() != ".git" // in a second work tree this is a file
            && path.extension().is_none_or(|ending| ending != "lock")
            && let Ok(text) = String::from_utf8(std::fs::read(&path)?)
        {
            let path = path.strip_prefix(root).unwrap_or(&path).to_owned();
            files.push(Source { path, text });
        }
    }
    Ok(())
}

fn belongs(folder: &str) -> bool {
    match folder {
        ".ci" | ".cargo" | ".config" => true,
        "target" | "signalbox-data" => false,
        other => !other.starts_with('.'),
    }
}

/// A lexer for just enough Rust: comments (nested too), strings, raw strings, characters as
/// against lifetimes.
fn code_of(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let in_word = out.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = raw_string(rest).filter(|_| !in_word) {
            length
        } else if rest.starts_with('"') {
            quoted(rest, '"')
        } else if rest.starts_with('\'') && is_character(rest) {
            quoted(rest, '\'')
        } else {
            let c = rest.chars().next().unwrap_or(' ');
            out.push(c);
            at += c.len_utf8();
            continue;
        };
        out.extend(rest[..skipped].chars().filter(|c| *c == '\n'));
        // Keeps the words on both sides apart.
        out.push(' ');
        at += skipped;
    }
    out
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if text[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of `r"…"`, `r#"…"#`, `br"…"` at the start, if there is one.
fn raw_string(text: &str) -> Option<usize> {
    let after_r = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = after_r.len() - after_r.trim_start_matches('#').len();
    let body = after_r[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = body
        .find(&end)
        .map_or(body.len(), |found| found + end.len());
    Some(text.len() - body.len() + length)
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// `'a'` and `'\n'` are characters, `'a` is a lifetime.
fn is_character(text: &str) -> bool {
    let mut chars = text.chars().skip(1);
    matches!(
        (chars.next(), chars.next()),
        (Some('\\'), _) | (Some(_), Some('\''))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let code = code_of(text);
        let words: Vec<&str> = code.split_whitespace().collect();
        assert_eq!(words.join(" "), expect, "{text}");
        assert_eq!(
            code.matches('\n').count(),
            text.matches('\n').count(),
            "{text}"
        );
    }

    #[test]
    fn comments_and_literals_are_blanked_and_code_stays() {
        check("a // b\nc", "a c");
        check("a /* b /* c */ d\n */ e", "a e");
        check(r#"f("todo!(", g)"#, "f( , g)");
        check("f(r#\"a \" b\n\"#, g)", "f( , g)");
        check(r#"f("\"x", g)"#, "f( , g)");
        check("for<'a> fn(&'a str, '\\'', 'x')", "for<'a> fn(&'a str, , )");
        check("str\"x\" r", "str r");
        check("\"ends nowhere", "");
    }
}
