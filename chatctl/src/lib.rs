//! `chatctl`, the tool of people: runs the whole chat stack in one process and talks to it.
//!
//! `cli` knows the words of the command line and nothing else; each command is a module with its arguments and its
//! `run`. `local` is the only place where the engines of a local stack are chosen. `output` is the only one that
//! prints.
//!
//! # Exit codes
//! - 0: done.
//! - 1: it could not be done; standard error says why and what to do next, in one sentence.
//! - 2: what was given is wrong: the command line, or the manifest.
//! - 3: `chatctl load` only: the run is void, the generator was the bottleneck.

mod api;
mod cli;
mod control;
mod erase;
mod failure;
mod gateways;
#[cfg(feature = "cluster")]
mod lint;
pub mod load;
mod local;
mod open_files;
mod output;
#[cfg(feature = "cluster")]
mod plan;
mod push;
mod runtime;
mod size;
mod stats;
#[cfg(feature = "cluster")]
mod status;
pub mod token;

pub use cli::main;
