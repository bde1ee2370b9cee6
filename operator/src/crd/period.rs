//! Lengths of time as people write them.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, de};

use super::syntax;

/// Holds a length of time, written as a whole number and a unit: `30s`, `5m`, `2h`, `7d`.
///
/// What its author wrote is kept, so `60s` does not become `1m` on the way through the operator.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Period(String);

impl Period {
    /// Longest text taken, in characters; nine digits and a unit.
    pub const MAX_LENGTH: usize = 10;

    /// Returns the length of time, in whole seconds.
    pub fn duration(&self) -> Duration {
        Duration::from_secs(seconds(&self.0).unwrap_or_default())
    }

    /// Returns the text as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Period {
    type Err = NotAPeriod;

    fn from_str(text: &str) -> Result<Self, NotAPeriod> {
        match seconds(text) {
            Some(_) => Ok(Self(text.to_owned())),
            None => Err(NotAPeriod(text.to_owned())),
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Period {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Length of time: a whole number and a unit, s, m, h or d.",
            "type": "string",
            "pattern": syntax::PERIOD,
            "maxLength": Self::MAX_LENGTH,
        })
    }
}

/// Reports a text that is not a whole number followed by `s`, `m`, `h` or `d`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a whole number of at most nine digits followed by s, m, h or d")]
pub struct NotAPeriod(String);

/// Reads a period; `None` when the text is not one. Cannot overflow: the text is at most ten characters.
fn seconds(text: &str) -> Option<u64> {
    let unit = match text.chars().next_back()? {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let digits = &text[..text.len() - 1];
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && text.len() <= Period::MAX_LENGTH)
        .then(|| digits.parse::<u64>().ok())
        .flatten()
        .map(|count| count * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_a_whole_number_and_a_unit() {
        for (text, expected) in [("0s", 0), ("30s", 30), ("5m", 300), ("2h", 7_200), ("7d", 604_800)] {
            assert_eq!(text.parse::<Period>().unwrap().duration(), Duration::from_secs(expected), "{text}");
        }
        for text in ["", "s", "30", "1.5h", "-1s", "1w", "1h30m", " 1s", "1 s", "1234567890s", "٣s"] {
            assert!(text.parse::<Period>().is_err(), "{text:?} was taken for a period");
        }
    }

    #[test]
    fn a_period_keeps_the_text_of_its_author() {
        let period: Period = serde_json::from_str("\"60s\"").unwrap();
        assert_eq!(period.to_string(), "60s");
        assert_eq!(serde_json::to_string(&period).unwrap(), "\"60s\"");
    }
}
