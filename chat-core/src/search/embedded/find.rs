//! Answers a query from one state of the index.

use tantivy::query::{BooleanQuery, Query as Clause, TermQuery, TermSetQuery};
use tantivy::schema::{IndexRecordOption, Value};
use tantivy::{Searcher, TantivyDocument, Term};

use super::fields::Fields;
use super::newest::Newest;
use crate::search::words::Wanted;
use crate::search::{Hit, Query};

/// Finds the newest documents that match. A query without a word, a scope or room for a hit finds none.
pub(super) fn find(searcher: &Searcher, fields: &Fields, query: &Query) -> tantivy::Result<Vec<Hit>> {
    let words = Wanted::of(&query.text);
    if words.is_empty() || query.scopes.is_empty() || query.limit == 0 {
        return Ok(Vec::new());
    }
    let has = |term: Term| -> Box<dyn Clause> { Box::new(TermQuery::new(term, IndexRecordOption::Basic)) };
    // Narrows the search to the chats in scope; which part of each is decided by the collector.
    let chats = TermSetQuery::new(query.scopes.iter().map(|scope| fields.chat_term(scope.chat_id)));
    let mut clauses: Vec<Box<dyn Clause>> = vec![Box::new(chats)];
    clauses.extend(words.iter().map(|word| has(fields.word_term(word))));
    clauses.extend(query.sender.iter().map(|sender| has(fields.sender_term(sender))));

    let newest = searcher.search(&BooleanQuery::intersection(clauses), &Newest::new(query))?;
    newest
        .into_iter()
        .map(|(place, address)| {
            let document: TantivyDocument = searcher.doc(address)?;
            let content = document.get_first(fields.content);
            let content = content.as_ref().and_then(Value::as_str).unwrap_or_default();
            Ok(Hit { place, highlights: words.highlights(content) })
        })
        .collect()
}
