//! `chat-operator`: prints the custom resource definition.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

/// Runs chat backends on Kubernetes, each described by one `ChatCluster`.
#[derive(Debug, Parser)]
#[command(version, after_help = "Example:\n  chat-operator crd | kubectl apply -f -")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the custom resource definition of ChatCluster as YAML
    #[command(after_help = "Example:\n  chat-operator crd > crds/chatclusters.chatcluster.dev.yaml")]
    Crd,
}

fn main() -> ExitCode {
    let printed = match Arguments::parse().command {
        Command::Crd => io::stdout().lock().write_all(operator::crd::yaml().as_bytes()),
    };
    match printed {
        // A reader that has seen enough, as in `chat-operator crd | head`, is no failure.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("chat-operator: cannot print: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}
