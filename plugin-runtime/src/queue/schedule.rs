//! When recurring jobs tick. Pure: instants in, instants out.
//!
//! The instants of a schedule form a fixed grid: an interval counts from its first tick, a cron
//! pattern from the calendar. A tick is named by its instant, never by when somebody noticed it, so
//! every node computes the same ones. Instants that passed while nobody looked are not made up for.

use super::decide::LEASE_MS;
use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::tz::TimeZone;
use plugin_api::{Ts, queue::Schedule};

/// A checked schedule.
pub(super) enum Grid {
    /// Every so many milliseconds.
    Interval(i64),
    /// At the matches of a pattern, UTC.
    Cron(Box<Cron>),
}

/// What to do about a recurring job whose next tick is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// The instant to make a tick of, if any.
    pub tick: Option<Ts>,
    /// The next instant after `now`.
    pub next_at: Ts,
}

impl Grid {
    /// Checks a schedule; the error says what to write instead.
    pub fn new(schedule: &Schedule) -> Result<Self, String> {
        match schedule {
            Schedule::IntervalMs(ms) => match i64::try_from(*ms) {
                Ok(ms) if ms >= 1000 => Ok(Self::Interval(ms)),
                _ => Err(format!(
                    "an interval of {ms} ms is out of range; write 1000 ms (1 s) or more"
                )),
            },
            Schedule::Cron(text) => parse_cron(text).map(|c| Self::Cron(Box::new(c))),
        }
    }

    /// The first tick of a new schedule.
    pub fn first(&self, now: Ts, delay_ms: i64) -> Result<Ts, String> {
        let from = now.plus_millis(delay_ms);
        match self {
            Self::Interval(_) => Ok(from),
            Self::Cron(cron) => next_match(cron, from),
        }
    }

    /// How far ahead the next tick can lie at `now`, the first one or a later. One that lies further
    /// was set by a clock that ran wrong; clocks of nodes differ by less than a lease.
    pub fn furthest(&self, now: Ts, delay_ms: i64) -> Result<Ts, String> {
        let now = now.plus_millis(LEASE_MS);
        let first = self.first(now, delay_ms)?;
        Ok(match self {
            Self::Interval(ms) => first.max(now.plus_millis(*ms)),
            Self::Cron(_) => first,
        })
    }

    /// Decides about a job whose `next_at` has come: the newest instant of the grid up to `now`
    /// ticks, unless it is older than `grace_ms`; older ones never do.
    pub fn due(&self, next_at: Ts, now: Ts, grace_ms: i64) -> Result<Due, String> {
        let (newest, next_at) = match self {
            Self::Interval(ms) => {
                let passed = (now.millis() - next_at.millis()).max(0) / ms;
                let newest = next_at.plus_millis(passed * ms);
                (newest, newest.plus_millis(*ms))
            }
            Self::Cron(cron) => (previous_match(cron, now, next_at), next_match(cron, now)?),
        };
        let fresh = now.millis() - newest.millis() <= grace_ms;
        Ok(Due {
            tick: fresh.then_some(newest),
            next_at,
        })
    }
}

fn parse_cron(text: &str) -> Result<Cron, String> {
    let help =
        "write five fields: minute hour day-of-month month day-of-week, such as \"*/5 * * * *\"";
    let cron = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build()
        .parse(text)
        .map_err(|e| format!("\"{text}\" is not a cron pattern ({e}); {help}, in UTC"))?;
    let never = |_| format!("\"{text}\" never matches any day; {help}, in UTC");
    next_match(&cron, Ts::from_millis(0)).map_err(never)?;
    Ok(cron)
}

fn zoned(t: Ts) -> jiff::Zoned {
    t.timestamp().to_zoned(TimeZone::UTC)
}

/// The first match after `t`.
fn next_match(cron: &Cron, t: Ts) -> Result<Ts, String> {
    cron.find_next_occurrence(&zoned(t), false)
        .map(|z| Ts::new(z.timestamp()))
        .map_err(|e| e.to_string())
}

/// The newest match up to `now`, not before `floor`, which is one.
fn previous_match(cron: &Cron, now: Ts, floor: Ts) -> Ts {
    match cron.find_previous_occurrence(&zoned(now), true) {
        Ok(z) => Ts::new(z.timestamp()).max(floor),
        Err(_) => floor,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Ts {
        Ts::parse(text).expect("an instant")
    }
    fn cron(text: &str) -> Grid {
        Grid::new(&Schedule::Cron(text.into())).expect("a pattern")
    }

    #[test]
    fn an_interval_keeps_its_grid_and_makes_up_for_nothing() {
        let grid = Grid::new(&Schedule::IntervalMs(60_000)).unwrap();
        let due = at("2026-01-15T12:00:07Z");
        let on_time = grid
            .due(due, at("2026-01-15T12:00:07.020Z"), 30_000)
            .unwrap();
        assert_eq!(on_time.tick, Some(due));
        assert_eq!(on_time.next_at, at("2026-01-15T12:01:07Z"));
        let late = grid.due(due, at("2026-01-15T12:05:10Z"), 30_000).unwrap();
        assert_eq!(late.tick, Some(at("2026-01-15T12:05:07Z")));
        assert_eq!(late.next_at, at("2026-01-15T12:06:07Z"));
        let missed = grid.due(due, at("2026-01-15T12:05:50Z"), 30_000).unwrap();
        assert_eq!(
            (missed.tick, missed.next_at),
            (None, at("2026-01-15T12:06:07Z"))
        );
    }

    #[test]
    fn cron_is_five_fields_in_utc() {
        let grid = cron("30 3 * * MON-FRI");
        let friday = at("2026-01-16T03:30:00Z");
        assert_eq!(grid.first(at("2026-01-15T12:00:00Z"), 0).unwrap(), friday);
        let due = grid
            .due(friday, at("2026-01-16T03:30:01Z"), 30_000)
            .unwrap();
        assert_eq!(
            (due.tick, due.next_at),
            (Some(friday), at("2026-01-19T03:30:00Z"))
        );
        assert_eq!(
            cron("@hourly")
                .first(at("2026-01-15T12:00:00Z"), 0)
                .unwrap(),
            at("2026-01-15T13:00:00Z")
        );
    }

    #[test]
    fn the_furthest_next_tick_is_one_step_or_the_delay_away_and_a_lease_for_clocks_that_differ() {
        let now = at("2026-01-15T12:00:00Z");
        let minute = Grid::new(&Schedule::IntervalMs(60_000)).unwrap();
        for (grid, delay_ms, furthest) in [
            (&minute, 0, "2026-01-15T12:01:30Z"),
            (&minute, 90_000, "2026-01-15T12:02:00Z"),
            (&cron("*/5 * * * *"), 0, "2026-01-15T12:05:00Z"),
            (&cron("*/5 * * * *"), 270_000, "2026-01-15T12:10:00Z"),
        ] {
            assert_eq!(grid.furthest(now, delay_ms).unwrap(), at(furthest));
        }
        // A node whose clock is behind has yet to see the tick that another one made.
        let behind = at("2026-01-15T11:59:59.990Z");
        let next = at("2026-01-15T12:05:00Z");
        assert_eq!(cron("*/5 * * * *").furthest(behind, 0).unwrap(), next);
    }

    #[test]
    fn bad_schedules_say_what_to_write() {
        for bad in [
            "",
            "* * * *",
            "* * * * * *",
            "61 * * * *",
            "x * * * *",
            "0 0 30 2 *",
        ] {
            let error = Grid::new(&Schedule::Cron(bad.into())).err().expect(bad);
            assert!(error.contains("five fields"), "{bad}: {error}");
        }
        let error = Grid::new(&Schedule::IntervalMs(999)).err().unwrap();
        assert!(error.contains("1000 ms"), "{error}");
    }
}
