//! The binary as its users meet it: started, fed, killed, asked.

mod apply;
mod bad_input;
mod kill;
mod support;
mod two_nodes;
