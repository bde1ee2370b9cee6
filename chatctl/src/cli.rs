//! The command line: its words, its help, and which module does what.

use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

use crate::erase::EraseArgs;
use crate::failure::exit_code;
use crate::gateways::GatewaysArgs;
#[cfg(feature = "cluster")]
use crate::lint::LintArgs;
use crate::load::LoadArgs;
use crate::local::LocalArgs;
#[cfg(feature = "cluster")]
use crate::plan::PlanArgs;
use crate::push::PushArgs;
use crate::size::SizeArgs;
use crate::stats::StatsArgs;
#[cfg(feature = "cluster")]
use crate::status::StatusArgs;
use crate::token::TokenArgs;
use crate::{erase, gateways, load, local, output, push, runtime, size, stats, token};

/// Runs a ChatCluster on this machine, and talks to it.
#[derive(Debug, Parser)]
#[command(name = "chatctl", version, propagate_version = true, max_term_width = 110)]
#[command(after_help = "Exit codes: 0 done; 1 it could not be done; 2 the command line or the manifest is wrong.

Examples:
  chatctl local -f examples/chatcluster.yaml
  chatctl token --user ann
  chatctl gateways list
  chatctl load --users 100 --rate 500
  chatctl size --users 500M --messages-a-day 10B
  chatctl COMMAND --help")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run what a manifest describes in this process, on embedded engines.
    Local(Box<LocalArgs>),
    /// Print a token of the local stack.
    Token(TokenArgs),
    /// List, add and drain the gateways of the local stack.
    Gateways(GatewaysArgs),
    /// Erase a user: their messages, devices, blocks and settings.
    EraseUser(EraseArgs),
    /// Try a user's devices, and show what became of pushes.
    Push(PushArgs),
    /// Show what was used, by the hour.
    Stats(StatsArgs),
    /// Drive a server at a steady rate, and check that it keeps every promise.
    Load(Box<LoadArgs>),
    /// Say what a load needs: gateways, partitions, workers, and a manifest of it.
    Size(Box<SizeArgs>),
    /// Tell what is wrong with a manifest, and what may surprise in it; asks no cluster.
    #[cfg(feature = "cluster")]
    Lint(LintArgs),
    /// Say what the operator would make and change for a manifest.
    #[cfg(feature = "cluster")]
    Plan(PlanArgs),
    /// Say how clusters on Kubernetes are, and why.
    #[cfg(feature = "cluster")]
    Status(StatusArgs),
    /// Print the completions of a shell.
    Completions(CompletionsArgs),
}

/// Arguments of `chatctl completions`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  chatctl completions bash > /etc/bash_completion.d/chatctl
  chatctl completions zsh > \"${fpath[1]}/_chatctl\"
  chatctl completions fish > ~/.config/fish/completions/chatctl.fish")]
struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

/// Runs the command of the process's arguments; the exit codes are those of the [crate].
pub fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            output::error(&error);
            exit_code(&error)
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Local(args) => local::run(&args)?,
        Command::Token(args) => token::run(&args)?,
        Command::Gateways(args) => gateways::run(&args)?,
        Command::EraseUser(args) => return done(erase::run(args)),
        Command::Push(args) => return done(push::run(args)),
        Command::Stats(args) => return done(stats::run(args)),
        Command::Load(args) => return runtime::block_on(load::run(*args)),
        Command::Size(args) => size::run(&args)?,
        #[cfg(feature = "cluster")]
        Command::Lint(args) => crate::lint::run(&args)?,
        #[cfg(feature = "cluster")]
        Command::Plan(args) => return done(crate::plan::run(args)),
        #[cfg(feature = "cluster")]
        Command::Status(args) => return done(crate::status::run(args)),
        Command::Completions(args) => completions(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn done(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<ExitCode> {
    runtime::block_on(command).map(|()| ExitCode::SUCCESS)
}

fn completions(args: &CompletionsArgs) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "chatctl", &mut script);
    output::line(String::from_utf8_lossy(&script).trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_examples_in_its_help() {
        fn check(command: &clap::Command) {
            let name = command.get_name();
            if command.has_subcommands() {
                command.get_subcommands().for_each(check);
            }
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Examples:"), "`{name}` shows no examples");
        }
        check(&Cli::command());
    }
}
