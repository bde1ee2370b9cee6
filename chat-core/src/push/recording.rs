//! A sender that reaches no vendor: it records what it would have sent. For the embedded stack and for tests.

use std::collections::VecDeque;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use rustc_hash::FxHashMap;
use serde::Serialize;

use super::payload::encode_to_fit;
use super::{Device, Notification, Platform, PushAnswer, PushSender};
use crate::clock::{Clock, Time};
use crate::id::UserId;

/// How many notifications are kept in memory; the oldest make room.
pub const KEPT: usize = 1_024;

/// Records notifications instead of sending them. Clones are ends of the same record.
///
/// The last [`KEPT`] are in memory; with a file, each is also appended to it as one line of JSON, without the device's
/// token. The write is a few hundred bytes to the system's cache, made in place and not synced.
#[derive(Clone)]
pub struct RecordingSender(Arc<Shared>);

struct Shared {
    clock: Arc<dyn Clock>,
    file: Option<File>,
    record: Mutex<Record>,
}

#[derive(Default)]
struct Record {
    sent: VecDeque<Sent>,
    answers: FxHashMap<String, PushAnswer>,
}

/// One notification that would have been sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// When.
    pub at: Time,
    /// Where to.
    pub device: Device,
    /// Under which collapse id.
    pub collapse_id: String,
    /// The payload, JSON: the `chat` object that both vendors carry.
    pub payload: String,
    /// What was answered.
    pub answer: PushAnswer,
}

#[derive(Serialize)]
struct Payload<'a> {
    chat: &'a Notification,
}

/// One line of the file.
#[derive(Serialize)]
struct Line<'a> {
    at: Time,
    user: &'a UserId,
    device: &'a str,
    platform: Platform,
    collapse_id: &'a str,
    payload: &'a serde_json::value::RawValue,
    answer: &'a PushAnswer,
}

impl RecordingSender {
    /// Makes a sender that records in memory. The clock dates what is sent.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Shared { clock, file: None, record: Mutex::default() }))
    }

    /// Makes a sender that also appends to a file, which it creates if it is not there.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn appending(clock: Arc<dyn Clock>, path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self(Arc::new(Shared { clock, file: Some(file), record: Mutex::default() })))
    }

    /// Returns what was sent, oldest first, at most [`KEPT`].
    pub fn sent(&self) -> Vec<Sent> {
        self.record().sent.iter().cloned().collect()
    }

    /// Sets the answer for a device's token from now on; for all others it is [`PushAnswer::Accepted`].
    #[cfg(any(test, feature = "contract"))]
    pub fn set_answer(&self, token: &str, answer: PushAnswer) {
        self.record().answers.insert(token.to_owned(), answer);
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.0.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for RecordingSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordingSender").field("file", &self.0.file).finish_non_exhaustive()
    }
}

impl Sent {
    fn append_to(&self, mut file: &File) -> io::Result<()> {
        let mut line = serde_json::to_vec(&Line {
            at: self.at,
            user: &self.device.user,
            device: &self.device.device,
            platform: self.device.platform,
            collapse_id: &self.collapse_id,
            payload: serde_json::from_str(&self.payload)?,
            answer: &self.answer,
        })?;
        line.push(b'\n');
        // One write a line: other appenders do not come between its parts.
        file.write_all(&line)
    }
}

#[async_trait]
impl PushSender for RecordingSender {
    async fn deliver(&self, device: &Device, notification: &Notification) -> PushAnswer {
        let payload = encode_to_fit(notification, |chat| {
            serde_json::to_string(&Payload { chat }).unwrap_or_else(|_| unreachable!("a payload has string keys only"))
        });
        let mut record = self.record();
        let mut sent = Sent {
            at: self.0.clock.now(),
            device: device.clone(),
            collapse_id: notification.collapse_id(),
            payload,
            answer: record.answers.get(&device.token).cloned().unwrap_or(PushAnswer::Accepted),
        };
        // What could not be recorded was not sent: the caller tries again, as it would with a vendor that is away.
        if let Some(Err(error)) = self.0.file.as_ref().map(|file| sent.append_to(file)) {
            sent.answer = PushAnswer::Later { reason: error.to_string(), retry_after_ms: None };
        }
        if record.sent.len() == KEPT {
            record.sent.pop_front();
        }
        let answer = sent.answer.clone();
        record.sent.push_back(sent);
        answer
    }
}

#[cfg(test)]
mod tests;
