//! Writes batches to the index, each one commit.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use tantivy::columnar::Column;
use tantivy::indexer::{IndexWriterOptions, LogMergePolicy};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocSet, Index, IndexReader, IndexWriter, InvertedIndexReader, SegmentReader, TERMINATED};

use super::fields::{Fields, VERSION};
use crate::id::{ChatId, Seq, UserId};
use crate::search::Document;

/// Segments above this size are merged no further, which bounds what one merge takes of time and memory.
const LARGEST_MERGED: usize = 1_000_000;

/// Segments below this size count as equally small. Low, so that the many commits of a quiet index do not rewrite
/// more than a few of its documents each.
const SMALLEST_LAYER: u32 = 1_000;

/// Share of superseded documents from which a segment is rewritten without them.
const SUPERSEDED_BEFORE_MERGE: f32 = 0.3;

/// Writes to an index on one thread, beside one for merges, with the least memory tantivy takes (15 MB).
pub(super) struct Writer {
    index: Index,
    directory: PathBuf,
    reader: IndexReader,
    fields: Fields,
    /// Absent after a failure, until the next batch opens another.
    inner: Option<IndexWriter>,
}

/// What is written in one commit, in this order.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) documents: Vec<Document>,
    pub(super) erased: Vec<UserId>,
}

impl Writer {
    /// Opens the index for writing. Only one writer, in any process, can have it open.
    pub(super) fn open(index: Index, directory: PathBuf, reader: IndexReader, fields: Fields) -> tantivy::Result<Self> {
        let mut writer = Self { index, directory, reader, fields, inner: None };
        writer.reopen()?;
        Ok(writer)
    }

    fn reopen(&mut self) -> tantivy::Result<()> {
        let options = IndexWriterOptions::builder().num_worker_threads(1).num_merge_threads(1).build();
        let inner: IndexWriter = self.index.writer_with_options(options)?;
        let mut merges = LogMergePolicy::default();
        merges.set_max_docs_before_merge(LARGEST_MERGED);
        merges.set_min_layer_size(SMALLEST_LAYER);
        merges.set_del_docs_ratio_before_merge(SUPERSEDED_BEFORE_MERGE);
        inner.set_merge_policy(Box::new(merges));
        // Versions are looked up in what the reader sees: it must not be behind what was committed.
        self.reader.reload()?;
        self.inner = Some(inner);
        Ok(())
    }

    /// Writes a batch, makes it durable, then visible. After an error none or all of it is in the index.
    pub(super) fn write(&mut self, batch: &Batch) -> tantivy::Result<()> {
        let written = self.try_write(batch);
        if written.is_err() {
            // Whatever it holds uncommitted goes with it.
            self.inner = None;
        }
        written
    }

    fn try_write(&mut self, batch: &Batch) -> tantivy::Result<()> {
        if self.inner.is_none() {
            self.reopen()?;
        }
        let Some(writer) = self.inner.as_mut() else { return Ok(()) };
        let mut versions = Versions::open(&self.reader, &self.fields)?;
        let mut changed = !batch.erased.is_empty();
        for document in &batch.documents {
            let before = versions.of(document.chat_id, document.seq)?;
            if before.is_some_and(|before| before >= document.version) {
                continue;
            }
            if before.is_some() {
                writer.delete_term(self.fields.id_term(document.chat_id, document.seq));
            }
            writer.add_document(self.fields.encode(document))?;
            versions.note(document);
            changed = true;
        }
        for sender in &batch.erased {
            writer.delete_term(self.fields.sender_term(sender));
        }
        // A replay changes nothing and costs no sync.
        if changed {
            writer.commit()?;
            // tantivy syncs its files, but not the name under which the newest list of them was put in place.
            File::open(&self.directory)?.sync_all()?;
            self.reader.reload()?;
        }
        Ok(())
    }

    /// Finishes running merges and gives the index free.
    pub(super) fn close(self) -> tantivy::Result<()> {
        self.inner.map_or(Ok(()), IndexWriter::wait_merging_threads)
    }
}

/// The versions of documents: those of the last commit, and those of this batch.
struct Versions<'a> {
    fields: &'a Fields,
    segments: Vec<Segment>,
    in_batch: FxHashMap<(ChatId, Seq), u64>,
}

/// What it takes to look up a version in one segment.
struct Segment {
    reader: SegmentReader,
    ids: Arc<InvertedIndexReader>,
    versions: Column<u64>,
}

impl<'a> Versions<'a> {
    fn open(reader: &IndexReader, fields: &'a Fields) -> tantivy::Result<Self> {
        let open = |segment: &SegmentReader| {
            let ids = segment.inverted_index(fields.id)?;
            let versions = segment.fast_fields().u64(VERSION)?;
            Ok(Segment { reader: segment.clone(), ids, versions })
        };
        let segments = reader.searcher().segment_readers().iter().map(open).collect::<tantivy::Result<_>>()?;
        Ok(Self { fields, segments, in_batch: FxHashMap::default() })
    }

    fn of(&self, chat: ChatId, seq: Seq) -> tantivy::Result<Option<u64>> {
        if let Some(version) = self.in_batch.get(&(chat, seq)) {
            return Ok(Some(*version));
        }
        let term = self.fields.id_term(chat, seq);
        for segment in &self.segments {
            let Some(mut found) = segment.ids.read_postings(&term, IndexRecordOption::Basic)? else { continue };
            while found.doc() != TERMINATED {
                if !segment.reader.is_deleted(found.doc()) {
                    return Ok(segment.versions.first(found.doc()));
                }
                found.advance();
            }
        }
        Ok(None)
    }

    fn note(&mut self, document: &Document) {
        self.in_batch.insert((document.chat_id, document.seq), document.version);
    }
}
