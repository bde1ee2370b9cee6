//! Every call of the public port: its route, its handler and its description.

use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use bytes::Bytes;
use chat_core::codes::ErrorCode as Code;
use chat_core::frame::{Chat, Member, Message, Page};
use chat_core::id::MAX_INTEGER;
use chat_core::push::outcome::PushOutcomes;
use chat_core::user_store::BlockRow;
use serde_json::{Value, json};

use super::api::{Api, Call, PROBLEM, problem_of};
use super::{
    backend, blocks, chat, chats, devices, erasure, events, frames, me, members, messages, mute, presence, push,
    receipts, search, upgrade,
};
use crate::search::Found;
use crate::state::State;

const CHAT: &str = "/v1/chats/{chat_id}";
const MEMBER: &str = "/v1/chats/{chat_id}/members/{user}";
const MUTE: &str = "/v1/chats/{chat_id}/mute";
const MESSAGES: &str = "/v1/chats/{chat_id}/messages";
const MESSAGE: &str = "/v1/chats/{chat_id}/messages/{seq}";

/// Makes all calls.
pub(super) fn all() -> Api {
    backend_calls(own_calls(message_calls(chat_calls(session_calls(Api::new())))))
}

/// Adds the documents, which describe all else.
pub(super) fn documents(router: Router<Arc<State>>, openapi: &Value, asyncapi: &Value) -> Router<Arc<State>> {
    let serve = |document: &Value| {
        let text = Bytes::from(document.to_string());
        get(async move || ([(CONTENT_TYPE, "application/json")], text))
    };
    router.route("/v1/openapi.json", serve(openapi)).route("/v1/asyncapi.json", serve(asyncapi))
}

fn frame() -> Value {
    json!({ "type": "object", "required": ["type"], "description": "A frame of `/v1/asyncapi.json`.", "properties": {
        "id": { "type": "integer", "minimum": 0, "maximum": MAX_INTEGER }, "type": { "type": "string" },
        "d": { "type": "object" } } })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn poll_cursor() -> Value {
    json!({ "type": "string", "maxLength": 1024 })
}

fn frames_of(rest: &[(&str, Value)]) -> Value {
    let mut schema = json!({ "type": "object", "required": ["frames"], "properties": {
        "frames": { "type": "array", "items": frame() } } });
    for (name, field) in rest {
        schema["properties"][*name] = field.clone();
        if let Some(required) = schema["required"].as_array_mut() {
            required.push(json!(name));
        }
    }
    schema
}

fn session_calls(api: Api) -> Api {
    let upgrade =
        Call::open("get", "/v1/ws", "openSocket", "Upgrades to a WebSocket; its frames: `/v1/asyncapi.json`.")
            .header("Sec-WebSocket-Protocol", "`chat.v1.json`, and `bearer.<jwt>` where no header can be sent.", |_| {
                text()
            })
            .empty(101, "The socket is open. A refused token is told by close code.")
            .answer(
                426,
                "Not a WebSocket handshake of version 13.",
                Some(|_| problem_of(&[Code::InvalidArgument])),
                PROBLEM,
            )
            .codes(&[Code::InvalidArgument, Code::OriginNotAllowed, Code::OverCapacity]);
    let events = Call::new("read", "get", "/v1/events", "pollEvents", "Waits for frames: long poll or event stream.")
        .query::<events::Asked>()
        .header("Last-Event-ID", "Instead of `cursor`.", |_| poll_cursor())
        .answer(
            200,
            "The frames since the cursor.",
            Some(|_| frames_of(&[("cursor", poll_cursor()), ("recovered", json!({ "type": "boolean" }))])),
            "application/json",
        )
        .answer(200, "", Some(|_| text()), "text/event-stream")
        .codes(&[Code::InvalidCursor, Code::LimitExceeded]);
    let post =
        Call::new("read", "post", "/v1/frames", "postFrame", "Sends one frame; its reply comes back, errors too.")
            .frame_body(|_| frame())
            .answer(200, "The pushes it caused, then its reply.", Some(|_| frames_of(&[])), "application/json")
            .codes(&[Code::InvalidJson, Code::UnsupportedMediaType, Code::FrameTooLarge, Code::RateLimited]);
    api.serve(&upgrade, upgrade::upgrade).serve(&events, events::events).serve(&post, frames::post)
}

fn chat_calls(api: Api) -> Api {
    let create = Call::new("write", "post", "/v1/chats", "createChat", "Creates a group, or opens a DIRECT chat.")
        .body::<chats::NewChat>()
        .change()
        .json::<Chat>(201, "It began.")
        .json::<Chat>(200, "It was there already.")
        .codes(&[Code::Blocked, Code::ChatExists, Code::GroupFull, Code::LimitExceeded]);
    let list = Call::new("read", "get", "/v1/chats", "listChats", "Lists the caller's chats, newest first.")
        .query::<chats::ListChats>()
        .json::<Page<Chat>>(200, "A page.")
        .codes(&[Code::InvalidCursor]);
    let read = Call::new("read", "get", CHAT, "readChat", "Reads a chat with its members.")
        .json::<chat::ChatWithMembers>(200, "The chat.")
        .codes(&[Code::ChatNotFound]);
    let rename = Call::new("write", "patch", CHAT, "renameChat", "Renames a group. ADMIN.")
        .body::<chats::Rename>()
        .change()
        .json::<Chat>(200, "The chat.")
        .codes(&[Code::ChatNotFound]);
    let set = Call::new("write", "put", MEMBER, "setMember", "Adds a member or sets a role. ADMIN.")
        .body::<members::SetMember>()
        .change()
        .json::<Member>(200, "The member.")
        .codes(&[Code::ChatNotFound, Code::NotFound, Code::LastAdmin, Code::GroupFull, Code::LimitExceeded]);
    let remove =
        Call::new("write", "delete", MEMBER, "removeMember", "Removes a member, or leaves. ADMIN, or oneself.")
            .change()
            .empty(204, "No longer a member.")
            .codes(&[Code::ChatNotFound, Code::NotFound]);
    let put = Call::new("write", "put", MUTE, "muteChat", "Stops push for a chat.")
        .body::<mute::Mute>()
        .empty(204, "Muted.")
        .codes(&[Code::ChatNotFound]);
    let delete = Call::new("write", "delete", MUTE, "unmuteChat", "Ends that.")
        .empty(204, "Not muted.")
        .codes(&[Code::ChatNotFound]);
    api.serve(&create, chats::create)
        .serve(&list, chats::list)
        .serve(&read, chats::read)
        .serve(&rename, chats::rename)
        .serve(&set, members::set)
        .serve(&remove, members::remove)
        .serve(&put, mute::put)
        .serve(&delete, mute::delete)
}

fn message_calls(api: Api) -> Api {
    let no_message = [Code::ChatNotFound, Code::MessageNotFound];
    let list =
        Call::new("read", "get", MESSAGES, "listMessages", "Reads history: newest first, with `after` oldest first.")
            .query::<messages::ListMessages>()
            .json::<messages::History>(200, "A stretch of history.")
            .codes(&[Code::ChatNotFound]);
    let send = Call::new("write", "post", MESSAGES, "sendMessage", "Sends a message.")
        .body::<messages::NewMessage>()
        .change()
        .json::<Message>(201, "The message.")
        .json::<Message>(200, "It was sent before.")
        .json::<messages::Accepted>(202, "Durable, not sequenced yet.")
        .codes(&[Code::ChatNotFound, Code::Blocked]);
    let read = Call::new("read", "get", MESSAGE, "readMessage", "Reads one message.")
        .json::<Message>(200, "The message.")
        .codes(&no_message);
    let edit = Call::new("write", "patch", MESSAGE, "editMessage", "Replaces the content of an own message.")
        .body::<messages::EditMessage>()
        .change()
        .json::<Message>(200, "The message.")
        .codes(&no_message)
        .codes(&[Code::Blocked]);
    let delete = Call::new("write", "delete", MESSAGE, "deleteMessage", "Deletes a message: the author, or an ADMIN.")
        .change()
        .empty(204, "It is deleted.")
        .codes(&no_message);
    let path = "/v1/chats/{chat_id}/messages/{seq}/receipts";
    let receipts = Call::new("read", "get", path, "listReceipts", "Tells the sender who has a message.")
        .query::<receipts::ListReceipts>()
        .json::<receipts::Receipts>(200, "A page, and the counts over all.")
        .codes(&no_message)
        .codes(&[Code::InvalidCursor]);
    let find = Call::new("read", "get", "/v1/search", "searchMessages", "Finds messages that the caller may see.")
        .query::<search::SearchFor>()
        .json::<Page<Found>>(200, "A page, newest first.")
        .codes(&[Code::ChatNotFound, Code::InvalidCursor, Code::NotEnabled]);
    api.serve(&list, messages::list)
        .serve(&send, messages::send)
        .serve(&read, messages::read)
        .serve(&edit, messages::edit)
        .serve(&delete, messages::delete)
        .serve(&receipts, receipts::list)
        .serve(&find, search::find)
}

fn own_calls(api: Api) -> Api {
    let device = "/v1/devices/{device}";
    let block = "/v1/blocks/{user}";
    let look = Call::new("read", "get", "/v1/presence", "readPresence", "Tells who is online.")
        .query::<presence::Asked>()
        .json::<presence::Told>(200, "As far as the caller may know it.");
    let read =
        Call::new("read", "get", "/v1/me", "readMe", "Tells callers of themselves.").json::<me::Me>(200, "The caller.");
    let change = Call::new("write", "patch", "/v1/me", "changeMe", "Changes one's settings.")
        .body::<me::ChangeMe>()
        .json::<me::Me>(200, "The caller.");
    let devices = Call::new("read", "get", "/v1/devices", "listDevices", "Lists own devices.")
        .json::<Page<devices::Registered>>(200, "All of them.")
        .codes(&[Code::NotEnabled]);
    let put_device = Call::new("write", "put", device, "putDevice", "Registers a device for push.")
        .body::<devices::PutDevice>()
        .json::<devices::Registered>(200, "The device.")
        .codes(&[Code::LimitExceeded, Code::NotEnabled]);
    let delete_device = Call::new("write", "delete", device, "deleteDevice", "Removes a device.")
        .empty(204, "It is gone.")
        .codes(&[Code::NotEnabled]);
    let blocks = Call::new("read", "get", "/v1/blocks", "listBlocks", "Lists whom the caller has blocked.")
        .query::<blocks::ListBlocks>()
        .json::<Page<BlockRow>>(200, "A page.")
        .codes(&[Code::InvalidCursor]);
    let put_block = Call::new("write", "put", block, "blockUser", "Blocks a user.").empty(204, "Blocked.");
    let delete_block = Call::new("write", "delete", block, "unblockUser", "Ends that.").empty(204, "Not blocked.");
    api.serve(&look, presence::read)
        .serve(&read, me::read)
        .serve(&change, me::change)
        .serve(&devices, devices::list)
        .serve(&put_device, devices::put)
        .serve(&delete_device, devices::delete)
        .serve(&blocks, blocks::list)
        .serve(&put_block, blocks::put)
        .serve(&delete_block, blocks::delete)
}

fn backend_calls(api: Api) -> Api {
    let sign_out = Call::new("admin", "delete", "/v1/users/{user}/sessions", "signOut", "Signs a user out everywhere.")
        .empty(204, "Older tokens of the user are refused.");
    let stats = Call::new("admin", "get", "/v1/stats", "readStats", "Tells what was used, by the hour.")
        .query::<backend::Period>()
        .json::<backend::Stats>(200, "Hours in which something happened.");
    let erase = Call::new("admin", "delete", "/v1/users/{user}", "eraseUser", "Erases a user and all the user wrote.")
        .json::<erasure::Begun>(202, "It began: its report tells how far it came.")
        .codes(&[Code::RateLimited, Code::Overloaded])
        .idempotency_key("A UUIDv7: the id of the report, so that a repeated call begins nothing twice.");
    let report = Call::new("admin", "get", "/v1/reports/{report_id}", "readReport", "Tells how far an erasure came.")
        .json::<erasure::Report>(200, "So far.")
        .codes(&[Code::NotFound]);
    let test = Call::new("admin", "post", "/v1/users/{user}/test-push", "testPush", "Tries each device of a user.")
        .json::<Page<push::Tested>>(200, "What the vendor answered, a device each.")
        .codes(&[Code::NotEnabled]);
    let outcomes =
        Call::new("admin", "get", "/v1/push-outcomes", "listPushOutcomes", "Tells what became of the newest pushes.")
            .query::<push::Asked>()
            .json::<Page<PushOutcomes>>(200, "A message each, newest first.")
            .codes(&[Code::NotEnabled]);
    api.serve(&sign_out, backend::sign_out)
        .serve(&stats, backend::stats)
        .serve(&erase, erasure::begin)
        .serve(&report, erasure::report)
        .serve(&test, push::test)
        .serve(&outcomes, push::outcomes)
}

#[cfg(test)]
mod tests {
    use chat_core::config::Limits;
    use chat_core::frame::document::asyncapi;

    use super::*;

    fn is_fresh(name: &str, document: &Value) {
        let path = format!("{}/../docs/{name}", env!("CARGO_MANIFEST_DIR"));
        let text = serde_json::to_string_pretty(document).unwrap() + "\n";
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == text, "docs/{name} is stale: UPDATE_DOCS=1 cargo test -p chat-gateway documents");
    }

    fn dangling(value: &Value, root: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(target) = fields.get("$ref").and_then(Value::as_str)
                    && root.pointer(target.trim_start_matches('#')).is_none()
                {
                    found.push(target.to_owned());
                }
                fields.values().for_each(|field| dangling(field, root, found));
            }
            Value::Array(items) => items.iter().for_each(|item| dangling(item, root, found)),
            _ => {}
        }
    }

    /// Finds what is marked as a limit of the manifest and has no bound.
    fn unbounded(value: &Value, found: &mut Vec<Value>) {
        match value {
            Value::Object(fields) => {
                let is_bounded = ["x-max-bytes", "maxItems"].iter().any(|keyword| fields.contains_key(*keyword));
                if fields.contains_key("x-limit") && !is_bounded {
                    found.push(value.clone());
                }
                fields.values().for_each(|field| unbounded(field, found));
            }
            Value::Array(items) => items.iter().for_each(|item| unbounded(item, found)),
            _ => {}
        }
    }

    #[test]
    fn documents_tell_the_limits_in_force() {
        let limits = Limits { content_bytes: 777, group_members: 9, ..Limits::default() };
        let (openapi, asyncapi) = (all().finish(&limits).1, asyncapi(&limits));
        let field = |document: &Value, name: &str, field: &str| {
            document["components"]["schemas"][name]["properties"][field].clone()
        };
        assert_eq!(field(&openapi, "NewMessage", "content")["maxLength"], 777);
        assert_eq!(field(&openapi, "NewChat", "members")["maxItems"], 9);
        assert_eq!(field(&asyncapi, "Edit", "content")["x-max-bytes"], 777);
        assert_eq!(field(&asyncapi, "Send", "meta")["x-max-bytes"], 4_096);
        for document in [openapi, asyncapi] {
            let mut found = Vec::new();
            unbounded(&document, &mut found);
            assert_eq!(found, Vec::<Value>::new());
        }
    }

    #[test]
    fn committed_documents_are_fresh_and_whole() {
        let limits = Limits::default();
        for (name, document) in [("openapi.json", all().finish(&limits).1), ("asyncapi.json", asyncapi(&limits))] {
            let mut found = Vec::new();
            dangling(&document, &document, &mut found);
            assert_eq!(found, Vec::<String>::new(), "{name}");
            is_fresh(name, &document);
        }
    }
}
