//! Errors that cross plugin seams.

/// Any error of a plugin; the caller adds ids and context.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
