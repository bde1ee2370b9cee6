//! One write of the port as one statement, cursors as one for each that is above 0.

use scylla::statement::prepared::PreparedStatement;
use scylla::value::MaybeUnset;

use super::{CassandraStore, bucket_of, cells, day_of};
use crate::cassandra::values::{long, moment, position_bytes, word};
use crate::clock::Time;
use crate::frame::Message;
use crate::id::{ChatId, UserId};
use crate::message_log::Position;
use crate::message_store::{ChatState, Row, StoreError};

impl CassandraStore {
    pub(super) async fn write_state(&self, chat: ChatId, state: &ChatState) -> Result<(), StoreError> {
        let values = (long(state.ts), cells::state_cell(state), chat.0);
        self.cassandra.execute(&self.statements.put_state, values).await
    }

    pub(super) async fn write(&self, row: &Row) -> Result<(), StoreError> {
        let (cassandra, statements) = (&self.cassandra, &*self.statements);
        match row {
            Row::Chat { chat_id, ts, header } => {
                let (chat_type, name) = (word(&header.chat_type), MaybeUnset::from_option(header.name.as_deref()));
                let (at, by) = (moment(header.created_at), header.created_by.as_str());
                cassandra.execute(&statements.put_chat, (chat_id.0, chat_type, name, at, by, long(*ts))).await
            }
            Row::ChatName { chat_id, ts, name } => {
                cassandra.execute(&statements.put_name, (long(*ts), name, chat_id.0)).await
            }
            Row::Roster { chat_id, at, roster } => {
                let values = (chat_id.0, position_bytes(*at), cells::json(Some(&**roster)));
                cassandra.execute(&statements.put_roster, values).await
            }
            Row::Message { ts, position, message } => self.create(*ts, *position, message).await,
            Row::Edit { chat_id, seq, ts, rev, content, meta, edited_at } => {
                let (meta, at, rev) = (cells::json(meta.as_ref()), moment(*edited_at), long(*rev));
                let (ts, bucket) = (long(*ts), long(bucket_of(*seq)));
                let values = (ts, self.ttl, content, meta, at, rev, chat_id.0, bucket, long(*seq));
                cassandra.execute(&statements.edit_message, values).await
            }
            Row::Delete { chat_id, seq, ts, rev, deleted_at, position } => {
                let (at, position, rev) = (moment(*deleted_at), position_bytes(*position), long(*rev));
                let (ts, bucket) = (long(*ts), long(bucket_of(*seq)));
                let values = (ts, self.ttl, at, position, rev, chat_id.0, bucket, long(*seq));
                cassandra.execute(&statements.delete_message, values).await
            }
            Row::Id { key, row } => {
                let (position, actor) = (position_bytes(row.position), key.actor.as_str());
                let (seq, rev, ts) = (long(row.seq), long(row.rev), long(row.ts));
                let values = (key.chat_id.0, day_of(key.id), key.id, actor, seq, rev, position, ts);
                cassandra.execute(&statements.put_id, values).await
            }
            Row::Change { chat_id, rev, ts, seq } => {
                let values = (chat_id.0, long(bucket_of(*rev)), long(*rev), long(*seq), long(*ts));
                cassandra.execute(&statements.put_change, values).await
            }
            Row::Member { chat_id, user, ts, role, joined, left_seq } => {
                let at = MaybeUnset::from_option(joined.map(|(at, _)| moment(at)));
                let seq = MaybeUnset::from_option(joined.map(|(_, seq)| long(seq)));
                let left = MaybeUnset::from_option(left_seq.map(long));
                let values = (long(*ts), word(role), at, seq, left, chat_id.0, user.as_str());
                cassandra.execute(&statements.put_member, values).await
            }
            Row::Cursor { chat_id, user, delivered, read } => {
                self.raise(&statements.put_delivered, *chat_id, user, *delivered).await?;
                self.raise(&statements.put_read, *chat_id, user, *read).await
            }
            Row::PushCursor { chat_id, user, active, pushed } => {
                self.raise(&statements.put_active, *chat_id, user, *active).await?;
                self.raise(&statements.put_pushed, *chat_id, user, *pushed).await
            }
            Row::Mute { chat_id, user, ts, until } => {
                // 1970 stands for "not muted".
                let until = moment(until.unwrap_or(Time::from_millis(0)));
                cassandra.execute(&statements.put_muted, (long(*ts), until, chat_id.0, user.as_str())).await
            }
            Row::Inbox { user, chat_id, ts, joined_at, left_at } => {
                let joined = MaybeUnset::from_option(joined_at.map(moment));
                let left = MaybeUnset::from_option(left_at.map(moment));
                let values = (long(*ts), joined, left, user.as_str(), chat_id.0);
                cassandra.execute(&statements.put_inbox, values).await
            }
            Row::Active { user, chat_id, slot } => {
                let values = (long(*slot), long(*slot), user.as_str(), chat_id.0);
                cassandra.execute(&statements.put_slot, values).await
            }
        }
    }

    async fn create(&self, ts: u64, position: Position, message: &Message) -> Result<(), StoreError> {
        let Message {
            chat_id,
            seq,
            message_id,
            sender,
            content_type,
            content,
            attachment,
            meta,
            system,
            created_at,
            ..
        } = message;
        let values = (
            chat_id.0,
            long(bucket_of(*seq)),
            long(*seq),
            position_bytes(position),
            message_id.0,
            sender.as_str(),
            word(content_type),
            content,
            MaybeUnset::from_option(attachment.as_ref().map(|attachment| cells::json(Some(attachment)))),
            MaybeUnset::from_option(meta.as_ref().map(|meta| cells::json(Some(meta)))),
            MaybeUnset::from_option(system.as_ref().map(|system| cells::json(Some(system)))),
            moment(*created_at),
            long(ts),
            self.ttl,
        );
        self.cassandra.execute(&self.statements.put_message, values).await
    }

    /// Raises a max register: its value is its write timestamp. It begins at 0.
    async fn raise(
        &self,
        statement: &PreparedStatement,
        chat: ChatId,
        user: &UserId,
        to: u64,
    ) -> Result<(), StoreError> {
        if to == 0 {
            return Ok(());
        }
        self.cassandra.execute(statement, (long(to), long(to), chat.0, user.as_str())).await
    }
}
