//! Making the topics of a cluster.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;

use super::connect::{Connection, Settings};
use super::{Names, OpenError, REQUEST_DEADLINE, Topic};
use crate::config::KafkaConfig;

/// How long outcomes of pushes are kept.
const OUTCOMES_RETENTION: Duration = Duration::from_hours(3 * 24);

/// What the topics to make look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewTopics {
    /// Copies of each partition.
    pub replication: u16,
    /// How long records are kept.
    pub retention: Duration,
}

/// Makes the topics that are not there yet; one that is there is left as it is.
///
/// Records carry the broker's time. From three copies on, two must have a record before it is acknowledged; no copy
/// that lags behind ever becomes the first.
pub async fn create_topics(config: &KafkaConfig, topics: NewTopics) -> Result<(), OpenError> {
    let settings = Settings::of(config)?;
    let names = Names::of(config);
    let partitions = i32::try_from(config.partitions).map_err(|error| OpenError::Settings(error.to_string()))?;
    let in_sync = if topics.replication >= 3 { "2" } else { "1" };
    let described = Topic::ALL.map(|topic| {
        let retention = if topic == Topic::PushOutcomes { OUTCOMES_RETENTION } else { topics.retention };
        (names.topic(topic), retention.as_millis().to_string())
    });
    let new: Vec<_> = described
        .iter()
        .map(|(name, retention)| {
            NewTopic::new(name, partitions, TopicReplication::Fixed(topics.replication.into()))
                .set("message.timestamp.type", "LogAppendTime")
                .set("cleanup.policy", "delete")
                .set("retention.bytes", "-1")
                .set("retention.ms", retention)
                .set("unclean.leader.election.enable", "false")
                .set("min.insync.replicas", in_sync)
        })
        .collect();
    make(&settings, &new).await
}

/// Makes topics; one that is there is left as it is.
pub(super) async fn make(settings: &Settings, new: &[NewTopic<'_>]) -> Result<(), OpenError> {
    let admin: AdminClient<Connection> = settings
        .plain()
        .create_with_context(Connection::default())
        .map_err(|error| OpenError::Settings(error.to_string()))?;
    let options = AdminOptions::new().request_timeout(Some(REQUEST_DEADLINE)).operation_timeout(Some(REQUEST_DEADLINE));
    let made = admin.create_topics(new, &options).await;
    for outcome in made.map_err(|error| OpenError::Unreachable(error.to_string()))? {
        match outcome {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => return Err(OpenError::Unreachable(format!("make the topic {topic}: {code}"))),
        }
    }
    Ok(())
}
