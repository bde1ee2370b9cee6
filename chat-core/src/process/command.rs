//! What the command lines of both processes share.

use std::fmt::Display;
use std::future::Future;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;
use tokio::runtime;

use super::{check, load};
use crate::config::ProcessConfig;

/// How long threads that block may go on after the end.
const BLOCKED_WITHIN: Duration = Duration::from_secs(1);

/// Why a process ends badly.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The settings are wrong; each line says where. Exit code 2.
    #[error("{0}")]
    Settings(String),
    /// It could not be done. Exit code 1.
    #[error("{0}")]
    Failed(String),
}

impl Failure {
    /// Makes it of what could not be done.
    pub fn of(what: impl Display) -> Self {
        Self::Failed(what.to_string())
    }

    /// Returns the exit code.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Settings(_) => 2,
            Self::Failed(_) => 1,
        })
    }
}

/// Reads and checks the settings: a file, and the variables of this process.
pub fn settings(path: &Path) -> Result<ProcessConfig, Failure> {
    let variables =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let config = load(path, variables).map_err(|error| Failure::Settings(error.to_string()))?;
    let wrong: Vec<String> = check(&config).iter().map(ToString::to_string).collect();
    if wrong.is_empty() { Ok(config) } else { Err(Failure::Settings(wrong.join("\n"))) }
}

/// Returns the settings in force as YAML. Secrets are in files, which are named; a password in a URL is left out.
pub fn dump(config: &ProcessConfig) -> Result<String, Failure> {
    let mut settings = serde_json::to_value(config).map_err(Failure::of)?;
    redact(&mut settings);
    serde_yaml::to_string(&settings).map_err(Failure::of)
}

fn redact(settings: &mut Value) {
    match settings {
        Value::Object(map) => map.values_mut().for_each(redact),
        Value::Array(list) => list.iter_mut().for_each(redact),
        Value::String(text) => {
            let Some((scheme, rest)) = text.split_once("://") else { return };
            let authority = rest.split(['/', '?']).next().unwrap_or(rest);
            if let Some(at) = authority.rfind('@') {
                *text = format!("{scheme}://***{}", &rest[at..]);
            }
        }
        _ => {}
    }
}

/// Runs a future on as many threads as there are cores, with as many open files as the system allows: each connection
/// is one.
pub fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, soft = limit.current, hard = limit.maximum, "raise the limit of open files");
    }
    let runtime = runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::of)?;
    let done = runtime.block_on(future);
    runtime.shutdown_timeout(BLOCKED_WITHIN);
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_a_url_is_not_shown() {
        for (given, shown) in [
            ("redis://ann:pass@host:1/x", "redis://***@host:1/x"),
            ("redis://host:1", "redis://host:1"),
            ("https://host/a@b", "https://host/a@b"),
            ("plain", "plain"),
        ] {
            let mut value = Value::String(given.to_owned());
            redact(&mut value);
            assert_eq!(value, Value::String(shown.to_owned()));
        }
    }
}
