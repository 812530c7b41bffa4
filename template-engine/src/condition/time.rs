//! Windows of wall-clock time in a zone.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

/// A minute of the day, 00:00 to 23:59.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay(u16);

impl TimeOfDay {
    /// Parses `HH:mm`, 24 hours, two digits each.
    pub fn parse(text: &str) -> Option<Self> {
        let [h1, h2, b':', m1, m2] = text.as_bytes() else {
            return None;
        };
        let digit = |b: &u8| b.is_ascii_digit().then(|| u16::from(b - b'0'));
        let hour = digit(h1)? * 10 + digit(h2)?;
        let minute = digit(m1)? * 10 + digit(m2)?;
        (hour < 24 && minute < 60).then_some(TimeOfDay(hour * 60 + minute))
    }

    /// Minutes since midnight.
    pub fn minutes(self) -> u16 {
        self.0
    }
}

/// `time {after?, before?, weekday?, timezone}`: minute resolution, `after` inclusive, `before` exclusive.
#[derive(Clone, Debug)]
pub struct TimeWindow {
    /// The window's start; later than `before` means overnight.
    pub after: Option<TimeOfDay>,
    /// The window's end.
    pub before: Option<TimeOfDay>,
    /// The days it applies to, index 0 = Sunday; `None`: all. The day is that of the instant itself, also after midnight.
    pub weekdays: Option<[bool; 7]>,
    /// The zone whose wall clock counts.
    pub zone: TimeZone,
}

impl TimeWindow {
    /// The zone of an IANA name, from the database compiled in: an answer never depends on the host.
    pub fn zone_named(name: &str) -> Option<TimeZone> {
        if name.eq_ignore_ascii_case("UTC") {
            return Some(TimeZone::UTC);
        }
        jiff::tz::TimeZoneDatabase::bundled().get(name).ok()
    }

    /// Whether an instant lies in the window.
    pub fn contains(&self, now: Timestamp) -> bool {
        let local = self.zone.to_datetime(now);
        if let Some(days) = self.weekdays {
            let day = local.weekday().to_sunday_zero_offset() as usize;
            if !days[day] {
                return false;
            }
        }
        let minute = TimeOfDay(local.hour() as u16 * 60 + local.minute() as u16);
        match (self.after, self.before) {
            (Some(after), Some(before)) if after <= before => after <= minute && minute < before,
            (Some(after), Some(before)) => minute >= after || minute < before,
            (Some(after), None) => minute >= after,
            (None, Some(before)) => minute < before,
            (None, None) => true,
        }
    }

    /// The next instant after `now` at which [`TimeWindow::contains`] may change: the earliest of `after`, `before` and
    /// midnight in the zone. `None` only at the end of the calendar.
    pub fn next_boundary(&self, now: Timestamp) -> Option<Timestamp> {
        let today = self.zone.to_datetime(now).date();
        let bounds = [Some(TimeOfDay(0)), self.after, self.before];
        let mut next = None;
        for date in [
            Some(today),
            today.tomorrow().ok(),
            today.checked_add(2.days()).ok(),
        ]
        .into_iter()
        .flatten()
        {
            for bound in bounds.into_iter().flatten() {
                let at = date.at((bound.0 / 60) as i8, (bound.0 % 60) as i8, 0, 0);
                // A wall time the zone skips is the instant right behind the gap; one it repeats has two instants.
                for at in instants_of(&self.zone, at) {
                    if at > now && next.is_none_or(|n| at < n) {
                        next = Some(at);
                    }
                }
            }
        }
        next
    }
}

/// The instants a wall time stands for.
fn instants_of(zone: &TimeZone, at: jiff::civil::DateTime) -> impl Iterator<Item = Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(at);
    let instants = [ambiguous.earlier().ok(), ambiguous.later().ok()];
    instants.into_iter().flatten()
}
