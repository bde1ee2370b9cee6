//! `chat-workers provision`: topics, keyspace and tables, the search index, made or only checked.

use std::fmt::Display;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use chat_core::cassandra::{self, Cassandra, Provision};
use chat_core::config::{KafkaConfig, ProcessConfig};
use chat_core::message_log::kafka::{KafkaLog, NewTopics, OpenError, claim, create_topics};
use chat_core::process::Failure;
use chat_core::search::elasticsearch::{self as search, ElasticsearchIndex};
use serde::Serialize;
use tokio::time::{Instant, sleep};

/// Pause between attempts.
const PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only looks: makes nothing, whatever the settings say.
    #[arg(long)]
    observe: bool,
    /// Where the result goes too, beside standard output: the termination message of a pod.
    #[arg(long, value_name = "FILE")]
    result: Option<PathBuf>,
    /// A cluster that gives topics and keyspace up to this one, as the refusal names it.
    #[arg(long, value_name = "OWNER")]
    take_over: Option<String>,
    /// How long to wait for engines that do not answer, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
}

/// What came of one engine.
#[derive(Debug, Serialize)]
struct Outcome {
    ready: bool,
    /// Why not, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Debug, Serialize)]
struct Report {
    ready: bool,
    topics: Outcome,
    keyspace: Outcome,
    /// Absent where nobody can search.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<Outcome>,
}

pub(crate) async fn run(config: ProcessConfig, args: Args) -> Result<(), Failure> {
    let until = Instant::now() + Duration::from_secs(args.wait);
    let topics = patiently(until, async || topics(&config, &args).await, OpenError::is_retryable);
    let keyspace = patiently(until, async || keyspace(&config, &args).await, cassandra::OpenError::is_retryable);
    let index = patiently(until, async || index(&config, args.observe).await, search::OpenError::is_retryable);
    let (topics, keyspace, index) = Box::pin(async { tokio::join!(topics, keyspace, index) }).await;
    let topics =
        outcome(topics, |error| hint(error, &config.engines.kafka, config.provision.topics.replication_factor));
    let keyspace = outcome(keyspace, ToString::to_string);
    let index = config.engines.search.as_ref().map(|_| outcome(index, ToString::to_string));
    let ready = topics.ready && keyspace.ready && index.as_ref().is_none_or(|index| index.ready);
    let report = Report { ready, topics, keyspace, index };
    let mut text = serde_json::to_string(&report).map_err(Failure::of)?;
    text.push('\n');
    std::io::stdout().write_all(text.as_bytes()).map_err(Failure::of)?;
    if let Some(file) = args.result {
        std::fs::write(&file, &text).map_err(|error| Failure::Failed(format!("{}: {error}", file.display())))?;
    }
    if report.ready { Ok(()) } else { Err(Failure::of("the engines are not ready; the result says why")) }
}

async fn topics(config: &ProcessConfig, args: &Args) -> Result<(), OpenError> {
    let wanted = &config.provision.topics;
    if wanted.manage && !args.observe {
        let (owner, former) = (&config.provision.owner, args.take_over.as_deref());
        claim(&config.engines.kafka, owner, former, wanted.replication_factor).await?;
        let retention = Duration::from_secs(wanted.retention_seconds);
        create_topics(&config.engines.kafka, NewTopics { replication: wanted.replication_factor, retention }).await?;
    }
    KafkaLog::open(&config.engines.kafka).await.map(drop)
}

async fn keyspace(config: &ProcessConfig, args: &Args) -> Result<(), cassandra::OpenError> {
    let wanted = &config.provision.keyspace;
    if wanted.manage && !args.observe {
        let (owner, take_over) = (config.provision.owner.clone(), args.take_over.clone());
        let provision = Provision { replication: wanted.replication, owner, take_over };
        cassandra::provision(&config.engines.cassandra, &provision).await?;
    }
    Cassandra::open(&config.engines.cassandra).await.map(drop)
}

async fn index(config: &ProcessConfig, observe: bool) -> Result<(), search::OpenError> {
    let Some(server) = &config.engines.search else { return Ok(()) };
    let wanted = &config.provision.index;
    if wanted.manage && !observe {
        let provision = search::Provision { shards: wanted.shards, replicas: wanted.replicas };
        search::provision(server, provision).await?;
    }
    ElasticsearchIndex::open(server).await.map(drop)
}

/// Tries again while that may help. A topic that is only checked is not waited for.
async fn patiently<E: Display>(
    until: Instant,
    attempt: impl AsyncFn() -> Result<(), E>,
    is_retryable: impl Fn(&E) -> bool,
) -> Result<(), E> {
    loop {
        match attempt().await {
            Err(error) if is_retryable(&error) && Instant::now() < until => {
                tracing::warn!(%error, "try again");
                sleep(PAUSE).await;
            }
            done => return done,
        }
    }
}

fn outcome<E>(done: Result<(), E>, say: impl FnOnce(&E) -> String) -> Outcome {
    Outcome { ready: done.is_ok(), reason: done.err().as_ref().map(say) }
}

/// Says what is wrong with the topics, and how to make one that is missing.
fn hint(error: &OpenError, kafka: &KafkaConfig, copies: u16) -> String {
    match error {
        OpenError::Topic { topic, found: 0, expected } => format!(
            "{error}; make it with: kafka-topics.sh --bootstrap-server {} --create --topic {topic} --partitions \
             {expected} --replication-factor {copies} --config message.timestamp.type=LogAppendTime",
            kafka.bootstrap_servers.join(",")
        ),
        other => other.to_string(),
    }
}
