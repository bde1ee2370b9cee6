//! `chatctl local` as its user sees it: the built binary, its output, its exit codes.

mod admin;
mod dashboard;
mod demo;
mod gateways;
mod http;
mod life;
mod process;
mod refusals;
mod scaling;
mod shells;
mod size;
mod terminal;
