//! The gates an occurrence passes before it becomes a run (`dispatch §5.5`).
//!
//! [`decide`] says for one trigger of one automation what an occurrence leads to, and why. It is
//! pure: the scope has been read before. Recording, counting and creating happen around it.

pub mod decide;
