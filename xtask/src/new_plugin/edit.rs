//! Adding a line to a file that lists things, without touching the rest of it.
//!
//! The manifests are edited as text, because comments and order are for people; an edit that
//! does not find its place fails rather than guess.

use anyhow::{Context, Result};

/// One addition to one file.
pub enum Edit {
    /// A new line among the lines that follow the one starting with `after`, up to the first
    /// that is blank or starts another block; put where sorting wants it.
    Line { after: String, line: String },
    /// A new last item in the one-line list that starts with `start`.
    Item { start: String, item: String },
    /// New lines above the first that is exactly `line`.
    Above { line: String, new: String },
}

impl Edit {
    /// The text with the addition.
    pub fn apply(&self, text: &str) -> Result<String> {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        match self {
            Self::Line { after, line } => {
                let start = position(&lines, |l| l.starts_with(after), after)? + 1;
                let ends = |l: &String| l.trim().is_empty() || l.starts_with(['[', ']', '#']);
                let end = lines[start..]
                    .iter()
                    .position(ends)
                    .map_or(lines.len(), |n| start + n);
                let place = lines[start..end].iter().position(|l| l > line);
                lines.insert(place.map_or(end, |n| start + n), line.clone());
            }
            Self::Item { start, item } => {
                let at = position(&lines, |l| l.starts_with(start), start)?;
                let open = lines[at]
                    .strip_suffix(']')
                    .with_context(|| format!("the list `{start}…` does not end on its line"))?;
                let comma = if open.ends_with('[') { "" } else { ", " };
                lines[at] = format!("{open}{comma}\"{item}\"]");
            }
            Self::Above { line, new } => {
                let at = position(&lines, |l| l == line, line)?;
                lines.splice(at..at, new.lines().map(str::to_owned));
            }
        }
        Ok(lines.join("\n") + "\n")
    }
}

fn position(lines: &[String], found: impl Fn(&String) -> bool, what: &str) -> Result<usize> {
    lines
        .iter()
        .position(found)
        .with_context(|| format!("there is no line `{what}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(edit: &Edit, before: &str, after: &str) {
        assert_eq!(edit.apply(before).unwrap(), after);
        assert!(edit.apply("something else\n").is_err());
    }

    #[test]
    fn a_line_goes_where_sorting_wants_it_within_its_block() {
        let edit = Edit::Line {
            after: "[deps]".into(),
            line: "c = 1".into(),
        };
        check(
            &edit,
            "[deps]\nb = 1\nd = 1\n\na = 1\n",
            "[deps]\nb = 1\nc = 1\nd = 1\n\na = 1\n",
        );
        check(
            &edit,
            "[deps]\nb = 1\n[other]\n",
            "[deps]\nb = 1\nc = 1\n[other]\n",
        );
        check(&edit, "[deps]\n", "[deps]\nc = 1\n");
    }

    #[test]
    fn an_item_goes_to_the_end_of_its_list() {
        let edit = Edit::Item {
            start: "default = [".into(),
            item: "b".into(),
        };
        check(&edit, "default = [\"a\"]\n", "default = [\"a\", \"b\"]\n");
        check(&edit, "default = []\n", "default = [\"b\"]\n");
        assert!(edit.apply("default = [\n]\n").is_err());
    }

    #[test]
    fn lines_go_above_the_given_one() {
        let edit = Edit::Above {
            line: "    ]".into(),
            new: "a\nb".into(),
        };
        check(&edit, "[\n    ]\n", "[\na\nb\n    ]\n");
    }
}
