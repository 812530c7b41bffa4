//! What the documentation shows: every YAML block is checked by the code behind `signalbox validate`,
//! and every link leads somewhere.

use signalbox::{
    apply::{check, read_text},
    scratch::Scratch,
    settings::FileSettings,
};
use std::path::{Path, PathBuf};

/// One fenced block.
struct Block {
    /// `docs/automations.md:12`
    place: String,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The pages, with their paths from the root.
fn pages() -> Vec<(String, String)> {
    let mut paths = vec!["README.md".to_owned(), "ARCHITECTURE.md".to_owned()];
    let docs = std::fs::read_dir(root().join("docs")).expect("the folder docs");
    for file in docs {
        let name = file.expect("a file").file_name();
        let name = name.to_str().expect("UTF-8");
        if name.ends_with(".md") {
            paths.push(format!("docs/{name}"));
        }
    }
    paths.sort();
    let read = |path: &String| std::fs::read_to_string(root().join(path)).expect("a page");
    paths.iter().map(|p| (p.clone(), read(p))).collect()
}

fn blocks(language: &str) -> Vec<Block> {
    let mut found = Vec::new();
    for (path, page) in pages() {
        let mut lines = page.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            let Some(info) = line.strip_prefix("```") else {
                continue;
            };
            let inside = lines.by_ref().map_while(|(_, l)| (l != "```").then_some(l));
            let text: Vec<&str> = inside.collect();
            if info == language {
                found.push(Block {
                    place: format!("{path}:{}", number + 2),
                    text: format!("{}\n", text.join("\n")),
                });
            }
        }
    }
    found
}

fn indented(text: &str, by: &str) -> String {
    let lines = text.lines().map(|l| format!("{by}{l}\n"));
    lines.collect()
}

/// A document of a definition, or of the keys of one.
fn document(spec: &str) -> String {
    let head = "apiVersion: signalbox.dev/v1\nkind: Automation\nmetadata: { name: shown }\nspec:\n";
    format!("{head}{}", indented(spec, "  "))
}

/// What a list of a definition holds, told by the keys of its first item.
fn list(text: &str) -> &'static str {
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let rest = lines.take_while(|l| !l.starts_with("- "));
    let keys = std::iter::once(first)
        .chain(rest)
        .filter_map(|l| l.get(2..));
    let keys: Vec<&str> = keys.map(|l| l.trim_start_matches("{ ")).collect();
    let has = |names: &[&str]| {
        let is = |line: &&str| names.iter().any(|n| line.starts_with(&format!("{n}:")));
        keys.iter().any(is)
    };
    const CONDITIONS: [&str; 6] = ["and", "or", "not", "numeric_state", "time", "state"];
    if has(&["event"]) {
        "triggers"
    } else if first.starts_with("- \"") || has(&CONDITIONS) {
        "conditions"
    } else {
        "actions"
    }
}

/// Something that makes whatever a part of a definition refers to exist.
const TRIGGERS: &str = "triggers: [{ id: a, event: healthcheck.system_degraded }, { id: b, event: incident.created }]\n";
const OPEN: &str = "- { id: open, action: incident.create, config: { title: t, severity: minor, systemIds: [s] } }\n";

/// The documents a block is, or belongs into; none for settings of the server.
fn documents(text: &str) -> Option<String> {
    let mut lines = text.lines().filter(|l| !l.trim_start().starts_with('#'));
    let first = lines.next().unwrap_or_default();
    let has = |key: &str| text.lines().any(|l| l.starts_with(&format!("{key}:")));
    if first.starts_with("- ") {
        return Some(document(&match list(text) {
            "triggers" => format!("triggers:\n{text}actions: []\n"),
            "conditions" => format!("{TRIGGERS}conditions:\n{text}actions: []\n"),
            _ if text.contains("id: open\n") => format!("{TRIGGERS}actions:\n{text}"),
            _ => format!("{TRIGGERS}actions:\n{OPEN}{text}"),
        }));
    }
    match (has("apiVersion"), has("triggers")) {
        (true, _) => Some(text.to_owned()),
        (false, true) => Some(document(text)),
        (false, false) => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_yaml_block_of_the_documentation_is_valid() {
    let scratch = Scratch::start().await.expect("the plugins start");
    let api = scratch.api();
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for block in blocks("yaml") {
        let Some(text) = documents(&block.text) else {
            let file = tempfile::NamedTempFile::new().expect("a file");
            std::fs::write(file.path(), &block.text).expect("written");
            if let Err(e) = FileSettings::read(file.path()) {
                wrong.push(format!("{}: {e:#}", block.place));
            }
            continue;
        };
        let source = read_text(block.place.clone(), text);
        let found = check(&api, vec![source]).await.expect("an answer");
        // Templates to copy must not even be warned of.
        let strict = block.place.starts_with("docs/automatic-incidents.md");
        if found.has_errors() || (strict && found.summary() != "valid") {
            wrong.push(found.render(false));
        }
        checked += found.documents().count();
    }
    scratch.stop().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(checked > 30, "only {checked} documents were found");
}

/// As web pages name their headings: lower case, blanks as hyphens, without punctuation.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter_map(|c| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c.to_ascii_lowercase()),
        _ => None,
    });
    kept.collect()
}

fn anchors(page: &str) -> Vec<String> {
    let headings = page.lines().filter(|l| l.starts_with('#'));
    headings
        .map(|h| anchor(h.trim_start_matches('#').trim()))
        .collect()
}

#[test]
fn every_link_of_the_documentation_leads_somewhere() {
    let mut dead = Vec::new();
    for (path, page) in pages() {
        let folder = Path::new(&path).parent().expect("a folder").to_owned();
        for rest in page.split("](").skip(1) {
            let target = rest.split(')').next().unwrap_or_default();
            if target.contains("://") {
                continue;
            }
            let (file, fragment) = target.split_once('#').unwrap_or((target, ""));
            let text = match file {
                "" => Some(page.clone()),
                file => {
                    let file = root().join(&folder).join(file);
                    let folder = file.is_dir().then(String::new);
                    std::fs::read_to_string(file).ok().or(folder)
                }
            };
            let found = text
                .is_some_and(|t| fragment.is_empty() || anchors(&t).iter().any(|a| a == fragment));
            if !found {
                dead.push(format!("{path}: {target}"));
            }
        }
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}
