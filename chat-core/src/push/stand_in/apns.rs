//! A stand-in of Apple's service.
//!
//! Sources: Apple's developer documentation, "Sending notification requests to APNs", "Establishing a token-based
//! connection to APNs", "Handling notification responses from APNs". Each refusal below is a row of the last.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use hyper::Method;
use hyper::http::request::Parts;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use pem::Pem;
use rcgen::{KeyPair, PublicKeyData};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Arrivals;
use super::server::{Reply, Server, Vendor, lock};
use super::tls::Authority;
use crate::clock::{Clock, Time};
use crate::push::contract::Received;
use crate::push::{MAX_PAYLOAD_BYTES, Platform, PushAnswer};

/// Id of the signing key that is there from the beginning.
pub const KEY_ID: &str = "ABC123DEFG";
/// Id of the team.
pub const TEAM_ID: &str = "DEF123GHIJ";
/// Bundle id of the app.
pub const TOPIC: &str = "com.example.chat";

/// Oldest provider token that is taken, in milliseconds.
const MAX_TOKEN_AGE_MS: u64 = 3_600_000;
/// Least time between two provider tokens of one key, in milliseconds.
const MIN_TOKEN_LIFE_MS: u64 = 20 * 60_000;
/// Difference of clocks that is taken, in milliseconds.
const LEEWAY_MS: u64 = 60_000;

/// Apple's service.
#[derive(Debug)]
pub struct ApnsStandIn {
    server: Server,
    apple: Arc<Apple>,
}

#[derive(Debug)]
struct Apple {
    clock: Arc<dyn Clock>,
    arrived: Arrivals,
    keys: Mutex<HashMap<String, Vec<u8>>>,
    /// The provider token of each key that was seen last, and since when.
    seen: Mutex<HashMap<String, (String, Time)>>,
    replies: Mutex<HashMap<String, Reply>>,
    heads: Mutex<Vec<Parts>>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    iat: u64,
}

impl Deref for ApnsStandIn {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl ApnsStandIn {
    pub(super) fn start(authority: &Authority, clock: Arc<dyn Clock>, arrived: Arrivals) -> Self {
        let apple = Arc::new(Apple {
            clock,
            arrived,
            keys: Mutex::default(),
            seen: Mutex::default(),
            replies: Mutex::default(),
            heads: Mutex::default(),
        });
        // HTTP/2 and nothing else: the handshake fails for a client that offers HTTP/1.1 alone.
        let server = Server::start(authority, &["h2"], Arc::clone(&apple) as Arc<dyn Vendor>);
        Self { server, apple }
    }

    /// Makes a signing key and returns it as the `.p8` file that the developer account hands out.
    pub fn new_key(&self, key_id: &str) -> String {
        let key = KeyPair::generate().expect("a key on P-256");
        let public = Pem::new("PUBLIC KEY", key.subject_public_key_info());
        lock(&self.apple.keys).insert(key_id.to_owned(), pem::encode(&public).into_bytes());
        pem::encode(&Pem::new("PRIVATE KEY", key.serialize_der()))
    }

    /// Makes Apple answer so for a device that passed all checks, from now on.
    pub fn reply(&self, token: &str, reply: Reply) {
        lock(&self.apple.replies).insert(token.to_owned(), reply);
    }

    /// Returns the heads of all requests, oldest first.
    pub fn heads(&self) -> Vec<Parts> {
        lock(&self.apple.heads).clone()
    }
}

/// Makes the reply that means this answer.
pub(super) fn reply_that_says(answer: PushAnswer) -> Reply {
    let with = |status, reason: String| Reply::new(status, &json!({"reason": reason}));
    match answer {
        PushAnswer::Accepted => Reply::new(200, ""),
        PushAnswer::InvalidToken { reason, since } => {
            Reply::new(410, &json!({"reason": reason, "timestamp": since.map(Time::millis)}))
        }
        PushAnswer::Refused { reason } => with(400, reason),
        PushAnswer::Later { reason, retry_after_ms: None } => with(503, reason),
        PushAnswer::Later { reason, retry_after_ms: Some(ms) } => {
            Reply { retry_after: Some((ms / 1_000).to_string()), ..with(429, reason) }
        }
    }
}

impl Vendor for Apple {
    fn answer(&self, head: &Parts, body: &[u8]) -> Reply {
        lock(&self.heads).push(head.clone());
        match self.take(head, body) {
            Ok(reply) => reply,
            Err((status, reason)) => Reply::new(status, &json!({"reason": reason})),
        }
    }
}

/// A status and a reason.
type Refusal = (u16, &'static str);

impl Apple {
    fn take(&self, head: &Parts, body: &[u8]) -> Result<Reply, Refusal> {
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        if head.method != Method::POST {
            return Err((405, "MethodNotAllowed"));
        }
        let token = head.uri.path().strip_prefix("/3/device/").ok_or((404, "BadPath"))?;
        if token.is_empty() {
            return Err((400, "MissingDeviceToken"));
        }
        self.check_provider(header("authorization"))?;
        check_headers(&header)?;
        if token.len() % 2 != 0 || !token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err((400, "BadDeviceToken"));
        }
        if body.is_empty() {
            return Err((400, "PayloadEmpty"));
        }
        if body.len() > MAX_PAYLOAD_BYTES {
            return Err((413, "PayloadTooLarge"));
        }
        self.note(token, header("apns-collapse-id"), body);
        Ok(lock(&self.replies).get(token).cloned().unwrap_or_else(|| Reply::new(200, "")))
    }

    fn note(&self, token: &str, collapse_id: Option<&str>, body: &[u8]) {
        let payload: Value = serde_json::from_slice(body).unwrap_or_default();
        self.arrived.all().push(Received {
            platform: Platform::Apns,
            token: token.to_owned(),
            collapse_id: collapse_id.unwrap_or_default().to_owned(),
            payload_bytes: body.len(),
            chat: payload["chat"].clone(),
        });
    }

    fn check_provider(&self, authorization: Option<&str>) -> Result<(), Refusal> {
        const INVALID: Refusal = (403, "InvalidProviderToken");
        let token = authorization.ok_or((403, "MissingProviderToken"))?;
        let token = token.strip_prefix("bearer ").or_else(|| token.strip_prefix("Bearer ")).ok_or(INVALID)?;
        let key_id = decode_header(token).ok().and_then(|header| header.kid).ok_or(INVALID)?;
        let key = lock(&self.keys).get(&key_id).cloned().ok_or(INVALID)?;
        let key = DecodingKey::from_ec_pem(&key).map_err(|_| INVALID)?;
        let mut rules = Validation::new(Algorithm::ES256);
        // There is no `exp`; the age is checked below, by the clock of the test.
        rules.validate_exp = false;
        rules.set_required_spec_claims::<&str>(&[]);
        let claims: Claims = decode(token, &key, &rules).map_err(|_| INVALID)?.claims;
        let (now, issued) = (self.clock.now(), Time::from_millis(claims.iat.saturating_mul(1_000)));
        if claims.iss != TEAM_ID || issued > now.plus_millis(LEEWAY_MS) {
            return Err(INVALID);
        }
        if now.millis_since(issued) > MAX_TOKEN_AGE_MS {
            return Err((403, "ExpiredProviderToken"));
        }
        let mut seen = lock(&self.seen);
        let (last, since) = seen.entry(key_id).or_insert_with(|| (token.to_owned(), now));
        if last != token {
            if now.millis_since(*since) < MIN_TOKEN_LIFE_MS {
                return Err((429, "TooManyProviderTokenUpdates"));
            }
            (*last, *since) = (token.to_owned(), now);
        }
        Ok(())
    }
}

fn check_headers<'a>(header: &impl Fn(&str) -> Option<&'a str>) -> Result<(), Refusal> {
    match header("apns-topic") {
        None => return Err((400, "MissingTopic")),
        Some(TOPIC) => {}
        Some(_) => return Err((400, "TopicDisallowed")),
    }
    if !matches!(header("apns-push-type"), Some("alert" | "background" | "voip")) {
        return Err((400, "InvalidPushType"));
    }
    if header("apns-collapse-id").is_some_and(|id| id.len() > 64) {
        return Err((400, "BadCollapseId"));
    }
    if header("apns-expiration").is_some_and(|at| at.parse::<u64>().is_err()) {
        return Err((400, "BadExpirationDate"));
    }
    if header("apns-priority").is_some_and(|priority| !["1", "5", "10"].contains(&priority)) {
        return Err((400, "BadPriority"));
    }
    Ok(())
}
