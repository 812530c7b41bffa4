//! Reading what a batch of sites needs through the entity layer, and giving each its part.

use super::ReadSet;
use crate::{
    automations::Program,
    shared::Shared,
    walk::{
        frame::Locals,
        view::{Base, Live, View},
    },
};
use automation_entity::{Ask as EntityAsk, refs::Narrow, refs::Refs};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use template_engine::Env;

/// What one site asks for.
pub struct Ask<'a> {
    /// What its expressions read.
    pub reads: &'a ReadSet,
    /// For `uses_state` and the window.
    pub program: &'a Program,
    /// K.
    pub context_key: Option<&'a str>,
    /// The scope in which computed ids are evaluated; its state is what the answer starts from.
    pub base: &'a Base,
    /// Variables, artifacts and the rest of a run's scope, once there is a run.
    pub locals: Option<&'a Locals>,
    /// On a wake: kind and id of everything that changed.
    pub changed: &'a [(String, String)],
}

/// Live state for each ask, in order. A failing reader leaves its part empty with a warning, and
/// marks the answer unresolved; it never fails a site (`entity §20.11`).
pub async fn read(shared: &Arc<Shared>, asks: &[Ask<'_>]) -> Vec<Live> {
    let refs: Vec<Refs> = asks.iter().map(|a| refs(shared, a)).collect();
    let wanted: Vec<(usize, EntityAsk<'_>)> = asks
        .iter()
        .zip(&refs)
        .enumerate()
        .filter(|(_, (a, _))| !a.reads.is_empty() || !a.changed.is_empty())
        .map(|(i, (a, refs))| {
            let definition = &a.program.definition;
            let ask = EntityAsk {
                automation: &definition.name,
                refs,
                health: a.reads.health,
                context_key: a.context_key,
                uses_state: &definition.uses_state,
                changed: a.changed,
                window_minutes: definition.state_window(),
            };
            (i, ask)
        })
        .collect();
    let mut lives: Vec<Live> = asks.iter().map(|_| Live::default()).collect();
    if wanted.is_empty() {
        return lives;
    }
    let (positions, wanted): (Vec<usize>, Vec<EntityAsk<'_>>) = wanted.into_iter().unzip();
    let resolved = shared.entities.enrich(&wanted).await;
    for (i, found) in positions.into_iter().zip(resolved) {
        let mut roots = Map::new();
        roots.insert("state".into(), asks[i].base.live.state.clone());
        found.apply(&mut roots);
        lives[i] = Live {
            health: roots.shift_remove("health").unwrap_or_default(),
            state: roots.shift_remove("state").unwrap_or_default(),
            unresolved: found.inconclusive,
        };
    }
    lives
}

fn refs(shared: &Shared, ask: &Ask<'_>) -> Refs {
    let empty = nothing();
    let view = View {
        base: ask.base,
        live: &ask.base.live,
        variables: ask.locals.map_or(empty, |l| &l.variables),
        artifacts: ask.locals.map_or(empty, |l| &l.artifacts),
        repeat: ask.locals.and_then(|l| l.repeat.as_ref()),
        resume: ask.locals.and_then(|l| l.resume.as_ref()),
    };
    let env = Env::new(&shared.filters, shared.clock.now().timestamp());
    ask.reads.refs(Narrow {
        scope: &view,
        env: &env,
        context_key: ask.context_key,
    })
}

/// Live state for a run's whole definition (sites F, R and S).
pub async fn for_program(
    shared: &Arc<Shared>,
    program: &Arc<Program>,
    context_key: Option<&str>,
    locals: &Locals,
    base: &Base,
) -> Live {
    let ask = Ask {
        reads: &program.reads.run,
        program,
        context_key,
        base,
        locals: Some(locals),
        changed: &[],
    };
    let mut lives: Vec<Live> = read(shared, &[ask]).await;
    lives.pop().unwrap_or_default()
}

/// The value of nothing, for scopes without variables or artifacts.
pub fn nothing() -> &'static Value {
    static NOTHING: std::sync::OnceLock<Value> = std::sync::OnceLock::new();
    NOTHING.get_or_init(|| json!({}))
}
