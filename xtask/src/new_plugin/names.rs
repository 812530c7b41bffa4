//! The spellings of a plugin's name, and putting them where the template has its own.

use anyhow::{Result, bail};

/// The name the template is written for. It occurs nowhere else, so replacing it is safe.
const TEMPLATE_NAME: &str = "sprocket";

/// One name in its spellings.
#[derive(Debug, PartialEq, Eq)]
pub struct Names {
    /// `status-page`: the plugin's id, and its folder with `-plugin` added.
    pub kebab: String,
    /// `status_page`: in Rust names and tables.
    pub snake: String,
    /// `StatusPage`: in types.
    pub pascal: String,
    /// `Status page`: for people.
    pub title: String,
}

impl Names {
    /// Takes `status-page`; says what is wrong with anything else.
    pub fn parse(name: &str) -> Result<Self> {
        let parts: Vec<&str> = name.split('-').collect();
        let plain = |part: &&str| {
            part.starts_with(|c: char| c.is_ascii_lowercase())
                && part
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        };
        if !parts.iter().all(plain) {
            bail!(
                "`{name}` is no plugin name: write lower-case words joined by `-`, like `status-page`"
            );
        }
        if parts.contains(&"plugin") {
            bail!("leave `plugin` out of the name; the folder gets `-plugin` by itself");
        }
        if matches!(name, "core" | "sqlite" | "postgres" | "default") || name == TEMPLATE_NAME {
            bail!("`{name}` already means something else here; choose another name");
        }
        let pascal = parts
            .iter()
            .map(|part| part[..1].to_uppercase() + &part[1..])
            .collect();
        Ok(Self {
            kebab: name.to_owned(),
            snake: parts.join("_"),
            pascal,
            title: name[..1].to_uppercase() + &name[1..].replace('-', " "),
        })
    }

    /// The text with the template's name replaced, in the spelling each place needs: as part
    /// of an identifier `sprocket_…` it is snake, otherwise kebab; `Sprocket` is a type, and a text when it is one by itself.
    pub fn fill(&self, text: &str) -> String {
        let text = text
            .replace("\"Sprocket\"", &format!("\"{}\"", self.title))
            .replace("Sprocket", &self.pascal);
        let mut out = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(at) = rest.find(TEMPLATE_NAME) {
            let (before, after) = (&rest[..at], &rest[at + TEMPLATE_NAME.len()..]);
            out.push_str(before);
            let in_identifier = before.ends_with('_') || after.starts_with('_');
            out.push_str(if in_identifier {
                &self.snake
            } else {
                &self.kebab
            });
            rest = after;
        }
        out + rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_gets_the_spelling_it_needs() {
        let names = Names::parse("status-page").unwrap();
        let text = "use sprocket_plugin::Sprocket; // sprocket-plugin, \"Sprocket\", \"sprocket.made\", old_sprocket";
        assert_eq!(
            names.fill(text),
            "use status_page_plugin::StatusPage; // status-page-plugin, \"Status page\", \"status-page.made\", old_status_page"
        );
    }

    #[test]
    fn names_that_cannot_work_are_refused() {
        for bad in [
            "",
            "Status",
            "status_page",
            "-a",
            "a-",
            "1a",
            "a-plugin",
            "core",
            "sqlite",
            "sprocket",
        ] {
            assert!(Names::parse(bad).is_err(), "{bad}");
        }
    }
}
