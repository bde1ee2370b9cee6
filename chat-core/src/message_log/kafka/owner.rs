//! Whose topics these are: a compacted topic beside them, in which the first name that is kept counts.
//!
//! A name is the key of its record, so that compaction keeps one record of each, in the order in which they came; a
//! record without a value takes its name out.

use std::ops::ControlFlow;

use rdkafka::admin::{NewTopic, TopicReplication};
use rdkafka::message::Message as _;
use rdkafka::producer::{FutureProducer, FutureRecord};

use super::connect::{Connection, Settings};
use super::read::scan;
use super::topics::make;
use super::{LogError, OpenError, PRODUCE_DEADLINE};
use crate::config::KafkaConfig;

/// Where names are kept.
const TOPIC: &str = "owner";

/// What a name's record holds, so that it is no tombstone.
const HELD: &[u8] = b"1";

/// Notes whose topics these are, unless they are somebody else's. `take_over` names an owner that gives them up.
///
/// # Errors
/// When they are another's, or the brokers do not answer.
pub async fn claim(
    config: &KafkaConfig,
    owner: &str,
    take_over: Option<&str>,
    replication: u16,
) -> Result<(), OpenError> {
    let settings = Settings::of(config)?;
    let topic = format!("{}{TOPIC}", config.prefix);
    let new = NewTopic::new(&topic, 1, TopicReplication::Fixed(replication.into())).set("cleanup.policy", "compact");
    make(&settings, &[new]).await?;
    let held = holder(&settings, &topic).await?;
    if let (Some(held), Some(given_up)) = (&held, take_over)
        && held == given_up
        && held != owner
    {
        write(&settings, &topic, owner, Some(HELD)).await?;
        write(&settings, &topic, held, None).await?;
    } else if held.is_none() {
        write(&settings, &topic, owner, Some(HELD)).await?;
    }
    // Read again: of two that wrote at once the first counts.
    match holder(&settings, &topic).await? {
        Some(held) if held == owner => Ok(()),
        Some(held) => Err(OpenError::Owned(held)),
        None => Err(OpenError::Unreachable(format!("{topic}: what was written is not there yet"))),
    }
}

async fn write(settings: &Settings, topic: &str, name: &str, value: Option<&[u8]>) -> Result<(), OpenError> {
    let producer: FutureProducer<Connection> = settings
        .producer()
        .create_with_context(Connection::default())
        .map_err(|error| OpenError::Settings(error.to_string()))?;
    let mut record = FutureRecord::<str, [u8]>::to(topic).partition(0).key(name);
    if let Some(value) = value {
        record = record.payload(value);
    }
    producer.send(record, PRODUCE_DEADLINE).await.map_err(|(error, _)| unreachable_now(&error))?;
    Ok(())
}

/// Returns the first name that is kept.
async fn holder(settings: &Settings, topic: &str) -> Result<Option<String>, OpenError> {
    let (settings, topic) = (settings.clone(), topic.to_owned());
    let names = tokio::task::spawn_blocking(move || names(&settings, &topic)).await;
    let names = names.map_err(|error| unreachable_now(&error))?.map_err(|error| unreachable_now(&error))?;
    Ok(names.into_iter().next())
}

/// Reads the names that are kept, in the order in which they came. Waits for the broker.
fn names(settings: &Settings, topic: &str) -> Result<Vec<String>, LogError> {
    let mut names: Vec<String> = Vec::new();
    scan(settings, &format!("{topic}.read"), topic, 0, 0, |message| {
        let name = String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned();
        match message.payload() {
            Some(_) if !names.contains(&name) => names.push(name),
            Some(_) => {}
            None => names.retain(|held| *held != name),
        }
        ControlFlow::Continue(())
    })?;
    Ok(names)
}

fn unreachable_now(error: &impl std::fmt::Display) -> OpenError {
    OpenError::Unreachable(error.to_string())
}
