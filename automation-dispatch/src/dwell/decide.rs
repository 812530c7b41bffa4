//! Whether an expired dwell becomes a run (`dispatch §6.2–6.3`), and whether an armed one still
//! stands (`§6.4`). Pure: what must be read has been read.

use automation_core::compiled::CompiledTrigger;
use plugin_api::Ts;

/// What current state says of the thing a dwell was armed on.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// The trigger's own gate confirms it: a "no" would have deleted the dwell.
    OwnGate,
    /// There is nothing to compare, or it cannot be read: time alone decides.
    Unknown,
    /// It does not hold any more.
    Over,
    /// It holds.
    Holds {
        /// Since when without a break; none when unknown.
        since: Option<Ts>,
    },
}

/// What becomes of a dwell whose timer has come.
#[derive(Clone, Debug, PartialEq)]
pub enum Expiry {
    /// The timer was early: look again at its end.
    Early,
    /// It is deleted without a run.
    Drop,
    /// It was left and re-entered: a new row with this end.
    Rearm {
        /// The new end.
        fire_at: Ts,
    },
    /// On to the conditions.
    Proceed,
}

/// Decides an expiry. `armed_at` and `fire_at` are the row's.
pub fn expiry(standing: &Standing, armed_at: Ts, fire_at: Ts, now: Ts) -> Expiry {
    if fire_at > now {
        return Expiry::Early;
    }
    match standing {
        Standing::Over => Expiry::Drop,
        Standing::OwnGate | Standing::Unknown | Standing::Holds { since: None } => Expiry::Proceed,
        Standing::Holds { since: Some(since) } => {
            if *since <= armed_at {
                return Expiry::Proceed;
            }
            let fire_at = since.plus_millis(fire_at.millis() - armed_at.millis());
            if fire_at > now {
                Expiry::Rearm { fire_at }
            } else {
                Expiry::Proceed
            }
        }
    }
}

/// What equality of status says (decision 12): no armed status, or no way to read one, proceeds.
pub fn equality(armed: Option<&str>, current: Option<&str>, since: Option<Ts>) -> Standing {
    match (armed, current) {
        (None, _) => Standing::Unknown,
        (Some(a), Some(c)) if a == c => Standing::Holds { since },
        (Some(_), _) => Standing::Over,
    }
}

/// The position of the trigger that armed a dwell – effective id, event and hash – if it is still
/// as it was.
pub fn armed_trigger(
    triggers: &[CompiledTrigger],
    (id, event, hash): (&str, &str, &str),
) -> Option<usize> {
    let same = |t: &CompiledTrigger| t.id == id && t.event == event && t.hash == hash;
    triggers.iter().position(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: i64) -> Ts {
        Ts::from_millis(s * 1000)
    }

    #[test]
    fn expiry_table() {
        let holds = |s| Standing::Holds { since: Some(at(s)) };
        // Armed at 100, due at 160.
        let cases = [
            (Standing::Unknown, 159, Expiry::Early),
            (Standing::Over, 160, Expiry::Drop),
            (Standing::OwnGate, 160, Expiry::Proceed),
            (Standing::Unknown, 160, Expiry::Proceed),
            (Standing::Holds { since: None }, 160, Expiry::Proceed),
            (holds(90), 160, Expiry::Proceed),
            (holds(100), 160, Expiry::Proceed),
            // Left and re-entered at 130: must hold until 190.
            (holds(130), 160, Expiry::Rearm { fire_at: at(190) }),
            (holds(130), 190, Expiry::Proceed),
            (Standing::Over, 150, Expiry::Early),
        ];
        for (standing, now, expected) in cases {
            assert_eq!(
                expiry(&standing, at(100), at(160), at(now)),
                expected,
                "{standing:?} at {now}"
            );
        }
    }

    #[test]
    fn equality_table() {
        assert_eq!(equality(None, Some("x"), None), Standing::Unknown);
        assert_eq!(
            equality(Some("x"), Some("x"), Some(at(1))),
            Standing::Holds { since: Some(at(1)) }
        );
        assert_eq!(equality(Some("x"), Some("y"), None), Standing::Over);
        assert_eq!(equality(Some("x"), None, None), Standing::Over);
    }
}
