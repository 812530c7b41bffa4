//! Random definitions and plans.

use super::{
    START,
    inputs::{Item, What},
    rng::Rng,
    store::tx::CommitFault,
};
use serde_json::{Value, json};

/// Who plays.
pub struct Cast {
    /// Processes.
    pub nodes: usize,
    /// Automations.
    pub definitions: Vec<Value>,
}

/// Every fourth schedule has no faults: there the backstops must have nothing to do.
pub fn is_calm(rng: &mut Rng) -> bool {
    rng.one_in(4)
}

const THINGS: [&str; 3] = ["t1", "t2", "t3"];
const STATUSES: [&str; 3] = ["ok", "warn", "bad"];
const EVENTS: [&str; 5] = [
    "test.ping",
    "test.ping",
    "test.level",
    "test.thing_bad",
    "test.thing_changed",
];

/// Draws nodes and definitions.
pub fn cast(rng: &mut Rng) -> Cast {
    let nodes = 1 + rng.below(3);
    let definitions = (0..1 + rng.below(3)).map(|n| definition(rng, n)).collect();
    Cast { nodes, definitions }
}

fn definition(rng: &mut Rng, n: usize) -> Value {
    let triggers: Vec<Value> = (0..1 + rng.below(2)).map(|t| trigger(rng, t)).collect();
    let mode = *rng.pick(&["single", "parallel", "queued", "restart"]);
    let mut definition = json!({
        "name": format!("a{n}"),
        "triggers": triggers,
        "actions": actions(rng, 3),
        "mode": mode,
        "concurrency_scope": *rng.pick(&["automation", "context_key"]),
        "max_runs": rng.range(1, 3),
    });
    if rng.one_in(8) {
        definition["conditions"] = json!([condition(rng)]);
    }
    if rng.one_in(6) {
        definition["allow_reentry"] = json!(true);
    }
    tag(&mut definition, 1);
    definition
}

/// Another definition with the same mode and scope.
fn edited(rng: &mut Rng, of: &Value) -> Value {
    let mut definition = of.clone();
    definition["actions"] = json!(actions(rng, 3));
    if rng.one_in(2) {
        definition["triggers"] = json!([trigger(rng, 0)]);
    }
    definition
}

/// Writes its version into every call.
pub fn tag(value: &mut Value, version: i64) {
    match value {
        Value::Object(fields) => {
            if let Some(v) = fields.get_mut("v") {
                *v = json!(version.to_string());
            }
            fields.values_mut().for_each(|v| tag(v, version));
        }
        Value::Array(items) => items.iter_mut().for_each(|v| tag(v, version)),
        _ => {}
    }
}

fn trigger(rng: &mut Rng, t: usize) -> Value {
    let event = *rng.pick(&EVENTS);
    let mut trigger = json!({"id": format!("t{t}"), "event": event});
    if event == "test.level" {
        trigger["config"] = json!({"above": rng.range(0, 2)});
    }
    match rng.below(8) {
        0 | 1 => trigger["for"] = json!({"seconds": rng.range(5, 60)}),
        2 | 3 => {
            trigger["window"] = json!({
                "count": rng.range(1, 3),
                "minutes": rng.range(1, 3),
                "refire": *rng.pick(&["every", "once"]),
            });
        }
        4 => trigger["cooldown"] = json!({"seconds": rng.range(5, 60)}),
        5 => {
            trigger["filter"] = json!(format!(
                "state.thing.{}.status != 'warn'",
                rng.pick(&THINGS)
            ))
        }
        _ => {}
    }
    trigger
}

fn condition(rng: &mut Rng) -> String {
    let (thing, status) = (*rng.pick(&THINGS), *rng.pick(&STATUSES));
    let sign = *rng.pick(&["==", "!="]);
    match rng.below(5) {
        0 => format!("state.thing[trigger.payload.id].status {sign} '{status}'"),
        1 => {
            format!("state.thing.{thing}.status {sign} '{status}' && state.thing.t1.status != 'x'")
        }
        _ => format!("state.thing.{thing}.status {sign} '{status}'"),
    }
}

fn actions(rng: &mut Rng, depth: usize) -> Vec<Value> {
    (0..1 + rng.below(3)).map(|_| action(rng, depth)).collect()
}

fn call(rng: &mut Rng) -> Value {
    let ms = match rng.below(12) {
        0 => rng.range(61_000, 90_000),
        1..=3 => 0,
        _ => rng.range(1, 3_000),
    };
    let mut call = json!({"action": "test.call", "config": {"v": "1", "ms": ms}});
    match rng.below(12) {
        0 => call["config"]["fails"] = json!(true),
        1 => {
            call["config"]["fails"] = json!(true);
            call["config"]["until"] = json!(rng.range(1, 2));
            call["retry"] = json!({"max_attempts": 3, "delay": {"seconds": rng.range(1, 20)}});
        }
        2 => {
            let set = format!("{}={}", rng.pick(&THINGS), rng.pick(&STATUSES));
            call["config"]["set"] = json!(set);
        }
        _ => {}
    }
    call
}

fn action(rng: &mut Rng, depth: usize) -> Value {
    let nested = depth > 1 && rng.one_in(3);
    let mut action = if nested {
        match rng.below(5) {
            0 => json!({"sequence": actions(rng, depth - 1)}),
            1 => {
                let mut choose = json!({"choose": [{"when": condition(rng), "sequence": actions(rng, depth - 1)}]});
                if rng.one_in(2) {
                    choose["else"] = json!(actions(rng, depth - 1));
                }
                choose
            }
            2 | 3 => {
                let branches: Vec<Value> = (0..2 + rng.below(2))
                    .map(|_| action(rng, depth - 1))
                    .collect();
                json!({"parallel": branches})
            }
            _ => {
                let sequence = actions(rng, depth - 1);
                let mut repeat = match rng.below(4) {
                    0 => json!({"count": rng.range(1, 3)}),
                    1 => json!({"for_each": "trigger.payload.list"}),
                    2 => json!({"while": "true", "max_iterations": 2}),
                    _ => json!({"until": "variables.x == 'never'", "max_iterations": 2}),
                };
                repeat["sequence"] = json!(sequence);
                json!({"repeat": repeat})
            }
        }
    } else {
        match rng.below(12) {
            0..=4 => call(rng),
            5 => json!({"delay": {"seconds": rng.range(0, 20)}}),
            6 | 7 => {
                let mut wait = json!({"condition": condition(rng)});
                if rng.one_in(2) {
                    wait["timeout_seconds"] = json!(rng.range(5, 60));
                    wait["continue_on_timeout"] = json!(rng.one_in(2));
                }
                json!({"wait_until": wait})
            }
            8 | 9 => {
                let mut wait = json!({"event": *rng.pick(&EVENTS)});
                if rng.one_in(2) {
                    wait["timeout_seconds"] = json!(rng.range(5, 60));
                }
                if rng.one_in(2) {
                    wait["context_key"] = json!(*rng.pick(&THINGS));
                }
                json!({"wait_for_trigger": wait})
            }
            10 => json!({"variables": {"x": "{{ trigger.payload.id }}"}}),
            _ => match rng.below(3) {
                0 => json!({"condition": condition(rng)}),
                1 => json!({"stop": {"reason": "enough", "error": rng.one_in(2)}}),
                _ => json!({"variables": {"y": "1"}}),
            },
        }
    };
    if rng.one_in(8) {
        action["continue_on_error"] = json!(true);
    }
    if rng.one_in(30) {
        action["enabled"] = json!(false);
    }
    action
}

/// Draws what is injected.
pub fn plan(rng: &mut Rng, cast: &Cast, calm: bool) -> Vec<Item> {
    let mut at = START + 100;
    let count = 8 + rng.below(30);
    let mut items = Vec::new();
    let faulty = if calm { 0 } else { 1 + rng.below(4) };
    for _ in 0..count {
        // Bursts, with pauses between them that let timers run.
        at += match rng.below(6) {
            0 => rng.range(10_000, 90_000),
            1 => rng.range(500, 6_000),
            2 => rng.range(1, 300),
            _ => 0,
        };
        let what = if !calm && rng.below(10) < faulty {
            fault(rng)
        } else {
            outside(rng, cast)
        };
        items.push(Item { at, what });
    }
    items
}

fn outside(rng: &mut Rng, cast: &Cast) -> What {
    let which = rng.below(8);
    let thing = (*rng.pick(&THINGS)).to_owned();
    match rng.below(26) {
        24 | 25 => What::Commit(rng.below(6) as u32, CommitFault::Slow(rng.range(50, 2_000))),
        0..=9 => What::Change(thing, (*rng.pick(&STATUSES)).to_owned()),
        10..=17 => {
            let event = (*rng.pick(&EVENTS[..3])).to_owned();
            let key = if rng.one_in(4) { None } else { Some(thing) };
            What::Emit(event, key, rng.range(0, 4))
        }
        18 => {
            let which = rng.below(cast.definitions.len());
            What::Edit(which, Box::new(edited(rng, &cast.definitions[which])))
        }
        19 => What::Disable(which),
        20 => What::Enable(which),
        21 | 22 => What::Cancel(which),
        _ => match rng.below(4) {
            0 => What::Delete(which),
            _ => What::Manual(which, Some(thing)),
        },
    }
}

fn fault(rng: &mut Rng) -> What {
    let thing = (*rng.pick(&THINGS)).to_owned();
    match rng.below(16) {
        0 | 1 => What::Crash(rng.below(3), rng.range(100, 120_000)),
        2 | 3 => What::Pause(rng.below(3), rng.range(100, 150_000)),
        4 => What::ReadersFail(rng.range(100, 60_000)),
        5..=10 => {
            let kind = match rng.below(7) {
                0 | 1 => CommitFault::CrashBefore,
                2 | 3 => CommitFault::CrashAfter,
                4 => CommitFault::Refused,
                5 => CommitFault::ReplyLost,
                _ => CommitFault::HeldUp(rng.range(100, 120_000)),
            };
            What::Commit(rng.below(12) as u32, kind)
        }
        11 | 12 => What::Redeliver(rng.below(20)),
        13 => What::LoseTimer,
        14 => What::LostChange(thing, (*rng.pick(&STATUSES)).to_owned()),
        _ => What::SlowJobs(rng.range(1_000, 60_000)),
    }
}
