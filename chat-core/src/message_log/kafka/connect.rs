//! The settings of the Kafka client, and what it says about its connections.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::client::Client;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::{LogError, OpenError, PRODUCE_DEADLINE, QUEUE_KIB, REQUEST_DEADLINE, unavailable};
use crate::config::KafkaConfig;

/// Records that a consumer holds ready at most, over all its partitions, and their size in KiB.
const READY_RECORDS: u32 = 20_000;
const READY_KIB: u32 = 16 << 10;

/// How long to wait before asking again what the cluster could not say yet.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// The client's settings, secrets among them; its `Debug` leaves those out.
#[derive(Debug, Clone)]
pub(super) struct Settings(ClientConfig);

impl Settings {
    /// Reads what the settings name.
    pub(super) fn of(config: &KafkaConfig) -> Result<Self, OpenError> {
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", config.bootstrap_servers.join(","))
            .set("client.id", "chatcluster")
            .set("socket.keepalive.enable", "true")
            .set("socket.nagle.disable", "true")
            .set("socket.connection.setup.timeout.ms", REQUEST_DEADLINE.as_millis().to_string())
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000");
        let path = |path: &Path| path.display().to_string();
        if let Some(tls) = &config.tls {
            if let Some(file) = &tls.ca_file {
                client.set("ssl.ca.location", path(file));
            }
            if let Some(shown) = &tls.client {
                client.set("ssl.certificate.location", path(&shown.certificate_file));
                client.set("ssl.key.location", path(&shown.key_file));
            }
        }
        if let Some(sasl) = &config.sasl {
            client.set("sasl.mechanism", sasl.mechanism.as_str());
            client.set("sasl.username", line_of(&sasl.username_file)?);
            client.set("sasl.password", line_of(&sasl.password_file)?);
        }
        let protocol = match (&config.sasl, &config.tls) {
            (None, None) => "plaintext",
            (None, Some(_)) => "ssl",
            (Some(_), None) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        client.set("security.protocol", protocol);
        Ok(Self(client))
    }

    /// Returns the settings of a client that only asks.
    pub(super) fn plain(&self) -> ClientConfig {
        self.0.clone()
    }

    /// Returns the settings of the producer.
    pub(super) fn producer(&self) -> ClientConfig {
        let mut client = self.0.clone();
        client
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", "0")
            .set("message.timeout.ms", PRODUCE_DEADLINE.as_millis().to_string())
            .set("retry.backoff.ms", "50")
            .set("queue.buffering.max.kbytes", QUEUE_KIB.to_string())
            .set("queue.buffering.max.messages", "1000000");
        client
    }

    /// Returns the settings of a member of a consumer group.
    pub(super) fn member(&self, group: &str) -> ClientConfig {
        let mut client = self.reader(group);
        client
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", "10000")
            .set("heartbeat.interval.ms", "2000")
            .set("queued.min.messages", READY_RECORDS.to_string())
            .set("queued.max.messages.kbytes", READY_KIB.to_string())
            .set("fetch.queue.backoff.ms", "50");
        client
    }

    /// Returns the settings of a consumer that reads what it names itself.
    pub(super) fn reader(&self, group: &str) -> ClientConfig {
        let mut client = self.0.clone();
        client
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("check.crcs", "true")
            // Bounds what a partition that is added waits for a request already on its way.
            .set("fetch.wait.max.ms", "100")
            .set("fetch.error.backoff.ms", "50");
        client
    }
}

/// Returns the content of a file without the end of its line.
fn line_of(path: &Path) -> Result<String, OpenError> {
    let text = fs::read_to_string(path);
    let text = text.map_err(|error| OpenError::Settings(format!("read {}: {error}", path.display())))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Asks the broker for the offsets a partition has.
pub(super) fn watermarks<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    partition: i32,
) -> Result<Range<u64>, LogError> {
    let (start, end) = patiently(|| client.fetch_watermarks(topic, partition, REQUEST_DEADLINE))?;
    let offset = |offset: i64| u64::try_from(offset).map_err(unavailable);
    Ok(offset(start)?..offset(end)?)
}

/// Asks again, for at most [`REQUEST_DEADLINE`], while the cluster is still settling who leads a partition or a group.
/// Blocks its thread.
pub(super) fn patiently<T>(mut ask: impl FnMut() -> KafkaResult<T>) -> Result<T, LogError> {
    let deadline = Instant::now() + REQUEST_DEADLINE;
    loop {
        match ask() {
            Err(error) if is_settling(&error) && Instant::now() < deadline => thread::sleep(ASK_AGAIN),
            outcome => return outcome.map_err(unavailable),
        }
    }
}

fn is_settling(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::CoordinatorLoadInProgress
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::NotCoordinator
        )
    )
}

/// Hears what the client says about its connections. Clones hear the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Connection {
    trouble: Arc<Mutex<Option<String>>>,
}

impl Connection {
    /// Returns what went wrong last: the reason behind a request that ran out of time.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Connection {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        warn!(%error, reason, "talk to Kafka");
        // That all are down follows from why each of them is.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Connection {}

pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
            error!(facility, message, "Kafka client");
        }
        RDKafkaLogLevel::Warning => warn!(facility, message, "Kafka client"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => info!(facility, message, "Kafka client"),
        RDKafkaLogLevel::Debug => debug!(facility, message, "Kafka client"),
    }
}
