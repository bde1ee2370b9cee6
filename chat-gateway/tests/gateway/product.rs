use chat_core::clock::{Clock, SystemClock, Time};
use serde_json::{Value, json};

use crate::harness::*;

/// Waits until the index finds so many.
async fn find(gateway: &chat_gateway::Running, user: &str, query: &str, count: usize) -> Value {
    let path = format!("/v1/search?{query}");
    eventually(gateway, user, &path, |page| page["items"].as_array().unwrap().len() == count).await
}

fn contents(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|item| item["message"]["content"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn search_finds_what_one_may_see_newest_first() {
    let stack = Stack::with_workers().await;
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let chat_id = group(&gateway, "ann", &["bob"]).await;
    let mut ann = Client::connect(&gateway, "ann").await;
    let mut bob = Client::connect(&gateway, "bob").await;
    ann.say(&json!({"chat_id": chat_id}), "a red car").await;
    bob.say(&json!({"chat_id": chat_id}), "the car is RED 👍 car").await;
    ann.say(&json!({"to": "bob"}), "red cars, my car").await;
    bob.messages(3).await;
    let page = find(&gateway, "bob", "q=red+car", 3).await;
    assert_eq!(contents(&page), ["red cars, my car", "the car is RED 👍 car", "a red car"]);
    assert_eq!(page["items"][1]["highlights"], json!([[4, 7], [11, 14], [18, 21]]));
    let of_ann = find(&gateway, "bob", &format!("q=car&sender=ann&chat_id={chat_id}"), 1).await;
    assert_eq!(contents(&of_ann), ["a red car"]);
    let mut cursor = String::new();
    let mut paged = Vec::new();
    loop {
        let page = call(&gateway, "bob", "GET", &format!("/v1/search?q=red+car&limit=1{cursor}"), None).await.body;
        paged.extend(contents(&page).into_iter().map(str::to_owned));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(paged, contents(&page));
    let other = call(&gateway, "bob", "GET", &format!("/v1/search?q=car{cursor}"), None).await;
    assert_eq!(other.body["code"], "invalid_cursor", "a cursor belongs to its filters");
    assert_eq!(call(&gateway, "eve", "GET", "/v1/search?q=car", None).await.body["items"], json!([]));
    let hidden = call(&gateway, "eve", "GET", &format!("/v1/search?q=car&chat_id={chat_id}"), None).await;
    assert_eq!((hidden.status, &hidden.body["code"]), (404, &json!("chat_not_found")));
    for (query, field) in [("q=", "q"), ("q=a&limit=0", "limit"), ("", "query")] {
        let refused = call(&gateway, "bob", "GET", &format!("/v1/search?{query}"), None).await;
        assert_eq!((refused.status, &refused.body["field"]), (400, &json!(field)), "{query}");
    }
}

#[tokio::test]
async fn a_late_member_finds_nothing_from_before_and_nobody_finds_what_is_deleted() {
    let stack = Stack::with_workers().await;
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let chat_id = group(&gateway, "ann", &["bob"]).await;
    let mut ann = Client::connect(&gateway, "ann").await;
    ann.say(&json!({"chat_id": chat_id}), "secret one").await;
    let body = Some(json!({"role": "MEMBER"}));
    call(&gateway, "ann", "PUT", &format!("/v1/chats/{chat_id}/members/eve"), body).await;
    ann.say(&json!({"chat_id": chat_id}), "secret two").await;
    ann.messages(3).await;
    find(&gateway, "ann", "q=secret", 2).await;
    assert_eq!(contents(&find(&gateway, "eve", "q=secret", 1).await), ["secret two"]);
    call(&gateway, "ann", "DELETE", &format!("/v1/chats/{chat_id}/messages/4"), None).await;
    let path = format!("/v1/chats/{chat_id}/messages/2");
    call(&gateway, "ann", "PATCH", &path, Some(json!({"content": "no longer"}))).await;
    // At once, whatever the index has taken in by now.
    assert_eq!(call(&gateway, "ann", "GET", "/v1/search?q=secret", None).await.body["items"], json!([]));
}

#[tokio::test]
async fn search_without_an_index_is_not_enabled() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let answer = call(&gateway, "ann", "GET", "/v1/search?q=car", None).await;
    assert_eq!((answer.status, &answer.body["code"]), (501, &json!("not_enabled")));
}

#[tokio::test]
async fn a_chat_is_muted_until_then_or_for_ever() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let chat_id = group(&gateway, "ann", &["bob"]).await;
    let (path, mute) = (format!("/v1/chats/{chat_id}"), format!("/v1/chats/{chat_id}/mute"));
    let muted_until = async || call(&gateway, "bob", "GET", &path, None).await.body["muted_until"].clone();
    assert_eq!(muted_until().await, Value::Null);
    for (until, expected) in [
        (json!({"until": "2999-01-01T00:00:00.000Z"}), json!("2999-01-01T00:00:00.000Z")),
        (json!({}), json!("9999-12-30T22:00:00.000Z")),
        (json!({"until": "2001-01-01T00:00:00.000Z"}), Value::Null),
    ] {
        assert_eq!(call(&gateway, "bob", "PUT", &mute, Some(until)).await.status, 204);
        assert_eq!(muted_until().await, expected);
    }
    call(&gateway, "bob", "PUT", &mute, Some(json!({}))).await;
    assert_eq!(call(&gateway, "bob", "DELETE", &mute, None).await.status, 204);
    assert_eq!(muted_until().await, Value::Null);
    assert_eq!(call(&gateway, "eve", "PUT", &mute, Some(json!({}))).await.body["code"], "chat_not_found");
}

#[tokio::test]
async fn devices_are_kept_by_name_and_limited() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let device = |n: usize| format!("/v1/devices/d{n:02}");
    for n in 0..20 {
        let body = json!({"platform": "apns", "push_token": format!("secret-{n}")});
        let put = call(&gateway, "ann", "PUT", &device(n), Some(body)).await;
        assert_eq!((put.status, &put.body["platform"]), (200, &json!("apns")), "{put:?}");
        assert_eq!(put.body.get("push_token"), None);
    }
    let body = Some(json!({"platform": "fcm", "push_token": "another"}));
    let over = call(&gateway, "ann", "PUT", &device(20), body.clone()).await;
    assert_eq!((over.status, &over.body["field"]), (409, &json!("device")));
    assert_eq!(call(&gateway, "ann", "PUT", &device(7), body.clone()).await.body["platform"], "fcm");
    assert_eq!(call(&gateway, "ann", "DELETE", &device(3), None).await.status, 204);
    assert_eq!(call(&gateway, "ann", "DELETE", &device(3), None).await.status, 204);
    let page = call(&gateway, "ann", "GET", "/v1/devices", None).await.body;
    let names: Vec<_> = page["items"].as_array().unwrap().iter().map(|item| &item["device"]).collect();
    assert_eq!((names.len(), names[3], &page["items"][6]["platform"]), (19, &json!("d04"), &json!("fcm")));
    assert_eq!(call(&gateway, "bob", "GET", "/v1/devices", None).await.body, json!({"items": []}));
    let bad = call(&gateway, "ann", "PUT", "/v1/devices/a%20b", body).await;
    assert_eq!((bad.status, &bad.body["field"]), (400, &json!("device")));
}

#[tokio::test]
async fn a_block_stops_direct_messages_and_presence_both_ways() {
    let stack = Stack::with_workers().await;
    let (one, two) = (stack.gateway("gw-0", |_| {}).await, stack.gateway("gw-1", |_| {}).await);
    let group_id = group(&one, "ann", &["bob"]).await;
    let mut ann = Client::connect(&one, "ann").await;
    let mut bob = Client::connect(&two, "bob").await;
    ann.say(&json!({"to": "bob"}), "hello").await;
    bob.messages(1).await;
    for (client, other) in [(&mut ann, "bob"), (&mut bob, "ann")] {
        client.request("presence.subscribe", json!({"users": [other]})).await;
    }
    assert_eq!(call(&one, "ann", "PUT", "/v1/blocks/bob", None).await.status, 204);
    assert_eq!(bob.push("presence").await, json!({"user": "ann", "status": "unknown"}));
    assert_eq!(ann.push("presence").await, json!({"user": "bob", "status": "unknown"}));
    assert_eq!(bob.say(&json!({"to": "ann"}), "no").await["d"]["code"], "blocked");
    assert_eq!(ann.say(&json!({"chat_id": direct("ann", "bob")}), "no").await["d"]["code"], "blocked");
    let edit = json!({"chat_id": direct("ann", "bob"), "seq": 1, "content": "no"});
    assert_eq!(ann.request("edit", edit).await["d"]["code"], "blocked");
    let typing = json!({"chat_id": direct("ann", "bob"), "active": true});
    assert_eq!(bob.request("typing", typing).await["d"]["code"], "blocked");
    let asked = call(&two, "bob", "GET", "/v1/presence?users=ann", None).await;
    assert_eq!(asked.body["presence"]["ann"]["status"], "unknown");
    assert_eq!(bob.say(&json!({"chat_id": group_id}), "in the group").await["type"], "ack");
    let blocks = call(&one, "ann", "GET", "/v1/blocks", None).await.body;
    assert_eq!((&blocks["items"][0]["user"], blocks["items"].as_array().unwrap().len()), (&json!("bob"), 1));
    assert_eq!(call(&one, "ann", "PUT", "/v1/blocks/ann", None).await.body["field"], "user");
    assert_eq!(call(&one, "ann", "DELETE", "/v1/blocks/bob", None).await.status, 204);
    assert_eq!(ann.say(&json!({"to": "bob"}), "again").await["type"], "ack");
}

fn admin() -> String {
    let now = i64::try_from(SystemClock.now().millis() / 1000).unwrap();
    format!("Bearer {}", token_with(&json!({"sub": "backend", "exp": now + 600, "scope": "admin"})))
}

async fn as_admin(gateway: &chat_gateway::Running, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let bearer = admin();
    let headers: Vec<_> = [("authorization", bearer.as_str())].iter().chain(headers).copied().collect();
    http(gateway.public_addr(), method, path, &headers, None).await
}

#[tokio::test]
async fn the_backend_acts_as_any_user_and_nobody_else_does() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let me = as_admin(&gateway, "GET", "/v1/me", &[("act-as", "ann")]).await;
    assert_eq!((me.status, &me.body["user"], &me.body["scope"]), (200, &json!("ann"), &json!(["read", "write"])));
    assert_eq!(as_admin(&gateway, "GET", "/v1/me", &[]).await.status, 403, "the backend itself may not read");
    let bad = as_admin(&gateway, "GET", "/v1/me", &[("act-as", "a b")]).await;
    assert_eq!((bad.status, &bad.body["field"]), (400, &json!("act-as")));
    let bearer = format!("Bearer {}", token("eve"));
    let headers = [("authorization", bearer.as_str()), ("act-as", "ann")];
    let refused = http(gateway.public_addr(), "GET", "/v1/me", &headers, None).await;
    assert_eq!((refused.status, &refused.body["code"]), (403, &json!("forbidden")));
    assert_eq!(call(&gateway, "eve", "DELETE", "/v1/users/ann/sessions", None).await.status, 403);
    assert_eq!(
        call(&gateway, "eve", "GET", "/v1/stats?from=2026-01-01T00:00:00.000Z&to=2026-01-02T00:00:00.000Z", None)
            .await
            .status,
        403
    );
}

#[tokio::test]
async fn a_signed_out_user_is_closed_and_needs_a_newer_token() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let mut ann = Client::connect(&gateway, "ann").await;
    let mut bob = Client::connect(&gateway, "bob").await;
    assert_eq!(as_admin(&gateway, "DELETE", "/v1/users/ann/sessions", &[]).await.status, 204);
    assert_eq!(ann.closed().await, Closed { code: 4505, reason: "revoked".to_owned() });
    let refused = call(&gateway, "ann", "GET", "/v1/me", None).await;
    assert_eq!((refused.status, &refused.body["code"]), (401, &json!("bad_token")));
    let bearer = format!("Bearer {}", token("ann"));
    let mut again = Client::open(gateway.public_addr(), &[("authorization", &bearer)]).await.unwrap();
    assert_eq!(again.closed().await.code, 4505);
    let now = i64::try_from(SystemClock.now().millis() / 1000).unwrap();
    let newer = format!("Bearer {}", token_with(&json!({"sub": "ann", "exp": now + 600, "iat": now + 1})));
    let me = http(gateway.public_addr(), "GET", "/v1/me", &[("authorization", &newer)], None).await;
    assert_eq!(me.status, 200, "{me:?}");
    assert_eq!(bob.request("ping", json!({})).await["type"], "pong");
}

#[tokio::test]
async fn stats_tell_what_was_used_by_the_hour() {
    let stack = Stack::with_workers().await;
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let mut ann = Client::connect(&gateway, "ann").await;
    ann.say(&json!({"to": "bob"}), "one").await;
    ann.say(&json!({"to": "bob"}), "two").await;
    let now = SystemClock.now();
    let (from, to) = (Time::from_millis(now.millis() - 3_600_000), now.plus_millis(3_600_000));
    let path = format!("/v1/stats?from={from}&to={to}");
    let end = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        let stats = as_admin(&gateway, "GET", &path, &[]).await;
        assert_eq!(stats.status, 200, "{stats:?}");
        let total: u64 =
            stats.body["items"].as_array().unwrap().iter().filter_map(|hour| hour["messages"].as_u64()).sum();
        if total == 2 {
            break;
        }
        assert!(tokio::time::Instant::now() < end, "not in time: {stats:?}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
