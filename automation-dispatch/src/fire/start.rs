//! Creating runs: the bucket's critical section, the row, and the run's first decision, in one
//! transaction (`dispatch §8, §9.2`).

use super::ledger::{self, Decision, LedgerKey};
use crate::{
    automations::Automation,
    cancel,
    commit::{Fence, NewRun, RunCommit, RunHead, Verdict, build::BuildCx},
    concurrency::{
        self,
        decide::{Admission, admit, bucket_key},
    },
    drive::{self, LiveRun, internal_error},
    scope,
    shared::Shared,
    walk::{
        decide::{Act, Cx, Event, decide},
        tree::Walk,
        view::Base,
    },
};
use automation_core::{RunId, definition::ConcurrencyScope};
use plugin_api::{Actor, Ts, Tx, fail, queue::JobError};
use serde_json::Value;
use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// A run that may start.
pub struct Candidate {
    /// Its automation; the version is pinned.
    pub automation: Arc<Automation>,
    /// Effective trigger id.
    pub trigger_id: String,
    /// Qualified event id.
    pub event: String,
    /// What the run sees as `trigger.payload`.
    pub payload: Value,
    /// Who caused it.
    pub actor: Actor,
    /// The domain entity it is about.
    pub context_key: Option<String>,
    /// At most one run has it.
    pub dedup_key: Option<String>,
    /// The decision to record.
    pub ledger: Option<LedgerKey>,
    /// False: concurrency does not apply (manual runs).
    pub gated: bool,
    /// The trigger scope; live state is read anew.
    pub base: Base,
}

/// What became of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// A run was created.
    Run(RunId),
    /// Its bucket refused it.
    Refused,
    /// It was decided before.
    Duplicate,
}

/// Creates what may start; one answer each, in order. Runs are driven once `tx` commits.
pub async fn start(
    shared: &Arc<Shared>,
    tx: &mut Tx,
    candidates: Vec<Candidate>,
) -> Result<Vec<Started>, JobError> {
    fail::point("dispatch.start").await?;
    let proof = drive::Proof::now(&*shared.clock);
    let now = proof.at;
    let ids: Vec<RunId> = candidates
        .iter()
        .map(|_| RunId::new(&*shared.clock))
        .collect();
    let mut answers = vec![Started::Duplicate; candidates.len()];
    concurrency::lock(tx, candidates.iter().filter_map(bucket_of)).await?;
    let fresh = record(tx, now, &candidates, &ids).await?;
    let admitted = admission(shared, tx, now, &candidates, &ids, fresh, &mut answers).await?;
    if admitted.is_empty() {
        return Ok(answers);
    }
    let asks: Vec<scope::Ask<'_>> = admitted
        .iter()
        .map(|i| {
            let c = &candidates[*i];
            scope::Ask {
                reads: &c.automation.program.reads.run,
                program: &c.automation.program,
                context_key: c.context_key.as_deref(),
                base: &c.base,
                walk: None,
                changed: None,
            }
        })
        .collect();
    let lives = scope::read(shared, &asks).await;
    let mut begun: Vec<(usize, RunCommit, LiveParts)> = Vec::with_capacity(admitted.len());
    for (i, live) in admitted.into_iter().zip(lives) {
        let base = Base {
            live,
            now: Value::String(now.to_text()),
            ..candidates[i].base.clone()
        };
        let (commit, parts) = begin(shared, now, &candidates[i], ids[i], base);
        begun.push((i, commit, parts));
    }
    let commits: Vec<RunCommit> = begun.iter().map(|b| b.1.clone()).collect();
    let verdicts = shared.applier.apply(tx, now, &commits).await?;
    let mut launches = Vec::new();
    for ((i, commit, parts), verdict) in begun.into_iter().zip(verdicts) {
        let candidate = &candidates[i];
        answers[i] = match verdict {
            Verdict::Duplicate | Verdict::Lost => Started::Duplicate,
            _ => Started::Run(ids[i]),
        };
        tracing::debug!(automation = %candidate.automation.id, trigger = candidate.trigger_id, run = %ids[i], verdict = ?verdict, "A run was created.");
        launches.push((commit, verdict, candidate.automation.clone(), parts));
    }
    let shared = shared.clone();
    tx.after_commit(move || {
        for (commit, verdict, automation, parts) in launches {
            crate::announce::committed(&shared, &commit, verdict);
            if verdict == Verdict::Held {
                drive::launch(
                    &shared,
                    LiveRun {
                        head: commit.head,
                        epoch: 1,
                        program: automation.program.clone(),
                        base: Arc::new(parts.base),
                        walk: parts.walk,
                        resumed: false,
                        first: drive::First::Acts(parts.acts),
                    },
                    proof,
                );
            }
        }
    });
    Ok(answers)
}

fn bucket_of(c: &Candidate) -> Option<String> {
    let scope = c.automation.program.definition.concurrency_scope;
    c.gated
        .then(|| bucket_key(c.automation.id, scope, c.context_key.as_deref()))
}

/// Records every candidate as started; answers which of them were not decided before.
async fn record(
    tx: &mut Tx,
    now: Ts,
    candidates: &[Candidate],
    ids: &[RunId],
) -> Result<Vec<usize>, JobError> {
    let decisions: Vec<(LedgerKey, Decision)> = candidates
        .iter()
        .zip(ids)
        .filter_map(|(c, id)| c.ledger.clone().map(|k| (k, Decision::RunStarted(*id))))
        .collect();
    let mut fresh = ledger::write(tx, now, &decisions).await?;
    Ok(candidates
        .iter()
        .enumerate()
        .filter(|(_, c)| match &c.ledger {
            // A key that comes twice in one batch is one occurrence: the first has it.
            Some(key) => fresh.remove(key.text()),
            None => true,
        })
        .map(|(i, _)| i)
        .collect())
}

async fn admission(
    shared: &Arc<Shared>,
    tx: &mut Tx,
    now: Ts,
    candidates: &[Candidate],
    ids: &[RunId],
    fresh: Vec<usize>,
    answers: &mut [Started],
) -> Result<Vec<usize>, JobError> {
    let buckets: Vec<concurrency::Bucket> = fresh
        .iter()
        .map(|i| &candidates[*i])
        .filter(|c| c.gated)
        .map(|c| concurrency::Bucket {
            automation: c.automation.id,
            context_key: match c.automation.program.definition.concurrency_scope {
                ConcurrencyScope::Automation => None,
                ConcurrencyScope::ContextKey => Some(c.context_key.clone()),
            },
        })
        .collect();
    let mut active: HashMap<concurrency::Bucket, u64> = concurrency::count(tx, &buckets).await?;
    let (mut admitted, mut refused) = (Vec::new(), Vec::new());
    let mut buckets = buckets.into_iter();
    for i in fresh {
        let candidate = &candidates[i];
        if !candidate.gated {
            admitted.push(i);
            continue;
        }
        let definition = &candidate.automation.program.definition;
        let Some(bucket) = buckets.next() else { break };
        let in_bucket = active.entry(bucket.clone()).or_default();
        match admit(definition.mode, definition.max_runs, *in_bucket) {
            Admission::Start => *in_bucket += 1,
            Admission::Replace => {
                // Those of this very batch are not rows yet: the last one of them stands.
                admitted.retain(|other: &usize| {
                    let same = bucket_of(&candidates[*other]) == bucket_of(candidate);
                    if same {
                        answers[*other] = Started::Refused;
                        refused.extend(candidates[*other].ledger.clone());
                    }
                    !same
                });
                cancel::supersede(shared, tx, &bucket, ids[i]).await?;
                *in_bucket = 1;
            }
            Admission::Refuse => {
                tracing::debug!(automation = %candidate.automation.id, trigger = candidate.trigger_id, active = *in_bucket, mode = definition.mode.name(), "The firing is refused: its bucket is busy.");
                answers[i] = Started::Refused;
                refused.extend(candidate.ledger.clone());
                continue;
            }
        }
        admitted.push(i);
    }
    let refused: Vec<_> = refused
        .into_iter()
        .map(|k| (k, Decision::RunRefused))
        .collect();
    ledger::change(tx, now, &refused).await?;
    Ok(admitted)
}

/// What the driver of a new run begins with.
struct LiveParts {
    walk: Walk,
    base: Base,
    acts: Vec<Act>,
}

/// The first decision of a run.
fn begin(
    shared: &Shared,
    now: Ts,
    candidate: &Candidate,
    run_id: RunId,
    base: Base,
) -> (RunCommit, LiveParts) {
    let ids = || shared.clock.new_uuid();
    let mut walk = Walk::new();
    let cx = Cx {
        program: &candidate.automation.program,
        registries: &shared.registries,
        filters: &shared.filters,
        context_key: candidate.context_key.as_deref(),
        base: &base,
        now,
        ids: &ids,
    };
    let decision = catch_unwind(AssertUnwindSafe(|| decide(&mut walk, Event::Start, &cx)))
        .unwrap_or_else(|_| internal_error());
    let masks = shared.secrets.set(run_id.uuid().as_u128());
    let commit = RunCommit::new(
        RunHead {
            run_id,
            automation_id: candidate.automation.id,
            context_key: candidate.context_key.clone(),
        },
        Fence::New(NewRun {
            trigger_id: candidate.trigger_id.clone(),
            event_id: candidate.event.clone(),
            payload: candidate.payload.clone(),
            actor: candidate.actor.clone(),
            definition_version: candidate.automation.version,
            dedup_key: candidate.dedup_key.clone(),
            started_at: now,
        }),
        &walk,
        decision.writes,
        decision.rest,
        &BuildCx {
            now,
            ids: &ids,
            masks: &masks,
        },
    );
    let acts = decision.then;
    (commit, LiveParts { walk, base, acts })
}
