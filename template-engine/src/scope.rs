//! Where names come from.
//!
//! A scope answers one question: what is the value of this root name? Evaluation borrows the answer and walks on from
//! there, so a caller never has to merge its layers into one document. Names are own keys only: nothing is inherited
//! (template §6.1).

use serde_json::{Map, Value as Json};

/// The variables an expression may read.
pub trait Scope {
    /// The value of a root name, or `None` when there is no such name.
    fn root(&self, name: &str) -> Option<&Json>;
}

/// An object is a scope of its keys; any other value is an empty scope.
impl Scope for Json {
    fn root(&self, name: &str) -> Option<&Json> {
        self.as_object()
            .and_then(|map| lookup(map, name.as_bytes()))
    }
}

impl Scope for Map<String, Json> {
    fn root(&self, name: &str) -> Option<&Json> {
        lookup(self, name.as_bytes())
    }
}

/// Named values; the first of a name wins.
impl Scope for [(&str, &Json)] {
    fn root(&self, name: &str) -> Option<&Json> {
        self.iter().find(|(n, _)| *n == name).map(|(_, v)| *v)
    }
}

impl<const N: usize> Scope for [(&str, &Json); N] {
    fn root(&self, name: &str) -> Option<&Json> {
        self.as_slice().root(name)
    }
}

impl<S: Scope + ?Sized> Scope for &S {
    fn root(&self, name: &str) -> Option<&Json> {
        (**self).root(name)
    }
}

/// Two scopes, one before the other: what `over` does not know is asked of `base`.
///
/// ```
/// use serde_json::json;
/// use template_engine::{Env, Expression, Filters, Layered};
///
/// let (run, item) = (json!({"variables": {"n": 1}}), json!({"index": 0}));
/// let scope = Layered { over: [("repeat", &item)], base: &run };
/// let filters = Filters::default();
/// let env = Env::new(&filters, "2026-01-15T12:00:00Z".parse().unwrap());
/// assert!(Expression::parse("repeat.index < variables.n").unwrap().test(&scope, &env).unwrap());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Layered<O, B> {
    /// Asked first.
    pub over: O,
    /// Asked for what `over` does not know.
    pub base: B,
}

impl<O: Scope, B: Scope> Scope for Layered<O, B> {
    fn root(&self, name: &str) -> Option<&Json> {
        self.over.root(name).or_else(|| self.base.root(name))
    }
}

/// An own key of an object, given as UTF-8. Small objects, which most are, are scanned: comparing a few keys is several
/// times cheaper than hashing one.
#[inline]
pub(crate) fn lookup<'a>(map: &'a Map<String, Json>, key: &[u8]) -> Option<&'a Json> {
    const SCANNED: usize = 16;
    if map.len() > SCANNED {
        return lookup_hashed(map, key);
    }
    for (name, value) in map {
        if same_bytes(name.as_bytes(), key) {
            return Some(value);
        }
    }
    None
}

#[inline(never)]
fn lookup_hashed<'a>(map: &'a Map<String, Json>, key: &[u8]) -> Option<&'a Json> {
    map.get(std::str::from_utf8(key).ok()?)
}

/// `a == b`. Names are short: two overlapping words compare most of them without a call.
#[inline]
pub(crate) fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    match a.len() {
        8..=16 => a.first_chunk::<8>() == b.first_chunk() && a.last_chunk::<8>() == b.last_chunk(),
        4..=7 => a.first_chunk::<4>() == b.first_chunk() && a.last_chunk::<4>() == b.last_chunk(),
        _ => a == b,
    }
}
