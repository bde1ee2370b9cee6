//! The load that is asked for. Pure.

use std::str::FromStr;

use serde::Serialize;

/// Seconds of a day.
const DAY_S: f64 = 86_400.0;

/// Most members of a group (protocol v1, section 4).
const MAX_MEMBERS: u32 = 500;

/// What people will do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Load {
    /// Users there are.
    pub(super) users: f64,
    /// Sessions that are open at the peak.
    pub(super) online: f64,
    /// Messages sent on a day.
    pub(super) messages_a_day: f64,
    /// How many times the mean the busiest second has.
    pub(super) peak: f64,
    /// Where messages are sent.
    pub(super) mix: Mix,
    /// Share of a chat's other members who are connected when a message comes, from 0 to 1.
    pub(super) members_online: f64,
    /// Bytes of content of a message.
    pub(super) message_bytes: f64,
}

impl Load {
    /// Returns the messages of the busiest second: a day's messages over its seconds, times the peak.
    pub(super) fn messages_per_s(&self) -> f64 {
        self.messages_a_day / DAY_S * self.peak
    }

    /// Returns the sessions that a message goes to: the sender's own, and those of the other members who are connected.
    pub(super) fn deliveries_a_message(&self) -> f64 {
        self.mix.0.iter().map(|part| part.share * part.sessions(self.members_online)).sum()
    }

    /// Returns the members that a push is due to, for each message.
    pub(super) fn pushes_a_message(&self) -> f64 {
        self.mix.0.iter().map(|part| part.share * part.others() * (1.0 - self.members_online)).sum()
    }
}

/// Where messages are sent: shares that are 1 together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Mix(pub(super) Vec<Part>);

/// Chats of one size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Part {
    /// Share of all messages that is sent in them, from 0 to 1.
    pub(super) share: f64,
    /// Members of each.
    pub(super) members: u32,
}

impl Part {
    /// Returns the sessions that a message goes to: the sender's own, and those of the others who are connected.
    pub(super) fn sessions(self, members_online: f64) -> f64 {
        1.0 + self.others() * members_online
    }

    fn others(self) -> f64 {
        f64::from(self.members.saturating_sub(1))
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let part = |text: &str| {
            let (share, members) = text.split_once("%x")?;
            let share: f64 = share.trim().parse().ok()?;
            let members = members.trim().parse().ok()?;
            (share > 0.0 && (2..=MAX_MEMBERS).contains(&members)).then_some(Part { share: share / 100.0, members })
        };
        let parts: Option<Vec<Part>> = text.split(',').map(part).collect();
        let mix = parts.filter(|parts| (parts.iter().map(|part| part.share).sum::<f64>() - 1.0).abs() < 1e-9);
        mix.map(Self).ok_or_else(|| {
            format!("expected shares of messages by members, 100 % together, as in 70%x2,30%x20, with 2 to {MAX_MEMBERS} members")
        })
    }
}

/// Reads a number as people write large ones: 500M, 10B, 1.5k.
pub(super) fn number(text: &str) -> Result<f64, String> {
    let (digits, factor) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1e3),
        Some((at, 'm' | 'M')) => (&text[..at], 1e6),
        Some((at, 'b' | 'B' | 'g' | 'G')) => (&text[..at], 1e9),
        _ => (text, 1.0),
    };
    let number = digits.parse::<f64>().ok().map(|number| number * factor);
    number
        .filter(|number| (0.0..1e15).contains(number))
        .ok_or_else(|| "expected a number that is not negative, as in 1500, 1.5k, 500M or 10B".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_are_read_as_they_are_written() {
        for (text, expected) in [("0", 0.0), ("1500", 1500.0), ("1.5k", 1500.0), ("500M", 5e8), ("10B", 1e10)] {
            assert_eq!(number(text), Ok(expected), "{text}");
        }
        for text in ["", "M", "-1", "many", "1e99", "NaN", "5 M"] {
            assert!(number(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_mix_is_all_messages_and_no_more() {
        let mix: Mix = "70%x2, 30%x20".parse().unwrap();
        assert_eq!(mix.0, [Part { share: 0.7, members: 2 }, Part { share: 0.3, members: 20 }]);
        for text in ["", "70%x2", "70%x2,40%x20", "100%x1", "100%x501", "100x2", "-5%x2,105%x3"] {
            assert!(text.parse::<Mix>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_load_is_counted_by_hand() {
        let load = Load {
            users: 1e6,
            online: 1e5,
            messages_a_day: 8.64e6,
            peak: 3.0,
            mix: "50%x2,50%x11".parse().unwrap(),
            members_online: 0.2,
            message_bytes: 100.0,
        };
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} is not {b}");
        close(load.messages_per_s(), 300.0);
        // Half: the sender and 0.2 of one other; half: the sender and 0.2 of ten others.
        close(load.deliveries_a_message(), 0.5 * 1.2 + 0.5 * 3.0);
        close(load.pushes_a_message(), 0.5 * 0.8 + 0.5 * 8.0);
    }
}
