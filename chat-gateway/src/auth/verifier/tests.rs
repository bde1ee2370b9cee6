use std::io::Write;

use chat_core::config::KeySource;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;

use super::*;

const NOW: u64 = 1_764_000_000_000;
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

struct Setup {
    file: tempfile::NamedTempFile,
    verifiers: Verifiers,
}

fn setup(change: impl FnOnce(&mut chat_core::config::Verifier)) -> Setup {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(SECRET).unwrap();
    let mut verifier = chat_core::config::Verifier {
        name: "test".to_owned(),
        user_claim: "sub".to_owned(),
        algorithms: vec![Algorithm::HS256],
        issuer: None,
        audience: None,
        leeway_seconds: 30,
        keys: KeySource::Hs256File(file.path().to_owned()),
    };
    change(&mut verifier);
    let verifiers = Verifiers::open(&AuthConfig { verifiers: vec![verifier] }).unwrap();
    Setup { file, verifiers }
}

fn token(secret: &[u8], claims: &Value) -> String {
    encode(&Header::default(), claims, &EncodingKey::from_secret(secret)).unwrap()
}

async fn verify(setup: &Setup, claims: &Value) -> Result<Identity, Refused> {
    setup.verifiers.verify(&token(SECRET, claims), Time::from_millis(NOW)).await
}

#[tokio::test]
async fn a_good_token_names_its_user() {
    let setup = setup(|_| {});
    let exp = NOW / 1000 + 60;
    let identity = verify(&setup, &json!({"sub": "ann", "exp": exp, "scope": "read openid"})).await.unwrap();
    assert_eq!(identity.user.as_str(), "ann");
    assert_eq!(identity.scopes, Scopes::READ);
    assert_eq!(identity.expires_at.millis(), exp * 1000);
}

#[tokio::test]
async fn bad_tokens_are_refused() {
    let setup = setup(|_| {});
    let exp = NOW / 1000 + 60;
    for claims in [
        json!({"sub": "ann"}),
        json!({"exp": exp}),
        json!({"sub": "a b", "exp": exp}),
        json!({"sub": "ann", "exp": "soon"}),
        json!({"sub": "ann", "exp": exp, "nbf": exp}),
        json!({"sub": "ann", "exp": exp, "aud": "another"}),
        json!({"sub": "ann", "exp": exp, "scope": ["read"]}),
    ] {
        assert!(matches!(verify(&setup, &claims).await, Err(Refused::Bad(_))), "{claims}");
    }
    let now = Time::from_millis(NOW);
    let claims = json!({"sub": "ann", "exp": exp});
    let other = token(b"another secret of at least 32 bytes", &claims);
    assert_eq!(setup.verifiers.verify(&other, now).await, Err(Refused::Bad("the token's signature is wrong")));
    let none = format!("eyJhbGciOiJub25lIn0.{}.", token(SECRET, &claims).split('.').nth(1).unwrap());
    assert!(setup.verifiers.verify(&none, now).await.is_err());
    assert!(setup.verifiers.verify("", now).await.is_err());
}

#[tokio::test]
async fn an_expired_token_is_told_from_a_bad_one() {
    let setup = setup(|_| {});
    assert!(verify(&setup, &json!({"sub": "ann", "exp": NOW / 1000 - 29})).await.is_ok());
    assert_eq!(verify(&setup, &json!({"sub": "ann", "exp": NOW / 1000 - 30})).await, Err(Refused::Expired));
}

#[tokio::test]
async fn issuer_and_audience_are_required_where_configured() {
    let setup = setup(|verifier| {
        verifier.issuer = Some("https://id.example".to_owned());
        verifier.audience = Some("chat".to_owned());
        verifier.user_claim = "uid".to_owned();
    });
    let exp = NOW / 1000 + 60;
    let good = json!({"uid": "ann", "exp": exp, "iss": "https://id.example", "aud": ["chat", "mail"]});
    assert!(verify(&setup, &good).await.is_ok());
    for missing in ["iss", "aud", "uid"] {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(missing);
        assert!(verify(&setup, &claims).await.is_err(), "{missing}");
    }
}

#[tokio::test]
async fn a_changed_secret_is_taken_and_a_broken_one_is_not() {
    let setup = setup(|_| {});
    let claims = json!({"sub": "ann", "exp": NOW / 1000 + 60});
    std::fs::write(setup.file.path(), "short").unwrap();
    setup.verifiers.reload();
    assert!(verify(&setup, &claims).await.is_ok());
    let next = b"the next secret, of at least 32 bytes";
    std::fs::write(setup.file.path(), [next.as_slice(), b"\n"].concat()).unwrap();
    setup.verifiers.reload();
    assert!(verify(&setup, &claims).await.is_err());
    assert!(setup.verifiers.verify(&token(next, &claims), Time::from_millis(NOW)).await.is_ok());
}
