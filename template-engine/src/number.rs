//! Numbers and text: the one layout in which numbers are written, and the one grammar in which text is read as a number.

use std::fmt::Write as _;

use crate::lexer::is_whitespace;

/// 2^53: up to here every integer is exact as a double.
const MAX_SAFE: f64 = 9_007_199_254_740_992.0;

/// Whether a double is an integer without loss (and not `-0`'s sign, which JSON text does not keep).
pub(crate) fn is_safe_integer(n: f64) -> bool {
    n.abs() <= MAX_SAFE && n.trunc() == n
}

/// Appends the text of a double: shortest digits that round-trip, plain decimal for 1e-6 ≤ |x| < 1e21, else
/// `d.ddde±N`; `-0` is `0` (template §5.2). Non-finite numbers, which arise only inside conversions, are written as
/// `NaN`, `Infinity` and `-Infinity`.
pub(crate) fn write_number(out: &mut String, n: f64) {
    if is_safe_integer(n) {
        // Writing to a String cannot fail.
        let _ = write!(out, "{}", n as i64);
        return;
    }
    if !n.is_finite() {
        out.push_str(if n.is_nan() {
            "NaN"
        } else if n > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        });
        return;
    }
    let magnitude = n.abs();
    if (1e-6..1e21).contains(&magnitude) {
        // Rust's plain decimal has the shortest digits and no exponent.
        let _ = write!(out, "{n}");
        return;
    }
    let start = out.len();
    let _ = write!(out, "{n:e}");
    // Rust writes `1e21`; the language writes `1e+21`.
    if magnitude >= 1.0
        && let Some(at) = out[start..].find('e')
    {
        out.insert(start + at + 1, '+');
    }
}

/// Text as a number (template §5.4); `NaN` when it is none.
pub(crate) fn parse_number(text: &str) -> f64 {
    let text = text.trim_matches(is_whitespace);
    let bytes = text.as_bytes();
    match bytes {
        [] => return 0.0,
        [b'0', b'x' | b'X', digits @ ..] => return parse_radix(digits, 4),
        [b'0', b'o' | b'O', digits @ ..] => return parse_radix(digits, 3),
        [b'0', b'b' | b'B', digits @ ..] => return parse_radix(digits, 1),
        _ => {}
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned == "Infinity" {
        return if bytes[0] == b'-' {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        };
    }
    if !is_decimal(unsigned.as_bytes()) {
        return f64::NAN;
    }
    text.parse().unwrap_or(f64::NAN)
}

/// `(d+[.d*] | .d+)([eE][+-]?d+)?`
fn is_decimal(bytes: &[u8]) -> bool {
    let digits = |from: usize| {
        bytes[from..]
            .iter()
            .take_while(|b| b.is_ascii_digit())
            .count()
    };
    let whole = digits(0);
    let mut at = whole;
    let mut fraction = 0;
    if bytes.get(at) == Some(&b'.') {
        fraction = digits(at + 1);
        at += 1 + fraction;
    }
    if whole + fraction == 0 {
        return false;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        at += 1;
        if matches!(bytes.get(at), Some(b'+' | b'-')) {
            at += 1;
        }
        let exponent = digits(at);
        if exponent == 0 {
            return false;
        }
        at += exponent;
    }
    at == bytes.len()
}

/// An integer in radix 2^`bits`, correctly rounded however long it is: the leading 60 or so bits are kept exactly, and
/// whether anything below them is set is folded into the lowest, so that the one rounding at the end sees it.
fn parse_radix(digits: &[u8], bits: u32) -> f64 {
    if digits.is_empty() {
        return f64::NAN;
    }
    let mut kept: u64 = 0;
    let mut dropped_digits: u32 = 0;
    let mut sticky = 0;
    for byte in digits {
        let Some(digit) = (*byte as char).to_digit(1 << bits) else {
            return f64::NAN;
        };
        if kept >> 60 == 0 {
            kept = kept << bits | u64::from(digit);
        } else {
            dropped_digits = dropped_digits.saturating_add(1);
            sticky |= u64::from(digit != 0);
        }
    }
    let exponent = i32::try_from(dropped_digits.saturating_mul(bits)).unwrap_or(i32::MAX);
    (kept | sticky) as f64 * 2f64.powi(exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(n: f64) -> String {
        let mut out = String::new();
        write_number(&mut out, n);
        out
    }

    #[test]
    fn template_5_2_layout() {
        for (n, expected) in [
            (100.0, "100"),
            (1.5, "1.5"),
            (-0.0, "0"),
            (0.000001, "0.000001"),
            (1e-7, "1e-7"),
            (1.5e-7, "1.5e-7"),
            (-1.25e-9, "-1.25e-9"),
            (123456789012345680000.0, "123456789012345680000"),
            (1e21, "1e+21"),
            (-1.5e300, "-1.5e+300"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (0.30000000000000004, "0.30000000000000004"),
        ] {
            assert_eq!(text(n), expected);
        }
    }

    #[test]
    fn template_5_4_text_to_number() {
        for (input, expected) in [
            ("", 0.0),
            (" \u{feff}\n", 0.0),
            (" 7 ", 7.0),
            ("1.", 1.0),
            (".5", 0.5),
            ("+1.5e2", 150.0),
            ("-.5E-1", -0.05),
            ("0x10", 16.0),
            ("0B101", 5.0),
            ("0o17", 15.0),
            ("-Infinity", f64::NEG_INFINITY),
            ("+Infinity", f64::INFINITY),
            ("0x20000000000001", 9007199254740992.0),
            ("0x20000000000003", 9007199254740996.0),
            // A tie that the very last digit breaks, far behind the digits that are kept.
            (
                "0x10000000000000800000000000000000000000",
                3.5681192317649e44,
            ),
            (
                "0x10000000000000800000000000000000000001",
                3.5681192317649005e44,
            ),
        ] {
            assert_eq!(parse_number(input), expected, "{input:?}");
        }
        for input in [
            ".", "1_000", "12px", "+0x10", "0x", "0xg", "infinity", "nan", "e5", "1e", "1e+",
            "--1", "1 2",
        ] {
            assert!(parse_number(input).is_nan(), "{input:?}");
        }
    }
}
