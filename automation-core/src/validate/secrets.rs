//! Secret references: they have meaning only in secret config fields (`definition §2.7`). Anywhere
//! else rendering would eat the inner braces and leave a lone `$`.

use super::Subject;
use super::outline::Meaning;
use crate::diagnostic::{Diagnostic, Diagnostics};
use std::ops::Range;

pub(super) fn check(s: &Subject<'_>, out: &mut Diagnostics) {
    for text in &s.outline.texts {
        for reference in references(text.text) {
            let here = text.path.clone();
            if !reference.well_formed {
                out.push(
                    Diagnostic::warning(
                        "malformed_secret_reference",
                        here,
                        "this looks like a secret reference but is none; it stays as it is",
                    )
                    .help("a reference is `${{ secrets.NAME }}`; names are 1 to 63 letters, digits, `_` and `-`, a letter first")
                    .within(reference.range),
                );
            } else if !matches!(text.meaning, Meaning::Secret | Meaning::Unknown) {
                out.push(
                    Diagnostic::error(
                        "secret_in_plain_field",
                        here,
                        "a secret cannot be used here: only fields that are marked secret resolve references",
                    )
                    .help("pass it through a secret field of the action, such as `secretEnv`")
                    .within(reference.range),
                );
            }
        }
    }
}

struct Reference {
    range: Range<usize>,
    well_formed: bool,
}

/// What looks like a secret reference: `${{`, optional space, `secret…`.
fn references(text: &str) -> Vec<Reference> {
    let mut out = Vec::new();
    let mut from = 0;
    while let Some(at) = text[from..].find("${{").map(|i| i + from) {
        let inner_start = at + 3;
        let end = text[inner_start..].find("}}").map(|i| i + inner_start);
        let inner = text[inner_start..end.unwrap_or(text.len())].trim();
        let stop = end.map_or(text.len(), |e| e + 2);
        if inner.starts_with("secret") {
            out.push(Reference {
                range: at..stop,
                well_formed: end.is_some() && inner.strip_prefix("secrets.").is_some_and(is_name),
            });
        }
        from = stop;
    }
    out
}

/// `^[a-zA-Z][a-zA-Z0-9_-]*$`, 1–63 (`secrets §5.1`).
fn is_name(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}
