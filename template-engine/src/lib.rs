//! The expression and template language of Signalbox.
//!
//! Operators write `{{ trigger.payload.systemName | upper }}` in texts and `health.system.p95 > 500` in conditions. This
//! crate turns such sources into immutable programs and evaluates them against JSON. It is pure: no I/O, no clock of its
//! own, no knowledge of automations.
//!
//! How it works, in the order a source travels:
//! - the lexer yields tokens on demand, as spans of the source;
//! - the parser climbs precedences and writes a flat postfix program, the only compiled form;
//! - the machine runs that program with a small stack of borrowed [`Value`]s, without recursion;
//! - who wants to *look* at a program gets a tree rebuilt from it: [`ast`];
//! - who wants to know *why* it came out as it did gets the parts that decided, with their values: [`explain`].
//!
//! Entry points: [`Template`], [`Expression`], [`preview`], [`condition::Condition`] for structured conditions,
//! [`Filters`] for the registry plugins add to, [`Env`] for filters and clock, [`Scope`] for the data.
//!
//! What holds always: no panic on any input; no access to anything but own JSON data and registered filters; bounded
//! work and bounded output ([`Limits`]); errors that point into the author's text and never quote the data.

pub mod ast;
mod code;
pub mod compare;
pub mod condition;
mod env;
mod error;
pub mod explain;
mod expression;
mod filters;
pub mod instant;
mod json;
mod lexer;
mod limits;
mod machine;
mod number;
mod parser;
mod scope;
mod span;
mod template;
mod value;
mod view;

pub use env::Env;
pub use error::{Detail, Error, ErrorParts, Kind};
pub use explain::Fact;
pub use expression::Expression;
pub use filters::{Contribution, Filter, FilterEnv, FilterFailure, FilterInfo, Filters, Refused};
pub use limits::{Limits, Overflow};
pub use scope::{Layered, Scope};
pub use span::{Position, Range, Span};
pub use template::{Template, preview};
pub use value::{Number, Object, Value};

/// Whether a character is whitespace to the language (template §3.2): what `trim` strips and what makes a text blank.
pub fn is_whitespace(c: char) -> bool {
    lexer::is_whitespace(c)
}

/// Whether a text can be written as a name: `a.name`, `| name` (template §3.4).
pub fn is_name(text: &str) -> bool {
    lexer::is_name(text)
}
