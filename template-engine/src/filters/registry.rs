//! The registry plugins contribute to.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;

use super::builtin::{BUILTINS, Builtin};
use crate::lexer::is_name;
use crate::value::Value;

/// A filter of a plugin: pure, synchronous and non-blocking (template §9.5).
///
/// Any closure of this shape is one. The result owns what it holds; to pass the value through, answer
/// `value.clone().into_owned()`. Missing arguments are simply not in `args`.
pub trait Filter: Send + Sync + 'static {
    /// Applies the filter.
    ///
    /// # Errors
    /// Becomes an error of kind `filter` at the position of the pipe. So does a panic.
    fn call(
        &self,
        value: &Value<'_>,
        args: &[Value<'_>],
        env: &FilterEnv,
    ) -> Result<Value<'static>, FilterFailure>;
}

impl<F> Filter for F
where
    F: Fn(&Value<'_>, &[Value<'_>], &FilterEnv) -> Result<Value<'static>, FilterFailure>
        + Send
        + Sync
        + 'static,
{
    fn call(
        &self,
        value: &Value<'_>,
        args: &[Value<'_>],
        env: &FilterEnv,
    ) -> Result<Value<'static>, FilterFailure> {
        self(value, args, env)
    }
}

/// What a filter may know besides its value and arguments.
#[derive(Clone, Copy, Debug)]
pub struct FilterEnv {
    /// The instant of the evaluation, from the injected clock.
    pub now: Timestamp,
}

/// Why a plugin's filter could not answer. The text reaches logs and operators: it must not quote the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterFailure(pub String);

impl<T: Into<String>> From<T> for FilterFailure {
    fn from(message: T) -> Self {
        FilterFailure(message.into())
    }
}

/// What a plugin hands in (template §9.2).
pub struct Contribution {
    /// The plugin it comes from.
    pub plugin: String,
    /// The name it is called by.
    pub name: String,
    /// How it is written, for editors: `mask(keep)`.
    pub signature: Option<String>,
    /// One sentence for editors.
    pub description: Option<String>,
    /// What it does.
    pub filter: Arc<dyn Filter>,
}

/// What editors show of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterInfo {
    /// The name it is called by.
    pub name: String,
    /// The plugin it comes from; `None` for a built-in one.
    pub plugin: Option<String>,
    /// How it is written.
    pub signature: Option<String>,
    /// What it does, in one sentence.
    pub description: Option<String>,
}

/// Why a contribution was not taken. Callers log it as a warning and go on (template §9.3, §9.4).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The name is already there; the first registration stays.
    #[error("filter `{name}` of plugin `{plugin}` is skipped: {} already has a filter of that name",
        owner.as_deref().map_or("the engine".to_owned(), |o| format!("plugin `{o}`")))]
    Taken {
        /// The plugin that came too late.
        plugin: String,
        /// The contested name.
        name: String,
        /// Who has it; `None` for a built-in filter.
        owner: Option<String>,
    },
    /// The name could never be written in an expression.
    #[error("filter `{name}` of plugin `{plugin}` is skipped: the name is not an identifier")]
    NotAName {
        /// The contributing plugin.
        plugin: String,
        /// The impossible name.
        name: String,
    },
}

/// All filters of a process: the built-in ones, always, and those of plugins.
///
/// Share one behind an `Arc`; registering needs no exclusive access, and a filter that panics does not harm it.
#[derive(Default)]
pub struct Filters {
    plugins: RwLock<BTreeMap<String, Contribution>>,
}

impl Filters {
    /// A registry with the built-in filters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a plugin's filter; expressions may use it at once.
    ///
    /// # Errors
    /// [`Refused`] when the name is taken or cannot be written; the registry is unchanged then.
    pub fn register(&self, contribution: Contribution) -> Result<(), Refused> {
        let Contribution { plugin, name, .. } = &contribution;
        if !is_name(name) {
            return Err(Refused::NotAName {
                plugin: plugin.clone(),
                name: name.clone(),
            });
        }
        let mut plugins = self.plugins.write().unwrap_or_else(PoisonError::into_inner);
        let taken = if Builtin::named(name).is_some() {
            Some(None)
        } else {
            plugins
                .get(name)
                .map(|earlier| Some(earlier.plugin.clone()))
        };
        if let Some(owner) = taken {
            return Err(Refused::Taken {
                plugin: plugin.clone(),
                name: name.clone(),
                owner,
            });
        }
        plugins.insert(name.clone(), contribution);
        Ok(())
    }

    /// Whether a filter of this name can be called.
    pub fn has(&self, name: &str) -> bool {
        Builtin::named(name).is_some() || self.read(|plugins| plugins.contains_key(name))
    }

    /// What is known of a filter.
    pub fn get(&self, name: &str) -> Option<FilterInfo> {
        if let Some(info) = BUILTINS.iter().find(|b| b.name == name) {
            return Some(info.describe());
        }
        self.read(|plugins| plugins.get(name).map(Contribution::describe))
    }

    /// The names of all filters, sorted.
    pub fn list(&self) -> Vec<String> {
        let mut names: Vec<String> = BUILTINS.iter().map(|b| b.name.to_owned()).collect();
        self.read(|plugins| names.extend(plugins.keys().cloned()));
        names.sort();
        names
    }

    fn read<T>(&self, look: impl FnOnce(&BTreeMap<String, Contribution>) -> T) -> T {
        look(&self.plugins.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Calls a plugin's filter; `None` when there is none of that name. The filter runs outside the lock.
    pub(crate) fn call(
        &self,
        name: &str,
        value: &Value<'_>,
        args: &[Value<'_>],
        env: &FilterEnv,
    ) -> Option<Result<Value<'static>, FilterFailure>> {
        let filter = self.read(|plugins| plugins.get(name).map(|c| Arc::clone(&c.filter)))?;
        let result = catch_unwind(AssertUnwindSafe(|| filter.call(value, args, env)));
        Some(result.unwrap_or_else(|_| Err("it panicked".into())))
    }
}

impl fmt::Debug for Filters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Filters").field(&self.list()).finish()
    }
}

impl Contribution {
    fn describe(&self) -> FilterInfo {
        FilterInfo {
            name: self.name.clone(),
            plugin: Some(self.plugin.clone()),
            signature: self.signature.clone(),
            description: self.description.clone(),
        }
    }
}
