//! Scope enrichment (`entity §20`): live state, read up front and folded into the scope as plain data.
//!
//! Expressions are synchronous, so each site says what its expressions refer to; the asks of a whole
//! batch become one health call per window and one read per kind. An outage yields absent values and
//! a warning, never an aborted dispatch; whether an evaluation may be believed is told by
//! [`Resolved::inconclusive`].

use crate::{
    engine::EntityEngine,
    health::{HEALTH_READER, HealthState},
    refs::{Refs, Root},
    state::ErasedKind,
};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};

/// Ids and references that one site may read.
const LIMIT: usize = 50;

/// What one site reads.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// Whose site it is; for warnings.
    pub automation: &'a str,
    /// What its expressions refer to, computed ids narrowed.
    pub refs: &'a Refs,
    /// The context key and `uses_state` are read too. False when the caller knows that no expression
    /// of the site looks at `health`.
    pub health: bool,
    /// The context key; `health.system` is its entry.
    pub context_key: Option<&'a str>,
    /// System ids declared by the automation.
    pub uses_state: &'a [String],
    /// On a wake: kind and id of everything whose change led here.
    pub changed: &'a [(String, String)],
    /// `state_window_minutes`.
    pub window_minutes: u32,
}

/// What a site gets.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    health: Value,
    /// Kind, id, and the state: null of an entity that does not exist, none when it could not be read.
    state: Vec<(String, String, Option<Value>)>,
    /// Something the site's expressions read could not be read: a wait must not be resumed on it,
    /// its job is tried again (`entity §19.4.4`). Gates go on.
    pub inconclusive: bool,
}

impl Resolved {
    /// The `health` namespace.
    pub fn health(&self) -> &Value {
        &self.health
    }

    /// Puts it into a scope: `health` is replaced; of `state` exactly what was asked for is set.
    /// An entity that does not exist becomes null, so that `state.incident['x'] == null` is true of
    /// it (`entity §23.27`); what could not be read is taken out, and is undefined. Everything else
    /// stays.
    pub fn apply(&self, scope: &mut Map<String, Value>) {
        scope.insert("health".to_owned(), self.health.clone());
        if self.state.is_empty() {
            return;
        }
        let state = object(scope, "state");
        for (kind, id, value) in &self.state {
            match value {
                Some(value) => {
                    object(state, kind).insert(id.clone(), value.clone());
                }
                None => {
                    if let Some(Value::Object(of_kind)) = state.get_mut(kind) {
                        of_kind.shift_remove(id);
                    }
                }
            }
        }
    }
}

/// The object under a key, made when missing or something else.
fn object<'m>(map: &'m mut Map<String, Value>, key: &str) -> &'m mut Map<String, Value> {
    let entry = map.entry(key.to_owned()).or_insert(Value::Null);
    if !entry.is_object() {
        *entry = json!({});
    }
    match entry {
        Value::Object(object) => object,
        _ => unreachable!("made an object above"),
    }
}

/// One site's ids after capping.
struct Wanted {
    window: u32,
    health: Vec<String>,
    /// Kind and id under the root `state`.
    state: Vec<(String, String)>,
}

type OfHealth = HashMap<u32, Option<HashMap<String, HealthState>>>;
type OfKinds = HashMap<String, Option<HashMap<String, Value>>>;

impl EntityEngine {
    /// Reads what a batch of sites asks for; one answer each, in order. Never fails.
    pub async fn enrich(&self, asks: &[Ask<'_>]) -> Vec<Resolved> {
        let wanted: Vec<Wanted> = asks.iter().map(wanted).collect();
        let mut windows: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        let mut kinds: Vec<(String, Vec<String>)> = Vec::new();
        for site in &wanted {
            if !site.health.is_empty() {
                let ids = windows.entry(site.window).or_default();
                site.health.iter().for_each(|id| add(ids, id.clone()));
            }
            for (kind, id) in site.state.iter().filter(|(kind, _)| kind != "health") {
                match kinds.iter_mut().find(|(k, _)| k == kind) {
                    Some((_, ids)) => add(ids, id.clone()),
                    None => kinds.push((kind.clone(), vec![id.clone()])),
                }
            }
        }
        let mut health = OfHealth::new();
        for (window, ids) in windows {
            health.insert(window, self.read_health(&ids, window).await);
        }
        let mut states = OfKinds::new();
        for (kind, ids) in kinds {
            let read = self.read_kind(&kind, &ids).await;
            states.insert(kind, read);
        }
        let sites = asks.iter().zip(&wanted);
        sites
            .map(|(ask, site)| resolved(ask, site, &health, &states))
            .collect()
    }

    /// None when health could not be read; an absent reader knows of no system.
    async fn read_health(
        &self,
        ids: &[String],
        window: u32,
    ) -> Option<HashMap<String, HealthState>> {
        let reader = self.services().map(|s| s.optional(&HEALTH_READER));
        let read = match reader {
            None | Some(Ok(None)) => return Some(HashMap::new()),
            Some(Ok(Some(reader))) => reader.health(ids, window).await,
            Some(Err(e)) => Err(e.into()),
        };
        read.inspect_err(|error| {
            tracing::warn!(%error, systems = ids.len(), "Health could not be read; expressions see none.");
        })
        .ok()
    }

    async fn read_kind(&self, kind: &str, ids: &[String]) -> Option<HashMap<String, Value>> {
        let Some(known) = self.kind(kind) else {
            tracing::warn!(
                kind,
                "An expression reads an entity kind that nobody defines."
            );
            return None;
        };
        let read = ErasedKind::read_values(&*known, ids).await;
        read.inspect_err(|error| {
            tracing::warn!(kind, %error, "Entities could not be read; expressions see none of this kind.");
        })
        .ok()
    }
}

fn add<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}

fn wanted(ask: &Ask<'_>) -> Wanted {
    let mut health: Vec<String> = Vec::new();
    let mut state: Vec<(String, String)> = Vec::new();
    if ask.health {
        let declared = ask.uses_state.iter().map(String::as_str);
        for id in ask.context_key.into_iter().chain(declared) {
            add(&mut health, id.to_owned());
        }
    }
    for (found, id) in ask.refs.concrete() {
        if found.kind == "health" {
            add(&mut health, id.to_owned());
        }
        if found.root == Root::State {
            add(&mut state, (found.kind.clone(), id.to_owned()));
        }
    }
    for (kind, id) in ask.changed {
        let read_as = |root| {
            let mut refs = ask.refs.refs.iter();
            refs.any(|r| r.root == root && r.matches(kind, id))
        };
        if kind == "health" {
            add(&mut health, id.to_owned());
        }
        // What cannot be told from the text may well be this.
        if kind != "health" || read_as(Root::State) {
            add(&mut state, (kind.to_owned(), id.to_owned()));
        }
    }
    health.retain(|id| !id.trim().is_empty());
    state.retain(|(_, id)| !id.trim().is_empty());
    cap(&mut health, "health ids", ask);
    cap(&mut state, "entity references", ask);
    Wanted {
        window: ask.window_minutes,
        health,
        state,
    }
}

fn cap<T>(list: &mut Vec<T>, what: &str, ask: &Ask<'_>) {
    if list.len() > LIMIT {
        tracing::warn!(
            automation = ask.automation,
            wanted = list.len(),
            read = LIMIT,
            "A site refers to more {what} than are read at once; the rest is left out."
        );
        list.truncate(LIMIT);
    }
}

fn resolved(ask: &Ask<'_>, site: &Wanted, health: &OfHealth, states: &OfKinds) -> Resolved {
    let mut unread: Vec<&str> = Vec::new();
    let of_health = match health.get(&site.window) {
        _ if site.health.is_empty() => None,
        Some(Some(read)) => Some(read),
        _ => {
            unread.push("health");
            None
        }
    };
    let entry = |id: &String| of_health.and_then(|read| read.get(id));
    let mut systems = Map::new();
    for id in &site.health {
        if let Some(found) = entry(id) {
            systems.insert(id.clone(), found.to_scope());
        }
    }
    let own = ask.context_key.and_then(|key| systems.get(key).cloned());
    let mut namespace = Map::new();
    if let Some(own) = own {
        namespace.insert("system".to_owned(), own);
    }
    namespace.insert("systems".to_owned(), Value::Object(systems));
    let state = site.state.iter().map(|(kind, id)| {
        let value = match kind.as_str() {
            "health" => of_health
                .filter(|_| site.health.contains(id))
                .map(|read| read.get(id).map_or(Value::Null, HealthState::to_state)),
            _ => match states.get(kind) {
                Some(Some(read)) => Some(read.get(id).cloned().unwrap_or_default()),
                _ => {
                    unread.push(kind);
                    None
                }
            },
        };
        (kind.clone(), id.clone(), value)
    });
    let state = state.collect();
    let refers = |kind: &str| ask.refs.refs.iter().any(|r| r.kind == kind);
    let blind = ask.refs.indeterminate || ask.refs.partial;
    Resolved {
        health: Value::Object(namespace),
        state,
        inconclusive: unread.into_iter().any(|kind| blind || refers(kind)),
    }
}
