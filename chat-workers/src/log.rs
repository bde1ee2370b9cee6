//! `chat-workers log`: what people do to the log by hand.

use std::fmt::Display;
use std::io::Write as _;
use std::time::Duration;

use chat_core::cassandra::Cassandra;
use chat_core::clock::{Clock as _, SystemClock, Time};
use chat_core::config::{KafkaConfig, ProcessConfig};
use chat_core::message_log::kafka::KafkaLog;
use chat_core::process::Failure;
use chat_workers::Role;
use chat_workers::redrive::{DeadLetters, redrive};
use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Serialize;
use serde_json::json;
use tokio::time::timeout;

/// How long one of these may take.
const WITHIN: Duration = Duration::from_mins(10);

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Takes topics that were made anew for the log's next life. Stop all gateways and workers first.
    ///
    /// For partitions that stopped with `LogWentBackwards` or `TopicReplaced`: what was decided stays, and records of
    /// the new topics come after it. What the old topics held and nobody had decided is lost.
    Adopt,
    /// Has workers read again what the log took since a time; harmless, as everything they do may come again. Stop the
    /// workers of the role first.
    Rewind {
        /// From when on: 2026-11-24T12:00:00Z.
        #[arg(long, value_name = "TIME")]
        since: Time,
        /// Whose place is moved.
        #[arg(long, default_value = "sequencer", value_parser = role())]
        role: Role,
    },
    /// Puts dead letters back where they came from, each once. Workers may go on meanwhile.
    Redrive {
        /// Which.
        #[arg(default_value = "messages")]
        letters: DeadLetters,
    },
}

/// Takes a role by its name.
fn role() -> impl TypedValueParser<Value = Role> {
    let names = PossibleValuesParser::new(Role::ALL.map(Role::name));
    names.try_map(|name| Role::ALL.into_iter().find(|role| role.name() == name).ok_or("there is no such role"))
}

/// Does it, and prints what came of it as one JSON object.
pub(crate) async fn run(config: ProcessConfig, command: Command) -> Result<(), Failure> {
    let done = timeout(WITHIN, Box::pin(carry_out(&config, command)));
    done.await.map_err(|_| Failure::of("it was not done within ten minutes; it may be repeated"))?
}

async fn carry_out(config: &ProcessConfig, command: Command) -> Result<(), Failure> {
    let cassandra = Cassandra::open(&config.engines.cassandra).await.map_err(Failure::of)?;
    let epoch = cassandra.log_epoch().await.map_err(Failure::of)?.max(config.engines.kafka.epoch);
    let kafka = KafkaConfig { epoch, ..config.engines.kafka.clone() };
    let log = KafkaLog::open(&kafka).await.map_err(Failure::of)?;
    match command {
        Command::Adopt => {
            for role in Role::ALL {
                log.begin_anew(role.topic(), role.name()).await.map_err(|error| is_in_use(role, error))?;
            }
            let epoch = cassandra.adopt_log(epoch).await.map_err(Failure::of)?;
            print(&json!({ "epoch": epoch }))
        }
        Command::Rewind { since, role } => {
            let rewound = log.rewind(role.topic(), role.name(), since).await;
            let rewound = rewound.map_err(|error| is_in_use(role, error))?;
            let partition = |it: &chat_core::message_log::kafka::Rewound| json!({ "partition": it.partition, "from": it.from, "to": it.to });
            let partitions: Vec<_> = rewound.iter().map(partition).collect();
            print(&json!({ "at": SystemClock.now(), "role": role, "partitions": partitions }))
        }
        Command::Redrive { letters } => print(&redrive(&log, letters).await.map_err(Failure::of)?),
    }
}

fn is_in_use(role: Role, error: impl Display) -> Failure {
    Failure::of(format!("{role}: {error}; stop its workers first, and wait 10 s if they were killed"))
}

fn print(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(Failure::of)?;
    writeln!(std::io::stdout(), "{text}").map_err(Failure::of)
}
