//! The statements of the store, prepared once.

use crate::cassandra::statements;

statements! {
    put_state: "UPDATE chats USING TIMESTAMP ? SET state = ? WHERE chat_id = ?";
    put_chat: "INSERT INTO chats (chat_id, type, name, created_at, created_by) VALUES (?, ?, ?, ?, ?) \
        USING TIMESTAMP ?";
    put_name: "UPDATE chats USING TIMESTAMP ? SET name = ? WHERE chat_id = ?";
    put_roster: "INSERT INTO rosters (chat_id, at, members) VALUES (?, ?, ?)";
    put_message: "INSERT INTO messages (chat_id, bucket, seq, position, message_id, sender_id, type, content, \
        attachment, meta, system, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?";
    edit_message: "UPDATE messages USING TIMESTAMP ? AND TTL ? SET content = ?, meta = ?, edited_at = ?, rev = ? \
        WHERE chat_id = ? AND bucket = ? AND seq = ?";
    delete_message: "UPDATE messages USING TIMESTAMP ? AND TTL ? SET content = '', meta = '', attachment = '', \
        deleted_at = ?, deleted_position = ?, rev = ? WHERE chat_id = ? AND bucket = ? AND seq = ?";
    put_id: "INSERT INTO message_ids (chat_id, day, id, sender_id, seq, rev, position) VALUES (?, ?, ?, ?, ?, ?, ?) \
        USING TIMESTAMP ?";
    put_change: "INSERT INTO changes (chat_id, bucket, rev, seq) VALUES (?, ?, ?, ?) USING TIMESTAMP ?";
    put_member: "UPDATE chat_members USING TIMESTAMP ? SET role = ?, joined_at = ?, join_seq = ?, left_seq = ? \
        WHERE chat_id = ? AND user_id = ?";
    put_delivered: "UPDATE chat_members USING TIMESTAMP ? SET delivered_seq = ? WHERE chat_id = ? AND user_id = ?";
    put_read: "UPDATE chat_members USING TIMESTAMP ? SET read_seq = ? WHERE chat_id = ? AND user_id = ?";
    put_active: "UPDATE chat_members USING TIMESTAMP ? SET active_seq = ? WHERE chat_id = ? AND user_id = ?";
    put_pushed: "UPDATE chat_members USING TIMESTAMP ? SET pushed_seq = ? WHERE chat_id = ? AND user_id = ?";
    put_muted: "UPDATE chat_members USING TIMESTAMP ? SET muted_until = ? WHERE chat_id = ? AND user_id = ?";
    put_inbox: "UPDATE chats_by_user USING TIMESTAMP ? SET joined_at = ?, left_at = ? \
        WHERE user_id = ? AND chat_id = ?";
    put_slot: "UPDATE chats_by_user USING TIMESTAMP ? SET active_slot = ? WHERE user_id = ? AND chat_id = ?";
    state: "SELECT state FROM chats WHERE chat_id = ?";
    header: "SELECT type, name, created_at, created_by FROM chats WHERE chat_id = ?";
    roster: "SELECT members FROM rosters WHERE chat_id = ? AND at = ?";
    roster_before: "SELECT members FROM rosters WHERE chat_id = ? AND at < ? LIMIT 1";
    id: "SELECT seq, rev, position, writetime(seq) FROM message_ids \
        WHERE chat_id = ? AND day = ? AND id = ? AND sender_id = ?";
    messages_newest_first: "SELECT seq, position, writetime(position), message_id, sender_id, type, content, \
        attachment, meta, system, created_at, edited_at, deleted_at, deleted_position, rev FROM messages \
        WHERE chat_id = ? AND bucket = ? AND seq > ? AND seq <= ?";
    messages_oldest_first: "SELECT seq, position, writetime(position), message_id, sender_id, type, content, \
        attachment, meta, system, created_at, edited_at, deleted_at, deleted_position, rev FROM messages \
        WHERE chat_id = ? AND bucket = ? AND seq > ? AND seq <= ? ORDER BY seq ASC";
    created: "SELECT created_at FROM messages WHERE chat_id = ? AND bucket = ? AND seq = ?";
    changes: "SELECT rev, seq FROM changes WHERE chat_id = ? AND bucket = ? AND rev > ? AND rev <= ?";
    members: "SELECT user_id, role, joined_at, join_seq, left_seq, delivered_seq, read_seq, active_seq, pushed_seq, \
        muted_until FROM chat_members WHERE chat_id = ?";
    membership: "SELECT user_id, role, joined_at, join_seq, left_seq, delivered_seq, read_seq, active_seq, \
        pushed_seq, muted_until FROM chat_members WHERE chat_id = ? AND user_id = ?";
    inbox: "SELECT chat_id, joined_at, WRITETIME(joined_at), left_at, WRITETIME(left_at), active_slot \
        FROM chats_by_user WHERE user_id = ?";
    restore_epoch: "SELECT value FROM marks WHERE name = 'restore_epoch'";
}
