//! Entity state must be readable from every node (entity §15): a warning when a type that
//! answers reads keeps a map or a static, since another node would not see what is in there.

use super::Finding;
use super::source::Source;

const HIDEOUTS: &[&str] = &[
    "DashMap<",
    "Mutex<HashMap",
    "RwLock<HashMap",
    "Mutex<BTreeMap",
    "RwLock<BTreeMap",
];

/// Looks at types that implement `EntityRead` in this file, where they are also defined.
pub fn check(file: &Source) -> Vec<Finding> {
    if !file.is_rust() {
        return Vec::new();
    }
    let code = file.code();
    let readers: Vec<&str> = code.lines().filter_map(reader).collect();
    if readers.is_empty() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let mut inside_reader = false;
    for (number, line) in code.lines().enumerate() {
        let words: Vec<&str> = line
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .collect();
        if let Some(at) = words.iter().position(|word| *word == "struct") {
            inside_reader = words.get(at + 1).is_some_and(|name| readers.contains(name));
        }
        let field = inside_reader && HIDEOUTS.iter().any(|hideout| line.contains(hideout));
        let global = line
            .trim_start()
            .trim_start_matches("pub ")
            .starts_with("static ");
        if field || global {
            let instead = "a reader of entities keeps state in memory, which other nodes cannot see; read durable tables (entity §15)";
            findings
                .push(Finding::new(&file.path, number + 1, "node-local-read", instead).warning());
        }
        if line.starts_with('}')
            || line.ends_with(';') && inside_reader && words.contains(&"struct")
        {
            inside_reader = false;
        }
    }
    findings
}

/// `X` of `impl EntityRead for X` and `impl<T> EntityRead<T> for X<T>`.
fn reader(line: &str) -> Option<&str> {
    let (head, tail) = line.split_once(" for ")?;
    let names_trait = head.trim_start().starts_with("impl") && head.contains("EntityRead");
    let name = tail
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .next()?;
    (names_trait && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(code: &str) -> Vec<String> {
        let file = Source {
            path: "a.rs".into(),
            text: code.to_owned(),
        };
        check(&file).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_reader_with_a_map_of_its_own_is_warned_about() {
        let bad = "pub struct Systems {\n    seen: DashMap<String, State>,\n}\nimpl EntityRead for Systems {}\n";
        let found = lines(bad);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].starts_with("a.rs:2: warning: node-local-read"),
            "{found:?}"
        );
        assert_eq!(
            lines("static SEEN: X = X;\nimpl<T> EntityRead<T> for S<T> {}\n").len(),
            1
        );
    }

    #[test]
    fn other_types_may_keep_what_they_like() {
        assert!(lines("struct Cache {\n    m: Mutex<HashMap<A, B>>,\n}\n").is_empty());
        let apart = "struct Cache {\n    m: Mutex<HashMap<A, B>>,\n}\nstruct S {\n    db: Db,\n}\nimpl EntityRead for S {}\n";
        assert!(lines(apart).is_empty());
    }
}
