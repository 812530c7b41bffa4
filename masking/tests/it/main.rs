//! Acceptance of the masking crate: what is replaced, what stays, and for how long a run's
//! secrets are remembered (secrets §10–11).

mod json;
mod registry;
mod text;
