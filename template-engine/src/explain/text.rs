//! The words and the clipping of explanations.

use crate::compare::{finite_number, push_number};
use crate::condition::within;
use crate::json::write_value;
use crate::limits::{Limits, OutputLimits};
use crate::span::Span;
use crate::value::{Number, Value};

/// The most characters of a value.
pub(super) const VALUE_CHARS: usize = 120;
/// The most characters of a source.
const SOURCE_CHARS: usize = 200;
/// Bytes of a document that are written before it is cut.
const WRITTEN: OutputLimits = OutputLimits {
    bytes: 4096,
    work: Limits::DEFAULT.work_bytes,
    depth: 64,
};

/// At most so many characters, an ellipsis for what is cut off.
pub(super) fn cut(text: String, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        None => text,
        Some(_) => {
            let mut kept: String = text.chars().take(chars - 1).collect();
            kept.push('…');
            kept
        }
    }
}

/// A source on one line, cut.
pub(super) fn source(text: String) -> String {
    let line = if text.contains(['\n', '\r', '\t']) {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    } else {
        text
    };
    cut(line, SOURCE_CHARS)
}

/// A value as JSON text, cut; `missing` for Undefined.
pub(super) fn value(value: &Value<'_>) -> String {
    if value.is_undefined() {
        return "missing".to_owned();
    }
    let mut out = String::new();
    // What did not fit is cut off anyway; what was written up to there stands.
    let _ = write_value(&mut out, value.view(), WRITTEN);
    cut(out, VALUE_CHARS)
}

/// The source under a span, widened to the parentheses that belong to it: spans begin at the leftmost token and do not
/// count parentheses (template §10.3), so that of `(a || b) == c` begins behind the first one.
pub(super) fn part(source: &str, span: Span) -> &str {
    let (mut start, mut end) = (span.start as usize, span.end as usize);
    let Some(inner) = source.get(start..end) else {
        return "";
    };
    let (mut open, mut missing) = (0usize, 0usize);
    let mut quote = None;
    let mut escaped = false;
    for c in inner.chars() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(') => open += 1,
            (None, ')') if open > 0 => open -= 1,
            (None, ')') => missing += 1,
            _ => {}
        }
    }
    while missing > 0 {
        let Some(at) = source.get(..start).and_then(|before| before.rfind('(')) else {
            break;
        };
        start = at;
        missing -= 1;
    }
    while open > 0 {
        let Some(at) = source.get(end..).and_then(|behind| behind.find(')')) else {
            break;
        };
        end += at + 1;
        open -= 1;
    }
    source.get(start..end).unwrap_or(inner)
}

/// A number in the language's layout.
pub(super) fn number(n: f64) -> String {
    let mut out = String::new();
    push_number(&mut out, Number::Float(n));
    out
}

/// How a measured value stands to the bounds of a `numeric_state`, in words: `512, not above 800`, `missing, not a
/// number`, `900, above 800`.
pub fn bounds(measured: &Value<'_>, above: Option<f64>, below: Option<f64>) -> String {
    let shown = value(measured);
    let Some(n) = finite_number(measured) else {
        return format!("{shown}, not a number");
    };
    if above.is_none() && below.is_none() {
        return format!("{shown}, and there is no bound");
    }
    let holds = within(n, above, below);
    let word = if holds { "" } else { "not " };
    let mut said = Vec::new();
    if let Some(bound) = above.filter(|a| (n > *a) == holds) {
        said.push(format!("{word}above {}", number(bound)));
    }
    if let Some(bound) = below.filter(|b| (n < *b) == holds) {
        said.push(format!("{word}below {}", number(bound)));
    }
    format!("{shown}, {}", said.join(" and "))
}

/// A duration in its two largest units: `3 min`, `2 h 5 min`, `45 s`, `120 ms`.
pub(super) fn duration(ms: f64) -> String {
    if !ms.is_finite() || ms <= 0.0 {
        return "0 s".to_owned();
    }
    let whole = ms.min(9e15) as u64;
    if whole < 1000 {
        return format!("{whole} ms");
    }
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "min"),
        (1000, "s"),
    ];
    let mut left = whole;
    let mut said = Vec::new();
    for (unit, name) in units {
        if left >= unit && said.len() < 2 {
            said.push(format!("{} {name}", left / unit));
            left %= unit;
        } else if !said.is_empty() {
            break;
        }
    }
    said.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parentheses_around_a_part_belong_to_it() {
        let source = "x && (a || b) == ((c)) && ')' == d";
        let cases = [
            (6, 20, "(a || b) == ((c))"),
            (6, 12, "a || b"),
            (26, 34, "')' == d"),
        ];
        for (start, end, expected) in cases {
            assert_eq!(part(source, Span::new(start, end)), expected);
        }
    }

    #[test]
    fn durations_have_at_most_two_units() {
        let cases = [
            (0.0, "0 s"),
            (f64::NAN, "0 s"),
            (120.0, "120 ms"),
            (45_000.0, "45 s"),
            (180_000.0, "3 min"),
            (7_500_000.0, "2 h 5 min"),
            (90_061_000.0, "1 d 1 h"),
            (86_400_000.0 + 5000.0, "1 d"),
        ];
        for (ms, expected) in cases {
            assert_eq!(duration(ms), expected);
        }
    }

    #[test]
    fn a_cut_text_ends_in_an_ellipsis_and_keeps_characters_whole() {
        assert_eq!(cut("äöü".into(), 3), "äöü");
        assert_eq!(cut("äöüß".into(), 3), "äö…");
    }
}
