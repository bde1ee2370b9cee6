//! How the engines are, as the process that uses them sees it: what `/status` shows.

use std::sync::{Arc, Mutex, PoisonError};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Time;

/// One engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EngineStatus {
    /// Which: `kafka`, `cassandra`, `redis`.
    pub name: String,
    /// Whether it answered when it was last asked.
    pub up: bool,
    /// Since when it is so.
    pub since: Time,
    /// Why it is not up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The engines of a process, as they are now. Clones show the same. Empty where the engines are part of the process.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<Vec<EngineStatus>>>);

impl Health {
    /// Returns the engines, in the order in which they were first told of.
    pub fn engines(&self) -> Vec<EngineStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes how an engine is; the time changes only when it came or went. Returns whether anything changed.
    pub fn note(&self, name: &str, now: Time, reason: Option<String>) -> bool {
        let mut engines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let up = reason.is_none();
        let Some(held) = engines.iter_mut().find(|engine| engine.name == name) else {
            engines.push(EngineStatus { name: name.to_owned(), up, since: now, reason });
            return true;
        };
        let changed = held.reason != reason;
        if held.up != up {
            (held.up, held.since) = (up, now);
        }
        held.reason = reason;
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_keeps_the_time_at_which_it_came_or_went() {
        let (health, at) = (Health::default(), Time::from_millis);
        assert!(health.note("kafka", at(1), Some("no broker".to_owned())));
        assert!(health.note("kafka", at(2), Some("not let in".to_owned())));
        assert!(!health.note("kafka", at(3), Some("not let in".to_owned())));
        assert_eq!(health.engines()[0].since, at(1));
        assert!(health.note("kafka", at(4), None));
        assert!(!health.note("kafka", at(5), None));
        let up = EngineStatus { name: "kafka".to_owned(), up: true, since: at(4), reason: None };
        assert_eq!(health.engines(), [up]);
    }
}
