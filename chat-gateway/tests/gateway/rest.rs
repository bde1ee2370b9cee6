use serde_json::json;
use uuid::Uuid;

use crate::harness::*;

#[tokio::test]
async fn a_group_is_made_once() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let chat_id = Uuid::now_v7().to_string();
    let body = json!({"type": "GROUP", "name": "team", "members": ["bob", "ann"], "chat_id": chat_id});
    let made = call(&gateway, "ann", "POST", "/v1/chats", Some(body.clone())).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!((&made.body["role"], &made.body["member_count"]), (&json!("ADMIN"), &json!(2)));
    assert_eq!((&made.body["head_seq"], &made.body["name"]), (&json!(1), &json!("team")));
    assert_eq!(made.body["last_message"]["content_type"], "SYSTEM");
    assert_eq!(call(&gateway, "ann", "POST", "/v1/chats", Some(body.clone())).await.status, 200);
    let foreign = call(&gateway, "eve", "POST", "/v1/chats", Some(body)).await;
    assert_eq!((foreign.status, &foreign.body["code"]), (409, &json!("chat_exists")));
    let read = call(&gateway, "bob", "GET", &format!("/v1/chats/{chat_id}"), None).await;
    let members: Vec<_> = read.body["members"].as_array().unwrap().iter().map(|member| &member["user"]).collect();
    assert_eq!(members, [&json!("ann"), &json!("bob")]);
    let hidden = call(&gateway, "eve", "GET", &format!("/v1/chats/{chat_id}"), None).await;
    assert_eq!((hidden.status, &hidden.body["code"]), (404, &json!("chat_not_found")));
}

#[tokio::test]
async fn a_direct_chat_is_opened_then_found() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let body = json!({"type": "DIRECT", "members": ["bob"]});
    let opened = call(&gateway, "ann", "POST", "/v1/chats", Some(body.clone())).await;
    assert_eq!((opened.status, &opened.body["peer"]["user"]), (201, &json!("bob")), "{opened:?}");
    let found = call(&gateway, "bob", "POST", "/v1/chats", Some(json!({"type": "DIRECT", "members": ["ann"]}))).await;
    assert_eq!((found.status, &found.body["chat_id"]), (200, &opened.body["chat_id"]));
    for members in [json!([]), json!(["ann"]), json!(["bob", "eve"])] {
        let bad = json!({"type": "DIRECT", "members": members});
        let refused = call(&gateway, "ann", "POST", "/v1/chats", Some(bad)).await;
        assert_eq!((refused.status, &refused.body["field"]), (400, &json!("members")));
    }
}

#[tokio::test]
async fn history_is_paged_both_ways_and_starts_where_one_joined() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let chat_id = group(&gateway, "ann", &["bob"]).await;
    let path = format!("/v1/chats/{chat_id}/messages");
    for n in 0..5 {
        let sent = call(&gateway, "ann", "POST", &path, Some(json!({"content": n.to_string()}))).await;
        assert_eq!((sent.status, &sent.body["seq"]), (201, &json!(n + 2)), "{sent:?}");
    }
    let member = format!("/v1/chats/{chat_id}/members/eve");
    let put = call(&gateway, "ann", "PUT", &member, Some(json!({"role": "MEMBER"}))).await;
    assert_eq!(put.body["join_seq"], 6);
    let seqs = |answer: &Answer| -> Vec<u64> {
        answer.body["items"].as_array().unwrap().iter().map(|item| item["seq"].as_u64().unwrap()).collect()
    };
    let newest = call(&gateway, "bob", "GET", &format!("{path}?limit=3"), None).await;
    assert_eq!((seqs(&newest), &newest.body["has_more"]), (vec![7, 6, 5], &json!(true)));
    let older = call(&gateway, "bob", "GET", &format!("{path}?before=5"), None).await;
    assert_eq!((seqs(&older), &older.body["has_more"]), (vec![4, 3, 2, 1], &json!(false)));
    let after = call(&gateway, "bob", "GET", &format!("{path}?after=5"), None).await;
    assert_eq!(seqs(&after), [6, 7]);
    let joined = call(&gateway, "eve", "GET", &path, None).await;
    assert_eq!(seqs(&joined), [7]);
    assert_eq!(call(&gateway, "eve", "GET", &format!("{path}/6"), None).await.body["code"], "message_not_found");
    assert_eq!(call(&gateway, "eve", "GET", &format!("{path}/7"), None).await.body["content_type"], "SYSTEM");
    for query in ["limit=0", "before=1&after=1", "before=x"] {
        let refused = call(&gateway, "bob", "GET", &format!("{path}?{query}"), None).await;
        assert_eq!((refused.status, &refused.body["code"]), (400, &json!("invalid_argument")), "{query}");
    }
}

#[tokio::test]
async fn changes_over_rest_answer_what_came_of_them() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let chat_id = group(&gateway, "ann", &["bob"]).await;
    let chat = format!("/v1/chats/{chat_id}");
    let renamed = call(&gateway, "ann", "PATCH", &chat, Some(json!({"name": "crew"}))).await;
    assert_eq!((renamed.status, &renamed.body["name"]), (200, &json!("crew")));
    let refused = call(&gateway, "bob", "PATCH", &chat, Some(json!({"name": "mine"}))).await;
    assert_eq!((refused.status, &refused.body["code"]), (403, &json!("forbidden")));
    let demoted = call(&gateway, "ann", "PUT", &format!("{chat}/members/ann"), Some(json!({"role": "MEMBER"}))).await;
    assert_eq!((demoted.status, &demoted.body["code"]), (409, &json!("last_admin")));
    let sent = call(&gateway, "bob", "POST", &format!("{chat}/messages"), Some(json!({"content": "frist"}))).await;
    let message = format!("{chat}/messages/{}", sent.body["seq"]);
    let edited = call(&gateway, "bob", "PATCH", &message, Some(json!({"content": "first"}))).await;
    assert_eq!((edited.status, &edited.body["content"], &edited.body["rev"]), (200, &json!("first"), &json!(1)));
    assert_eq!(call(&gateway, "ann", "DELETE", &message, None).await.status, 204);
    assert_eq!(call(&gateway, "ann", "DELETE", &message, None).await.status, 204);
    let gone = call(&gateway, "bob", "GET", &message, None).await;
    assert!(gone.body["deleted_at"].is_string() && gone.body["content"] == "");
    assert_eq!(call(&gateway, "bob", "DELETE", &format!("{chat}/members/bob"), None).await.status, 204);
    assert_eq!(call(&gateway, "bob", "DELETE", &format!("{chat}/members/bob"), None).await.status, 204);
    let left = call(&gateway, "bob", "GET", &chat, None).await;
    assert!(left.body["left_seq"].is_u64() && left.body["members"] == json!([]));
}

#[tokio::test]
async fn chats_are_listed_newest_first() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(group(&gateway, "ann", &["bob"]).await);
    }
    // The log's clock counts milliseconds, and chats of the same one are in no order.
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let path = format!("/v1/chats/{}/messages", made[0]);
    call(&gateway, "bob", "POST", &path, Some(json!({"content": "up"}))).await;
    let mut listed = Vec::new();
    let mut query = "/v1/chats?limit=2".to_owned();
    loop {
        let page = call(&gateway, "ann", "GET", &query, None).await;
        let ids =
            page.body["items"].as_array().unwrap().iter().map(|chat| chat["chat_id"].as_str().unwrap().to_owned());
        listed.extend(ids);
        let Some(cursor) = page.body["next_cursor"].as_str() else { break };
        query = format!("/v1/chats?limit=2&cursor={cursor}");
    }
    assert_eq!(listed[0], made[0]);
    listed.sort();
    made.sort();
    assert_eq!(listed, made);
    let bad = call(&gateway, "ann", "GET", "/v1/chats?cursor=x", None).await;
    assert_eq!((bad.status, &bad.body["code"]), (400, &json!("invalid_cursor")));
}

#[tokio::test]
async fn every_failure_is_a_problem() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let addr = gateway.public_addr();
    let bearer = format!("Bearer {}", token("ann"));
    let auth = ("authorization", bearer.as_str());
    let json_type = ("content-type", "application/json");
    let large = format!("{{\"type\":\"GROUP\",\"name\":\"{}\",\"members\":[]}}", "x".repeat(70_000));
    let cases = [
        (http(addr, "GET", "/nowhere", &[], None).await, 404, "not_found"),
        (http(addr, "DELETE", "/v1/me", &[auth], None).await, 405, "method_not_allowed"),
        (http(addr, "GET", "/v1/me", &[], None).await, 401, "unauthenticated"),
        (http(addr, "GET", "/v1/me", &[("authorization", "Bearer x")], None).await, 401, "bad_token"),
        (http(addr, "POST", "/v1/chats", &[auth], Some("{}")).await, 415, "unsupported_media_type"),
        (http(addr, "POST", "/v1/chats", &[auth, json_type], Some("{")).await, 400, "invalid_json"),
        (http(addr, "POST", "/v1/chats", &[auth, json_type], Some("{}")).await, 400, "invalid_argument"),
        (http(addr, "POST", "/v1/chats", &[auth, json_type], Some(&large)).await, 413, "frame_too_large"),
        (http(addr, "GET", "/v1/chats/x", &[auth], None).await, 400, "invalid_argument"),
    ];
    for (answer, status, code) in cases {
        assert_eq!((answer.status, &answer.body["code"]), (status, &json!(code)), "{answer:?}");
        assert_eq!(answer.body["type"], format!("urn:chatcluster:error:{code}"));
        assert!(answer.head.contains("content-type: application/problem+json"), "{}", answer.head);
        assert!(answer.head.contains("cache-control: no-store"), "{}", answer.head);
        let request_id = answer.body["request_id"].as_str().unwrap();
        assert!(answer.head.contains(&format!("x-request-id: {request_id}")), "{}", answer.head);
    }
    let me = http(addr, "GET", "/v1/me", &[auth], None).await;
    assert_eq!(me.body, json!({"user": "ann", "scope": ["read", "write"], "last_seen_visible": true}));
}

#[tokio::test]
async fn an_answer_is_compressed_for_whoever_accepts_it() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let chat_id = group(&gateway, "ann", &["bob"]).await;
    let ask = async |encoding: Option<&str>| {
        let url = format!("http://{}/v1/chats/{chat_id}", gateway.public_addr());
        let request = reqwest::Client::new().get(url).bearer_auth(token("ann"));
        let request = encoding.into_iter().fold(request, |request, name| request.header("accept-encoding", name));
        let answer = request.send().await.unwrap();
        let header = |name| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (encoding, vary) = (header("content-encoding"), header("vary"));
        (encoding, vary, answer.bytes().await.unwrap())
    };
    let (encoding, _, plain) = ask(None).await;
    assert_eq!(encoding, None);
    let (encoding, vary, packed) = ask(Some("br, gzip")).await;
    assert_eq!(encoding.as_deref(), Some("gzip"));
    assert!(vary.is_some_and(|vary| vary.contains("accept-encoding")));
    assert!(packed.len() < plain.len(), "{} of {} bytes", packed.len(), plain.len());
    let mut unpacked = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed[..]), &mut unpacked).unwrap();
    assert_eq!(unpacked, plain);
}

#[tokio::test]
async fn a_page_of_another_origin_may_call() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let headers = [("origin", "https://app.example"), ("access-control-request-method", "POST")];
    let preflight = http(gateway.public_addr(), "OPTIONS", "/v1/chats", &headers, None).await;
    assert_eq!(preflight.status, 204);
    assert!(preflight.head.contains("access-control-allow-origin: *"), "{}", preflight.head);
    assert!(preflight.head.contains("access-control-max-age: 7200"), "{}", preflight.head);
}

#[tokio::test]
async fn without_a_sequencer_the_outcome_is_unknown() {
    let stack = Stack::without_sequencer();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let chat_id = Uuid::now_v7().to_string();
    let body = json!({"type": "GROUP", "name": "team", "members": [], "chat_id": chat_id});
    let answer = call(&gateway, "ann", "POST", "/v1/chats", Some(body.clone())).await;
    assert_eq!((answer.status, &answer.body["code"]), (503, &json!("unavailable")));
    assert!(answer.head.contains("retry-after: 1"), "{}", answer.head);
    stack.start_sequencer();
    // The first attempt was durable: the retry finds it, or is found a duplicate of it.
    let answer = call(&gateway, "ann", "POST", "/v1/chats", Some(body)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn a_lost_verdict_is_looked_up() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let faults = chat_core::relay::lossy::Faults { drop: 1.0, ..Default::default() };
    stack.lossy.set_faults(faults);
    let chat_id = group(&gateway, "ann", &["bob"]).await;
    let refused = call(&gateway, "bob", "PATCH", &format!("/v1/chats/{chat_id}"), Some(json!({"name": "mine"}))).await;
    assert_eq!((refused.status, &refused.body["code"]), (403, &json!("forbidden")));
}
