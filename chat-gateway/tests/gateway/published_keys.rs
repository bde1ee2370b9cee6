//! Tokens signed with keys that their issuer publishes, over real HTTP from this machine.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair,
};
use axum::http::StatusCode;
use axum::serve::Listener;
use chat_core::clock::{Clock, SystemClock};
use chat_core::config::{self, AuthConfig, GatewayConfig, KeySource};
use chat_gateway::{Gateway, Running};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::harness::*;

/// A key pair of an issuer.
pub(crate) struct Pair {
    algorithm: Algorithm,
    kid: Option<&'static str>,
    private: EncodingKey,
}

impl Pair {
    pub(crate) fn new(algorithm: Algorithm, kid: Option<&'static str>) -> Self {
        let random = SystemRandom::new();
        let private = match algorithm {
            Algorithm::ES256 => {
                let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
                EncodingKey::from_ec_der(der.as_ref())
            }
            Algorithm::ES384 => {
                let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &random).unwrap();
                EncodingKey::from_ec_der(der.as_ref())
            }
            Algorithm::EdDSA => {
                let pair = Ed25519KeyPair::generate().unwrap();
                EncodingKey::from_ed_der(pair.to_pkcs8v1().unwrap().as_ref())
            }
            _ => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
                let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
                // The library wants PKCS #1: what the envelope of RFC 5958 ends with, after 26 bytes.
                EncodingKey::from_rsa_der(&der.as_ref()[26..])
            }
        };
        Self { algorithm, kid, private }
    }

    fn public(&self) -> Jwk {
        let mut jwk = Jwk::from_encoding_key(&self.private, self.algorithm).unwrap();
        jwk.common.key_id = self.kid.map(str::to_owned);
        jwk
    }

    fn sign_as(&self, algorithm: Algorithm, user: &str) -> String {
        let header = Header { kid: self.kid.map(str::to_owned), ..Header::new(algorithm) };
        let exp = SystemClock.now().millis() / 1_000 + 600;
        encode(&header, &json!({ "sub": user, "exp": exp }), &self.private).unwrap()
    }

    pub(crate) fn sign(&self, user: &str) -> String {
        self.sign_as(self.algorithm, user)
    }
}

/// What the issuer answers, and how often it was asked.
type Answers = Arc<Mutex<(StatusCode, String, usize)>>;

/// An issuer's server.
pub(crate) struct Issuer {
    answers: Answers,
    port: u16,
    server: JoinHandle<()>,
}

impl Issuer {
    pub(crate) async fn start(keys: &[&Pair]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        Self::start_on(listener, port, keys)
    }

    pub(crate) fn start_on(listener: impl Listener<Addr: Debug>, port: u16, keys: &[&Pair]) -> Self {
        let answers = Answers::new(Mutex::new((StatusCode::OK, String::new(), 0)));
        let issuer = Self { server: serve(listener, Arc::clone(&answers)), answers, port };
        issuer.publish(keys);
        issuer
    }

    fn publish(&self, keys: &[&Pair]) {
        let keys: Vec<Jwk> = keys.iter().map(|pair| pair.public()).collect();
        self.answer(StatusCode::OK, json!({ "keys": keys }).to_string());
    }

    pub(crate) fn answer(&self, status: StatusCode, body: String) {
        let mut answers = self.answers.lock().unwrap();
        (answers.0, answers.1) = (status, body);
    }

    fn asked(&self) -> usize {
        self.answers.lock().unwrap().2
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/keys", self.port)
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn serve(listener: impl Listener<Addr: Debug>, answers: Answers) -> JoinHandle<()> {
    let answer = move || {
        let mut answers = answers.lock().unwrap();
        answers.2 += 1;
        std::future::ready((answers.0, answers.1.clone()))
    };
    let router = axum::Router::new().route("/keys", axum::routing::get(answer));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() })
}

pub(crate) fn take(config: &mut GatewayConfig, url: String, algorithms: &[config::Algorithm]) {
    let verifier = &mut config.auth.verifiers[0];
    verifier.algorithms = algorithms.to_vec();
    verifier.keys = KeySource::Jwks { url, ca_file: None };
}

pub(crate) async fn me(gateway: &Running, token: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    http(gateway.public_addr(), "GET", "/v1/me", &[("authorization", &bearer)], None).await
}

pub(crate) fn told(answer: &Answer) -> (u16, &Value) {
    (answer.status, if answer.status == 200 { &answer.body["user"] } else { &answer.body["code"] })
}

#[tokio::test]
async fn every_algorithm_that_is_configured_is_taken_and_no_other() {
    let pairs = [Algorithm::RS256, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA]
        .map(|algorithm| Pair::new(algorithm, None));
    let issuer = Issuer::start(&pairs.each_ref()).await;
    let stack = Stack::start();
    let taken = [config::Algorithm::RS256, config::Algorithm::ES256, config::Algorithm::EdDSA];
    let gateway = stack.gateway("gw-0", |config| take(config, issuer.url(), &taken)).await;
    for pair in &pairs {
        let answer = me(&gateway, &pair.sign("ann")).await;
        let expected = if pair.algorithm == Algorithm::ES384 { (401, "bad_token") } else { (200, "ann") };
        assert_eq!(told(&answer), (expected.0, &json!(expected.1)), "{:?}", pair.algorithm);
    }
    // The public key as a shared secret, another algorithm of the same key, and no algorithm.
    let rsa = serde_json::to_string(&pairs[0].public()).unwrap();
    let exp = SystemClock.now().millis() / 1_000 + 600;
    let claims = json!({ "sub": "ann", "exp": exp });
    let confused = encode(&Header::default(), &claims, &EncodingKey::from_secret(rsa.as_bytes())).unwrap();
    let signature = confused.rsplit('.').next().unwrap();
    let none = confused.replace(signature, "").replacen(confused.split('.').next().unwrap(), "eyJhbGciOiJub25lIn0", 1);
    for token in [confused, none, pairs[0].sign_as(Algorithm::RS384, "ann")] {
        assert_eq!(told(&me(&gateway, &token).await), (401, &json!("bad_token")), "{token}");
    }
    let mut socket = Client::open(gateway.public_addr(), &[]).await.unwrap();
    socket.ask("auth", json!({ "token": pairs[2].sign("ann") })).await;
    assert_eq!(socket.closed().await.code, 4500);
    let bearer = format!("Bearer {}", pairs[3].sign("ann"));
    let mut socket = Client::open(gateway.public_addr(), &[("authorization", &bearer)]).await.unwrap();
    assert_eq!(socket.push("hello").await["user"], "ann");
    assert_eq!(issuer.asked(), 1, "what is known or not taken asks nobody");
}

#[tokio::test]
async fn a_new_key_is_taken_with_its_first_token_and_a_withdrawn_one_no_longer() {
    let old = Pair::new(Algorithm::ES256, Some("old"));
    let new = Pair::new(Algorithm::ES256, Some("new"));
    let forged = Pair::new(Algorithm::ES256, Some("forged"));
    let impostor = Pair::new(Algorithm::ES256, Some("new"));
    let issuer = Issuer::start(&[&old]).await;
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |config| take(config, issuer.url(), &[config::Algorithm::ES256])).await;
    assert_eq!(told(&me(&gateway, &old.sign("ann")).await), (200, &json!("ann")));
    issuer.publish(&[&new]);
    // Many at once wait for one fetch.
    let tokens: Vec<String> = (0..20).map(|n| new.sign(&format!("user-{n}"))).collect();
    let answers = futures_util::future::join_all(tokens.iter().map(|token| me(&gateway, token))).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    assert_eq!(issuer.asked(), 2);
    assert_eq!(told(&me(&gateway, &impostor.sign("ann")).await), (401, &json!("bad_token")));
    // Those that nobody published are told from those that are new, and cost one fetch a cooldown.
    let tokens = [forged.sign("ann"), old.sign("ann"), forged.sign("bob")];
    let answers = futures_util::future::join_all(tokens.iter().map(|token| me(&gateway, token))).await;
    assert!(answers.iter().all(|answer| told(answer) == (401, &json!("bad_token"))), "{answers:?}");
    assert_eq!(issuer.asked(), 3);
}

#[tokio::test]
async fn keys_at_hand_outlive_their_issuer_and_a_gateway_without_any_is_not_ready() {
    let old = Pair::new(Algorithm::EdDSA, Some("old"));
    let new = Pair::new(Algorithm::EdDSA, Some("new"));
    let issuer = Issuer::start(&[&old]).await;
    issuer.answer(StatusCode::SERVICE_UNAVAILABLE, String::new());
    let stack = Stack::start();
    let mut config = stack.config("gw-0");
    take(&mut config, issuer.url(), &[config::Algorithm::EdDSA]);
    let gateway = Gateway::start(config, stack.ports.clone(), Arc::new(SystemClock)).await.unwrap();
    until("the issuer is asked", || issuer.asked() > 0).await;
    assert!(!gateway.is_ready());
    assert_eq!(http(gateway.admin_addr(), "GET", "/readyz", &[], None).await.status, 503);
    for bad in ["{}".to_owned(), "{\"keys\":[]}".to_owned(), "x".repeat(300_000)] {
        issuer.answer(StatusCode::OK, bad);
        let asked = issuer.asked();
        until("the issuer is asked again", || issuer.asked() > asked).await;
        assert!(!gateway.is_ready());
    }
    let answer = me(&gateway, &old.sign("ann")).await;
    assert_eq!(told(&answer), (503, &json!("unavailable")));
    assert!(answer.head.contains("retry-after: 2"), "{}", answer.head);

    issuer.publish(&[&old]);
    // Five fetches or more have failed: the back-off between them is up to 32 s by now.
    until_within(Duration::from_mins(1), "the keys are taken", || gateway.is_ready()).await;
    let (answers, port) = (Arc::clone(&issuer.answers), issuer.port);
    drop(issuer);
    assert_eq!(told(&me(&gateway, &old.sign("ann")).await), (200, &json!("ann")));
    let unsure = me(&gateway, &new.sign("ann")).await;
    assert_eq!(told(&unsure), (503, &json!("unavailable")), "a new key cannot be told from a forged one");
    assert!(gateway.is_ready());
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let issuer = Issuer { server: serve(listener, Arc::clone(&answers)), answers, port };
    issuer.publish(&[&new]);
    let end = tokio::time::Instant::now() + Duration::from_secs(20);
    while told(&me(&gateway, &new.sign("ann")).await) != (200, &json!("ann")) {
        assert!(tokio::time::Instant::now() < end, "the issuer is back");
    }
}

#[tokio::test]
async fn settings_that_would_be_unsafe_are_refused() {
    let stack = Stack::without_sequencer();
    let https = "https://id.example/keys".to_owned();
    let cases: [(String, &[config::Algorithm]); 4] = [
        ("http://id.example/keys".to_owned(), &[config::Algorithm::RS256]),
        (https.clone(), &[config::Algorithm::RS256, config::Algorithm::HS256]),
        (https, &[]),
        ("file:///etc/keys".to_owned(), &[config::Algorithm::RS256]),
    ];
    for (url, algorithms) in cases {
        let mut config = stack.config("gw-0");
        take(&mut config, url.clone(), algorithms);
        let refused = Gateway::start(config, stack.ports.clone(), Arc::new(SystemClock)).await;
        assert!(refused.is_err(), "{url} {algorithms:?}");
    }
    let mut config = stack.config("gw-0");
    config.auth = AuthConfig { verifiers: vec![config.auth.verifiers.remove(0)] };
    config.auth.verifiers[0].algorithms = vec![config::Algorithm::RS256];
    assert!(Gateway::start(config, stack.ports.clone(), Arc::new(SystemClock)).await.is_err());
}
