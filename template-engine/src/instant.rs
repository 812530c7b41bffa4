//! Instants: which values are one, and how they are written (template §8.1 and §8.2).
//!
//! An instant is a number of milliseconds since 1970-01-01 UTC. Years reach far beyond four digits here (±8.64e15 ms is
//! about ±271 821 years), further than calendar libraries go, so the few lines of calendar arithmetic are our own.

use crate::value::Value;

/// The furthest instant from the epoch that can be written as a date, in milliseconds.
const FURTHEST: f64 = 8.64e15;
const DAY_MS: i64 = 86_400_000;
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/// The instant of a value as milliseconds since the epoch, fraction kept: any finite Number, or a String in one of the
/// forms of template §8.1.2. `None` for everything else.
///
/// ```
/// use template_engine::instant::epoch_ms;
/// assert_eq!(epoch_ms(&"1970-01-02".into()), Some(86_400_000.0));
/// assert_eq!(epoch_ms(&"2026-02-30".into()), None);
/// ```
pub fn epoch_ms(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Number(n) => Some(n.as_f64()).filter(|n| n.is_finite()),
        Value::String(s) => parse(s).map(|ms| ms as f64),
        _ => None,
    }
}

/// The instant of a value that can be written as a date: as [`epoch_ms`], cut to whole milliseconds, at most 8.64e15
/// away from the epoch.
pub(crate) fn calendar_ms(value: &Value<'_>) -> Option<i64> {
    let ms = epoch_ms(value)?;
    // Truncation toward zero is what `as` does.
    (ms.abs() <= FURTHEST).then_some(ms as i64)
}

/// Parses the text forms of an instant (template §8.1.2, Q7): a date, a date with a time, or RFC 2822.
pub fn parse(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if !text.is_ascii() {
        return None;
    }
    if bytes.get(4) == Some(&b'-') {
        return parse_iso(bytes);
    }
    parse_rfc2822(text)
}

fn parse_iso(bytes: &[u8]) -> Option<i64> {
    let mut p = Reader { rest: bytes };
    let year = p.digits(4)?;
    p.byte(b"-")?;
    let month = p.digits(2)?;
    p.byte(b"-")?;
    let day = p.digits(2)?;
    let days = days_of(year, month, day)?;
    if p.rest.is_empty() {
        return Some(days * DAY_MS);
    }
    p.byte(b"Tt ")?;
    let mut ms = p.clock(true)?;
    if !p.rest.is_empty() {
        ms -= p.offset_ms(true)?;
    }
    p.rest.is_empty().then_some(days * DAY_MS + ms)
}

/// `[Www, ]D Mon YYYY HH:MM[:SS] (GMT|UTC|±HHMM)`
fn parse_rfc2822(text: &str) -> Option<i64> {
    let mut p = Reader {
        rest: text.as_bytes(),
    };
    if p.rest.first()?.is_ascii_alphabetic() {
        let name = p.take(3)?;
        if !WEEKDAYS
            .iter()
            .any(|d| d.as_bytes().eq_ignore_ascii_case(name))
        {
            return None;
        }
        p.byte(b",")?;
        p.byte(b" ")?;
    }
    let width = if p.rest.get(1)?.is_ascii_digit() {
        2
    } else {
        1
    };
    let day = p.digits(width)?;
    p.byte(b" ")?;
    let name = p.take(3)?;
    let month = MONTHS
        .iter()
        .position(|m| m.as_bytes().eq_ignore_ascii_case(name))? as i64
        + 1;
    p.byte(b" ")?;
    let year = p.digits(4)?;
    p.byte(b" ")?;
    let days = days_of(year, month, day)?;
    let mut ms = p.clock(false)?;
    p.byte(b" ")?;
    if p.rest.eq_ignore_ascii_case(b"GMT") || p.rest.eq_ignore_ascii_case(b"UTC") {
        p.rest = &[];
    } else {
        ms -= p.offset_ms(false)?;
    }
    p.rest.is_empty().then_some(days * DAY_MS + ms)
}

/// Reads fixed forms from the front of ASCII text.
struct Reader<'t> {
    rest: &'t [u8],
}

impl<'t> Reader<'t> {
    fn take(&mut self, count: usize) -> Option<&'t [u8]> {
        let (head, tail) = self.rest.split_at_checked(count)?;
        self.rest = tail;
        Some(head)
    }

    fn byte(&mut self, any_of: &[u8]) -> Option<u8> {
        let byte = *self.rest.first()?;
        if !any_of.contains(&byte) {
            return None;
        }
        self.rest = &self.rest[1..];
        Some(byte)
    }

    fn digits(&mut self, count: usize) -> Option<i64> {
        self.take(count)?.iter().try_fold(0, |n, b| {
            b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0'))
        })
    }

    fn up_to(&mut self, most: i64) -> Option<i64> {
        self.digits(2).filter(|n| *n <= most)
    }

    /// `HH:MM[:SS[.f+]]`, as milliseconds; no leap second, fractions cut to milliseconds.
    fn clock(&mut self, fraction: bool) -> Option<i64> {
        let hour = self.up_to(23)?;
        self.byte(b":")?;
        let minute = self.up_to(59)?;
        let mut ms = (hour * 60 + minute) * 60_000;
        if self.byte(b":").is_none() {
            return Some(ms);
        }
        ms += self.up_to(59)? * 1000;
        if fraction && self.byte(b".").is_some() {
            let count = self.rest.iter().take_while(|b| b.is_ascii_digit()).count();
            let digits = self.take(count).filter(|d| !d.is_empty())?;
            for (digit, unit) in digits.iter().zip([100, 10, 1]) {
                ms += i64::from(digit - b'0') * unit;
            }
        }
        Some(ms)
    }

    /// `±HHMM`; with `iso` also `Z`, `z` and `±HH:MM`. In milliseconds east of UTC.
    fn offset_ms(&mut self, iso: bool) -> Option<i64> {
        if iso && self.byte(b"Zz").is_some() {
            return Some(0);
        }
        let sign = if self.byte(b"+-")? == b'-' { -1 } else { 1 };
        let hours = self.up_to(23)?;
        if iso {
            self.byte(b":");
        }
        let minutes = self.up_to(59)?;
        Some(sign * (hours * 60 + minutes) * 60_000)
    }
}

/// Days since the epoch of a real calendar day.
fn days_of(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    // Years that begin in March put the leap day last; 400 years are 146 097 days.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * month + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// An instant taken apart, in UTC.
pub(crate) struct Calendar {
    year: i64,
    month: i64,
    day: i64,
    weekday: usize,
    hour: i64,
    minute: i64,
    second: i64,
    milli: i64,
}

impl Calendar {
    /// The fields of an instant in milliseconds since the epoch.
    pub fn of(ms: i64) -> Self {
        let days = ms.div_euclid(DAY_MS);
        let rest = ms.rem_euclid(DAY_MS);
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        Calendar {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month,
            day,
            // 1970-01-01 was a Thursday.
            weekday: (days + 4).rem_euclid(7) as usize,
            hour: rest / 3_600_000,
            minute: rest / 60_000 % 60,
            second: rest / 1000 % 60,
            milli: rest % 1000,
        }
    }

    /// `YYYY-MM-DDTHH:MM:SS.mmmZ` (template §8.2).
    pub fn iso(&self) -> String {
        let Calendar {
            year,
            month,
            day,
            hour,
            minute,
            second,
            milli,
            ..
        } = self;
        let year = if (0..=9999).contains(year) {
            format!("{year:04}")
        } else {
            format!("{year:+07}")
        };
        format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    }

    /// `YYYY-MM-DD`; the year has at least four digits.
    pub fn date(&self) -> String {
        format!("{}-{:02}-{:02}", self.year_text(), self.month, self.day)
    }

    /// `HH:MM:SS`.
    pub fn time(&self) -> String {
        format!("{:02}:{:02}:{:02}", self.hour, self.minute, self.second)
    }

    /// `Sat, 30 May 2026 12:00:00 GMT`.
    pub fn rfc2822(&self) -> String {
        let month = MONTHS[(self.month - 1) as usize];
        format!(
            "{}, {:02} {month} {} {} GMT",
            WEEKDAYS[self.weekday],
            self.day,
            self.year_text(),
            self.time()
        )
    }

    fn year_text(&self) -> String {
        let sign = if self.year < 0 { "-" } else { "" };
        format!("{sign}{:04}", self.year.abs())
    }
}

/// The ISO text of an instant in milliseconds since the epoch (template §8.2); `None` beyond ±8.64e15.
pub fn iso_text(ms: i64) -> Option<String> {
    ((ms as f64).abs() <= FURTHEST).then(|| Calendar::of(ms).iso())
}
