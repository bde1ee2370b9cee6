//! `chat-operator`: runs the clusters of a Kubernetes cluster, and prints what it needs there.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};
use operator::controller::{RunArgs, run};
use tracing_subscriber::EnvFilter;

/// Runs chat backends on Kubernetes, each described by one `ChatCluster`.
#[derive(Debug, Parser)]
#[command(version, after_help = "Example:\n  chat-operator crd | kubectl apply -f -")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the operator until a signal ends it
    Run(RunArgs),
    /// Print the custom resource definition of ChatCluster as YAML
    #[command(after_help = "Example:\n  chat-operator crd > crds/chatclusters.chatcluster.dev.yaml")]
    Crd,
    /// Print the operator's own manifests, for the clusters of one namespace, as YAML
    #[command(after_help = "Example:\n  chat-operator install --namespace chat-system | kubectl apply -f -")]
    Install(InstallArgs),
    /// Print the rights that the operator needs in a namespace whose clusters it runs, as YAML
    #[command(after_help = "Example:\n  chat-operator rbac --namespace team-a | kubectl apply -f -")]
    Rbac(RbacArgs),
}

#[derive(Debug, Args)]
struct InstallArgs {
    /// Namespace of the operator and of the clusters it runs.
    #[arg(long, value_name = "NAME", default_value = operator::install::NAMESPACE)]
    namespace: String,
}

#[derive(Debug, Args)]
struct RbacArgs {
    /// Namespace whose clusters are run.
    #[arg(long, value_name = "NAME")]
    namespace: String,
    /// Namespace of the operator.
    #[arg(long, value_name = "NAME", default_value = operator::install::NAMESPACE)]
    operator_namespace: String,
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run(args) => serve(&args),
        Command::Crd => print(&operator::crd::yaml()),
        Command::Install(args) => print_objects(&operator::install::objects(&args.namespace)),
        Command::Rbac(args) => print_objects(&operator::rbac::grant(&args.namespace, &args.operator_namespace)),
    }
}

fn print_objects(objects: &[serde_json::Value]) -> ExitCode {
    let documents: Result<Vec<String>, _> = objects.iter().map(serde_yaml::to_string).collect();
    match documents {
        Ok(documents) => print(&documents.join("---\n")),
        Err(error) => fail(&error),
    }
}

fn serve(args: &RunArgs) -> ExitCode {
    let filter = EnvFilter::try_from_env("CHAT_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(io::stderr).init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    match runtime.block_on(run(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn print(text: &str) -> ExitCode {
    match io::stdout().lock().write_all(text.as_bytes()) {
        // A reader that has seen enough, as in `chat-operator crd | head`, is no failure.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => fail(&error),
        _ => ExitCode::SUCCESS,
    }
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("chat-operator: {error}");
    ExitCode::FAILURE
}
