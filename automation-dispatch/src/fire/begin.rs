//! The beginning of a run: its first decision, committed with the row that creates or starts it, so
//! that its driver begins with the first action's call (`dispatch §9.2`).

use crate::{
    automations::Program,
    commit::{Fence, RunCommit, RunHead, Verdict, build::BuildCx},
    concurrency::queue,
    drive::{self, LiveRun, Proof, World, internal_error},
    shared::Shared,
    walk::{
        decide::{Act, Cx, Event, Rest, decide},
        tree::Walk,
        view::Base,
    },
};
use plugin_api::{Ts, Tx, queue::JobError};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// A run about to begin.
pub struct Beginning {
    /// Its ids.
    pub head: RunHead,
    /// Created now, or its turn has come.
    pub fence: Fence,
    /// The version it is pinned to.
    pub program: Arc<Program>,
    /// Trigger, start and live state.
    pub base: Base,
}

/// A run with its first decision.
pub struct Begun {
    pub(crate) commit: RunCommit,
    pub(crate) program: Arc<Program>,
    pub(crate) walk: Walk,
    pub(crate) base: Base,
    pub(crate) acts: Vec<Act>,
}

/// Makes the first decision of a run.
pub fn begin(world: &impl World, now: Ts, new: Beginning) -> Begun {
    let ids = || world.uuid();
    let mut walk = Walk::new();
    let cx = Cx {
        program: &new.program,
        registries: world.registries(),
        filters: world.filters(),
        context_key: new.head.context_key.as_deref(),
        base: &new.base,
        now,
        ids: &ids,
        step_budget: world.step_budget(),
    };
    let decision = catch_unwind(AssertUnwindSafe(|| decide(&mut walk, Event::Start, &cx)))
        .unwrap_or_else(|_| internal_error());
    let mut begun = commit(world, now, new, walk, decision.writes, decision.rest);
    begun.acts = decision.then;
    begun
}

/// A run that waits for its turn: a row and nothing else.
pub fn wait(world: &impl World, now: Ts, new: Beginning) -> Begun {
    commit(world, now, new, Walk::new(), Vec::new(), Rest::Pending)
}

fn commit(
    world: &impl World,
    now: Ts,
    new: Beginning,
    walk: Walk,
    writes: Vec<crate::walk::decide::Write>,
    rest: Rest,
) -> Begun {
    let ids = || world.uuid();
    let masks = world.masks(new.head.run_id);
    let cx = BuildCx {
        now,
        ids: &ids,
        masks: &masks,
    };
    Begun {
        commit: RunCommit::new(new.head, new.fence, &walk, writes, rest, &cx),
        program: new.program,
        walk,
        base: new.base,
        acts: Vec::new(),
    }
}

/// Writes the beginnings in `tx` and drives the runs once it commits; answers for each whether it is
/// there now. `proof` is from before the transaction: what the leases it takes are counted from.
pub async fn launch(
    shared: &Arc<Shared>,
    tx: &mut Tx,
    proof: Proof,
    begun: Vec<Begun>,
) -> Result<Vec<bool>, JobError> {
    let (commits, parts): (Vec<RunCommit>, Vec<_>) = begun
        .into_iter()
        .map(|b| (b.commit, (b.program, b.walk, b.base, b.acts)))
        .unzip();
    let verdicts = shared.applier.apply(tx, proof.at, &commits).await?;
    let made = |v: &Verdict| !matches!(v, Verdict::Duplicate | Verdict::Lost);
    let answers = verdicts.iter().map(made).collect();
    let shared = shared.clone();
    tx.after_commit(move || {
        let all = commits.into_iter().zip(parts).zip(verdicts);
        for ((commit, (program, walk, base, acts)), verdict) in all {
            crate::announce::committed(&shared, &commit, verdict);
            match verdict {
                Verdict::Held => drive::launch(
                    &shared,
                    LiveRun {
                        head: commit.head,
                        epoch: 1,
                        program,
                        base: Arc::new(base),
                        walk,
                        resumed: false,
                        first: drive::First::Acts(acts),
                    },
                    proof,
                ),
                Verdict::Finished => queue::ended(&shared, commit.head.automation_id, &program),
                _ => {}
            }
        }
    });
    Ok(answers)
}
