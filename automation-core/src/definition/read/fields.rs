//! Reading scalars, lists and mappings with limits, and where the reader stands.

use crate::diagnostic::{Diagnostic, Diagnostics, Path, PathSegment, nearest};
use crate::yaml::{Entry, Kind, Node};

/// Keys that are easily written at the wrong place, and where they belong.
const BELONGS: [(&str, &str); 3] = [
    (
        "retry",
        "it belongs on provider actions, those with `action`",
    ),
    ("cooldown", "it belongs on a trigger"),
    ("allow_reentry", "it belongs at the top of the definition"),
];

/// Where the reader stands and what it found.
pub(super) struct Reader {
    pub issues: Diagnostics,
    /// Unknown keys, in lenient reading.
    pub ignored: Vec<Path>,
    path: Path,
    lenient: bool,
    /// Actions read so far.
    pub actions: usize,
}

impl Reader {
    pub fn strict() -> Self {
        Self {
            issues: Diagnostics::new(),
            ignored: Vec::new(),
            path: Path::new(),
            lenient: false,
            actions: 0,
        }
    }
    pub fn lenient() -> Self {
        Self {
            lenient: true,
            ..Self::strict()
        }
    }

    /// Reads a part: what it reports is under `segment`.
    pub fn within<T>(
        &mut self,
        segment: impl Into<PathSegment>,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        self.path.push(segment.into());
        let value = read(self);
        self.path.pop();
        value
    }

    /// Reports an error here.
    pub fn error(&mut self, code: &'static str, message: impl Into<String>) {
        self.report(Diagnostic::error(code, Path::new(), message));
    }

    /// Reports a finding here.
    pub fn report(&mut self, mut d: Diagnostic) {
        d.path = self.path.clone();
        self.issues.push(d);
    }

    fn wrong_type<T>(&mut self, node: &Node, expected: &str) -> Option<T> {
        if self.path.is_empty() && node.kind == Kind::Null {
            self.error("wrong_type", "the document is empty");
            return None;
        }
        let message = format!("expected {expected}, found {}", node.describe());
        let help = matches!(node.kind, Kind::Null)
            .then(|| "leave the key out when there is nothing to say".to_owned());
        self.report(Diagnostic::error("wrong_type", Path::new(), message).maybe_help(help));
        None
    }

    /// The entries of a mapping, unknown keys reported.
    pub fn fields<'n>(&mut self, node: &'n Node, known: &[&str]) -> Option<Fields<'n>> {
        let entries = self.entries(node)?;
        for e in entries {
            if !known.contains(&e.key.as_str()) {
                self.unknown(&e.key, known);
            }
        }
        Some(Fields { entries })
    }

    /// The entries of a mapping, all keys taken.
    pub fn entries<'n>(&mut self, node: &'n Node) -> Option<&'n [Entry]> {
        match &node.kind {
            Kind::Map(entries) => Some(entries),
            _ => self.wrong_type(node, "a mapping"),
        }
    }

    fn unknown(&mut self, key: &str, known: &[&str]) {
        self.path.push(key.into());
        if self.lenient {
            self.ignored.push(self.path.clone());
        } else {
            let elsewhere = BELONGS.iter().find(|(name, _)| *name == key);
            let help = match (elsewhere, nearest(key, known.iter().copied())) {
                (Some((_, place)), _) => (*place).to_owned(),
                (None, Some(name)) => format!("did you mean `{name}`?"),
                (None, None) => format!("known here: {}", known.join(", ")),
            };
            self.report(
                Diagnostic::error(
                    "unknown_field",
                    Path::new(),
                    format!("`{key}` is no field of this part"),
                )
                .on_key()
                .help(help),
            );
        }
        self.path.pop();
    }

    /// Text of any length.
    pub fn any_string(&mut self, node: &Node) -> Option<String> {
        match &node.kind {
            Kind::String(s) => Some(s.clone()),
            Kind::Number(_) | Kind::Bool(_) => {
                let message = format!("expected text, found {}", node.describe());
                self.report(
                    Diagnostic::error("wrong_type", Path::new(), message).help("put it in quotes"),
                );
                None
            }
            _ => self.wrong_type(node, "text"),
        }
    }

    /// Text of `min` to `max` characters.
    pub fn string(&mut self, node: &Node, min: usize, max: usize) -> Option<String> {
        let text = self.any_string(node)?;
        let length = text.chars().count();
        if length < min || length > max {
            let message = if length < min && length == 0 {
                "the text is empty".to_owned()
            } else {
                format!("expected {min} to {max} characters, found {length}")
            };
            self.error("bad_length", message);
            return None;
        }
        Some(text)
    }

    /// Text of `min` to `max` characters in a form.
    pub fn formed(
        &mut self,
        node: &Node,
        (min, max): (usize, usize),
        form: impl FnOnce(&str) -> bool,
        expected: &str,
    ) -> Option<String> {
        let text = self.string(node, min, max)?;
        if form(&text) {
            return Some(text);
        }
        self.error("bad_format", format!("`{text}` is not {expected}"));
        None
    }

    /// A whole number from `min` to `max`.
    pub fn int(&mut self, node: &Node, min: u32, max: u32) -> Option<u32> {
        let Kind::Number(n) = &node.kind else {
            return self.wrong_type(node, "a whole number");
        };
        let whole = match n.as_f64() {
            Some(f) if f.fract() == 0.0 => f,
            _ => return self.wrong_type(node, "a whole number"),
        };
        if whole < f64::from(min) || whole > f64::from(max) {
            self.error(
                "out_of_range",
                format!("expected {min} to {max}, found {n}"),
            );
            return None;
        }
        Some(whole as u32)
    }

    /// A number.
    pub fn number(&mut self, node: &Node) -> Option<serde_json::Number> {
        match &node.kind {
            Kind::Number(n) => Some(n.clone()),
            _ => self.wrong_type(node, "a number"),
        }
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, node: &Node) -> Option<bool> {
        match node.kind {
            Kind::Bool(b) => Some(b),
            _ => self.wrong_type(node, "`true` or `false`"),
        }
    }

    /// One of a few names.
    pub fn one_of<T: Copy>(&mut self, node: &Node, choices: &[(&str, T)]) -> Option<T> {
        let text = self.any_string(node)?;
        if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text) {
            return Some(*value);
        }
        let names: Vec<&str> = choices.iter().map(|(n, _)| *n).collect();
        let help = nearest(&text, names.iter().copied()).map(|n| format!("did you mean `{n}`?"));
        self.report(
            Diagnostic::error(
                "bad_enum",
                Path::new(),
                format!("`{text}` is not one of {}", names.join(", ")),
            )
            .maybe_help(help),
        );
        None
    }

    /// A list; elements that report an error are left out.
    pub fn list<T>(
        &mut self,
        node: &Node,
        mut read: impl FnMut(&mut Self, &Node) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Kind::List(items) = &node.kind else {
            return self.wrong_type(node, "a list");
        };
        let mut out = Vec::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            out.extend(self.within(i, |r| read(r, item)));
        }
        Some(out)
    }

    /// A list of at most `max` elements; more is `limit_exceeded` and the rest is not read.
    pub fn limited_list<T>(
        &mut self,
        node: &Node,
        max: usize,
        what: &str,
        read: impl FnMut(&mut Self, &Node) -> Option<T>,
    ) -> Option<Vec<T>> {
        if let Kind::List(items) = &node.kind
            && items.len() > max
        {
            let message = format!(
                "{} {what} are given; at most {max} are allowed",
                items.len()
            );
            self.error("limit_exceeded", message);
            return None;
        }
        self.list(node, read)
    }

    /// A list of at least one element.
    pub fn filled_list<T>(
        &mut self,
        node: &Node,
        max: usize,
        what: &str,
        read: impl FnMut(&mut Self, &Node) -> Option<T>,
    ) -> Option<Vec<T>> {
        if matches!(&node.kind, Kind::List(items) if items.is_empty()) {
            self.error(
                "bad_length",
                format!("at least one of the {what} is needed"),
            );
            return None;
        }
        self.limited_list(node, max, what, read)
    }

    /// Every text of the document is at most 64 KiB (`definition §2.2`); trees read from YAML were
    /// checked while reading.
    pub fn check_strings(&mut self, node: &Node) {
        const MAX: usize = 64 * 1024;
        match &node.kind {
            Kind::String(s) if s.len() > MAX => {
                let message = format!("the text has {} bytes; at most {MAX} are allowed", s.len());
                self.error("limit_exceeded", message);
            }
            Kind::List(items) => {
                for (i, item) in items.iter().enumerate() {
                    self.within(i, |r| r.check_strings(item));
                }
            }
            Kind::Map(entries) => {
                for e in entries {
                    if e.key.len() > MAX {
                        self.error("limit_exceeded", "a key is longer than 64 KiB");
                    }
                    self.within(e.key.as_str(), |r| r.check_strings(&e.value));
                }
            }
            _ => {}
        }
    }
}

/// The entries of a mapping.
pub(super) struct Fields<'n> {
    entries: &'n [Entry],
}

impl<'n> Fields<'n> {
    pub fn get(&self, key: &str) -> Option<&'n Node> {
        self.entries.iter().find(|e| e.key == key).map(|e| &e.value)
    }

    /// Keys of `of` that are present.
    pub fn present<'k>(&self, of: &[&'k str]) -> Vec<&'k str> {
        of.iter()
            .copied()
            .filter(|k| self.get(k).is_some())
            .collect()
    }

    /// Reads a field if it is there.
    pub fn optional<T>(
        &self,
        r: &mut Reader,
        key: &str,
        read: impl FnOnce(&mut Reader, &'n Node) -> Option<T>,
    ) -> Option<T> {
        let node = self.get(key)?;
        r.within(key, |r| read(r, node))
    }

    /// Reads a field that must be there.
    pub fn required<T>(
        &self,
        r: &mut Reader,
        key: &str,
        read: impl FnOnce(&mut Reader, &'n Node) -> Option<T>,
    ) -> Option<T> {
        if self.get(key).is_none() {
            r.within(key, |r| {
                r.error("missing_field", format!("`{key}` is missing"));
            });
            return None;
        }
        self.optional(r, key, read)
    }

    /// The one key of `of` that is present; none or several is an error of the given code, which
    /// names those found.
    pub fn discriminator<'k>(
        &self,
        r: &mut Reader,
        code: &'static str,
        what: &str,
        of: &[&'k str],
    ) -> Option<&'k str> {
        let found = self.present(of);
        if let [one] = found[..] {
            return Some(one);
        }
        let (message, help) = if found.is_empty() {
            let near = self
                .entries
                .iter()
                .find_map(|e| nearest(&e.key, of.iter().copied()));
            let help = match near {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("exactly one of {} is needed", of.join(", ")),
            };
            (format!("nothing here says what {what} it is"), help)
        } else {
            let names: Vec<String> = found.iter().map(|n| format!("`{n}`")).collect();
            (
                format!(
                    "{} are given, but one {what} has exactly one of them",
                    names.join(" and ")
                ),
                "split it in two".to_owned(),
            )
        };
        r.report(Diagnostic::error(code, Path::new(), message).help(help));
        None
    }
}
