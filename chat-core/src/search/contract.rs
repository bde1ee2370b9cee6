//! What every search index must do, as checks. [`search_contract!`](crate::search_contract) makes one test of each.
//!
//! Every check uses its own chats and users, so that engines may share one server between tests.

#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a check fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::{After, Document, Hit, Query, Scope, SearchIndex, VISIBLE_WITHIN_MS};
use crate::clock::Time;
use crate::id::{ChatId, MessageId, Seq, UserId};

/// A search index under test.
pub trait Subject: Send + Sync {
    /// Returns the index.
    fn index(&self) -> Arc<dyn SearchIndex>;
}

/// Makes one test of each check: `search_contract!([#[tokio::test]], subject)`. The first argument is the test
/// attribute, the second an expression, evaluated in each test, of a type that is a [`Subject`].
#[macro_export]
macro_rules! search_contract {
    ($test:tt, $subject:expr) => {
        $crate::search_contract! { $test, $subject,
            what_was_acknowledged_is_found_soon,
            all_words_must_match_whole_and_in_any_case,
            a_query_has_words_and_no_syntax,
            hits_are_inside_the_scopes_only,
            ten_thousand_chats_are_no_obstacle,
            filters_are_by_sender_and_time,
            the_newest_come_first,
            pages_show_everything_once,
            the_highest_version_wins,
            a_repetition_changes_nothing,
            a_deleted_message_is_not_found,
            highlights_are_where_the_words_are,
            erasing_a_sender_leaves_nothing_of_them,
        }
    };
    ($test:tt, $subject:expr, $($check:ident,)+) => {
        $($crate::search_contract! { @one $test, $subject, $check })+
    };
    (@one [$($test:tt)*], $subject:expr, $check:ident) => {
        $($test)*
        async fn $check() {
            $crate::search::contract::$check(&$subject).await;
        }
    };
}

/// When the first message of a check was written.
const START: Time = Time::from_millis(1_764_000_000_000);

fn a_chat() -> ChatId {
    ChatId(Uuid::now_v7())
}

/// Chats that show that an index has settled: of two parts, one is missed once in 2^63 times.
const MARKERS: usize = 64;

fn a_user() -> UserId {
    UserId::new(&Uuid::now_v7().to_string()).expect("a UUID is a user id")
}

/// Makes the first version of a message, written `seq` seconds after the start by a user of its own.
fn a_document(chat_id: ChatId, seq: Seq, content: &str) -> Document {
    Document {
        chat_id,
        seq,
        message_id: MessageId(Uuid::now_v7()),
        sender: a_user(),
        content: content.into(),
        created_at: START.plus_millis(seq * 1_000),
        version: seq * 10,
    }
}

fn whole(chat_id: ChatId) -> Scope {
    Scope { chat_id, after: 0, upto: None }
}

fn a_query(text: &str, scopes: &[Scope]) -> Query {
    Query { text: text.into(), scopes: scopes.to_vec(), sender: None, from: None, to: None, after: None, limit: 100 }
}

/// Returns where the hits are, in the order they came.
async fn places(index: &dyn SearchIndex, query: &Query) -> Vec<(ChatId, Seq)> {
    let place = |hit: &Hit| (hit.place.chat_id, hit.place.seq);
    index.search(query).await.unwrap().iter().map(place).collect()
}

/// Waits until a query finds exactly this, in this order.
async fn await_places(index: &dyn SearchIndex, query: &Query, expected: &[(ChatId, Seq)]) {
    // Engines count from their own acknowledgement; the second is for the way there and back.
    let deadline = Instant::now() + Duration::from_millis(VISIBLE_WITHIN_MS + 1_000);
    loop {
        let found = places(index, query).await;
        if found == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{query:?} must find {expected:?}, found {found:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Indexes documents and waits until everything indexed so far can be seen, so that what is not found is not there.
async fn settle(index: &dyn SearchIndex, mut documents: Vec<Document>) {
    // An engine may show its parts one by one: enough chats to be in each of them.
    let mut markers: Vec<ChatId> = (0..MARKERS).map(|_| a_chat()).collect();
    documents.extend(markers.iter().map(|marker| a_document(*marker, 1, "settled")));
    index.index(documents).await.unwrap();
    markers.sort_by_key(|marker| std::cmp::Reverse(*marker));
    let scopes: Vec<Scope> = markers.iter().copied().map(whole).collect();
    let expected: Vec<(ChatId, Seq)> = markers.into_iter().map(|marker| (marker, 1)).collect();
    await_places(index, &a_query("settled", &scopes), &expected).await;
}

/// Within [`VISIBLE_WITHIN_MS`] of the acknowledgement.
pub async fn what_was_acknowledged_is_found_soon(subject: &dyn Subject) {
    let (index, chat) = (subject.index(), a_chat());
    index.index(vec![]).await.unwrap();
    index.index(vec![a_document(chat, 1, "first"), a_document(chat, 2, "second")]).await.unwrap();
    await_places(&*index, &a_query("first", &[whole(chat)]), &[(chat, 1)]).await;
    await_places(&*index, &a_query("second", &[whole(chat)]), &[(chat, 2)]).await;
}

/// Words are those of Unicode; their order does not matter.
pub async fn all_words_must_match_whole_and_in_any_case(subject: &dyn Subject) {
    let (index, chat) = (subject.index(), a_chat());
    let contents = ["The quick brown fox", "the QUICK red fox", "Äpfel, Привет!", "東京都に行く", "quicksilver"];
    settle(&*index, (1..).zip(contents).map(|(seq, content)| a_document(chat, seq, content)).collect()).await;
    for (text, expected) in [
        ("quick", vec![2, 1]),
        ("Fox qUiCk", vec![2, 1]),
        ("quick quick brown", vec![1]),
        ("brown red", vec![]),
        ("quic", vec![]),
        ("äPFEL привет", vec![3]),
        ("東京", vec![4]),
    ] {
        let expected: Vec<_> = expected.into_iter().map(|seq| (chat, seq)).collect();
        assert_eq!(places(&*index, &a_query(text, &[whole(chat)])).await, expected, "{text:?}");
    }
}

/// Whatever users type is words, and without any it finds nothing.
pub async fn a_query_has_words_and_no_syntax(subject: &dyn Subject) {
    let (index, chat) = (subject.index(), a_chat());
    settle(&*index, vec![a_document(chat, 1, "fish and chips"), a_document(chat, 2, "content not fish")]).await;
    for (text, expected) in [
        ("fish AND chips", vec![1]),
        ("fish NOT content", vec![2]),
        ("\"chips fish\"", vec![1]),
        ("+chips* (fish", vec![1]),
        ("-fish -chips", vec![1]),
        ("content:fish", vec![]),
        ("fish OR chips", vec![]),
        ("*", vec![]),
        ("?! \u{1f44d}", vec![]),
        (" ", vec![]),
        ("", vec![]),
    ] {
        let found = places(&*index, &a_query(text, &[whole(chat)])).await;
        // Where a word breaks at a colon is the engine's affair; that it is no field is not.
        let expected: Vec<_> = expected.into_iter().map(|seq| (chat, seq)).collect();
        assert!(found == expected || (text.contains(':') && found == [(chat, 2)]), "{text:?} found {found:?}");
    }
}

/// Neither another chat nor another part of a chat is seen, however the scopes are cut.
pub async fn hits_are_inside_the_scopes_only(subject: &dyn Subject) {
    let (index, mine, other) = (subject.index(), a_chat(), a_chat());
    let documents = [mine, other].into_iter().flat_map(|chat| (1..=9).map(move |seq| a_document(chat, seq, "word")));
    settle(&*index, documents.collect()).await;
    let part = |after, upto| Scope { chat_id: mine, after, upto };
    for (scopes, expected) in [
        (vec![whole(mine)], vec![9, 8, 7, 6, 5, 4, 3, 2, 1]),
        (vec![part(3, None)], vec![9, 8, 7, 6, 5, 4]),
        (vec![part(0, Some(2))], vec![2, 1]),
        (vec![part(3, Some(6))], vec![6, 5, 4]),
        (vec![part(6, Some(7)), part(1, Some(3))], vec![7, 3, 2]),
        (vec![part(1, Some(4)), part(2, Some(5))], vec![5, 4, 3, 2]),
        (vec![part(4, Some(4))], vec![]),
        (vec![part(9, None)], vec![]),
        (vec![whole(a_chat())], vec![]),
        (vec![], vec![]),
    ] {
        let expected: Vec<_> = expected.into_iter().map(|seq| (mine, seq)).collect();
        assert_eq!(places(&*index, &a_query("word", &scopes)).await, expected, "{scopes:?}");
    }
}

/// A user may have as many chats, whole and partial.
pub async fn ten_thousand_chats_are_no_obstacle(subject: &dyn Subject) {
    let (index, mine) = (subject.index(), [a_chat(), a_chat()]);
    let documents = mine.into_iter().flat_map(|chat| (1..=3).map(move |seq| a_document(chat, seq, "word")));
    settle(&*index, documents.chain([a_document(a_chat(), 1, "word")]).collect()).await;
    let mut scopes: Vec<Scope> = (0..9_998).map(|n| Scope { after: n % 3, ..whole(a_chat()) }).collect();
    scopes.insert(5_000, whole(mine[0]));
    scopes.insert(7_000, Scope { chat_id: mine[1], after: 1, upto: Some(2) });
    let expected = [(mine[0], 3), (mine[1], 2), (mine[0], 2), (mine[0], 1)];
    assert_eq!(places(&*index, &a_query("word", &scopes)).await, expected);
}

/// `from` is inclusive, `to` exclusive; filters narrow each other.
pub async fn filters_are_by_sender_and_time(subject: &dyn Subject) {
    let (index, chat) = (subject.index(), a_chat());
    let documents: Vec<_> = (1..=6).map(|seq| a_document(chat, seq, "word")).collect();
    let sender = documents[2].sender.clone();
    let mut by_sender = a_document(chat, 7, "word");
    by_sender.sender = sender.clone();
    settle(&*index, documents.into_iter().chain([by_sender]).collect()).await;
    let at = |seq: u64| Some(START.plus_millis(seq * 1_000));
    let all = a_query("word", &[whole(chat)]);
    for (query, expected) in [
        (Query { from: at(5), ..all.clone() }, vec![7, 6, 5]),
        (Query { to: at(3), ..all.clone() }, vec![2, 1]),
        (Query { from: at(2), to: at(4), ..all.clone() }, vec![3, 2]),
        (Query { from: at(4), to: at(4), ..all.clone() }, vec![]),
        (Query { sender: Some(sender.clone()), ..all.clone() }, vec![7, 3]),
        (Query { sender: Some(sender), to: at(7), ..all.clone() }, vec![3]),
        (Query { sender: Some(a_user()), ..all.clone() }, vec![]),
    ] {
        let expected: Vec<_> = expected.into_iter().map(|seq| (chat, seq)).collect();
        assert_eq!(places(&*index, &query).await, expected, "{query:?}");
    }
}

/// By time, then chat, then seq; the limit keeps the newest.
pub async fn the_newest_come_first(subject: &dyn Subject) {
    let index = subject.index();
    let (low, high) = (ChatId(Uuid::now_v7()), ChatId(Uuid::now_v7()));
    assert!(low < high);
    let at_once = |chat, seq| Document { created_at: START, ..a_document(chat, seq, "word") };
    let documents =
        vec![at_once(high, 1), at_once(low, 2), a_document(low, 3, "word"), at_once(low, 1), at_once(high, 2)];
    settle(&*index, documents).await;
    let query = a_query("word", &[whole(low), whole(high)]);
    let expected = [(low, 3), (high, 2), (high, 1), (low, 2), (low, 1)];
    assert_eq!(places(&*index, &query).await, expected);
    for limit in 0..=5 {
        let query = Query { limit, ..query.clone() };
        assert_eq!(places(&*index, &query).await, expected[..limit], "limit {limit}");
    }
}

/// Also with many messages at the same time, and with new ones coming in between.
pub async fn pages_show_everything_once(subject: &dyn Subject) {
    const PAGE: usize = 7;
    const ALL: usize = 60;
    let (index, chats) = (subject.index(), [a_chat(), a_chat(), a_chat()]);
    let at_nearly_the_same_time = |chat, seq: Seq| {
        let created_at = START.plus_millis(seq / 8);
        Document { created_at, ..a_document(chat, seq, "word") }
    };
    let documents = chats.into_iter().flat_map(|chat| (1..=20).map(move |seq| at_nearly_the_same_time(chat, seq)));
    settle(&*index, documents.collect()).await;

    let mut query = Query { limit: PAGE, ..a_query("word", &chats.map(whole)) };
    let mut seen: Vec<After> = Vec::new();
    loop {
        let page = index.search(&query).await.unwrap();
        assert!(page.len() <= PAGE);
        seen.extend(page.iter().map(|hit| hit.place));
        assert!(seen.len() <= ALL, "a page must not begin with what the last one ended with");
        let Some(last) = page.last() else { break };
        query.after = Some(last.place);
        if seen.len() == PAGE {
            settle(&*index, vec![a_document(chats[0], 100, "word")]).await;
        }
    }
    let order = |place: &After| (place.created_at, place.chat_id, place.seq);
    assert!(seen.is_sorted_by(|newer, older| order(newer) > order(older)), "{seen:?}");
    assert_eq!(seen.len(), ALL);
    assert!(seen.iter().all(|place| place.seq <= 20));
}

/// Whatever the order of arrival, within one call and over several.
pub async fn the_highest_version_wins(subject: &dyn Subject) {
    let (index, chat) = (subject.index(), a_chat());
    let version = |seq, version, content| Document { version, ..a_document(chat, seq, content) };
    settle(&*index, vec![version(1, 5, "old"), version(2, 7, "new"), version(3, 5, "old"), version(4, 7, "new")]).await;
    settle(&*index, vec![version(1, 7, "new"), version(2, 5, "old")]).await;
    settle(&*index, vec![version(3, 6, "middle"), version(3, 7, "new"), version(4, 5, "old"), version(4, 6, "middle")])
        .await;
    // Above the versions they had first, below those they have.
    settle(&*index, vec![version(1, 6, "middle"), version(3, 6, "middle")]).await;
    let scopes = [whole(chat)];
    assert_eq!(places(&*index, &a_query("new", &scopes)).await, [(chat, 4), (chat, 3), (chat, 2), (chat, 1)]);
    assert_eq!(places(&*index, &a_query("old", &scopes)).await, []);
    assert_eq!(places(&*index, &a_query("middle", &scopes)).await, []);
}

/// The same document again, in the same call or in another, is still one hit.
pub async fn a_repetition_changes_nothing(subject: &dyn Subject) {
    let (index, chat) = (subject.index(), a_chat());
    let document = a_document(chat, 1, "word");
    for _ in 0..2 {
        settle(&*index, vec![document.clone(), document.clone()]).await;
        assert_eq!(places(&*index, &a_query("word", &[whole(chat)])).await, [(chat, 1)]);
    }
}

/// And is not brought back by a late repetition of what it was.
pub async fn a_deleted_message_is_not_found(subject: &dyn Subject) {
    let (index, chat) = (subject.index(), a_chat());
    let (kept, written) = (a_document(chat, 1, "word"), a_document(chat, 2, "word"));
    let deleted = Document { content: String::new(), version: written.version + 1, ..written.clone() };
    settle(&*index, vec![kept, written.clone()]).await;
    settle(&*index, vec![deleted]).await;
    settle(&*index, vec![written]).await;
    assert_eq!(places(&*index, &a_query("word", &[whole(chat)])).await, [(chat, 1)]);
    assert_eq!(places(&*index, &a_query("", &[whole(chat)])).await, []);
}

/// In UTF-16 units of the content, for each word of the query, ascending and not overlapping.
pub async fn highlights_are_where_the_words_are(subject: &dyn Subject) {
    let (index, chat) = (subject.index(), a_chat());
    let content = "\u{1f44d} Fox, the <em>fox</em> & Dog \u{1f98a}\u{1f98a} FOX";
    settle(&*index, vec![a_document(chat, 1, content)]).await;
    let hits = index.search(&a_query("dog fox", &[whole(chat)])).await.unwrap();
    let units: Vec<u16> = content.encode_utf16().collect();
    let text_at = |(start, end): &(u64, u64)| {
        let (start, end) = (usize::try_from(*start).unwrap(), usize::try_from(*end).unwrap());
        String::from_utf16(&units[start..end]).unwrap()
    };
    let highlights = &hits[0].highlights;
    assert_eq!(highlights.iter().map(text_at).collect::<Vec<_>>(), ["Fox", "fox", "Dog", "FOX"]);
    assert!(highlights.is_sorted_by(|before, next| before.1 <= next.0), "{highlights:?}");
}

/// All chats, all versions; others keep theirs.
pub async fn erasing_a_sender_leaves_nothing_of_them(subject: &dyn Subject) {
    let (index, chats, erased) = (subject.index(), [a_chat(), a_chat()], a_user());
    let theirs = |chat, seq| Document { sender: erased.clone(), ..a_document(chat, seq, "word") };
    let others = chats.map(|chat| a_document(chat, 1, "word"));
    let documents = vec![theirs(chats[0], 2), theirs(chats[0], 3), theirs(chats[1], 4)];
    settle(&*index, documents.into_iter().chain(others).collect()).await;
    index.erase(&erased).await.unwrap();
    index.erase(&a_user()).await.unwrap();
    let query = a_query("word", &chats.map(whole));
    await_places(&*index, &query, &[(chats[1].max(chats[0]), 1), (chats[0].min(chats[1]), 1)]).await;
    await_places(&*index, &Query { sender: Some(erased), ..query }, &[]).await;
}
