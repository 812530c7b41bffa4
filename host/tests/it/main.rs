//! The binary as its users meet it: started, fed, killed, asked.

mod apply;
mod bad_input;
mod conventions;
mod demo;
mod docs;
mod kill;
mod kill_under_load;
mod starters;
mod support;
mod tokens;
mod two_nodes;
mod why;
