//! `chatctl gateways`: asks a running local stack, over the control socket in its data directory.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use crate::control::{GatewayInfo, MAX_LINE_BYTES, Reply, Request, SOCKET_FILE};
use crate::output;

/// How long the stack may take to answer; starting a gateway is the longest.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// Arguments of `chatctl gateways`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  chatctl gateways list
  chatctl gateways add
  chatctl gateways drain gateway-0")]
pub(crate) struct GatewaysArgs {
    #[command(subcommand)]
    command: GatewaysCommand,
}

#[derive(Debug, Subcommand)]
enum GatewaysCommand {
    /// Tell of every gateway: its state, its connections, its addresses.
    #[command(after_help = "Examples:
  chatctl gateways list
  chatctl gateways list --json --data-dir ./.chatcluster")]
    List(StackArgs),
    /// Start another gateway behind the front door.
    #[command(after_help = "Examples:
  chatctl gateways add")]
    Add(StackArgs),
    /// Move the connections off a gateway, paced as the manifest says, then stop it.
    #[command(after_help = "Examples:
  chatctl gateways drain gateway-0")]
    Drain {
        /// Name of the gateway, as `chatctl gateways list` shows it.
        name: String,
        #[command(flatten)]
        stack: StackArgs,
    },
}

/// Says which stack is meant and how the answer is printed.
#[derive(Debug, Args)]
struct StackArgs {
    /// Directory of the local stack.
    #[arg(long, value_name = "DIR", default_value = crate::local::DATA_DIR)]
    data_dir: PathBuf,
    /// Print one JSON object a gateway.
    #[arg(long)]
    json: bool,
}

/// Sends the request and prints the gateways it is about.
pub(crate) fn run(args: &GatewaysArgs) -> anyhow::Result<()> {
    let (stack, request) = match &args.command {
        GatewaysCommand::List(stack) => (stack, Request::ListGateways),
        GatewaysCommand::Add(stack) => (stack, Request::AddGateway),
        GatewaysCommand::Drain { name, stack } => (stack, Request::DrainGateway { name: name.clone() }),
    };
    match ask(&stack.data_dir, &request)? {
        Reply::Gateways { gateways } if stack.json => gateways.iter().try_for_each(output::json),
        Reply::Gateways { gateways } => print(&gateways),
        Reply::Refused { message } => Err(anyhow::anyhow!(message)),
    }
}

fn print(gateways: &[GatewayInfo]) -> anyhow::Result<()> {
    let row = |gateway: &GatewayInfo| {
        [
            gateway.name.clone(),
            gateway.state.as_str().to_owned(),
            gateway.connections.to_string(),
            gateway.url.clone(),
            gateway.admin_url.clone(),
        ]
    };
    let rows: Vec<_> = gateways.iter().map(row).collect();
    output::table(["NAME", "STATE", "CONNECTIONS", "URL", "ADMIN"], &rows)
}

fn ask(data_dir: &Path, request: &Request) -> anyhow::Result<Reply> {
    let nobody = || {
        format!(
            "no local stack answers in {}; start one with `chatctl local -f FILE`, or name its directory with --data-dir",
            data_dir.display()
        )
    };
    let mut stream = UnixStream::connect(data_dir.join(SOCKET_FILE)).with_context(nobody)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN)).context("cannot set a deadline on the control socket")?;
    let mut line = serde_json::to_string(request).context("cannot write the request")?;
    line.push('\n');
    stream.write_all(line.as_bytes()).with_context(nobody)?;
    let mut answer = String::new();
    BufReader::new(stream.take(MAX_LINE_BYTES)).read_line(&mut answer).with_context(nobody)?;
    anyhow::ensure!(!answer.is_empty(), "the local stack in {} stopped before it answered", data_dir.display());
    serde_json::from_str(&answer).context("the local stack answered something else; is it of another version?")
}
