//! `chatctl erase-user`: asks for the erasure of a user and waits until it is done.

use std::time::Duration;

use chat_core::clock::Time;
use chat_core::id::UserId;
use clap::Args;
use hyper::Method;
use operator::crd::Period;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use uuid::Uuid;

use crate::api::{Api, ApiArgs, path_part};
use crate::output;

/// Pause between two looks at the report.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Arguments of `chatctl erase-user`.
#[derive(Debug, Args)]
#[command(after_help = "It can be asked for again at any time: what is erased already stays so. An erasure goes on
without this command; whoever reads its report takes over one whose gateway is gone.

Examples:
  chatctl erase-user ann
  chatctl erase-user ann --wait 1h --json")]
pub(crate) struct EraseArgs {
    /// Who is erased.
    user: UserId,
    /// How long to wait for the end: a whole number and s, m, h or d.
    #[arg(long, default_value = "10m")]
    wait: Period,
    /// Print the report as one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiArgs,
}

#[derive(Debug, Deserialize)]
struct Begun {
    report_id: Uuid,
}

/// A report, as the server gives it.
#[derive(Debug, Serialize, Deserialize)]
struct Erasure {
    report_id: Uuid,
    user: UserId,
    status: String,
    requested_at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<Time>,
    chats: u64,
    messages: u64,
    remains: Vec<String>,
}

/// Erases a user.
pub(crate) async fn run(args: EraseArgs) -> anyhow::Result<()> {
    let api = Api::new(&args.api)?;
    let Begun { report_id } = api.call(Method::DELETE, &format!("/v1/users/{}", path_part(&args.user))).await?;
    let give_up = Instant::now() + args.wait.duration();
    loop {
        let report: Erasure = api.call(Method::GET, &format!("/v1/reports/{report_id}")).await?;
        if report.finished_at.is_some() {
            return if args.json { output::json(&report) } else { print(&report) };
        }
        anyhow::ensure!(
            Instant::now() < give_up,
            "the erasure is not done after {}; it goes on: GET /v1/reports/{report_id} shows it",
            args.wait
        );
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn print(report: &Erasure) -> anyhow::Result<()> {
    let Erasure { user, chats, messages, .. } = report;
    output::line(&format!(
        "erased {user}: {messages} messages in {chats} chats; devices, blocks and settings removed"
    ))?;
    output::line("what remains:")?;
    report.remains.iter().try_for_each(|sentence| output::line(&format!("  {sentence}")))
}
