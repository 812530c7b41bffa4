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
use automation_entity::{Ask as EntityAsk, Resolved, refs::Narrow, refs::Refs};
use serde_json::{Map, Value, json};
use std::{borrow::Cow, collections::HashMap, sync::Arc};
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
pub async fn read(shared: &Arc<Shared>, asks: &[Ask<'_>]) -> Vec<Arc<Live>> {
    let refs: Vec<Cow<'_, Refs>> = asks.iter().map(|a| refs(shared, a)).collect();
    let (wanted, answers) = distinct(asks, &refs);
    let (wanted, before): (Vec<EntityAsk<'_>>, Vec<&Live>) = wanted.into_iter().unzip();
    let resolved = match wanted.is_empty() {
        true => Vec::new(),
        false => shared.entities.enrich(&wanted).await,
    };
    let lives: Vec<Arc<Live>> = resolved
        .iter()
        .zip(before)
        .map(|(found, before)| Arc::new(laid_over(before, found)))
        .collect();
    let of_ask = |answer: Option<usize>| answer.map_or_else(Live::none, |n| lives[n].clone());
    answers.into_iter().map(of_ask).collect()
}

/// What is to be read, with the state that was there before.
type Wanted<'a> = (EntityAsk<'a>, &'a Live);

/// Sites that ask for the same get one answer: what is to be read, and the position of each site's
/// answer in it; none for a site that reads nothing.
fn distinct<'a>(
    asks: &'a [Ask<'a>],
    refs: &'a [Cow<'a, Refs>],
) -> (Vec<Wanted<'a>>, Vec<Option<usize>>) {
    let mut alike: HashMap<_, usize> = HashMap::new();
    let mut wanted: Vec<Wanted<'a>> = Vec::new();
    let answers = asks
        .iter()
        .zip(refs)
        .map(|(a, refs)| {
            if a.reads.is_empty() && a.changed.is_empty() {
                return None;
            }
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
            let before = &a.base.live;
            // Everything but the automation, which only warnings name.
            let same = (
                (ask.refs, ask.health, ask.context_key, ask.uses_state),
                (ask.changed, ask.window_minutes, Arc::as_ptr(before)),
            );
            Some(*alike.entry(same).or_insert_with(|| {
                wanted.push((ask, before));
                wanted.len() - 1
            }))
        })
        .collect();
    (wanted, answers)
}

/// What was read, over the state that was there before.
fn laid_over(before: &Live, found: &Resolved) -> Live {
    let mut roots = Map::new();
    roots.insert("state".into(), before.state.clone());
    found.apply(&mut roots);
    Live {
        health: roots.shift_remove("health").unwrap_or_default(),
        state: roots.shift_remove("state").unwrap_or_default(),
        unresolved: found.inconclusive,
    }
}

fn refs<'a>(shared: &Shared, ask: &Ask<'a>) -> Cow<'a, Refs> {
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
) -> Arc<Live> {
    let ask = Ask {
        reads: &program.reads.run,
        program,
        context_key,
        base,
        locals: Some(locals),
        changed: &[],
    };
    let mut lives = read(shared, &[ask]).await;
    lives.pop().unwrap_or_default()
}

/// The value of nothing, for scopes without variables or artifacts.
pub fn nothing() -> &'static Value {
    static NOTHING: std::sync::OnceLock<Value> = std::sync::OnceLock::new();
    NOTHING.get_or_init(|| json!({}))
}
