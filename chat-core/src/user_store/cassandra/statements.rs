//! The statements of the store, prepared once.

use crate::cassandra::statements;

statements! {
    user: "SELECT last_seen_at, last_seen_visible, not_before, writetime(last_seen_at), writetime(last_seen_visible) \
        FROM users WHERE user_id = ?";
    put_seen: "UPDATE users USING TIMESTAMP ? SET last_seen_at = ? WHERE user_id = ?";
    put_visible: "UPDATE users USING TIMESTAMP ? SET last_seen_visible = ? WHERE user_id = ?";
    put_not_before: "UPDATE users USING TIMESTAMP ? SET not_before = ? WHERE user_id = ?";
    clear_seen: "UPDATE users USING TIMESTAMP ? AND TTL ? SET last_seen_at = ? WHERE user_id = ?";
    clear_visible: "UPDATE users USING TIMESTAMP ? AND TTL ? SET last_seen_visible = true WHERE user_id = ?";
    device: "SELECT device_id, platform, push_token, updated_at, invalid_token, invalid_at, writetime(push_token), \
        writetime(invalid_token) FROM devices WHERE user_id = ? AND device_id = ?";
    devices: "SELECT device_id, platform, push_token, updated_at, invalid_token, invalid_at, writetime(push_token), \
        writetime(invalid_token) FROM devices WHERE user_id = ?";
    put_device: "UPDATE devices USING TIMESTAMP ? SET platform = ?, push_token = ?, updated_at = ?, \
        invalid_token = ?, invalid_at = ? WHERE user_id = ? AND device_id = ?";
    put_invalid: "UPDATE devices USING TIMESTAMP ? SET invalid_token = ?, invalid_at = ? \
        WHERE user_id = ? AND device_id = ?";
    clear_device: "UPDATE devices USING TIMESTAMP ? AND TTL ? SET platform = '', push_token = '', updated_at = ?, \
        invalid_token = '', invalid_at = ? WHERE user_id = ? AND device_id = ?";
    block: "SELECT blocked_id, at, writetime(at) FROM blocks WHERE user_id = ? AND blocked_id = ?";
    blocks: "SELECT blocked_id, at, writetime(at) FROM blocks WHERE user_id = ? AND blocked_id > ?";
    put_block: "UPDATE blocks USING TIMESTAMP ? SET at = ? WHERE user_id = ? AND blocked_id = ?";
    clear_block: "UPDATE blocks USING TIMESTAMP ? AND TTL ? SET at = ? WHERE user_id = ? AND blocked_id = ?";
    usage: "SELECT hour, metric, partition, value, position FROM usage_hourly \
        WHERE day = ? AND hour >= ? AND hour < ?";
    put_usage: "UPDATE usage_hourly USING TIMESTAMP ? SET value = ?, position = ? \
        WHERE day = ? AND hour = ? AND metric = ? AND partition = ?";
    report: "SELECT report, writetime(report) FROM erasure_reports WHERE report_id = ?";
    unfinished: "SELECT report_id, open FROM unfinished_erasures WHERE kind = 'erasure'";
    put_unfinished: "UPDATE unfinished_erasures USING TIMESTAMP ? SET open = true \
        WHERE kind = 'erasure' AND report_id = ?";
    clear_unfinished: "UPDATE unfinished_erasures USING TIMESTAMP ? AND TTL ? SET open = false \
        WHERE kind = 'erasure' AND report_id = ?";
    put_report: "UPDATE erasure_reports USING TIMESTAMP ? SET report = ? WHERE report_id = ?";
}
