//! How a document lies in the index: its fields and keys.

use tantivy::schema::{BytesOptions, FAST, Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::{TantivyDocument, Term};

use crate::id::{ChatId, Seq, UserId};
use crate::search::Document;

/// Name of the tokenizer of `content`, kept with the schema.
pub(super) const WORDS: &str = "words";

// Names under which columns are opened.
pub(super) const CHAT_HIGH: &str = "chat_high";
pub(super) const CHAT_LOW: &str = "chat_low";
pub(super) const SEQ: &str = "seq";
pub(super) const CREATED_AT: &str = "created_at";
pub(super) const VERSION: &str = "version";

/// The fields of a document.
#[derive(Clone)]
pub(super) struct Fields {
    /// Chat and seq: names the document.
    pub(super) id: Field,
    chat: Field,
    /// The two halves of the chat's id, as columns of numbers: a column of bytes is read through a dictionary, which
    /// made a search in 10 000 chats take four times as long.
    chat_high: Field,
    chat_low: Field,
    sender: Field,
    /// Kept for highlights; without positions and scores, which nobody asks for.
    pub(super) content: Field,
    seq: Field,
    created_at: Field,
    version: Field,
}

impl Fields {
    /// Makes the schema. A change of it is a new format: indexes written before do not open.
    pub(super) fn new() -> (Schema, Self) {
        let mut schema = Schema::builder();
        let words = TextFieldIndexing::default()
            .set_tokenizer(WORDS)
            .set_index_option(IndexRecordOption::Basic)
            .set_fieldnorms(false);
        let fields = Self {
            id: schema.add_bytes_field("id", BytesOptions::default().set_indexed()),
            chat: schema.add_bytes_field("chat", BytesOptions::default().set_indexed()),
            chat_high: schema.add_u64_field(CHAT_HIGH, FAST),
            chat_low: schema.add_u64_field(CHAT_LOW, FAST),
            sender: schema.add_bytes_field("sender", BytesOptions::default().set_indexed()),
            content: schema.add_text_field("content", TextOptions::default().set_indexing_options(words).set_stored()),
            seq: schema.add_u64_field(SEQ, FAST),
            created_at: schema.add_u64_field(CREATED_AT, FAST),
            version: schema.add_u64_field(VERSION, FAST),
        };
        (schema.build(), fields)
    }

    /// Encodes a document. A deleted message keeps its keys, so that its version stays known, and has no words.
    pub(super) fn encode(&self, document: &Document) -> TantivyDocument {
        let mut encoded = TantivyDocument::with_capacity(document.content.len() + 256);
        encoded.add_bytes(self.id, &id(document.chat_id, document.seq));
        encoded.add_bytes(self.chat, document.chat_id.0.as_bytes());
        let (high, low) = document.chat_id.0.as_u64_pair();
        encoded.add_u64(self.chat_high, high);
        encoded.add_u64(self.chat_low, low);
        encoded.add_bytes(self.sender, document.sender.as_str().as_bytes());
        encoded.add_text(self.content, &document.content);
        encoded.add_u64(self.seq, document.seq);
        encoded.add_u64(self.created_at, document.created_at.millis());
        encoded.add_u64(self.version, document.version);
        encoded
    }

    /// Returns the term of one document.
    pub(super) fn id_term(&self, chat: ChatId, seq: Seq) -> Term {
        Term::from_field_bytes(self.id, &id(chat, seq))
    }

    /// Returns the term of every document of a chat.
    pub(super) fn chat_term(&self, chat: ChatId) -> Term {
        Term::from_field_bytes(self.chat, chat.0.as_bytes())
    }

    /// Returns the term of every document of a sender.
    pub(super) fn sender_term(&self, sender: &UserId) -> Term {
        Term::from_field_bytes(self.sender, sender.as_str().as_bytes())
    }

    /// Returns the term of every document that has a word.
    pub(super) fn word_term(&self, word: &str) -> Term {
        Term::from_field_text(self.content, word)
    }
}

fn id(chat: ChatId, seq: Seq) -> [u8; 24] {
    let mut id = [0; 24];
    id[..16].copy_from_slice(chat.0.as_bytes());
    id[16..].copy_from_slice(&seq.to_be_bytes());
    id
}
