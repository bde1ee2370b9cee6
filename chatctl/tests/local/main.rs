//! `chatctl local` as its user sees it: the built binary, its output, its exit codes.

mod gateways;
mod life;
mod process;
mod refusals;
