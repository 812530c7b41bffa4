//! The kit tested on itself.

mod clock;
mod db;
mod guide;
