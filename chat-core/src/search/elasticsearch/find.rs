//! Searches: the question, and which hits of the answer the caller may see. Pure.

use rustc_hash::FxHashMap;
use serde::Deserialize;
use serde_json::{Value, json};

use super::RANGES;
use super::bulk::Operation;
use crate::clock::Time;
use crate::id::{ChatId, Seq, UserId};
use crate::search::words::Wanted;
use crate::search::{After, Hit, Query, Scope, SearchError};

/// Hits that a question asks for beyond those still wanted, so that a page that loses some is rarely asked again.
const SPARE: usize = 20;

/// Most hits that one question asks for.
const PAGE_LAST: usize = 1_000;

/// A search under way, from page to page.
pub(super) struct Search {
    filter: Vec<Value>,
    text: String,
    scopes: FxHashMap<ChatId, Vec<Scope>>,
    after: Option<After>,
    asked: usize,
}

/// A document that the server found.
#[derive(Debug, Deserialize)]
pub(super) struct Found {
    chat_id: ChatId,
    seq: Seq,
    /// Milliseconds since 1970.
    created_at: u64,
    content: String,
}

/// A server's answer to a search.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    timed_out: bool,
    hits: Hits<Found>,
}

#[derive(Debug, Deserialize)]
struct Hits<T> {
    hits: Vec<Source<T>>,
}

#[derive(Debug, Deserialize)]
struct Source<T> {
    #[serde(rename = "_source")]
    source: T,
}

/// One answer, checked.
pub(super) struct Page {
    /// What the caller may see.
    pub(super) seen: Vec<Found>,
    /// Whether the server has no more.
    pub(super) is_last: bool,
}

impl Search {
    pub(super) fn of(query: &Query) -> Self {
        let mut scopes: FxHashMap<ChatId, Vec<Scope>> = FxHashMap::default();
        for scope in &query.scopes {
            scopes.entry(scope.chat_id).or_default().push(*scope);
        }
        let mut filter = vec![json!({ "bool": { "should": inside(&query.scopes), "minimum_should_match": 1 } })];
        if let Some(sender) = &query.sender {
            filter.push(json!({ "term": { "sender_id": sender } }));
        }
        if query.from.is_some() || query.to.is_some() {
            let mut range = serde_json::Map::new();
            range.extend(query.from.map(|from| ("gte".to_owned(), json!(from.millis()))));
            range.extend(query.to.map(|to| ("lt".to_owned(), json!(to.millis()))));
            filter.push(json!({ "range": { "created_at": range } }));
        }
        Self { filter, text: query.text.clone(), scopes, after: query.after, asked: 0 }
    }

    /// Returns the body that asks for the next page.
    pub(super) fn question(&mut self, wanted: usize) -> Value {
        self.asked = wanted.saturating_add(SPARE).min(PAGE_LAST);
        let mut question = json!({
            "size": self.asked,
            "track_total_hits": false,
            "_source": ["chat_id", "seq", "created_at", "content"],
            "query": { "bool": {
                "must": { "match": { "content": { "query": self.text, "operator": "and" } } },
                "filter": self.filter,
            } },
            "sort": [{ "created_at": "desc" }, { "chat_id": "desc" }, { "seq": "desc" }],
        });
        if let Some(after) = self.after {
            question["search_after"] = json!([after.created_at.millis(), after.chat_id, after.seq]);
        }
        question
    }

    /// Takes the answer to the last question.
    pub(super) fn take(&mut self, answer: Answer) -> Result<Page, SearchError> {
        if answer.timed_out {
            return Err(SearchError("the server ran out of time".to_owned()));
        }
        let found: Vec<Found> = answer.hits.hits.into_iter().map(|hit| hit.source).collect();
        let is_last = found.len() < self.asked;
        if let Some(last) = found.last() {
            self.after = Some(last.place());
        }
        Ok(Page { seen: found.into_iter().filter(|found| self.is_inside(found)).collect(), is_last })
    }

    fn is_inside(&self, found: &Found) -> bool {
        let covers = |scope: &Scope| scope.after < found.seq && scope.upto.is_none_or(|upto| found.seq <= upto);
        self.scopes.get(&found.chat_id).is_some_and(|scopes| scopes.iter().any(covers))
    }
}

impl Found {
    fn place(&self) -> After {
        After { created_at: Time::from_millis(self.created_at), chat_id: self.chat_id, seq: self.seq }
    }

    pub(super) fn hit(&self, wanted: &Wanted) -> Hit {
        Hit { place: self.place(), highlights: wanted.highlights(&self.content) }
    }
}

/// Returns clauses of which a document inside the scopes meets one. Others may, too.
fn inside(scopes: &[Scope]) -> Vec<Value> {
    let is_whole = |scope: &&Scope| scope.after == 0 && scope.upto.is_none();
    let (mut chats, parts): (Vec<&Scope>, Vec<&Scope>) = scopes.iter().partition(is_whole);
    let (ranges, rest) = parts.split_at(parts.len().min(RANGES));
    chats.extend(rest);
    let chats: Vec<ChatId> = chats.iter().map(|scope| scope.chat_id).collect();
    let mut clauses: Vec<Value> = Vec::new();
    if !chats.is_empty() {
        clauses.push(json!({ "terms": { "chat_id": chats } }));
    }
    clauses.extend(ranges.iter().map(|scope| {
        let mut range = json!({ "gt": scope.after });
        if let Some(upto) = scope.upto {
            range["lte"] = json!(upto);
        }
        let chat = json!({ "term": { "chat_id": scope.chat_id } });
        json!({ "bool": { "filter": [chat, { "range": { "seq": range } }] } })
    }));
    clauses
}

/// Returns the body that asks for documents of a sender.
pub(super) fn written_by(sender: &UserId, limit: usize) -> Value {
    json!({
        "size": limit,
        "track_total_hits": false,
        "_source": false,
        "version": true,
        "query": { "bool": { "filter": { "term": { "sender_id": sender } } } },
        "sort": ["_doc"],
    })
}

/// Documents of a sender.
#[derive(Debug, Deserialize)]
pub(super) struct Written {
    hits: WrittenHits,
}

#[derive(Debug, Deserialize)]
struct WrittenHits {
    hits: Vec<WrittenHit>,
}

#[derive(Debug, Deserialize)]
struct WrittenHit {
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "_version")]
    version: i64,
}

impl Written {
    /// Returns what removes them, as they were found.
    pub(super) fn removals(self) -> Vec<Operation> {
        self.hits.hits.into_iter().map(|WrittenHit { id, version }| Operation::Remove { id, version }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(n: u128) -> ChatId {
        ChatId(uuid::Uuid::from_u128(n))
    }

    #[test]
    fn few_partial_chats_get_ranges_and_the_rest_terms() {
        let whole = |n| Scope { chat_id: chat(n), after: 0, upto: None };
        let part = |n| Scope { chat_id: chat(n), after: 4, upto: Some(9) };
        let scopes: Vec<Scope> = (0..10).map(whole).chain((10..1_000).map(part)).collect();
        let clauses = inside(&scopes);
        assert_eq!(clauses.len(), 1 + RANGES);
        assert_eq!(clauses[0]["terms"]["chat_id"].as_array().unwrap().len(), 1_000 - RANGES);
        assert_eq!(clauses[1]["bool"]["filter"][1], json!({ "range": { "seq": { "gt": 4, "lte": 9 } } }));
        assert!(inside(&[]).is_empty());
    }

    #[test]
    fn what_is_outside_is_left_out_and_the_search_goes_on_behind_it() {
        let scopes = vec![Scope { chat_id: chat(1), after: 2, upto: Some(3) }];
        let query = Query { text: "x".into(), scopes, sender: None, from: None, to: None, after: None, limit: 1 };
        let mut search = Search::of(&query);
        assert_eq!(search.question(1).get("search_after"), None);
        let found = |chat_id: ChatId, seq: Seq| json!({ "_source": { "chat_id": chat_id, "seq": seq, "created_at": seq, "content": "x" } });
        let hits: Vec<Value> =
            (0..=SPARE as u64).map(|n| if n % 2 == 0 { found(chat(1), n) } else { found(chat(2), 3) }).collect();
        let answer = serde_json::from_value(json!({ "timed_out": false, "hits": { "hits": hits } })).unwrap();
        let page = search.take(answer).unwrap();
        assert!(page.seen.is_empty() && !page.is_last);
        assert_eq!(search.question(1)["search_after"][2], SPARE as u64);
        let late = serde_json::from_value(json!({ "timed_out": true, "hits": { "hits": [] } })).unwrap();
        assert!(search.take(late).is_err());
    }
}
