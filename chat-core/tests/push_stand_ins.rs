//! The stand-ins of the vendors refuse what the vendors refuse: an engine that passes against them keeps the contract.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

use std::path::Path;

use chat_core::clock::Clock;
use chat_core::config::PushConfig;
use chat_core::push::contract::a_device;
use chat_core::push::stand_in::{Authority, KEY_ID, PROJECT, StandIns, TEAM_ID, TOPIC};
use chat_core::push::vendors::Endpoint;
use chat_core::push::{MAX_PAYLOAD_BYTES, Platform};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::{Certificate, Client, ClientBuilder, Response};
use serde_json::{Value, json};

const MINUTE_MS: u64 = 60_000;

fn client(endpoint: &Endpoint, builder: ClientBuilder) -> Client {
    builder.tls_certs_only([Certificate::from_der(&endpoint.authority).unwrap()]).no_proxy().build().unwrap()
}

/// A request to Apple that is as it should be, until a test spoils it.
struct ToApple<'a> {
    stand_ins: &'a StandIns,
    client: Client,
    method: reqwest::Method,
    path: String,
    algorithm: Algorithm,
    key: EncodingKey,
    key_id: &'static str,
    claims: Value,
    authorization: Option<String>,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

fn apns_key(config: &PushConfig) -> Vec<u8> {
    std::fs::read(&config.apns.as_ref().unwrap().key_file).unwrap()
}

fn seconds(stand_ins: &StandIns) -> u64 {
    stand_ins.clock.now().millis() / 1_000
}

impl<'a> ToApple<'a> {
    fn new(stand_ins: &'a StandIns) -> Self {
        let headers = [
            ("apns-topic", TOPIC),
            ("apns-push-type", "alert"),
            ("apns-priority", "10"),
            ("apns-expiration", "0"),
            ("apns-collapse-id", "chat:1"),
        ];
        Self {
            stand_ins,
            client: client(&stand_ins.apns.endpoint(), Client::builder().http2_prior_knowledge()),
            method: reqwest::Method::POST,
            path: format!("/3/device/{}", a_device(Platform::Apns).token),
            algorithm: Algorithm::ES256,
            key: EncodingKey::from_ec_pem(&apns_key(&stand_ins.config())).unwrap(),
            key_id: KEY_ID,
            claims: json!({"iss": TEAM_ID, "iat": seconds(stand_ins)}),
            authorization: None,
            headers: headers.map(|(name, value)| (name, value.to_owned())).into(),
            body: br#"{"aps":{"alert":{"body":"hi"}}}"#.to_vec(),
        }
    }

    fn without(mut self, header: &str) -> Self {
        self.headers.retain(|(name, _)| *name != header);
        self
    }

    fn with(self, header: &'static str, value: &str) -> Self {
        let mut changed = self.without(header);
        changed.headers.push((header, value.to_owned()));
        changed
    }

    fn token(&self) -> String {
        let header = Header { kid: Some(self.key_id.to_owned()), ..Header::new(self.algorithm) };
        encode(&header, &self.claims, &self.key).unwrap()
    }

    /// Returns status and reason.
    async fn send(self) -> (u16, String) {
        let authorization = self.authorization.clone().unwrap_or_else(|| format!("bearer {}", self.token()));
        let url = format!("{}{}", self.stand_ins.apns.endpoint().base, self.path);
        let mut request = self.client.request(self.method, url).body(self.body);
        if !authorization.is_empty() {
            request = request.header("authorization", authorization);
        }
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.version(), reqwest::Version::HTTP_2);
        let status = response.status().as_u16();
        let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default();
        (status, body["reason"].as_str().unwrap_or_default().to_owned())
    }
}

fn refused(status: u16, reason: &str) -> (u16, String) {
    (status, reason.to_owned())
}

#[tokio::test]
async fn apple_takes_what_is_as_it_should_be() {
    let stand_ins = StandIns::start();
    assert_eq!(ToApple::new(&stand_ins).send().await, (200, String::new()));
}

#[tokio::test]
async fn apple_refuses_http_1() {
    let stand_ins = StandIns::start();
    let endpoint = stand_ins.apns.endpoint();
    let client = client(&endpoint, Client::builder().http1_only());
    let sent = client.post(format!("{}/3/device/00", endpoint.base)).body("{}").send().await;
    assert!(sent.unwrap_err().is_connect(), "the handshake fails");
    assert_eq!(stand_ins.apns.connections(), 0);
}

#[tokio::test]
async fn apple_refuses_who_does_not_name_a_known_key() {
    let stand_ins = StandIns::start();
    let new = || ToApple::new(&stand_ins);
    let missing = ToApple { authorization: Some(String::new()), ..new() };
    assert_eq!(missing.send().await, refused(403, "MissingProviderToken"));
    let basic = ToApple { authorization: Some("Basic Zm9vOmJhcg==".into()), ..new() };
    assert_eq!(basic.send().await, refused(403, "InvalidProviderToken"));
    let unknown_key = ToApple { key_id: "ZZZ123DEFG", ..new() };
    assert_eq!(unknown_key.send().await, refused(403, "InvalidProviderToken"));
    let other_team = ToApple { claims: json!({"iss": "ZZZ123GHIJ", "iat": seconds(&stand_ins)}), ..new() };
    assert_eq!(other_team.send().await, refused(403, "InvalidProviderToken"));
    let without_age = ToApple { claims: json!({"iss": TEAM_ID}), ..new() };
    assert_eq!(without_age.send().await, refused(403, "InvalidProviderToken"));
    let other = StandIns::start();
    let forged = ToApple { key: EncodingKey::from_ec_pem(&apns_key(&other.config())).unwrap(), ..new() };
    assert_eq!(forged.send().await, refused(403, "InvalidProviderToken"));
}

#[tokio::test]
async fn apple_refuses_any_algorithm_but_es256() {
    let stand_ins = StandIns::start();
    let public = apns_key(&stand_ins.config());
    let by_secret =
        ToApple { algorithm: Algorithm::HS256, key: EncodingKey::from_secret(&public), ..ToApple::new(&stand_ins) };
    assert_eq!(by_secret.send().await, refused(403, "InvalidProviderToken"));
    let account: Value = serde_json::from_slice(&account(&stand_ins)).unwrap();
    let key = EncodingKey::from_rsa_pem(account["private_key"].as_str().unwrap().as_bytes()).unwrap();
    let by_rsa = ToApple { algorithm: Algorithm::RS256, key, ..ToApple::new(&stand_ins) };
    assert_eq!(by_rsa.send().await, refused(403, "InvalidProviderToken"));
}

#[tokio::test]
async fn apple_refuses_a_provider_token_older_than_an_hour_or_of_the_future() {
    let stand_ins = StandIns::start();
    let made = |at: u64| ToApple { claims: json!({"iss": TEAM_ID, "iat": at}), ..ToApple::new(&stand_ins) };
    let now = seconds(&stand_ins);
    assert_eq!(made(now - 3_601).send().await, refused(403, "ExpiredProviderToken"));
    assert_eq!(made(now + 3_600).send().await, refused(403, "InvalidProviderToken"));
    assert_eq!(made(now - 3_590).send().await, (200, String::new()));
}

#[tokio::test]
async fn apple_refuses_new_provider_tokens_more_often_than_every_twenty_minutes() {
    let stand_ins = StandIns::start();
    let first = ToApple::new(&stand_ins);
    let token = format!("bearer {}", first.token());
    let kept = || ToApple { authorization: Some(token.clone()), ..ToApple::new(&stand_ins) };
    assert_eq!(kept().send().await, (200, String::new()));
    stand_ins.clock.advance_millis(19 * MINUTE_MS);
    assert_eq!(ToApple::new(&stand_ins).send().await, refused(429, "TooManyProviderTokenUpdates"));
    assert_eq!(kept().send().await, (200, String::new()), "the same one is good for an hour");
    stand_ins.clock.advance_millis(MINUTE_MS);
    assert_eq!(ToApple::new(&stand_ins).send().await, (200, String::new()));
}

#[tokio::test]
async fn apple_refuses_headers_that_are_missing_or_wrong() {
    let stand_ins = StandIns::start();
    let token = format!("bearer {}", ToApple::new(&stand_ins).token());
    let new = || ToApple { authorization: Some(token.clone()), ..ToApple::new(&stand_ins) };
    assert_eq!(new().without("apns-topic").send().await, refused(400, "MissingTopic"));
    for (header, value, reason) in [
        ("apns-topic", "com.example.other", "TopicDisallowed"),
        ("apns-push-type", "loud", "InvalidPushType"),
        ("apns-collapse-id", &"c".repeat(65), "BadCollapseId"),
        ("apns-expiration", "tomorrow", "BadExpirationDate"),
        ("apns-priority", "11", "BadPriority"),
    ] {
        assert_eq!(new().with(header, value).send().await, refused(400, reason), "{header}: {value}");
    }
    assert_eq!(new().with("apns-collapse-id", &"c".repeat(64)).send().await, (200, String::new()));
}

#[tokio::test]
async fn apple_refuses_paths_methods_and_device_tokens_that_are_none() {
    let stand_ins = StandIns::start();
    let token = format!("bearer {}", ToApple::new(&stand_ins).token());
    let new = || ToApple { authorization: Some(token.clone()), ..ToApple::new(&stand_ins) };
    for (path, expected) in [
        ("/3/device/", refused(400, "MissingDeviceToken")),
        ("/3/device/not-hex", refused(400, "BadDeviceToken")),
        ("/2/device/00fc", refused(404, "BadPath")),
    ] {
        assert_eq!(ToApple { path: path.into(), ..new() }.send().await, expected, "{path}");
    }
    let put = ToApple { method: reqwest::Method::PUT, ..new() };
    assert_eq!(put.send().await, refused(405, "MethodNotAllowed"));
}

#[tokio::test]
async fn apple_refuses_payloads_that_are_empty_or_too_large() {
    let stand_ins = StandIns::start();
    let token = format!("bearer {}", ToApple::new(&stand_ins).token());
    let of = |size| ToApple { authorization: Some(token.clone()), body: vec![b' '; size], ..ToApple::new(&stand_ins) };
    assert_eq!(of(0).send().await, refused(400, "PayloadEmpty"));
    assert_eq!(of(MAX_PAYLOAD_BYTES).send().await, (200, String::new()));
    assert_eq!(of(MAX_PAYLOAD_BYTES + 1).send().await, refused(413, "PayloadTooLarge"));
}

#[tokio::test]
async fn a_client_refuses_a_certificate_of_another_authority() {
    let stand_ins = StandIns::start();
    let other = Authority::new();
    for endpoint in [stand_ins.apns.endpoint(), stand_ins.fcm.endpoint()] {
        let endpoint = Endpoint { authority: other.certificate().to_vec(), ..endpoint };
        let sent = client(&endpoint, Client::builder()).post(&endpoint.base).send().await;
        assert!(sent.unwrap_err().is_connect());
    }
    assert_eq!((stand_ins.apns.connections(), stand_ins.fcm.connections()), (0, 0));
}

fn account(stand_ins: &StandIns) -> Vec<u8> {
    std::fs::read(Path::new(&stand_ins.config().fcm.unwrap().service_account_file)).unwrap()
}

/// Requests to Google that are as they should be, until a test spoils them.
struct ToGoogle<'a> {
    stand_ins: &'a StandIns,
    client: Client,
    account: Value,
}

impl<'a> ToGoogle<'a> {
    fn new(stand_ins: &'a StandIns) -> Self {
        let client = client(&stand_ins.fcm.endpoint(), Client::builder());
        Self { stand_ins, client, account: serde_json::from_slice(&account(stand_ins)).unwrap() }
    }

    fn claims(&self) -> Value {
        let now = seconds(self.stand_ins);
        json!({
            "iss": self.account["client_email"],
            "aud": self.account["token_uri"],
            "scope": "https://www.googleapis.com/auth/firebase.messaging",
            "iat": now,
            "exp": now + 3_600,
        })
    }

    fn key(&self) -> EncodingKey {
        EncodingKey::from_rsa_pem(self.account["private_key"].as_str().unwrap().as_bytes()).unwrap()
    }

    fn sign(&self, algorithm: Algorithm, claims: &Value, key: &EncodingKey) -> String {
        let kid = self.account["private_key_id"].as_str().map(str::to_owned);
        encode(&Header { kid, ..Header::new(algorithm) }, claims, key).unwrap()
    }

    /// Exchanges an assertion; returns the access token, or the error.
    async fn exchange(&self, grant_type: &str, assertion: &str) -> Result<String, String> {
        let form = [("grant_type", grant_type), ("assertion", assertion)];
        let url = self.account["token_uri"].as_str().unwrap();
        let (status, body) = read(self.client.post(url).form(&form).send().await.unwrap()).await;
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        if status == 200 { Ok(text("access_token")) } else { Err(text("error")) }
    }

    async fn exchange_claims(&self, claims: &Value) -> Result<String, String> {
        self.exchange(GRANT_TYPE, &self.sign(Algorithm::RS256, claims, &self.key())).await
    }

    async fn send(&self, project: &str, token: &str, body: &Value) -> (u16, Value) {
        let url = format!("{}/v1/projects/{project}/messages:send", self.stand_ins.fcm.endpoint().base);
        let request = self.client.post(url).bearer_auth(token).body(body.to_string());
        read(request.send().await.unwrap()).await
    }
}

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

async fn read(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap())
}

fn a_message() -> Value {
    json!({"message": {"token": "a-device", "data": {"chat": "{}"}, "android": {"ttl": "60s", "priority": "HIGH"}}})
}

#[tokio::test]
async fn google_takes_what_is_as_it_should_be() {
    let stand_ins = StandIns::start();
    let google = ToGoogle::new(&stand_ins);
    let token = google.exchange_claims(&google.claims()).await.unwrap();
    assert_eq!(google.send(PROJECT, &token, &a_message()).await.0, 200);
}

#[tokio::test]
async fn google_refuses_assertions_that_are_not_for_it() {
    let stand_ins = StandIns::start();
    let google = ToGoogle::new(&stand_ins);
    let now = seconds(&stand_ins);
    for (claim, value, error) in [
        ("aud", json!("https://example.com/token"), "invalid_grant"),
        ("iss", json!("someone@example.com"), "invalid_grant"),
        ("exp", json!(now), "invalid_grant"),
        ("exp", json!(now + 7_200), "invalid_grant"),
        ("iat", json!(now + 3_600), "invalid_grant"),
        ("scope", json!("https://www.googleapis.com/auth/calendar"), "invalid_scope"),
    ] {
        let mut claims = google.claims();
        claims[claim] = value.clone();
        assert_eq!(google.exchange_claims(&claims).await, Err(error.to_owned()), "{claim}: {value}");
    }
}

#[tokio::test]
async fn google_refuses_any_algorithm_but_rs256_and_any_other_key() {
    let stand_ins = StandIns::start();
    let google = ToGoogle::new(&stand_ins);
    let other: Value = serde_json::from_slice(&account(&StandIns::start())).unwrap();
    let forged = EncodingKey::from_rsa_pem(other["private_key"].as_str().unwrap().as_bytes()).unwrap();
    let by_ec = EncodingKey::from_ec_pem(&apns_key(&stand_ins.config())).unwrap();
    for (algorithm, key) in [
        (Algorithm::RS512, google.key()),
        (Algorithm::HS256, EncodingKey::from_secret(b"secret")),
        (Algorithm::ES256, by_ec),
        (Algorithm::RS256, forged),
    ] {
        let assertion = google.sign(algorithm, &google.claims(), &key);
        assert_eq!(google.exchange(GRANT_TYPE, &assertion).await, Err("invalid_grant".into()), "{algorithm:?}");
    }
    let good = google.sign(Algorithm::RS256, &google.claims(), &google.key());
    assert_eq!(google.exchange("password", &good).await, Err("unsupported_grant_type".into()));
}

#[tokio::test]
async fn google_refuses_access_tokens_that_are_unknown_or_expired() {
    let stand_ins = StandIns::start();
    let google = ToGoogle::new(&stand_ins);
    let token = google.exchange_claims(&google.claims()).await.unwrap();
    assert_eq!(google.send(PROJECT, "ya29.unknown", &a_message()).await.0, 401);
    stand_ins.clock.advance_millis(3_598_000);
    assert_eq!(google.send(PROJECT, &token, &a_message()).await.0, 200);
    stand_ins.clock.advance_millis(1_000);
    let (status, body) = google.send(PROJECT, &token, &a_message()).await;
    assert_eq!((status, &body["error"]["status"]), (401, &json!("UNAUTHENTICATED")));
}

#[tokio::test]
async fn google_refuses_messages_that_are_not_as_they_should_be() {
    let stand_ins = StandIns::start();
    let google = ToGoogle::new(&stand_ins);
    let token = google.exchange_claims(&google.claims()).await.unwrap();
    let fits = MAX_PAYLOAD_BYTES - "chat".len();
    for (path, value, field) in [
        ("/message/token", json!(""), "message.token"),
        ("/message/data", json!({"chat": {"seq": 1}}), "message.data"),
        ("/message/data", json!({"google.a": "b"}), "message.data"),
        ("/message/data", json!({"chat": "c".repeat(fits + 1)}), "message.data"),
        ("/message/android/ttl", json!("2419201s"), "message.android.ttl"),
        ("/message/android/priority", json!("LOUD"), "message.android.priority"),
    ] {
        let mut message = a_message();
        *message.pointer_mut(path).unwrap() = value;
        let (status, body) = google.send(PROJECT, &token, &message).await;
        let named = &body["error"]["details"][1]["fieldViolations"][0]["field"];
        assert_eq!((status, named), (400, &json!(field)), "{path}");
    }
    let mut largest = a_message();
    largest["message"]["data"]["chat"] = json!("c".repeat(fits));
    assert_eq!(google.send(PROJECT, &token, &largest).await.0, 200);
    assert_eq!(google.send("another", &token, &a_message()).await.0, 403);
}
