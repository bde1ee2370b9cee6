//! The frames of protocol v1 as a load session needs them: what comes in, read with no more work than the run asks
//! for, and what goes out.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use chat_core::frame::ContentType;
use chat_core::frame::client::{Envelope, Have, Ping, Send, Sync};
use chat_core::frame::server::{Hello, SyncDone};
use chat_core::id::{ChatId, MessageId, Seq};

use super::plan::Plan;

/// How much of a `message` frame is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Scan {
    /// All of it; sender and content are held against what was sent.
    #[default]
    Full,
    /// Chat, seq and the index in the id, by their place in the text: for more than 200 000 deliveries a second.
    Seq,
}

/// What a `message` frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Delivery<'a> {
    /// The chat.
    pub chat: ChatId,
    /// The position.
    pub seq: Seq,
    /// The index of the message, if it is of this run.
    pub message: Option<u32>,
    /// Sender and content, where they were read.
    pub body: Option<(std::borrow::Cow<'a, str>, std::borrow::Cow<'a, str>)>,
}

/// Why the server refused a request; its codes may be more than we know.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Refusal {
    /// The public code.
    pub code: String,
    /// Whether the same request may succeed later.
    pub temporary: bool,
    /// When to try again.
    #[serde(default)]
    pub retry_after_ms: Option<u64>,
}

/// A frame from the server.
#[derive(Debug)]
pub(super) enum Inbound<'a> {
    /// The session begins.
    Hello(Box<Hello>),
    /// A message.
    Message(Delivery<'a>),
    /// A request succeeded.
    Ack { id: u64, d: Option<&'a RawValue> },
    /// Answers `ping`.
    Pong,
    /// A request failed, or (without an id) a frame that asked for no reply did.
    Error { id: Option<u64>, refusal: Refusal },
    /// An acknowledged message was refused in log order.
    Rejected(Option<u32>),
    /// Move to another gateway after so many milliseconds.
    Reconnect { after_ms: u64 },
    /// Any other push, known or not.
    Other,
}

/// Reads a frame.
///
/// # Errors
/// When the text breaks the protocol; the session cannot go on then.
pub(super) fn read<'a>(text: &'a str, scan: Scan, plan: &Plan) -> anyhow::Result<Inbound<'a>> {
    if scan == Scan::Seq
        && let Some(delivery) = glance(text.as_bytes(), plan)
    {
        return Ok(Inbound::Message(delivery));
    }
    let frame: Envelope<'_> = serde_json::from_str(text).with_context(|| format!("not a frame: {text:.200}"))?;
    decode(&frame, plan).with_context(|| format!("a frame that breaks the protocol: {text:.200}"))
}

fn decode<'a>(frame: &Envelope<'a>, plan: &Plan) -> anyhow::Result<Inbound<'a>> {
    let body = frame.d.map_or("{}", RawValue::get);
    Ok(match (&*frame.kind, frame.id) {
        ("message", _) => Inbound::Message(message(body, plan)?),
        ("ack", Some(id)) => Inbound::Ack { id, d: frame.d },
        ("pong", _) => Inbound::Pong,
        ("error", id) => Inbound::Error { id, refusal: serde_json::from_str(body)? },
        ("hello", _) => Inbound::Hello(serde_json::from_str(body)?),
        ("message.rejected", _) => {
            #[derive(Deserialize)]
            struct Rejected {
                message_id: Option<MessageId>,
            }
            let rejected: Rejected = serde_json::from_str(body)?;
            Inbound::Rejected(rejected.message_id.and_then(|id| plan.index_of(id)))
        }
        ("reconnect", _) => {
            #[derive(Deserialize)]
            struct Reconnect {
                after_ms: u64,
            }
            let Reconnect { after_ms } = serde_json::from_str(body)?;
            Inbound::Reconnect { after_ms }
        }
        ("ack", None) => bail!("an ack without an id"),
        _ => Inbound::Other,
    })
}

fn message<'a>(body: &'a str, plan: &Plan) -> anyhow::Result<Delivery<'a>> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        chat_id: &'a str,
        seq: Seq,
        #[serde(borrow)]
        message_id: &'a str,
        #[serde(borrow)]
        sender: std::borrow::Cow<'a, str>,
        #[serde(borrow)]
        content: std::borrow::Cow<'a, str>,
    }
    let it: Body<'_> = serde_json::from_str(body)?;
    let message = plan.index_of(it.message_id.parse()?);
    Ok(Delivery { chat: it.chat_id.parse()?, seq: it.seq, message, body: Some((it.sender, it.content)) })
}

/// Reads chat, seq and id of a `message` frame whose fields stand in the order our server writes them; `None` for
/// anything else, which is then read in full.
fn glance(text: &[u8], plan: &Plan) -> Option<Delivery<'static>> {
    let text = text.strip_prefix(br#"{"type":"message","d":{"chat_id":""#)?;
    let (chat, text) = text.split_at_checked(36)?;
    let text = text.strip_prefix(br#"","seq":"#)?;
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (seq, text) = text.split_at(digits);
    let text = text.strip_prefix(br#","message_id":""#)?;
    let id = text.get(..36).filter(|_| text.get(36) == Some(&b'"'))?;
    let message = if plan.signs(id) { number(&id[28..], 16) } else { None };
    Some(Delivery { chat: ChatId(Uuid::try_parse_ascii(chat).ok()?), seq: number(seq, 10)?, message, body: None })
}

fn number<T: TryFrom<u64>>(digits: &[u8], radix: u32) -> Option<T> {
    let mut value = 0_u64;
    for &byte in digits {
        let digit = char::from(byte).to_digit(radix)?;
        value = value.checked_mul(u64::from(radix))?.checked_add(u64::from(digit))?;
    }
    T::try_from(value).ok().filter(|_| !digits.is_empty())
}

/// Reads the end of a `sync`.
pub(super) fn sync_done(d: Option<&RawValue>) -> anyhow::Result<SyncDone> {
    serde_json::from_str(d.map_or("{}", RawValue::get)).context("the ack of a sync breaks the protocol")
}

/// Where a message goes.
#[derive(Debug, Clone, Copy)]
pub(super) enum To<'a> {
    /// A chat that exists.
    Chat(ChatId),
    /// A peer, with whom a DIRECT chat may have to begin.
    Peer(&'a chat_core::id::UserId),
}

fn frame<T: Serialize>(id: u64, kind: &'static str, d: &T) -> String {
    #[derive(Serialize)]
    struct Frame<'a, T> {
        id: u64,
        #[serde(rename = "type")]
        kind: &'static str,
        d: &'a T,
    }
    serde_json::to_string(&Frame { id, kind, d }).unwrap_or_else(|_| unreachable!("a frame has string keys only"))
}

/// Writes a `send`.
pub(super) fn send(id: u64, to: To<'_>, message_id: MessageId, content: String) -> String {
    let (chat_id, to) = match to {
        To::Chat(chat) => (Some(chat), None),
        To::Peer(user) => (None, Some(user.clone())),
    };
    let content_type = ContentType::Text;
    let message_id = Some(message_id);
    frame(id, "send", &Send { chat_id, to, message_id, content, content_type, attachment: None, meta: None })
}

/// Writes a `sync` of what the client has.
pub(super) fn sync(id: u64, have: impl IntoIterator<Item = (ChatId, Seq)>) -> String {
    let have: BTreeMap<_, _> = have.into_iter().map(|(chat, seq)| (chat, Have::Seq(seq))).collect();
    frame(id, "sync", &Sync { have, since: None, partial: false, receipts: false, limit: 200 })
}

/// Writes a `ping`.
pub(super) fn ping(id: u64) -> String {
    frame(id, "ping", &Ping { active: true })
}

#[cfg(test)]
mod tests {
    use chat_core::clock::Time;

    use super::*;
    use crate::load::plan::Schedule;

    const CHAT: &str = "01956f30-0000-7000-8000-000000000001";

    fn plan() -> Plan {
        let schedule = Schedule { total: 256, rate: 1.0, size: 8 };
        Plan::new(2, None, schedule, 1, Time::from_millis(1_795_000_000_000), 0x1234_5678).unwrap()
    }

    fn message_frame(id: MessageId, between: &str) -> String {
        format!(
            "{{\"type\":\"message\",\"d\":{{\"chat_id\":\"{CHAT}\",\"seq\":42,{between}\"message_id\":\"{id}\",\
             \"sender\":\"load-0001\",\"content_type\":\"TEXT\",\"content\":\"0 \\u00e4\",\
             \"created_at\":\"2026-11-24T02:19:00.123Z\"}}}}"
        )
    }

    #[test]
    fn a_glance_and_a_full_reading_agree() {
        let plan = plan();
        let ours = plan.message_id(0xfe, Time::from_millis(1_795_000_000_000));
        for (id, message) in [(ours, Some(0xfe)), (CHAT.parse().unwrap(), None)] {
            let text = message_frame(id, "");
            let glanced = glance(text.as_bytes(), &plan).unwrap();
            let Inbound::Message(full) = read(&text, Scan::Full, &plan).unwrap() else { panic!("no message") };
            for read in [&glanced, &full] {
                assert_eq!((read.chat, read.seq, read.message), (CHAT.parse().unwrap(), 42, message));
            }
            assert_eq!(full.body, Some(("load-0001".into(), "0 ä".into())));
        }
    }

    #[test]
    fn what_a_glance_does_not_know_is_read_in_full() {
        let plan = plan();
        let text = message_frame(CHAT.parse().unwrap(), "\"rev\":3,");
        assert_eq!(glance(text.as_bytes(), &plan), None);
        let Inbound::Message(full) = read(&text, Scan::Seq, &plan).unwrap() else { panic!("no message") };
        assert_eq!(full.seq, 42);
        let text = message_frame(CHAT.parse().unwrap(), "");
        for cut in 0..130 {
            assert_eq!(glance(&text.as_bytes()[..cut], &plan), None);
        }
    }

    #[test]
    fn other_frames_are_told_apart() {
        let plan = plan();
        let kind = |text: &'static str| read(text, Scan::Full, &plan).unwrap();
        assert!(matches!(kind(r#"{"id":7,"type":"ack","d":{}}"#), Inbound::Ack { id: 7, d: Some(_) }));
        assert!(matches!(kind(r#"{"id":7,"type":"pong","d":{"server_time":"x"}}"#), Inbound::Pong));
        let error =
            r#"{"id":7,"type":"error","d":{"code":"of_tomorrow","message":"m","temporary":true,"retry_after_ms":5}}"#;
        let Inbound::Error { id: Some(7), refusal } = kind(error) else { panic!("no error") };
        assert_eq!((refusal.temporary, refusal.retry_after_ms), (true, Some(5)));
        let reconnect = r#"{"type":"reconnect","d":{"after_ms":120,"reason":"drain"}}"#;
        assert!(matches!(kind(reconnect), Inbound::Reconnect { after_ms: 120 }));
        assert!(matches!(kind(r#"{"type":"some.day","d":{"x":[1]}}"#), Inbound::Other));
        for bad in ["", "[]", "{}", r#"{"type":"ack"}"#, r#"{"type":"message","d":{}}"#] {
            assert!(read(bad, Scan::Full, &plan).is_err(), "{bad}");
        }
    }

    #[test]
    fn requests_decode_as_the_server_reads_them() {
        let chat: ChatId = CHAT.parse().unwrap();
        let id: MessageId = CHAT.parse().unwrap();
        let peer = chat_core::id::UserId::new("load-0002").unwrap();
        for text in [
            send(1, To::Chat(chat), id, "x".into()),
            send(2, To::Peer(&peer), id, "x".into()),
            sync(3, [(chat, 9)]),
            ping(4),
        ] {
            let frame = chat_core::frame::decode(&text).unwrap();
            assert!(frame.id.is_some(), "{text}");
        }
    }
}
