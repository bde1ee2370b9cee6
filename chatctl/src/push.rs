//! `chatctl push`: tries a user's devices, and shows what became of pushes.

use chat_core::id::{ChatId, UserId};
use chat_core::push::outcome::PushOutcomes;
use clap::{Args, Subcommand};
use hyper::Method;
use serde::{Deserialize, Serialize};

use crate::api::{Api, ApiArgs, path_part};
use crate::output;

/// Arguments of `chatctl push`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  chatctl push log
  chatctl push test ann")]
pub(crate) struct PushArgs {
    #[command(subcommand)]
    command: PushCommand,
}

#[derive(Debug, Subcommand)]
enum PushCommand {
    /// Show what became of the newest pushes, and why some were not made.
    Log(LogArgs),
    /// Send a test notification to every device of a user.
    Test(TestArgs),
}

/// Arguments of `chatctl push log`.
#[derive(Debug, Args)]
#[command(after_help = "A test push has the chat 00000000-0000-0000-0000-000000000000 and the seq 0.

Examples:
  chatctl push log
  chatctl push log --user ann --limit 200 --json")]
struct LogArgs {
    /// Only pushes to this user.
    #[arg(long)]
    user: Option<UserId>,
    /// Only pushes of this chat.
    #[arg(long, value_name = "CHAT_ID")]
    chat: Option<ChatId>,
    /// Messages at most, newest first: 1 to 200.
    #[arg(long, default_value_t = 50)]
    limit: u8,
    /// Print one JSON object a line, one a message.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiArgs,
}

/// Arguments of `chatctl push test`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  chatctl push test ann
  chatctl push test ann --json")]
struct TestArgs {
    /// Whose devices.
    user: UserId,
    /// Print one JSON object a line, one a device.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiArgs,
}

#[derive(Debug, Deserialize)]
struct Items<T> {
    items: Vec<T>,
}

/// What the vendor answered for one device.
#[derive(Debug, Serialize, Deserialize)]
struct Tested {
    device: String,
    platform: String,
    outcome: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Runs a command about push.
pub(crate) async fn run(args: PushArgs) -> anyhow::Result<()> {
    match args.command {
        PushCommand::Log(args) => log(args).await,
        PushCommand::Test(args) => test(args).await,
    }
}

async fn log(args: LogArgs) -> anyhow::Result<()> {
    let mut path = format!("/v1/push-outcomes?limit={}", args.limit);
    if let Some(user) = &args.user {
        path.push_str("&user=");
        path.push_str(&path_part(user));
    }
    if let Some(chat) = args.chat {
        path.push_str("&chat_id=");
        path.push_str(&chat.to_string());
    }
    let Items { items } = Api::new(&args.api)?.call::<Items<PushOutcomes>>(Method::GET, &path).await?;
    if args.json {
        return items.iter().try_for_each(output::json);
    }
    let rows: Vec<_> = items.iter().flat_map(rows).collect();
    output::table(["AT", "CHAT", "SEQ", "USER", "DEVICE", "OUTCOME", "REASON"], &rows)
}

/// Makes the rows of one message.
fn rows(record: &PushOutcomes) -> impl Iterator<Item = [String; 7]> {
    record.outcomes.iter().map(|outcome| {
        [
            record.at.to_string(),
            record.chat_id.to_string(),
            record.seq.to_string(),
            outcome.member.to_string(),
            outcome.device.clone().unwrap_or_else(|| "-".to_owned()),
            outcome.outcome.name().to_owned(),
            outcome.reason.clone().unwrap_or_default(),
        ]
    })
}

async fn test(args: TestArgs) -> anyhow::Result<()> {
    let path = format!("/v1/users/{}/test-push", path_part(&args.user));
    let Items { items } = Api::new(&args.api)?.call::<Items<Tested>>(Method::POST, &path).await?;
    if args.json {
        return items.iter().try_for_each(output::json);
    }
    let row = |tested: &Tested| {
        [
            tested.device.clone(),
            tested.platform.clone(),
            tested.outcome.clone(),
            tested.reason.clone().unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = items.iter().map(row).collect();
    output::table(["DEVICE", "PLATFORM", "OUTCOME", "REASON"], &rows)
}
