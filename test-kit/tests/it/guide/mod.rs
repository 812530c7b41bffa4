//! The plugin of `docs/plugins.md`: its code blocks are parts of these files, so they compile, and
//! what the page says of them is tested here.

mod action;
mod entity;
mod plugin;
mod routes;
mod store;
mod tests;
mod trigger;

const SOURCES: [&str; 7] = [
    include_str!("action.rs"),
    include_str!("entity.rs"),
    include_str!("plugin.rs"),
    include_str!("routes.rs"),
    include_str!("store.rs"),
    include_str!("tests.rs"),
    include_str!("trigger.rs"),
];

/// Lines without indentation and empty ones, each ended.
fn lines(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
    lines.map(|l| format!("{l}\n")).collect()
}

/// A block may leave parts out where it says `// …`; what is left must stand in one file, in order.
#[test]
fn every_rust_block_of_the_page_is_part_of_this_plugin() {
    let page = include_str!("../../../../docs/plugins.md");
    let sources = SOURCES.map(lines);
    let mut blocks = 0;
    for rest in page.split("\n```rust\n").skip(1) {
        let (block, _) = rest.split_once("\n```").expect("the block ends");
        let parts: Vec<String> = block.split("// …").map(lines).collect();
        let holds = |source: &String| {
            let mut left = source.as_str();
            parts
                .iter()
                .all(|part| match left.split_once(part.as_str()) {
                    Some((_, after)) => {
                        left = after;
                        true
                    }
                    None => false,
                })
        };
        assert!(
            sources.iter().any(holds),
            "this block of docs/plugins.md is in no file of the plugin:\n{block}"
        );
        blocks += 1;
    }
    assert!(blocks > 10, "only {blocks} blocks were found");
}
