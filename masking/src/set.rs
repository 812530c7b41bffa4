//! The secrets of one run, compiled to one automaton, and what replaces them.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Arc, OnceLock};

use aho_corasick::AhoCorasick;
use serde_json::{Map, Value};

use crate::masked::{Mask, Masked};

/// What stands where a secret was.
pub const MASK: &str = "****";
/// Values with fewer characters are not masked: they would blot out ordinary text.
pub const MIN_CHARS: usize = 4;
/// JSON nested deeper than this many containers is replaced by [`MASK`].
pub const MAX_DEPTH: usize = 128;
/// Texts of more bytes than this are replaced by [`TOO_LARGE`] (16 MiB).
pub const MAX_TEXT_BYTES: usize = 16 * 1024 * 1024;
/// What stands where a text was too large to search.
pub const TOO_LARGE: &str = "[output omitted: too large to mask]";

/// A single line of a multi-line secret is searched for when it has this many characters.
const MIN_LINE_CHARS: usize = 8;

/// An immutable set of secrets, and the only maker of [`Masked`] values.
///
/// Matching is literal and case-sensitive. All occurrences are found, overlapping ones too;
/// overlapping spans become one [`MASK`], touching ones stay two (secrets §10.2.2). Masking
/// twice gives the same as masking once. Cost is linear in the input.
pub struct MaskSet {
    /// The captured values, as they came. The patterns are derived from them.
    secrets: BTreeSet<Arc<str>>,
    /// What is searched for; the numbers of JSON are compared with these.
    patterns: BTreeSet<String>,
    /// `None` when there is nothing to search for.
    automaton: Option<AhoCorasick>,
    /// A pattern holds a `*`, so a replacement can complete another occurrence.
    star_in_pattern: bool,
}

impl MaskSet {
    /// The set that masks nothing, for writes that belong to no run.
    pub fn empty() -> Self {
        Self {
            secrets: BTreeSet::new(),
            patterns: BTreeSet::new(),
            automaton: None,
            star_in_pattern: false,
        }
    }

    /// One shared empty set, so that asking for the set of a run without secrets is free.
    pub(crate) fn shared_empty() -> Arc<Self> {
        static EMPTY: OnceLock<Arc<MaskSet>> = OnceLock::new();
        Arc::clone(EMPTY.get_or_init(|| Arc::new(Self::empty())))
    }

    /// A set of the given secrets. Values that are too short (see [`MIN_CHARS`]) or consist
    /// of `*` and blanks only are left out.
    pub fn of<S: AsRef<str>>(secrets: impl IntoIterator<Item = S>) -> Self {
        Self::build(secrets.into_iter().map(|s| Arc::from(s.as_ref())).collect())
    }

    /// This set and `more` as a new one, or `None` when `more` brings nothing new.
    pub(crate) fn extended<S: AsRef<str>>(
        &self,
        more: impl IntoIterator<Item = S>,
    ) -> Option<Self> {
        let mut secrets = self.secrets.clone();
        for secret in more {
            secrets.insert(Arc::from(secret.as_ref()));
        }
        (secrets.len() > self.secrets.len()).then(|| Self::build(secrets))
    }

    fn build(secrets: BTreeSet<Arc<str>>) -> Self {
        let patterns: BTreeSet<String> = secrets.iter().flat_map(|s| patterns_of(s)).collect();
        let automaton = (!patterns.is_empty()).then(|| {
            AhoCorasick::new(&patterns).expect("the secrets of one run are far below 2 GiB")
        });
        let star_in_pattern = patterns.iter().any(|p| p.contains('*'));
        Self {
            secrets,
            patterns,
            automaton,
            star_in_pattern,
        }
    }

    /// How many patterns are searched for.
    pub fn len(&self) -> usize {
        self.patterns.len()
    }

    /// Whether this set masks nothing.
    pub fn is_empty(&self) -> bool {
        self.automaton.is_none()
    }

    /// Whether masking would change `text`. A context key of which this is true fails its
    /// step instead of being stored (secrets §11.5).
    pub fn finds_in(&self, text: &str) -> bool {
        text.len() > MAX_TEXT_BYTES && !self.is_empty()
            || self.automaton.as_ref().is_some_and(|a| a.is_match(text))
    }

    /// Masks any maskable value: `String`, `Value`, and options and lists of them.
    pub fn mask<T: Mask>(&self, value: T) -> Masked<T> {
        Masked::new(value.masked_by(self))
    }

    /// Masks a text.
    pub fn mask_text(&self, text: impl Into<String>) -> Masked<String> {
        self.mask(text.into())
    }

    /// As [`Self::mask_text`] for a text that was cut off before it could be masked, by a size
    /// limit or because its writer was killed. Its end may be the first part of a secret, which
    /// no search finds, so an end that begins a pattern is removed. However short: a text that
    /// has lost its rest misses nothing by it (secrets §10.2.4 asks for this from four characters).
    pub fn mask_cut_text(&self, text: impl Into<String>) -> Masked<String> {
        let mut text = text.into();
        text.truncate(self.settled_len(&text));
        self.mask_text(text)
    }

    /// Masks every string of a JSON value, at any depth; a number whose decimal text equals
    /// a secret becomes [`MASK`]. Object keys stay, so that a document with a known shape
    /// keeps it (entity states, checkpoints, payloads).
    pub fn mask_json(&self, value: Value) -> Masked<Value> {
        self.mask(value)
    }

    /// As [`Self::mask_json`], and object keys are masked too: for documents whose keys come
    /// from outside, such as step results and artifacts. Keys that become equal are told
    /// apart as `****`, `****#2`, `****#3` (secrets §10.2.3).
    pub fn mask_document(&self, value: Value) -> Masked<Value> {
        Masked::new(self.clean_json(value, true))
    }

    /// How much of a cut text is masked the same whatever followed it.
    fn settled_len(&self, text: &str) -> usize {
        let Some(automaton) = &self.automaton else {
            return text.len();
        };
        let longest = self.patterns.iter().map(String::len).max().unwrap_or(0);
        let first = text.floor_char_boundary(text.len().saturating_sub(longest));
        let Some(end) = text[first..]
            .char_indices()
            .map(|(at, _)| first + at)
            .find(|&at| self.has_beginning(&text[at..]))
        else {
            return text.len();
        };
        // An occurrence that is whole but reaches into that end would be cut in two itself.
        merged_spans(automaton, text)
            .into_iter()
            .find(|&(from, to)| from < end && end < to)
            .map_or(end, |(from, _)| from)
    }

    /// Whether some pattern begins with `text` and goes on. Patterns with a common beginning
    /// stand together, right behind the beginning itself.
    fn has_beginning(&self, text: &str) -> bool {
        self.patterns
            .range::<str, _>((Excluded(text), Unbounded))
            .next()
            .is_some_and(|pattern| pattern.starts_with(text))
    }

    pub(crate) fn clean_text(&self, text: String) -> String {
        let Some(automaton) = &self.automaton else {
            return text;
        };
        if text.len() > MAX_TEXT_BYTES {
            return TOO_LARGE.to_owned();
        }
        let Some(mut clean) = replace(automaton, &text) else {
            return text;
        };
        // Each pass removes at least one character that is not `*`, so this ends.
        while self.star_in_pattern
            && let Some(next) = replace(automaton, &clean)
        {
            clean = next;
        }
        clean
    }

    pub(crate) fn clean_json(&self, mut value: Value, keys: bool) -> Value {
        if !self.is_empty() {
            self.clean_in_place(&mut value, keys, 0);
        }
        value
    }

    fn clean_in_place(&self, value: &mut Value, keys: bool, depth: usize) {
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => {
                if self.patterns.contains(&number.to_string()) {
                    *value = Value::String(MASK.to_owned());
                }
            }
            Value::String(text) => *text = self.clean_text(std::mem::take(text)),
            Value::Array(_) | Value::Object(_) if depth >= MAX_DEPTH => {
                *value = Value::String(MASK.to_owned());
            }
            Value::Array(items) => {
                for item in items {
                    self.clean_in_place(item, keys, depth + 1);
                }
            }
            Value::Object(members) => {
                if keys && members.keys().any(|key| self.finds_in(key)) {
                    *members = self.clean_keys(std::mem::take(members));
                }
                for member in members.values_mut() {
                    self.clean_in_place(member, keys, depth + 1);
                }
            }
        }
    }

    /// Keeps the order of members; untouched keys keep their name even when a masked key
    /// before them would have taken it.
    fn clean_keys(&self, members: Map<String, Value>) -> Map<String, Value> {
        let mut taken: BTreeSet<String> = members
            .keys()
            .filter(|key| !self.finds_in(key))
            .cloned()
            .collect();
        let mut clean = Map::with_capacity(members.len());
        for (key, value) in members {
            let key = if self.finds_in(&key) {
                free_name(self.clean_text(key), &taken)
            } else {
                key
            };
            taken.insert(key.clone());
            clean.insert(key, value);
        }
        clean
    }
}

/// Says how many patterns there are, never which.
impl fmt::Debug for MaskSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MaskSet({} patterns)", self.len())
    }
}

/// `name`, or `name#2`, `name#3` … when it is taken.
fn free_name(name: String, taken: &BTreeSet<String>) -> String {
    if !taken.contains(&name) {
        return name;
    }
    (2usize..)
        .map(|n| format!("{name}#{n}"))
        .find(|candidate| !taken.contains(candidate))
        .unwrap_or(name)
}

/// What is searched for because of one secret: the value, the value trimmed, and its longer
/// lines, since runners print line by line. PEM armour lines are public.
fn patterns_of(secret: &str) -> Vec<String> {
    let mut patterns = vec![secret, secret.trim()];
    if secret.trim().contains('\n') {
        patterns.extend(
            secret.lines().map(str::trim).filter(|line| {
                line.chars().count() >= MIN_LINE_CHARS && !line.starts_with("-----")
            }),
        );
    }
    let blank = |p: &str| p.chars().all(|c| c == '*' || c.is_whitespace());
    patterns.retain(|p| p.chars().count() >= MIN_CHARS && !blank(p));
    patterns.into_iter().map(str::to_owned).collect()
}

/// The text with every merged span replaced, or `None` when nothing was found.
fn replace(automaton: &AhoCorasick, text: &str) -> Option<String> {
    let spans = merged_spans(automaton, text);
    if spans.is_empty() {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let mut end = 0;
    for (from, to) in spans {
        out.push_str(&text[end..from]);
        out.push_str(MASK);
        end = to;
    }
    out.push_str(&text[end..]);
    Some(out)
}

/// Byte ranges to replace, in order. Overlapping matches merge, touching ones do not.
///
/// Matches arrive ordered by their end, so a later one can swallow several earlier spans.
fn merged_spans(automaton: &AhoCorasick, text: &str) -> Vec<(usize, usize)> {
    let mut spans: Vec<(usize, usize)> = Vec::new();
    for found in automaton.find_overlapping_iter(text) {
        let (mut from, to) = (found.start(), found.end());
        while let Some(&(last_from, last_to)) = spans.last()
            && last_to > from
        {
            from = from.min(last_from);
            spans.pop();
        }
        spans.push((from, to));
    }
    spans
}
