//! Search: the index proposes, the store decides.
//!
//! The index is seconds behind and knows nothing of who left since. So every hit is read again through the caller's
//! view of its chat; what is gone, no longer theirs or no longer matches is left out, and the page is filled up.

use chat_core::clock::Time;
use chat_core::codes::ErrorCode;
use chat_core::frame::{Fault, Message};
use chat_core::id::{ChatId, UserId};
use chat_core::message_store::ChatState;
use chat_core::search::words::Wanted;
use chat_core::search::{After, Hit, Query, Scope, SearchIndex};
use futures_util::{StreamExt, TryStreamExt, stream};
use rustc_hash::FxHashMap;
use schemars::JsonSchema;
use serde::Serialize;

use crate::state::State;
use crate::view::{View, store_fault};

/// Questions to the index for one page; then the page is shorter, and its cursor leads on.
const MAX_ROUNDS: usize = 8;

/// Chats a read.
const READ_CHATS: usize = 256;

/// Messages that are read at once.
const CONCURRENT_READS: usize = 16;

/// What is searched for.
#[derive(Debug, Clone, Hash)]
pub(crate) struct Asked {
    pub(crate) text: String,
    pub(crate) chat_id: Option<ChatId>,
    pub(crate) sender: Option<UserId>,
    pub(crate) from: Option<Time>,
    pub(crate) to: Option<Time>,
}

/// One message that was found.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Found {
    pub(crate) message: Message,
    /// Ranges in `content`, in UTF-16 units.
    pub(crate) highlights: Vec<(u64, u64)>,
}

/// One page, and where the next begins.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FoundPage {
    pub(crate) items: Vec<Found>,
    pub(crate) next: Option<After>,
}

/// Finds messages that the user may see, newest first.
pub(crate) async fn search(
    state: &State,
    user: &UserId,
    asked: &Asked,
    mut after: Option<After>,
    limit: usize,
) -> Result<FoundPage, Fault> {
    let index = state.search.as_deref().ok_or_else(|| Fault::of(ErrorCode::NotEnabled))?;
    let scopes = scopes(state, user, asked.chat_id).await?;
    let wanted = Wanted::of(&asked.text);
    let kept_since = state.store.kept_since();
    let mut items: Vec<Found> = Vec::with_capacity(limit);
    for _ in 0..MAX_ROUNDS {
        // One more than there is room for tells whether there are more.
        let room = limit - items.len();
        let hits = ask(index, query(asked, kept_since, &scopes, after, room + 1)).await?;
        let has_more = hits.len() > room;
        let looked_at: Vec<Hit> = hits.into_iter().take(room).collect();
        after = looked_at.last().map(|hit| hit.place).or(after);
        items.extend(check(state, user, &wanted, asked, looked_at).await?);
        if !has_more {
            return Ok(FoundPage { items, next: None });
        }
        if items.len() == limit {
            break;
        }
    }
    Ok(FoundPage { items, next: after })
}

fn query(asked: &Asked, kept_since: Time, scopes: &[Scope], after: Option<After>, limit: usize) -> Query {
    Query {
        text: asked.text.clone(),
        scopes: scopes.to_vec(),
        sender: asked.sender.clone(),
        // What has aged out may still be in the index.
        from: asked.from.max((kept_since != Time::default()).then_some(kept_since)),
        to: asked.to,
        after,
        limit,
    }
}

async fn ask(index: &dyn SearchIndex, query: Query) -> Result<Vec<Hit>, Fault> {
    index.search(&query).await.map_err(|error| {
        tracing::warn!(%error, "failed to search");
        Fault::of(ErrorCode::Unavailable).retry_after(1_000)
    })
}

/// Returns what the user may see: of one chat, or of all they are or were in.
async fn scopes(state: &State, user: &UserId, chat_id: Option<ChatId>) -> Result<Vec<Scope>, Fault> {
    let chats: Vec<ChatId> = match chat_id {
        Some(chat_id) => vec![View::open(state, user, chat_id).await?.chat_id],
        None => state.store.inbox(user).await.map_err(store_fault)?.into_iter().map(|row| row.chat_id).collect(),
    };
    let mut scopes = Vec::with_capacity(chats.len());
    for batch in chats.chunks(READ_CHATS) {
        let rows = state.store.memberships(user, batch).await.map_err(store_fault)?;
        scopes.extend(batch.iter().zip(rows).filter_map(|(chat_id, row)| {
            let row = row?;
            Some(Scope { chat_id: *chat_id, after: row.join_seq, upto: row.left() })
        }));
    }
    Ok(scopes)
}

/// Reads hits again; leaves out those that are no longer what was asked for.
async fn check(
    state: &State,
    user: &UserId,
    wanted: &Wanted,
    asked: &Asked,
    hits: Vec<Hit>,
) -> Result<Vec<Found>, Fault> {
    let views = views(state, user, &hits).await?;
    let views = &views;
    let found = stream::iter(hits).map(|hit| async move {
        let Some(view) = views.get(&hit.place.chat_id).filter(|view| view.shows(hit.place.seq)) else {
            return Ok(None);
        };
        match view.clone().message(state, hit.place.seq).await {
            Ok((_, message)) => Ok(confirm(message, hit, wanted, asked)),
            Err(fault) if fault.code == ErrorCode::MessageNotFound => Ok(None),
            Err(fault) => Err(fault),
        }
    });
    let found: Vec<Option<Found>> = found.buffered(CONCURRENT_READS).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

/// Decides whether a message is still what was asked for. Pure.
fn confirm(message: Message, hit: Hit, wanted: &Wanted, asked: &Asked) -> Option<Found> {
    if message.deleted_at.is_some() || asked.sender.as_ref().is_some_and(|sender| *sender != message.sender) {
        return None;
    }
    // The index may have seen the words before the edit; what it says of a message never edited holds.
    let highlights = match message.edited_at {
        None => hit.highlights,
        Some(_) if wanted.match_all(&message.content) => wanted.highlights(&message.content),
        Some(_) => return None,
    };
    Some(Found { message, highlights })
}

async fn views(state: &State, user: &UserId, hits: &[Hit]) -> Result<FxHashMap<ChatId, View>, Fault> {
    let mut chats: Vec<ChatId> = hits.iter().map(|hit| hit.place.chat_id).collect();
    chats.sort_unstable();
    chats.dedup();
    if chats.is_empty() {
        return Ok(FxHashMap::default());
    }
    let heads = state.store.states(&chats).await.map_err(store_fault)?;
    let members = state.store.memberships(user, &chats).await.map_err(store_fault)?;
    let view = |((chat_id, head), member): ((ChatId, Option<ChatState>), _)| {
        let head = head.filter(ChatState::exists)?;
        Some((chat_id, View { chat_id, head, member: member? }))
    };
    Ok(chats.into_iter().zip(heads).zip(members).filter_map(view).collect())
}

#[cfg(test)]
mod tests {
    use chat_core::frame::ContentType;
    use chat_core::id::MessageId;
    use uuid::Uuid;

    use super::*;

    fn message(content: &str, edited: bool) -> Message {
        Message {
            chat_id: ChatId(Uuid::from_u128(1)),
            seq: 3,
            rev: None,
            message_id: MessageId(Uuid::from_u128(2)),
            sender: UserId::new("ann").unwrap(),
            content_type: ContentType::Text,
            content: content.to_owned(),
            attachment: None,
            meta: None,
            system: None,
            created_at: Time::from_millis(5),
            edited_at: edited.then(|| Time::from_millis(6)),
            deleted_at: None,
        }
    }

    fn confirmed(message: Message, sender: Option<&str>) -> Option<Vec<(u64, u64)>> {
        let place = After { created_at: message.created_at, chat_id: message.chat_id, seq: message.seq };
        let hit = Hit { place, highlights: vec![(0, 5)] };
        let sender = sender.map(|sender| UserId::new(sender).unwrap());
        let asked = Asked { text: "hello".to_owned(), chat_id: None, sender, from: None, to: None };
        confirm(message, hit, &Wanted::of(&asked.text), &asked).map(|found| found.highlights)
    }

    #[test]
    fn a_hit_holds_as_long_as_the_message_says_so() {
        assert_eq!(confirmed(message("hello", false), None), Some(vec![(0, 5)]));
        assert_eq!(confirmed(message("oh, hello", true), None), Some(vec![(4, 9)]), "made again after an edit");
        assert_eq!(confirmed(message("goodbye", true), None), None, "edited to something else");
        assert_eq!(confirmed(message("hello", false), Some("bob")), None);
        let deleted = Message { deleted_at: Some(Time::from_millis(7)), ..message("", false) };
        assert_eq!(confirmed(deleted, None), None);
    }
}
