//! A stand-in of Google's services: the one that exchanges assertions, and the one that sends.
//!
//! Sources: Google's documentation, "Using OAuth 2.0 for server to server applications" (assertion, errors), "FCM HTTP
//! v1 API: projects.messages.send", "FCM error codes"; RFC 6749 section 5.2, RFC 7523.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use hyper::Method;
use hyper::http::request::Parts;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use pem::Pem;
use rcgen::{KeyPair, PKCS_RSA_SHA256, PublicKeyData, RsaKeySize};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Arrivals;
use super::server::{Reply, Server, Vendor, lock};
use super::tls::Authority;
use crate::clock::{Clock, Time};
use crate::push::contract::Received;
use crate::push::{MAX_PAYLOAD_BYTES, Platform, PushAnswer};

/// The project whose devices there are.
pub const PROJECT: &str = "example-chat";

const ACCOUNT: &str = "chat@example-chat.iam.gserviceaccount.com";
const SCOPES: [&str; 2] =
    ["https://www.googleapis.com/auth/firebase.messaging", "https://www.googleapis.com/auth/cloud-platform"];
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Life of an access token, in seconds.
const TOKEN_SECONDS: u64 = 3_599;
/// Longest life of an assertion, in seconds.
const MAX_ASSERTION_SECONDS: u64 = 3_600;
/// Difference of clocks that is taken, in seconds.
const LEEWAY_SECONDS: u64 = 60;

/// Google's services.
#[derive(Debug)]
pub struct FcmStandIn {
    server: Server,
    google: Arc<Google>,
}

#[derive(Debug)]
struct Google {
    clock: Arc<dyn Clock>,
    arrived: Arrivals,
    token_uri: Mutex<String>,
    keys: Mutex<HashMap<String, Vec<u8>>>,
    tokens: Mutex<HashMap<String, Time>>,
    exchanges: Mutex<usize>,
    replies: Mutex<HashMap<String, Reply>>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    scope: String,
    aud: String,
    iat: u64,
    exp: u64,
}

impl Deref for FcmStandIn {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl FcmStandIn {
    pub(super) fn start(authority: &Authority, clock: Arc<dyn Clock>, arrived: Arrivals) -> Self {
        let google = Arc::new(Google {
            clock,
            arrived,
            token_uri: Mutex::default(),
            keys: Mutex::default(),
            tokens: Mutex::default(),
            exchanges: Mutex::default(),
            replies: Mutex::default(),
        });
        let server = Server::start(authority, &["h2", "http/1.1"], Arc::clone(&google) as Arc<dyn Vendor>);
        *lock(&google.token_uri) = format!("{}/token", server.endpoint().base);
        Self { server, google }
    }

    /// Makes a key of the service account and returns the JSON file that the console hands out.
    pub fn new_account(&self) -> String {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key");
        let (key_id, mut keys) = (Uuid::now_v7().simple().to_string(), lock(&self.google.keys));
        let public = Pem::new("PUBLIC KEY", key.subject_public_key_info());
        keys.insert(key_id.clone(), pem::encode(&public).into_bytes());
        let account = json!({
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": key_id,
            "private_key": pem::encode(&Pem::new("PRIVATE KEY", key.serialize_der())),
            "client_email": ACCOUNT,
            "client_id": "1",
            "token_uri": *lock(&self.google.token_uri),
        });
        account.to_string()
    }

    /// Makes Google answer so for a device that passed all checks, from now on.
    pub fn reply(&self, token: &str, reply: Reply) {
        lock(&self.google.replies).insert(token.to_owned(), reply);
    }

    /// Returns how many assertions were exchanged or refused.
    pub fn exchanges(&self) -> usize {
        *lock(&self.google.exchanges)
    }

    /// Takes back all access tokens.
    pub fn revoke_tokens(&self) {
        lock(&self.google.tokens).clear();
    }

    /// Takes back all keys of the service account.
    pub fn revoke_keys(&self) {
        lock(&self.google.keys).clear();
    }

    /// Returns the access tokens that were handed out and not taken back.
    pub fn access_tokens(&self) -> Vec<String> {
        lock(&self.google.tokens).keys().cloned().collect()
    }
}

/// Makes the reply that means this answer.
pub(super) fn reply_that_says(answer: PushAnswer) -> Reply {
    match answer {
        PushAnswer::Accepted => accepted(),
        PushAnswer::InvalidToken { reason, .. } => fault(404, "NOT_FOUND", &reason),
        PushAnswer::Refused { reason } => fault(400, "INVALID_ARGUMENT", &reason),
        PushAnswer::Later { reason, retry_after_ms: None } => fault(503, "UNAVAILABLE", &reason),
        PushAnswer::Later { reason, retry_after_ms: Some(ms) } => {
            Reply { retry_after: Some((ms / 1_000).to_string()), ..fault(429, "RESOURCE_EXHAUSTED", &reason) }
        }
    }
}

fn accepted() -> Reply {
    Reply::new(200, &json!({"name": format!("projects/{PROJECT}/messages/1")}))
}

/// Makes a `google.rpc.Status` with the error code of FCM.
fn fault(status: u16, name: &str, code: &str) -> Reply {
    let detail = json!({"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code});
    Reply::new(status, &json!({"error": {"code": status, "message": "words", "status": name, "details": [detail]}}))
}

/// Makes the `google.rpc.Status` of a field that is not as it should be.
fn violation(field: &str) -> Reply {
    let violations = json!([{"field": field, "description": "words"}]);
    let details = json!([
        {"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": "INVALID_ARGUMENT"},
        {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations},
    ]);
    Reply::new(
        400,
        &json!({"error": {"code": 400, "message": "words", "status": "INVALID_ARGUMENT", "details": details}}),
    )
}

/// Makes a `google.rpc.Status` without details.
fn status(code: u16, name: &str) -> Reply {
    Reply::new(code, &json!({"error": {"code": code, "message": "words", "status": name}}))
}

impl Vendor for Google {
    fn answer(&self, head: &Parts, body: &[u8]) -> Reply {
        if head.method != Method::POST {
            return status(404, "NOT_FOUND");
        }
        match head.uri.path() {
            "/token" => {
                *lock(&self.exchanges) += 1;
                self.exchange(head, body).unwrap_or_else(|error| Reply::new(400, &json!({"error": error})))
            }
            path => self.send(path, head, body).unwrap_or_else(|refusal| refusal),
        }
    }
}

impl Google {
    /// Exchanges an assertion for an access token; the error is the code of RFC 6749 section 5.2.
    fn exchange(&self, head: &Parts, body: &[u8]) -> Result<Reply, &'static str> {
        const REFUSED: &str = "invalid_grant";
        let is_form = |value: &hyper::header::HeaderValue| value.as_bytes() == b"application/x-www-form-urlencoded";
        if !head.headers.get("content-type").is_some_and(is_form) {
            return Err("invalid_request");
        }
        let form: HashMap<String, String> = reqwest::Url::parse("https://form/")
            .map(|mut url| {
                url.set_query(std::str::from_utf8(body).ok());
                url.query_pairs().into_owned().collect()
            })
            .unwrap_or_default();
        if form.get("grant_type").is_none_or(|kind| kind != GRANT_TYPE) {
            return Err("unsupported_grant_type");
        }
        let assertion = form.get("assertion").ok_or("invalid_request")?;
        let key_id = decode_header(assertion).ok().and_then(|header| header.kid).ok_or(REFUSED)?;
        let key = lock(&self.keys).get(&key_id).cloned().ok_or(REFUSED)?;
        let key = DecodingKey::from_rsa_pem(&key).map_err(|_| REFUSED)?;
        let mut rules = Validation::new(Algorithm::RS256);
        // Checked below, by the clock of the test.
        (rules.validate_exp, rules.validate_aud) = (false, false);
        rules.set_required_spec_claims::<&str>(&[]);
        let claims: Claims = decode(assertion, &key, &rules).map_err(|_| REFUSED)?.claims;
        let now = self.clock.now();
        let seconds = now.millis() / 1_000;
        let is_timely = claims.iat <= seconds + LEEWAY_SECONDS
            && claims.exp > seconds
            && claims.exp.saturating_sub(claims.iat) <= MAX_ASSERTION_SECONDS;
        if claims.iss != ACCOUNT || claims.aud != *lock(&self.token_uri) || !is_timely {
            return Err(REFUSED);
        }
        if !claims.scope.split(' ').any(|scope| SCOPES.contains(&scope)) {
            return Err("invalid_scope");
        }
        let token = format!("ya29.{}", Uuid::now_v7().simple());
        lock(&self.tokens).insert(token.clone(), now.plus_millis(TOKEN_SECONDS * 1_000));
        let body = json!({"access_token": token, "expires_in": TOKEN_SECONDS, "token_type": "Bearer"});
        Ok(Reply::new(200, &body))
    }

    fn send(&self, path: &str, head: &Parts, body: &[u8]) -> Result<Reply, Reply> {
        let unauthenticated = || status(401, "UNAUTHENTICATED");
        let authorization = head.headers.get("authorization").and_then(|value| value.to_str().ok());
        let token = authorization.and_then(|value| value.strip_prefix("Bearer ")).ok_or_else(unauthenticated)?;
        let expires = lock(&self.tokens).get(token).copied().ok_or_else(unauthenticated)?;
        if self.clock.now() >= expires {
            return Err(unauthenticated());
        }
        let project = path.strip_prefix("/v1/projects/").and_then(|rest| rest.strip_suffix("/messages:send"));
        if project.ok_or_else(|| status(404, "NOT_FOUND"))? != PROJECT {
            return Err(status(403, "PERMISSION_DENIED"));
        }
        let body: Value = serde_json::from_slice(body).map_err(|_| violation("message"))?;
        let message = &body["message"];
        let device = message["token"].as_str().filter(|token| !token.is_empty());
        let device = device.ok_or_else(|| violation("message.token"))?;
        let data = message["data"].as_object().ok_or_else(|| violation("message.data"))?;
        let payload_bytes = check_data(data).ok_or_else(|| violation("message.data"))?;
        check_android(&message["android"]).map_err(violation)?;
        self.arrived.all().push(Received {
            platform: Platform::Fcm,
            token: device.to_owned(),
            collapse_id: message["android"]["collapse_key"].as_str().unwrap_or_default().to_owned(),
            payload_bytes,
            chat: data["chat"].as_str().and_then(|chat| serde_json::from_str(chat).ok()).unwrap_or_default(),
        });
        Ok(lock(&self.replies).get(device).cloned().unwrap_or_else(accepted))
    }
}

/// Returns the size of what counts. `None` where a value is no string, a key is reserved, or it is too much.
fn check_data(data: &serde_json::Map<String, Value>) -> Option<usize> {
    let is_reserved = |key: &str| {
        ["from", "notification", "message_type"].contains(&key) || key.starts_with("google") || key.starts_with("gcm")
    };
    let sizes = data.iter().map(|(key, value)| {
        let value = value.as_str().filter(|_| !is_reserved(key))?;
        Some(key.len() + value.len())
    });
    sizes.sum::<Option<usize>>().filter(|size| *size <= MAX_PAYLOAD_BYTES)
}

/// Checks what is for Android alone; the error names the field.
fn check_android(android: &Value) -> Result<(), &'static str> {
    let seconds = |ttl: &Value| ttl.as_str()?.strip_suffix('s')?.parse::<u64>().ok();
    match android.get("ttl") {
        // Four weeks at most.
        Some(ttl) if seconds(ttl).is_none_or(|seconds| seconds > 28 * 86_400) => Err("message.android.ttl"),
        _ if !matches!(android["priority"].as_str(), None | Some("HIGH" | "NORMAL" | "high" | "normal")) => {
            Err("message.android.priority")
        }
        _ => Ok(()),
    }
}
