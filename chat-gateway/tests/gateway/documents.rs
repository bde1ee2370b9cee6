//! The served documents, and what can be asked of every call that they list.

use serde_json::{Value, json};

use crate::harness::*;

/// A path with something in the place of each parameter.
fn filled(path: &str) -> String {
    let place = |part: &str| match part {
        "{chat_id}" => "019a0000-0000-7000-8000-000000000000".to_owned(),
        "{seq}" => "1".to_owned(),
        other => other.trim_matches(['{', '}']).to_owned(),
    };
    path.split('/').map(place).collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn documents_need_no_token_and_every_listed_call_needs_its_scope() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let address = gateway.public_addr();
    let asyncapi = http(address, "GET", "/v1/asyncapi.json", &[], None).await;
    assert_eq!((asyncapi.status, &asyncapi.body["asyncapi"]), (200, &json!("3.0.0")));
    let openapi = http(address, "GET", "/v1/openapi.json", &[], None).await;
    assert_eq!((openapi.status, &openapi.body["openapi"]), (200, &json!("3.1.0")));

    let mut asked = 0;
    for (path, calls) in openapi.body["paths"].as_object().unwrap() {
        for (method, call) in calls.as_object().unwrap() {
            let Some(scope) = call["security"][0]["bearer"][0].as_str() else { continue };
            let (method, path) = (method.to_uppercase(), filled(path));
            let nobody = http(address, &method, &path, &[], None).await;
            assert_eq!((nobody.status, &nobody.body["code"]), (401, &json!("unauthenticated")), "{method} {path}");
            let other = if scope == "read" { "write" } else { "read" };
            let claims: Value = json!({ "sub": "ann", "exp": 4_000_000_000_u64, "scope": other });
            let bearer = format!("Bearer {}", token_with(&claims));
            let wrong = http(address, &method, &path, &[("authorization", &bearer)], None).await;
            assert_eq!((wrong.status, &wrong.body["code"]), (403, &json!("forbidden")), "{method} {path}");
            asked += 1;
        }
    }
    assert!(asked > 20, "only {asked} calls are listed");
}
