//! What can be said against settings without asking an engine.

use std::path::Path;

use serde_json::Value;
use tracing_subscriber::EnvFilter;

use super::LoadError;
use crate::config::ProcessConfig;

/// Returns what is wrong, each with its path: files that cannot be read, and values that no engine would take.
pub fn check(config: &ProcessConfig) -> Vec<LoadError> {
    let mut wrong = Vec::new();
    if let Ok(settings) = serde_json::to_value(config) {
        files(&settings, "", &mut wrong);
    }
    let mut must = |holds: bool, path: &str, reason: &str| {
        if !holds {
            wrong.push(LoadError::Setting { path: path.to_owned(), reason: reason.to_owned() });
        }
    };
    let engines = &config.engines;
    must(
        EnvFilter::try_new(&config.log.filter).is_ok(),
        "log.filter",
        "it is no log filter, as info,chat_core=debug is",
    );
    must(!engines.kafka.bootstrap_servers.is_empty(), "engines.kafka.bootstrapServers", "it names no broker");
    must(engines.kafka.partitions > 0, "engines.kafka.partitions", "a topic has at least one partition");
    must(engines.kafka.epoch > 0, "engines.kafka.epoch", "the first life of the log is 1");
    must(!engines.cassandra.contact_points.is_empty(), "engines.cassandra.contactPoints", "it names no node");
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let keyspace = engines.cassandra.keyspace.as_str();
    let is_name = (1..=48).contains(&keyspace.len()) && keyspace.bytes().all(is_word);
    must(is_name, "engines.cassandra.keyspace", "it is not 1-48 of a-z0-9_");
    must(!engines.redis.urls.is_empty(), "engines.redis.urls", "it names no node");
    must(!engines.redis.prefix.contains(['{', '}']), "engines.redis.prefix", "it contains a brace");
    must(config.provision.topics.replication_factor > 0, "provision.topics.replicationFactor", "it is at least 1");
    must(config.provision.keyspace.replication > 0, "provision.keyspace.replication", "it is at least 1");
    must(config.provision.index.shards > 0, "provision.index.shards", "it is at least 1");
    if let Some(workers) = &config.workers {
        must(!workers.roles.is_empty(), "workers.roles", "it names no role");
    }
    wrong
}

/// Looks at each file that is named: by convention those settings end in `File`.
fn files(settings: &Value, path: &str, wrong: &mut Vec<LoadError>) {
    match settings {
        Value::Object(map) => {
            for (key, value) in map {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match value.as_str() {
                    Some(file) if key.ends_with("File") => wrong.extend(unreadable(Path::new(file), &path)),
                    _ => files(value, &path, wrong),
                }
            }
        }
        Value::Array(list) => {
            for (n, value) in list.iter().enumerate() {
                files(value, &format!("{path}[{n}]"), wrong);
            }
        }
        _ => {}
    }
}

fn unreadable(file: &Path, path: &str) -> Option<LoadError> {
    let reason = match std::fs::read(file) {
        Ok(content) if content.trim_ascii().is_empty() => format!("{} is empty", file.display()),
        Ok(_) => return None,
        Err(error) => format!("cannot read {}: {error}", file.display()),
    };
    Some(LoadError::Setting { path: path.to_owned(), reason })
}
