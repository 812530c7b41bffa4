//! Whether an occurrence lets its window fire (`dispatch §7`). Pure: the newest times of its bucket
//! have been read.

use automation_core::definition::Refire;
use plugin_api::Ts;

/// The newest occurrences of one bucket, newest first; never more than one beyond the threshold,
/// which is all that the answer depends on.
#[derive(Clone, Debug, Default)]
pub struct Newest(Vec<Ts>);

/// What a window says of one occurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// It lets the occurrence pass.
    pub fires: bool,
    /// Occurrences in the window that ends at the newest one; capped just above the threshold.
    pub n: u32,
}

/// What the gate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The window holds it back, or lets it pass.
    Counted(Count),
    /// This occurrence was decided before.
    Decided,
}

/// The answer to an occurrence that was counted before, or decided altogether; none for one that is
/// new to the window (`dispatch §7.5`).
pub fn before(window_fired: Option<i64>, decided: bool) -> Option<Answer> {
    if decided {
        return Some(Answer::Decided);
    }
    window_fired.map(|fired| {
        Answer::Counted(Count {
            fires: fired != 0,
            n: 0,
        })
    })
}

impl Newest {
    /// Times as read, in any order.
    pub fn of(mut times: Vec<Ts>) -> Self {
        times.sort_unstable_by(|a, b| b.cmp(a));
        Self(times)
    }

    /// Adds an occurrence and counts: the window ends at the newest occurrence of the bucket, so a
    /// backlog is counted as it happened. One older than the window's start is counted for nobody and
    /// never fires.
    pub fn add(&mut self, at: Ts, count: u32, minutes: u32, refire: Refire) -> Count {
        let place = self.0.partition_point(|t| *t >= at);
        self.0.insert(place, at);
        let start = self.0[0].plus_millis(-i64::from(minutes) * 60_000);
        let within = self.0.iter().take_while(|t| **t >= start).count();
        let n = u32::try_from(within).unwrap_or(u32::MAX);
        self.0.truncate(count as usize + 1);
        let fires = at >= start
            && match refire {
                Refire::Every => n >= count,
                Refire::Once => n == count,
            };
        Count { fires, n }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(m: i64) -> Ts {
        Ts::from_millis(m * 60_000)
    }

    /// Occurrences at these minutes, in this order of arrival; which of them fire.
    fn fired(count: u32, minutes: u32, refire: Refire, at: &[i64]) -> Vec<i64> {
        let mut bucket = Newest::default();
        at.iter()
            .filter(|m| bucket.add(minute(**m), count, minutes, refire).fires)
            .copied()
            .collect()
    }

    #[test]
    fn dispatch_c42_c43_every_and_once() {
        assert_eq!(fired(3, 60, Refire::Every, &[0, 1, 2, 3]), [2, 3]);
        assert_eq!(fired(3, 60, Refire::Once, &[0, 1, 2, 3]), [2]);
        // Ageing out and crossing again: at 200 all others are out.
        assert_eq!(
            fired(2, 60, Refire::Once, &[0, 1, 2, 200, 201, 202]),
            [1, 201]
        );
    }

    #[test]
    fn the_window_ends_at_the_newest_and_an_old_one_never_fires() {
        assert_eq!(fired(2, 60, Refire::Every, &[100, 0, 50, 41]), [50, 41]);
        // Exactly `minutes` old is inside.
        assert_eq!(fired(2, 60, Refire::Every, &[100, 40]), [40]);
        assert_eq!(fired(2, 60, Refire::Every, &[100, 39]), Vec::<i64>::new());
    }

    #[test]
    fn a_backlog_counts_as_it_happened() {
        // Yesterday's three, however late they arrive.
        assert_eq!(fired(3, 10, Refire::Once, &[5, 1, 3]), [3]);
    }
}
