//! Action paths (`dispatch §11`): keys joined by `.`, indexes in brackets.

use automation_core::{
    compiled::{CompiledAction, CompiledKind},
    definition::Definition,
};
use serde_json::Value;

/// One part of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part<'a> {
    Key(&'a str),
    Index(usize),
}

/// Reads exactly the grammar of `dispatch §11`; none for anything else.
fn parts(path: &str) -> Option<Vec<Part<'_>>> {
    let mut out = Vec::new();
    for (i, segment) in path.split('.').enumerate() {
        let (key, mut rest) = segment.split_at(segment.find('[').unwrap_or(segment.len()));
        if key.is_empty() || (i == 0 && key != "actions") {
            return None;
        }
        out.push(Part::Key(key));
        while !rest.is_empty() {
            let (index, after) = rest.strip_prefix('[')?.split_once(']')?;
            let canonical = index == "0" || !index.starts_with('0');
            if !canonical || !index.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            out.push(Part::Index(index.parse().ok()?));
            rest = after;
        }
    }
    Some(out)
}

/// The compiled action at a path; none when the definition has no such action.
pub fn action<'p>(actions: &'p [CompiledAction], path: &str) -> Option<&'p CompiledAction> {
    let parts = parts(path)?;
    let mut rest = parts.as_slice();
    let mut list = match rest {
        [Part::Key("actions"), after @ ..] => {
            rest = after;
            actions
        }
        _ => return None,
    };
    loop {
        let [Part::Index(i), after @ ..] = rest else {
            return None;
        };
        let action = list.get(*i)?;
        if after.is_empty() {
            return Some(action);
        }
        (list, rest) = below(&action.kind, after)?;
    }
}

/// The child list that the next keys name, and what is left of the path.
fn below<'p, 'r, 's>(
    kind: &'p CompiledKind,
    rest: &'r [Part<'s>],
) -> Option<(&'p [CompiledAction], &'r [Part<'s>])> {
    match (kind, rest) {
        (CompiledKind::Sequence(list), [Part::Key("sequence"), after @ ..]) => Some((list, after)),
        (
            CompiledKind::Choose { branches, .. },
            [
                Part::Key("choose"),
                Part::Index(b),
                Part::Key("sequence"),
                after @ ..,
            ],
        ) => Some((branches.get(*b)?.sequence.as_slice(), after)),
        (
            CompiledKind::Choose {
                otherwise: Some(list),
                ..
            },
            [Part::Key("else"), after @ ..],
        ) => Some((list, after)),
        // One action a branch: the index below it is always 0, and the rest names what is in it.
        (CompiledKind::Parallel(branches), [Part::Key("parallel"), Part::Index(b), after @ ..]) => {
            let branch = branches.get(*b)?;
            Some((std::slice::from_ref(branch), after))
        }
        // Every iteration walks the same list.
        (
            CompiledKind::Repeat { sequence, .. },
            [
                Part::Key("repeat"),
                Part::Index(_),
                Part::Key("sequence"),
                after @ ..,
            ],
        ) => Some((sequence.as_slice(), after)),
        _ => None,
    }
}

/// The action at a path as it is written in normal form.
pub fn written(definition: &Definition, path: &str) -> Option<Value> {
    let whole = definition.to_value();
    let mut at = &whole;
    let parts = parts(path)?;
    let mut parts = parts.iter();
    while let Some(part) = parts.next() {
        at = match part {
            Part::Key(key) => at.get(*key)?,
            Part::Index(i) => at.get(*i)?,
        };
        match part {
            // The number of an iteration, and the one list of a branch, are not written.
            Part::Key("repeat") => drop(parts.next()),
            Part::Key("parallel") => {
                let Some(Part::Index(b)) = parts.next() else {
                    return None;
                };
                at = at.get(*b)?;
                parts.next();
            }
            _ => {}
        }
    }
    Some(at.clone())
}

/// True when two paths lie in different branches of one `parallel`, which see nothing of each other
/// before the join (`dispatch §10`).
pub fn apart(a: &str, b: &str) -> bool {
    let (Some(a), Some(b)) = (parts(a), parts(b)) else {
        return false;
    };
    let differ = a.iter().zip(&b).position(|(a, b)| a != b);
    differ.is_some_and(|i| i > 0 && a[i - 1] == Part::Key("parallel"))
}

/// A path without the numbers of iterations: the same for every pass of a loop.
pub fn site(path: &str) -> std::borrow::Cow<'_, str> {
    const LOOP: &str = ".repeat[";
    if !path.contains(LOOP) {
        return path.into();
    }
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find(LOOP) {
        let (before, after) = rest.split_at(at + LOOP.len());
        out.push_str(before);
        rest = after.find(']').map_or(after, |end| &after[end..]);
    }
    out.push_str(rest);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::{apart, parts, site};

    #[test]
    fn only_branches_of_one_parallel_are_apart() {
        let branch = "actions[0].parallel[0][0].sequence[1]";
        assert!(apart(branch, "actions[0].parallel[1][0]"));
        assert!(apart(branch, "actions[0].parallel[2][0].sequence[1]"));
        assert!(!apart(branch, "actions[0].parallel[0][0].sequence[2]"));
        assert!(!apart(branch, "actions[0]"));
        assert!(!apart(branch, "actions[1]"));
        let pass = |n: u32, b: u32| format!("actions[0].repeat[{n}].sequence[0].parallel[{b}][0]");
        assert!(apart(&pass(1, 0), &pass(1, 1)));
        assert!(!apart(&pass(0, 0), &pass(1, 1)), "joined already");
    }

    #[test]
    fn a_site_is_the_same_for_every_iteration() {
        assert_eq!(site("actions[1].sequence[2]"), "actions[1].sequence[2]");
        assert_eq!(
            site("actions[0].repeat[17].sequence[0].repeat[3].sequence[1]"),
            "actions[0].repeat[].sequence[0].repeat[].sequence[1]"
        );
    }

    #[test]
    fn only_the_grammar_parses() {
        for good in [
            "actions[0]",
            "actions[10].choose[1].sequence[2]",
            "actions[0].else[3].sequence[0]",
            "actions[0].parallel[0][0].sequence[1]",
        ] {
            assert!(parts(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "actions[",
            "actions[]",
            "actions[01]",
            "actions[-1]",
            "steps[0]",
            "actions[0]x",
            "actions[0]..else[1]",
            "actions[0] ",
            "actions[1e3]",
        ] {
            assert!(parts(bad).is_none(), "{bad:?}");
        }
    }
}
