//! From occurrences to runs and dwells on the model store (`fire/`): the real gates, windows, ledger
//! rules and admission.

use super::{
    commit, dwell,
    exec::Core,
    node::Node,
    store::{
        Ledger, Run, WindowEvent,
        tx::{Aborted, Key, Tx},
    },
    sweep,
    waits::short,
};
use crate::{
    commit::Verdict as Made,
    concurrency::{Bucket, Occupancy, index_key},
    drive::{First, LiveRun, Proof},
    fire::{
        Beginning, Begun, Candidate, Decision, Firing, LedgerKey, Started, begin, beginning,
        bucket, bucket_of,
        decide::{self, Outcome, Seek},
        trigger_scope, view, wait,
    },
    gates::decide::{self as gates, Verdict},
    guards::{Guard, taken_out},
    walk::view::{Base, Live},
    window::{
        Answer,
        decide::{Newest, before},
    },
};
use automation_core::RunId;
use plugin_api::Ts;
use serde_json::{Value, json};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};
use template_engine::Env;

struct Judged {
    key: LedgerKey,
    firing: Firing,
    payload: Arc<Value>,
    base: Base,
    verdict: Verdict,
}

/// `fire::fire`.
pub async fn fire(node: &Node, tx: &mut Tx, firings: &[Firing]) -> Result<(), Aborted> {
    let now = Ts::from_millis(node.instant());
    let mut judged = Vec::new();
    for f in firings {
        judged.push(judge(node, f, now).await);
    }
    count(node, tx, &mut judged, now).await?;
    let (mut decisions, mut arms, mut candidates) = (Vec::new(), Vec::new(), Vec::new());
    for j in judged {
        let automation = j.firing.automation.clone();
        let trigger = &automation.program.triggers[j.firing.trigger];
        match decide::outcome(&j.verdict, trigger) {
            Outcome::Arm(millis) => arms.push(dwell::Arm {
                key: j.key,
                fire_at: now.plus_millis(millis),
                firing: j.firing,
                payload: j.payload,
            }),
            Outcome::Start => {
                let cooldown = cooldown(node, trigger, &j.base, now);
                candidates.push(Candidate::of(j.firing, j.key, j.payload, j.base, cooldown));
            }
            Outcome::Record(decision) => decisions.push((j.key, decision)),
            Outcome::OwnNo => dwell::own_gate_said_no(node, tx, &j.firing).await?,
            Outcome::Nothing => {}
        }
    }
    ledger(tx, &decisions).await?;
    dwell::arm(node, tx, now, arms).await?;
    if !candidates.is_empty() {
        start(node, tx, candidates).await?;
    }
    Ok(())
}

pub fn cooldown(
    node: &Node,
    trigger: &automation_core::compiled::CompiledTrigger,
    base: &Base,
    now: Ts,
) -> Option<i64> {
    let env = Env::new(node.sim.registries.filters(), now.timestamp());
    trigger
        .cooldown
        .as_ref()?
        .millis(&view(base), &env)
        .ok()
        .flatten()
}

async fn judge(node: &Node, f: &Firing, now: Ts) -> Judged {
    let program = &f.automation.program;
    let trigger = &program.triggers[f.trigger];
    let registered = node.sim.registries.trigger(&trigger.event);
    let gate = registered.as_ref().and_then(|r| r.evaluate_config.as_ref());
    let (payload, mut verdict) = match gates::config_gate(gate, trigger, &f.occurrence.payload) {
        Ok(payload) => (payload, Verdict::Pass),
        Err(verdict) => (Arc::default(), verdict),
    };
    let mut base = Base {
        trigger: Arc::new(trigger_scope(
            &trigger.id,
            &trigger.event,
            &f.occurrence.actor,
            &payload,
        )),
        now: Arc::new(json!(now.to_text())),
        live: Live::none(),
    };
    if verdict == Verdict::Pass {
        base.live = node
            .live(if trigger.dwell.is_some() {
                &program.reads.triggers[f.trigger]
            } else {
                &program.reads.gates[f.trigger]
            })
            .await;
        let env = Env::new(node.sim.registries.filters(), now.timestamp());
        let key = f.occurrence.context_key.as_deref();
        verdict = gates::before_window(program, trigger, key, &view(&base), &env);
    }
    Judged {
        key: LedgerKey::new(f.automation.id, &trigger.id, &f.occurrence.id),
        firing: f.clone(),
        payload,
        base,
        verdict,
    }
}

/// `fire::count` and `window::count`.
async fn count(node: &Node, tx: &mut Tx, judged: &mut [Judged], now: Ts) -> Result<(), Aborted> {
    let mut asks = Vec::new();
    for (i, j) in judged.iter().enumerate() {
        let trigger = &j.firing.automation.program.triggers[j.firing.trigger];
        if let (Verdict::Count { partition }, Some(_)) = (&j.verdict, &trigger.window) {
            let bucket = (
                j.firing.automation.id,
                trigger.id.clone(),
                trigger.event.clone(),
                partition.clone(),
            );
            asks.push((i, bucket));
        }
    }
    if asks.is_empty() {
        return Ok(());
    }
    if !taken_out(Guard::WindowLock) {
        let mut sections: Vec<String> = asks.iter().map(|(_, b)| format!("window:{b:?}")).collect();
        sections.sort();
        sections.dedup();
        for section in sections {
            tx.lock(Key::Section(section)).await?;
        }
    }
    tx.statement().await;
    let mut buckets: HashMap<_, Newest> = HashMap::new();
    let mut seen = HashSet::new();
    for (i, bucket) in asks {
        let j = &mut judged[i];
        let program = j.firing.automation.program.clone();
        let trigger = &program.triggers[j.firing.trigger];
        let window = trigger.window.as_ref().expect("counted");
        let key = j.key.text().to_owned();
        let known = tx.see(|core| core.store.ledger.get(&key).cloned());
        let known = known.filter(|_| !taken_out(Guard::WindowOnce));
        let answer = if !seen.insert(key.clone()) {
            Answer::Decided
        } else if let Some(answer) =
            known.and_then(|k| before(k.window_fired, k.decision.is_some()))
        {
            answer
        } else {
            let at = j.firing.occurrence.at;
            let times = match buckets.entry(bucket.clone()) {
                std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
                std::collections::hash_map::Entry::Vacant(new) => {
                    let times = tx.see(|core| newest(core, &bucket, window.count));
                    tx.statement().await;
                    new.insert(times)
                }
            };
            let answer = times.add(at, window.count, window.minutes, window.refire);
            tx.refer(bucket.0);
            let (count, minutes, refire) = (window.count, window.minutes, window.refire);
            tx.write(move |core| {
                let truth = newest(core, &bucket, count)
                    .add(at, count, minutes, refire)
                    .fires;
                let row = WindowEvent {
                    bucket,
                    occurrence: key,
                    at,
                };
                super::invariants::counted(core, &row, answer.fires, truth);
                core.store.windows.push(row);
            });
            Answer::Counted(answer)
        };
        let env = Env::new(node.sim.registries.filters(), now.timestamp());
        j.verdict = match answer {
            Answer::Decided => Verdict::Duplicate,
            Answer::Counted(c) if !c.fires => Verdict::WindowHeld {
                n: c.n,
                partition: None,
            },
            Answer::Counted(_) => gates::after_window(&program, trigger, &view(&j.base), &env),
        };
    }
    Ok(())
}

type WindowBucket = (
    automation_core::AutomationId,
    String,
    String,
    Option<String>,
);

fn newest(core: &Core, bucket: &WindowBucket, count: u32) -> Newest {
    let of = core.store.windows.iter().filter(|w| w.bucket == *bucket);
    let mut times: Vec<Ts> = of.map(|w| w.at).collect();
    times.sort_unstable_by(|a, b| b.cmp(a));
    times.truncate(count as usize + 1);
    Newest::of(times)
}

/// `fire::ledger::write`: answers the keys that were not decided before.
pub async fn ledger(
    tx: &mut Tx,
    decisions: &[(LedgerKey, Decision)],
) -> Result<HashSet<String>, Aborted> {
    let mut fresh = HashSet::new();
    for (key, decision) in decisions {
        let text = key.text().to_owned();
        if fresh.contains(&text) {
            continue;
        }
        tx.lock(Key::Ledger(text.clone())).await?;
        let open = tx.see(|core| {
            let row = core.store.ledger.get(&text);
            taken_out(Guard::Ledger) || row.is_none_or(|r| r.decision.is_none())
        });
        if !open {
            continue;
        }
        fresh.insert(text.clone());
        record(tx, key, *decision);
    }
    Ok(fresh)
}

/// Writes a decision, or changes what this transaction wrote.
pub fn record(tx: &mut Tx, key: &LedgerKey, decision: Decision) {
    let (text, automation) = (key.text().to_owned(), key.automation());
    tx.refer(automation);
    tx.write(move |core| {
        let window = core.store.ledger.get(&text).and_then(|r| r.window_fired);
        let row = Ledger {
            automation,
            window_fired: window.or(decision.window_fired()),
            decision: decision.name().map(str::to_owned),
            run: decision.run(),
        };
        core.tell(|| {
            format!(
                "decided {} {:?}",
                &text[text.len().saturating_sub(30)..],
                row.decision
            )
        });
        core.store.ledger.insert(text, row);
    });
}

/// `concurrency::count`.
pub fn occupancy(core: &Core, bucket: &Bucket) -> Occupancy {
    let inside = |r: &&Run| {
        r.automation == bucket.automation
            && bucket
                .context_key
                .as_ref()
                .is_none_or(|k| *k == r.context_key)
    };
    let mut found = Occupancy::default();
    for run in core.store.runs.values().filter(inside) {
        match &*run.status {
            "pending" => found.pending += 1,
            "running" | "waiting" => found.walking += 1,
            _ => {}
        }
    }
    found
}

/// `fire::start`.
pub async fn start(
    node: &Node,
    tx: &mut Tx,
    candidates: Vec<Candidate>,
) -> Result<Vec<Started>, Aborted> {
    let now = Ts::from_millis(node.instant());
    let ids: Vec<RunId> = candidates
        .iter()
        .map(|_| RunId::from(node.sim.uuid()))
        .collect();
    if !taken_out(Guard::BucketLock) {
        let mut sections: Vec<String> = candidates.iter().filter_map(bucket_of).collect();
        sections.sort();
        sections.dedup();
        for section in sections {
            tx.lock(Key::Section(section)).await?;
        }
    }
    let decisions: Vec<(LedgerKey, Decision)> = candidates
        .iter()
        .zip(&ids)
        .filter_map(|(c, id)| c.ledger.clone().map(|k| (k, Decision::RunStarted(*id))))
        .collect();
    let mut fresh_keys = ledger(tx, &decisions).await?;
    let fresh: Vec<usize> = (0..candidates.len())
        .filter(|i| match &candidates[*i].ledger {
            Some(key) => fresh_keys.remove(key.text()),
            None => true,
        })
        .collect();
    tx.statement().await;
    let occupied: HashMap<Bucket, Occupancy> = tx.see(|core| {
        let gated = fresh.iter().map(|i| &candidates[*i]).filter(|c| c.gated);
        gated
            .map(bucket)
            .map(|b| {
                let o = occupancy(core, &b);
                (b, o)
            })
            .collect()
    });
    tx.statement().await;
    let seeks: Vec<Seek<'_>> = fresh
        .iter()
        .map(|i| {
            let c = &candidates[*i];
            Seek {
                at: *i,
                run: ids[*i],
                automation: c.automation.id,
                definition: &c.automation.program.definition,
                trigger: &c.trigger_id,
                context_key: c.context_key.as_deref(),
                cause: c.cause.as_ref(),
                gated: c.gated,
                cooldown_ms: c.cooldown_ms,
                last_start: tx.see(|core| cooling(core, c, now)),
                bucket: bucket(c),
            }
        })
        .collect();
    let admission = decide::admission(&seeks, occupied, now);
    drop(seeks);
    let mut answers = vec![Started::Duplicate; candidates.len()];
    for (i, answer) in &admission.answers {
        answers[*i] = *answer;
    }
    for (bucket, by) in &admission.superseded {
        tx.statement().await;
        let active: Vec<RunId> = tx.see(|core| {
            let mine = |r: &Run| {
                r.active()
                    && r.automation == bucket.automation
                    && bucket
                        .context_key
                        .as_ref()
                        .is_none_or(|k| *k == r.context_key)
            };
            core.store
                .runs
                .iter()
                .filter(|(_, r)| mine(r))
                .map(|(id, _)| *id)
                .collect()
        });
        let active: Vec<RunId> = active.into_iter().filter(|r| r != by).collect();
        sweep::cancel(node, tx, &active, "superseded").await?;
    }
    for (c, answer) in candidates.iter().zip(&answers) {
        let decision = match answer {
            Started::Queued { run, .. } => Decision::RunQueued(*run),
            Started::Refused | Started::Loop | Started::Cooldown { .. } => Decision::RunRefused,
            Started::Run(_) | Started::Duplicate => continue,
        };
        if let Some(key) = &c.ledger {
            record(tx, key, decision);
        }
    }
    let mut begun = Vec::new();
    for i in &admission.admitted {
        let c = &candidates[*i];
        let new = beginning(c, ids[*i], now);
        begun.push(if matches!(answers[*i], Started::Queued { .. }) {
            wait(&**node, now, new)
        } else {
            let live = node.live(&c.automation.program.reads.run).await;
            let base = Base {
                live,
                now: Arc::new(json!(now.to_text())),
                ..c.base.clone()
            };
            begin(&**node, now, Beginning { base, ..new })
        });
    }
    launch(node, tx, now, begun).await?;
    Ok(answers)
}

/// `concurrency::cooling`.
fn cooling(core: &Core, c: &Candidate, now: Ts) -> Option<Ts> {
    let ms = c.cooldown_ms.filter(|_| c.gated)?;
    let key = index_key(c.context_key.as_deref());
    let of_trigger = core.store.runs.values().filter(|r| {
        r.automation == c.automation.id
            && !r.manual
            && r.trigger == c.trigger_id
            && r.started_at > now.millis() - ms
            && index_key(r.context_key.as_deref()) == key
    });
    of_trigger.map(|r| Ts::from_millis(r.started_at)).max()
}

/// `fire::launch`.
pub async fn launch(node: &Node, tx: &mut Tx, now: Ts, begun: Vec<Begun>) -> Result<(), Aborted> {
    if begun.is_empty() {
        return Ok(());
    }
    let (commits, parts): (Vec<_>, Vec<_>) = begun
        .into_iter()
        .map(|b| (b.commit, (b.program, b.walk, b.base, b.acts)))
        .unzip();
    let heads: Vec<_> = commits.iter().map(|c| c.head.clone()).collect();
    let verdicts = commit::apply(node, tx, commits).await?;
    let node = node.clone();
    tx.after_commit(move || {
        for ((head, (program, walk, base, acts)), verdict) in
            heads.into_iter().zip(parts).zip(verdicts)
        {
            match verdict {
                Made::Held => {
                    let run = LiveRun {
                        head,
                        epoch: 1,
                        program,
                        base: Arc::new(base),
                        walk,
                        resumed: false,
                        first: First::Acts(acts),
                    };
                    begin_driving(&node, run, Proof::of(now));
                }
                Made::Finished => sweep::ended(&node, head.automation_id),
                _ => {}
            }
        }
    });
    Ok(())
}

fn begin_driving(node: &Node, run: LiveRun, proof: Proof) {
    if !taken_out(Guard::OneCreation) {
        node.launch(run, proof);
        return;
    }
    let node2 = node.clone();
    node.sim.spawn(
        node.n,
        Box::pin(async move {
            let id = run.head.run_id;
            let Ok(mut tx) = Tx::begin(&node2, "state row").await else {
                return;
            };
            tx.write(move |core| {
                let late = core
                    .store
                    .memory
                    .late_states
                    .iter()
                    .position(|(r, _)| *r == id);
                if let Some(at) = late {
                    let (run, state) = core.store.memory.late_states.remove(at);
                    core.tell(|| format!("state row of {}", short(run)));
                    core.store.states.insert(run, state);
                }
            });
            if tx.commit().await.is_ok() {
                node2.launch(run, proof);
            }
        }),
    );
}
