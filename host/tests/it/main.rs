//! The binary as its users meet it: started, fed, killed, asked.

mod bad_input;
mod docs;
mod kill;
mod starters;
mod support;
mod two_nodes;
mod why;
