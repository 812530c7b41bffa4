//! The core schema of YAML 1.2: which plain scalars are not text (§10.3.2 there).

use super::Kind;
use serde_json::Number;

/// A plain scalar's value, or why JSON cannot hold it.
pub(super) fn resolve(text: &str) -> Result<Kind, &'static str> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
        "true" | "True" | "TRUE" => Kind::Bool(true),
        "false" | "False" | "FALSE" => Kind::Bool(false),
        _ => match number(text) {
            Some(n) => Kind::Number(n?),
            None => Kind::String(text.to_owned()),
        },
    })
}

const TOO_BIG: &str = "the whole number does not fit into 64 bits; quote it to keep it as text";
const NOT_FINITE: &str =
    "infinite and undefined numbers have no place in a document; quote it to keep it as text";

/// None when the text is no number.
fn number(text: &str) -> Option<Result<Number, &'static str>> {
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Some(Err(NOT_FINITE));
    }
    if !unsigned.is_empty() && unsigned.bytes().all(|b| b.is_ascii_digit()) {
        let plain = text.strip_prefix('+').unwrap_or(text);
        return Some(match (plain.parse::<i64>(), plain.parse::<u64>()) {
            (Ok(n), _) => Ok(n.into()),
            (_, Ok(n)) => Ok(n.into()),
            _ => Err(TOO_BIG),
        });
    }
    if !is_float(unsigned) {
        return None;
    }
    let plain = text.strip_prefix('+').unwrap_or(text);
    let value = plain.parse::<f64>().ok()?;
    Some(Number::from_f64(value).ok_or(NOT_FINITE))
}

fn radix(digits: &str, radix: u32) -> Option<Result<Number, &'static str>> {
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    Some(match u64::from_str_radix(digits, radix) {
        Ok(n) => Ok(n.into()),
        Err(_) => Err(TOO_BIG),
    })
}

/// `( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn is_float(text: &str) -> bool {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let mantissa_ok = match mantissa.split_once('.') {
        Some((whole, fraction)) => {
            (digits(whole) && (fraction.is_empty() || digits(fraction)))
                || (whole.is_empty() && digits(fraction))
        }
        None => digits(mantissa),
    };
    let exponent_ok = exponent.is_none_or(|e| digits(e.strip_prefix(['+', '-']).unwrap_or(e)));
    mantissa_ok && exponent_ok
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_schema_decides_what_is_not_text() {
        for text in [
            "yes",
            "on",
            "No",
            "1_000",
            "0b1",
            "2026-01-01",
            "1.2.3",
            "e5",
            ".",
            "-",
            "+",
            "nan",
            "0x",
            "1e",
        ] {
            assert_eq!(resolve(text), Ok(Kind::String(text.into())), "{text}");
        }
        let cases = [
            ("12", "12"),
            ("+12", "12"),
            ("-3", "-3"),
            ("007", "7"),
            ("0x1F", "31"),
            ("0o17", "15"),
            ("1.", "1.0"),
            (".5", "0.5"),
            ("1e3", "1000.0"),
            ("-2.50", "-2.5"),
            ("18446744073709551615", "18446744073709551615"),
        ];
        for (text, json) in cases {
            match resolve(text) {
                Ok(Kind::Number(n)) => assert_eq!(n.to_string(), json, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        assert_eq!(resolve("99999999999999999999"), Err(TOO_BIG));
        assert_eq!(resolve("-.inf"), Err(NOT_FINITE));
        assert_eq!(resolve(".nan"), Err(NOT_FINITE));
        assert_eq!(resolve("1e999"), Err(NOT_FINITE));
    }
}
