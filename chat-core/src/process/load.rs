//! Settings from one YAML file and the environment.
//!
//! `CHAT_` and the path of a setting, in capitals, `__` between its levels, sets it in place of the file:
//! `CHAT_GATEWAY__ADMIN_LISTEN` is `gateway.adminListen`. Its value is YAML, so a number and `[a, b]` are what they look
//! like.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::config::ProcessConfig;

/// What the names of variables begin with.
const PREFIX: &str = "CHAT_";

/// What is between the levels of a path. A variable without it is no setting: Kubernetes tells of services by variables
/// that may begin as ours do.
const LEVEL: &str = "__";

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no YAML.
    #[error("{} is not YAML: {source}", path.display())]
    Yaml {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_yaml::Error,
    },
    /// A variable cannot be used.
    #[error("the variable {name}: {reason}")]
    Variable {
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
    /// A setting is wrong.
    #[error("{path}: {reason}")]
    Setting {
        /// Where, from the top of the file.
        path: String,
        /// Why.
        reason: String,
    },
}

/// Reads the settings: the file, then the variables over it.
pub fn load(path: &Path, variables: impl IntoIterator<Item = (String, String)>) -> Result<ProcessConfig, LoadError> {
    let text = std::fs::read_to_string(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
    parse(&text, variables).map_err(|error| match error {
        Failed::Yaml(source) => LoadError::Yaml { path: path.to_owned(), source },
        Failed::Other(error) => error,
    })
}

#[derive(Debug)]
enum Failed {
    Yaml(serde_yaml::Error),
    Other(LoadError),
}

fn parse(text: &str, variables: impl IntoIterator<Item = (String, String)>) -> Result<ProcessConfig, Failed> {
    // As JSON, in which a choice is a map of one key; YAML would want a tag.
    let mut settings: Value = serde_yaml::from_str(text).map_err(Failed::Yaml)?;
    for (name, value) in variables {
        let Some(place) = name.strip_prefix(PREFIX).filter(|place| place.contains(LEVEL)) else { continue };
        put(&mut settings, place, &value)
            .map_err(|reason| Failed::Other(LoadError::Variable { name: name.clone(), reason }))?;
    }
    serde_path_to_error::deserialize(settings).map_err(|error| {
        let path = match error.path().to_string() {
            top if top == "." => "the file".to_owned(),
            path => path,
        };
        Failed::Other(LoadError::Setting { path, reason: error.into_inner().to_string() })
    })
}

fn put(settings: &mut Value, place: &str, value: &str) -> Result<(), String> {
    let value: Value = serde_yaml::from_str(value).map_err(|error| error.to_string())?;
    let mut at = settings;
    for word in place.split(LEVEL) {
        if at.is_null() {
            *at = Value::Object(Map::new());
        }
        let Value::Object(map) = at else { return Err("what is above it in the file has no settings".to_owned()) };
        at = map.entry(camel_case(word)).or_insert(Value::Null);
    }
    *at = value;
    Ok(())
}

/// Turns `ADMIN_LISTEN` into `adminListen`.
fn camel_case(word: &str) -> String {
    let mut camel = String::with_capacity(word.len());
    for (n, part) in word.split('_').enumerate() {
        let lower = part.to_ascii_lowercase();
        match lower.chars().next() {
            Some(first) if n > 0 => {
                camel.push(first.to_ascii_uppercase());
                camel.push_str(&lower[1..]);
            }
            _ => camel.push_str(&lower),
        }
    }
    camel
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
engines:
  kafka: {bootstrapServers: ['127.0.0.1:9092']}
  cassandra: {contactPoints: ['127.0.0.1:9042'], keyspace: chat, localDatacenter: datacenter1}
  redis: {urls: ['redis://127.0.0.1:6379']}
";

    fn parsed(text: &str, variables: &[(&str, &str)]) -> Result<ProcessConfig, String> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        parse(text, variables).map_err(|failed| match failed {
            Failed::Yaml(error) => error.to_string(),
            Failed::Other(error) => error.to_string(),
        })
    }

    #[test]
    fn a_variable_stands_above_the_file_and_may_name_what_is_not_in_it() {
        let variables = [
            ("CHAT_ENGINES__KAFKA__PARTITIONS", "8"),
            ("CHAT_ENGINES__KAFKA__BOOTSTRAP_SERVERS", "['a:1', 'b:2']"),
            ("CHAT_WORKERS__ADMIN_LISTEN", "127.0.0.1:1"),
            ("CHAT_WORKERS__ADMIN_TOKEN_FILE", "/etc/token"),
            ("CHAT_WORKERS__ROLES", "[sequencer]"),
            ("CHAT_CONFIG", "not a setting"),
            ("CHAT_GATEWAY_PORT", "tcp://10.0.0.1:80"),
            ("HOME", "/root"),
        ];
        let config = parsed(FILE, &variables).unwrap();
        assert_eq!(config.engines.kafka.partitions, 8);
        assert_eq!(config.engines.kafka.bootstrap_servers, ["a:1", "b:2"]);
        assert_eq!(config.workers.unwrap().admin_token_file, Path::new("/etc/token"));
    }

    #[test]
    fn the_example_is_read() {
        let config = parsed(include_str!("../../../examples/by-hand/chat.yaml"), &[]).unwrap();
        assert_eq!(config.gateway.unwrap().name, "gateway-1");
        assert_eq!(config.workers.unwrap().roles.len(), 5);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_path() {
        for (variables, expected) in [
            (("CHAT_ENGINES__KAFKA__PARTITIONS", "many"), "engines.kafka.partitions: invalid type"),
            (("CHAT_ENGINES__KAFKA__PARTITION", "8"), "engines.kafka"),
            (("CHAT_LOG__FORMAT", "xml"), "log.format: unknown variant `xml`"),
            (("CHAT_ENGINES__KAFKA__EPOCH__X", "1"), "CHAT_ENGINES__KAFKA__EPOCH__X"),
        ] {
            let error =
                parsed(&format!("{FILE}\nlog: {{filter: info}}\n").replace("9092']", "9092'], epoch: 1"), &[variables]);
            let error = error.unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        assert!(parsed("engines: {}", &[]).unwrap_err().starts_with("engines: missing field"));
        assert!(parsed("a: [", &[]).is_err());
    }
}
