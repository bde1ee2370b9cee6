//! Of the writes of one call to one max register the highest is enough.

use std::collections::hash_map::Entry;

use rustc_hash::FxHashMap;

use crate::id::{ChatId, Seq, UserId};
use crate::message_store::Row;

/// Leaves of the cursors of a member one row each, with the highest values; every other row stays as it is.
pub(super) fn of_each_register(rows: Vec<Row>) -> Vec<Row> {
    let mut kept = Vec::with_capacity(rows.len());
    let mut places = FxHashMap::<(bool, ChatId, UserId), usize>::default();
    for row in rows {
        let (push, chat_id, user) = match &row {
            Row::Cursor { chat_id, user, .. } => (false, *chat_id, user.clone()),
            Row::PushCursor { chat_id, user, .. } => (true, *chat_id, user.clone()),
            _ => {
                kept.push(row);
                continue;
            }
        };
        match places.entry((push, chat_id, user)) {
            Entry::Vacant(place) => {
                place.insert(kept.len());
                kept.push(row);
            }
            Entry::Occupied(place) => raise(&mut kept[*place.get()], &row),
        }
    }
    kept
}

fn raise(held: &mut Row, row: &Row) {
    let up = |held: &mut Seq, to: &Seq| *held = (*held).max(*to);
    match (held, row) {
        (Row::Cursor { delivered, read, .. }, Row::Cursor { delivered: to_delivered, read: to_read, .. }) => {
            up(delivered, to_delivered);
            up(read, to_read);
        }
        (Row::PushCursor { active, pushed, .. }, Row::PushCursor { active: to_active, pushed: to_pushed, .. }) => {
            up(active, to_active);
            up(pushed, to_pushed);
        }
        (held, row) => unreachable!("{row:?} is no cursor of {held:?}"),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn each_cursor_keeps_its_highest_values_and_no_other_row_is_lost() {
        let (chat_id, user) = (ChatId(Uuid::nil()), UserId::new("ann").unwrap());
        let cursor = |delivered, read| Row::Cursor { chat_id, user: user.clone(), delivered, read };
        let push = |active, pushed| Row::PushCursor { chat_id, user: user.clone(), active, pushed };
        let slot = |slot| Row::Active { user: user.clone(), chat_id, slot };
        let rows = vec![cursor(5, 1), slot(1), push(2, 2), cursor(3, 4), slot(2), push(1, 3)];
        assert_eq!(of_each_register(rows), [cursor(5, 4), slot(1), push(2, 3), slot(2)]);
    }
}
