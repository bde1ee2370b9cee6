//! Versions of gateways and workers.

use std::{fmt, str::FromStr};

/// Holds a version: `MAJOR.MINOR.PATCH`, with an optional pre-release that decides nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    text: String,
    numbers: [u32; 3],
}

impl Version {
    /// Returns major and minor number: what decides which manifests are rendered and which record formats are read.
    pub fn minor(&self) -> (u32, u32) {
        (self.numbers[0], self.numbers[1])
    }

    /// Returns the text as it was written: the tag of the default images.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Tells whether an operator of this version runs a cluster of version `asked`: its own minor version, and the one
    /// before.
    pub fn runs(&self, asked: &Self) -> bool {
        let (major, minor) = self.minor();
        let (asked_major, asked_minor) = asked.minor();
        major == asked_major && (asked_minor == minor || asked_minor.checked_add(1) == Some(minor))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl FromStr for Version {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let refused = || NotAVersion(text.to_owned());
        let release = text.split('-').next().unwrap_or_default();
        let numbers: Vec<u32> =
            release.split('.').map(str::parse).collect::<Result<_, _>>().map_err(|_refused| refused())?;
        Ok(Self { text: text.to_owned(), numbers: numbers.try_into().map_err(|_refused| refused())? })
    }
}

/// Reports a text that is no version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not MAJOR.MINOR.PATCH")]
pub struct NotAVersion(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_runs_its_own_minor_version_and_the_one_before() {
        let cases = [
            ("0.2.0", "0.2.0", true),
            ("0.2.0", "0.2.9", true),
            ("0.2.0", "0.1.4", true),
            ("0.2.0", "0.2.0-rc.1", true),
            ("0.2.0", "0.0.9", false),
            ("0.2.0", "0.3.0", false),
            ("1.0.0", "0.9.0", false),
        ];
        for (own, asked, expected) in cases {
            let (own, asked): (Version, Version) = (own.parse().unwrap(), asked.parse().unwrap());
            assert_eq!(own.runs(&asked), expected, "{own} runs {asked}");
        }
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for text in ["", "1", "1.2", "1.2.3.4", "v1.2.3", "1.2.x", "1.2.99999999999"] {
            assert!(text.parse::<Version>().is_err(), "{text:?} was taken for a version");
        }
    }
}
