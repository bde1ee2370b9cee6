//! The process that works on a database and dies: what it does, how it tells of each acknowledgement, and what must
//! be found afterwards.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chat_core::clock::{SystemClock, Time};
use chat_core::embedded::{EmbeddedDb, EmbeddedOptions};
use chat_core::id::{ChatId, UserId};
use chat_core::message_log::{Append, Consumer, Delivery, MessageLog, Position, Topic};
use chat_core::message_store::{IdKey, IdRow, MessageStore, Row};
use uuid::Uuid;

/// Names the directory; set only for the child.
pub(crate) const DIR: &str = "CHAT_CORE_CRASH_TEST_DIR";

/// Partitions of the database.
pub(crate) const PARTITIONS: u32 = 2;

/// Records that the phases append.
pub(crate) const RECORDS: usize = 600;

const APPENDERS: usize = 30;

/// One acknowledgement, printed as one line by one write to standard output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ack {
    /// The log has the record.
    Record { partition: u32, offset: u64, text: String },
    /// The store has the row of the record.
    Rows { partition: u32, offset: u64 },
    /// The group has committed.
    Commit { partition: u32, next: u64 },
    /// The store has a row that the log cannot make again.
    Mute,
}

impl Ack {
    fn tell(&self) {
        let line = match self {
            Self::Record { partition, offset, text } => format!("ACK record {partition} {offset} {text}\n"),
            Self::Rows { partition, offset } => format!("ACK rows {partition} {offset}\n"),
            Self::Commit { partition, next } => format!("ACK commit {partition} {next}\n"),
            Self::Mute => "ACK mute\n".to_owned(),
        };
        std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
    }

    /// Parses a line, `None` for any other output of the test harness.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line[line.find("ACK ")?..].split_whitespace().collect();
        let number = |i: usize| words.get(i)?.parse().ok();
        let partition = || u32::try_from(number(2)?).ok();
        match *words.get(1)? {
            "record" => {
                let text = (*words.get(4)?).to_owned();
                Some(Self::Record { partition: partition()?, offset: number(3)?, text })
            }
            "rows" => Some(Self::Rows { partition: partition()?, offset: number(3)? }),
            "commit" => Some(Self::Commit { partition: partition()?, next: number(3)? }),
            "mute" => Some(Self::Mute),
            _ => None,
        }
    }
}

pub(crate) fn open(dir: &Path) -> EmbeddedDb {
    let options = EmbeddedOptions { partitions: PARTITIONS, ..EmbeddedOptions::default() };
    EmbeddedDb::open(dir, Arc::new(SystemClock), &options).unwrap()
}

fn key(partition: u32, offset: u64) -> IdKey {
    let id = Uuid::from_u64_pair(partition.into(), offset);
    IdKey { chat_id: ChatId(Uuid::nil()), id, actor: UserId::new("ann").unwrap() }
}

async fn append(db: &EmbeddedDb, number: u64) {
    let text = format!("<record-{}-{number}>", std::process::id());
    let partition = u32::try_from(number % 2).unwrap();
    let append = Append {
        topic: Topic::Messages,
        partition,
        key: "k".into(),
        payload: text.clone().into_bytes().into(),
        headers: Vec::new(),
    };
    let appended = db.log.append(append).await.unwrap();
    Ack::Record { partition, offset: appended.position.offset, text }.tell();
}

/// Does what the sequencer does with one delivery: rows, then the commit, each awaited.
async fn project(db: &EmbeddedDb, consumer: &mut dyn Consumer, max: usize) -> usize {
    let Delivery::Records { partition, entries } = consumer.next(max).await.unwrap() else { return 0 };
    let last = entries.last().unwrap().position.offset;
    let row = |position: Position| {
        let row = IdRow { seq: position.offset, rev: 0, position, ts: 1 };
        Row::Id { key: key(partition, position.offset), row }
    };
    db.store.write_rows(entries.iter().map(|entry| row(entry.position)).collect()).await.unwrap();
    Ack::Rows { partition, offset: last }.tell();
    consumer.commit(partition, last + 1).await.unwrap();
    Ack::Commit { partition, next: last + 1 }.tell();
    entries.len()
}

fn phase(name: &str) {
    std::io::stdout().lock().write_all(format!("PHASE {name}\n").as_bytes()).unwrap();
}

/// Appends with many at once, then projects, then mutes, then both at once; each phase is announced. Then it dies.
pub(crate) fn write_in_phases(dir: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let db = open(dir);
        let mut consumer = db.log.subscribe(Topic::Messages, "g").await.unwrap();
        let next = Arc::new(AtomicU64::new(0));
        let append_all = |count: u64| {
            let appenders = (0..APPENDERS).map(|_| {
                let (db, next) = (db.clone(), Arc::clone(&next));
                tokio::spawn(async move {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= count {
                            break;
                        }
                        append(&db, number).await;
                    }
                })
            });
            appenders.collect::<Vec<_>>()
        };
        let half = RECORDS as u64 / 2;
        phase("appends");
        for appender in append_all(half) {
            appender.await.unwrap();
        }
        next.store(half, Ordering::Relaxed);
        phase("rows");
        let mut left = consumer.lag(&[0, 1]).await.unwrap().into_iter().sum::<u64>();
        while left > 0 {
            left -= project(&db, &mut *consumer, 7).await as u64;
        }
        phase("mute");
        let until = Some(Time::from_millis(1));
        let mute = Row::Mute { chat_id: ChatId(Uuid::nil()), user: UserId::new("ann").unwrap(), ts: 1, until };
        db.store.write_rows(vec![mute]).await.unwrap();
        Ack::Mute.tell();
        phase("both");
        let appenders = append_all(RECORDS as u64);
        let mut left = half;
        while left > 0 {
            left -= project(&db, &mut *consumer, 20).await as u64;
        }
        for appender in appenders {
            appender.await.unwrap();
        }
        std::process::abort();
    });
}

/// Appends and projects until somebody kills the process.
pub(crate) fn write_until_killed(dir: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let db = open(dir);
        let mut consumer = db.log.subscribe(Topic::Messages, "g").await.unwrap();
        let next = Arc::new(AtomicU64::new(0));
        for _ in 0..APPENDERS {
            let (db, next) = (db.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    append(&db, next.fetch_add(1, Ordering::Relaxed)).await;
                }
            });
        }
        loop {
            project(&db, &mut *consumer, 100).await;
        }
    });
}

/// Opens the database and checks that it holds every acknowledged record at its offset without gaps, and that no
/// commit is ahead of its rows. Returns how many records there are.
///
/// Rows and commits are not asked for: an acknowledged suffix of them may be lost, together, to be made again.
pub(crate) fn check<'a>(dir: &Path, acks: impl Iterator<Item = &'a Ack>) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let db = open(dir);
    runtime.block_on(async {
        let mut texts = Vec::new();
        for partition in 0..PARTITIONS {
            let end = db.log.end(Topic::Messages, partition).await.unwrap();
            let mut entries = Vec::new();
            while (entries.len() as u64) < end {
                entries.extend(db.log.read(Topic::Messages, partition, entries.len() as u64, 1000).await.unwrap());
            }
            assert!(entries.iter().zip(0..).all(|(entry, offset)| entry.position.offset == offset), "a gap");
            let text = |entry: &chat_core::message_log::Entry| String::from_utf8(entry.payload.to_vec()).unwrap();
            texts.push(entries.iter().map(text).collect::<Vec<_>>());
        }
        for ack in acks {
            if let Ack::Record { partition, offset, text } = ack {
                let found = texts[*partition as usize].get(usize::try_from(*offset).unwrap());
                assert_eq!(found, Some(text), "an acknowledged record is lost");
            }
        }
        let consumer = db.log.subscribe(Topic::Messages, "g").await.unwrap();
        for (partition, texts) in (0..).zip(&texts) {
            let committed = texts.len() as u64 - consumer.lag(&[partition]).await.unwrap()[0];
            let keys: Vec<_> = (0..committed).map(|offset| key(partition, offset)).collect();
            let rows = db.store.ids(&keys).await.unwrap();
            assert!(
                rows.iter().all(Option::is_some),
                "partition {partition}: the commit {committed} is ahead of its rows"
            );
        }
        texts.iter().map(|texts| texts.len() as u64).sum()
    })
}
