//! Opening the log: the topics must be there, with the partitions that the settings say.

use std::sync::Arc;

use rdkafka::error::RDKafkaErrorCode;
use tokio::sync::OnceCell;

use super::connect::Settings;
use super::producer::Producer;
use super::{KafkaLog, Names, Topic};
use crate::config::KafkaConfig;

/// Why the log cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The settings cannot be used.
    #[error("the settings of Kafka: {0}")]
    Settings(String),
    /// No broker answered, or none let us in.
    #[error("Kafka is unreachable: {0}")]
    Unreachable(String),
    /// The topics are another cluster's.
    #[error("the topics belong to {0}")]
    Owned(String),
    /// A topic is not what the settings say. One without partitions does not exist.
    #[error("the topic {topic} has {found} partitions, not {expected}")]
    Topic {
        /// Its name.
        topic: String,
        /// Partitions it has.
        found: usize,
        /// Partitions it must have.
        expected: u32,
    },
}

impl OpenError {
    /// Returns whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Settings(_) | Self::Owned(_) => false,
            Self::Unreachable(_) => true,
            Self::Topic { found, .. } => *found == 0,
        }
    }
}

impl KafkaLog {
    /// Connects, and checks that every topic has the partitions the settings say: a chat would be looked for in the
    /// wrong one otherwise.
    pub async fn open(config: &KafkaConfig) -> Result<Self, OpenError> {
        let settings = Settings::of(config)?;
        let names = Arc::new(Names::of(config));
        let (for_check, of_producer) = (Arc::clone(&names), settings.producer());
        let opened = tokio::task::spawn_blocking(move || {
            let producer = Producer::new(of_producer).map_err(|error| OpenError::Settings(error.to_string()))?;
            for topic in Topic::ALL {
                check(&producer, for_check.topic(topic), for_check.partitions)?;
            }
            Ok(producer)
        });
        let producer = opened.await.map_err(|error| OpenError::Unreachable(error.to_string()))??;
        Ok(Self { names, settings, producer: Arc::new(producer), observer: OnceCell::new() })
    }
}

fn check(producer: &Producer, topic: String, expected: u32) -> Result<(), OpenError> {
    let found = producer.partitions(&topic).map_err(|error| {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::UnknownTopicOrPartition) {
            return OpenError::Topic { topic: topic.clone(), found: 0, expected };
        }
        let because = producer.trouble().map(|reason| format!(": {reason}")).unwrap_or_default();
        OpenError::Unreachable(format!("{error}{because}"))
    })?;
    if found == expected as usize { Ok(()) } else { Err(OpenError::Topic { topic, found, expected }) }
}
