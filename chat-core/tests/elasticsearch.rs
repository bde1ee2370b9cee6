//! The search index on a real Elasticsearch: its contract, and what only this engine has. `tests/run.sh engines` starts
//! the server and says by `ELASTICSEARCH_*` where it is. Every test has an index of its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

use std::env;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chat_core::clock::Time;
use chat_core::config::ElasticsearchConfig;
use chat_core::config::elasticsearch::{ElasticsearchAuth, ElasticsearchTls};
use chat_core::id::{ChatId, MessageId, UserId};
use chat_core::search::elasticsearch::{ElasticsearchIndex, OpenError, Provision, provision};
use chat_core::search::{Document, Query, Scope, SearchIndex, VISIBLE_WITHIN_MS};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

const ONE_NODE: Provision = Provision { shards: 2, replicas: 0 };

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `tests/run.sh engines`"))
}

fn config() -> ElasticsearchConfig {
    let prefix = format!("t-{}-", Uuid::now_v7().simple());
    ElasticsearchConfig { url: variable("ELASTICSEARCH_URL"), prefix, auth: None, tls: None }
}

/// Has the index removed at the end, so that the server keeps room for the shards of others.
struct Subject {
    index: ElasticsearchIndex,
    config: ElasticsearchConfig,
}

impl Drop for Subject {
    fn drop(&mut self) {
        let index = format!("{}/{}messages-000001", self.config.url, self.config.prefix);
        _ = std::process::Command::new("curl").args(["-sf", "-X", "DELETE", &index]).output();
    }
}

impl chat_core::search::contract::Subject for Subject {
    fn index(&self) -> Arc<dyn SearchIndex> {
        Arc::new(self.index.clone())
    }
}

async fn subject() -> Subject {
    let config = config();
    provision(&config, ONE_NODE).await.unwrap();
    Subject { index: ElasticsearchIndex::open(&config).await.unwrap(), config }
}

chat_core::search_contract!([#[tokio::test]], subject().await);

fn a_document(chat_id: ChatId, seq: u64, content: &str) -> Document {
    Document {
        chat_id,
        seq,
        message_id: MessageId(Uuid::now_v7()),
        sender: UserId::new("ann").unwrap(),
        content: content.to_owned(),
        created_at: Time::from_millis(1_764_000_000_000 + seq),
        version: seq,
    }
}

fn a_query(text: &str, scopes: Vec<Scope>, limit: usize) -> Query {
    Query { text: text.to_owned(), scopes, sender: None, from: None, to: None, after: None, limit }
}

async fn until_found(index: &ElasticsearchIndex, query: &Query, seqs: &[u64]) {
    let deadline = Instant::now() + Duration::from_millis(VISIBLE_WITHIN_MS);
    loop {
        let hits = index.search(query).await.unwrap();
        let found: Vec<u64> = hits.iter().map(|hit| hit.place.seq).collect();
        if found == seqs {
            return;
        }
        assert!(Instant::now() < deadline, "found {found:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_page_is_filled_although_most_hits_are_outside_the_scopes() {
    let subject = subject().await;
    let (mine, limit) = (ChatId(Uuid::now_v7()), 10);
    let documents = (1..=3_000).map(|seq| a_document(mine, seq, "word")).collect();
    subject.index.index(documents).await.unwrap();
    // More partial chats than a query names ranges of; the one that counts is the last.
    let mut scopes: Vec<Scope> =
        (0..400).map(|_| Scope { chat_id: ChatId(Uuid::now_v7()), after: 1, upto: None }).collect();
    scopes.push(Scope { chat_id: mine, after: 0, upto: Some(15) });
    let newest: Vec<u64> = (6..=15).rev().collect();
    until_found(&subject.index, &a_query("word", scopes, limit), &newest).await;
}

#[tokio::test]
async fn more_than_one_bulk_is_indexed_whole() {
    let subject = subject().await;
    let chat = ChatId(Uuid::now_v7());
    // 12 MB: three bulks.
    let filler = "lorem ipsum ".repeat(2_000);
    let documents: Vec<Document> = (1..=500).map(|seq| a_document(chat, seq, &format!("n{seq} {filler}"))).collect();
    subject.index.index(documents.clone()).await.unwrap();
    let whole = vec![Scope { chat_id: chat, after: 0, upto: None }];
    for seq in [1, 250, 500] {
        until_found(&subject.index, &a_query(&format!("n{seq}"), whole.clone(), 10), &[seq]).await;
    }
    subject.index.erase(&UserId::new("ann").unwrap()).await.unwrap();
    until_found(&subject.index, &a_query("lorem", whole, 10), &[]).await;
}

#[tokio::test]
async fn an_index_is_used_once_provisioned_and_provisioning_may_be_repeated() {
    let config = config();
    let missing = ElasticsearchIndex::open(&config).await.unwrap_err();
    assert_eq!(missing, OpenError::Missing(format!("{}messages", config.prefix)));
    assert!(!missing.is_retryable());
    let (one, other) = tokio::join!(provision(&config, ONE_NODE), provision(&config, ONE_NODE));
    assert_eq!((one, other), (Ok(()), Ok(())));
    provision(&config, ONE_NODE).await.unwrap();
    let index = ElasticsearchIndex::open(&config).await.unwrap();
    drop(Subject { index, config });
}

/// The settings of the way in that asks for a password, over TLS.
fn secured() -> ElasticsearchConfig {
    let work = PathBuf::from(variable("ELASTICSEARCH_WORK"));
    let auth = ElasticsearchAuth { username_file: work.join("username"), password_file: work.join("password") };
    let tls = ElasticsearchTls { ca_file: work.join("ca.crt") };
    ElasticsearchConfig { url: variable("ELASTICSEARCH_TLS_URL"), auth: Some(auth), tls: Some(tls), ..config() }
}

#[tokio::test]
async fn a_password_over_tls_lets_in() {
    let config = secured();
    provision(&config, ONE_NODE).await.unwrap();
    let index = ElasticsearchIndex::open(&config).await.unwrap();
    let chat = ChatId(Uuid::now_v7());
    index.index(vec![a_document(chat, 1, "word")]).await.unwrap();
    let whole = vec![Scope { chat_id: chat, after: 0, upto: None }];
    until_found(&index, &a_query("word", whole, 10), &[1]).await;
    drop(Subject { index, config: ElasticsearchConfig { url: variable("ELASTICSEARCH_URL"), ..config } });
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_authority_are_refused_with_the_reason() {
    let right = secured();
    let work = PathBuf::from(variable("ELASTICSEARCH_WORK"));
    let mut wrong = right.clone();
    wrong.auth.as_mut().unwrap().password_file = work.join("username");
    for config in [wrong, ElasticsearchConfig { auth: None, ..right.clone() }] {
        let error = ElasticsearchIndex::open(&config).await.unwrap_err();
        assert!(matches!(error, OpenError::Refused(_)) && !error.is_retryable(), "{error:?}");
    }
    let trusting = |name: &str| Some(ElasticsearchTls { ca_file: work.join(name) });
    for tls in [trusting("other-ca.crt"), None] {
        let error = ElasticsearchIndex::open(&ElasticsearchConfig { tls, ..right.clone() }).await.unwrap_err();
        assert!(matches!(&error, OpenError::Unavailable(why) if why.contains("certificate")), "{error:?}");
    }
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_told_apart_from_a_server_that_is_away() {
    let plain = config();
    let at = |url: &str| ElasticsearchConfig { url: url.to_owned(), ..plain.clone() };
    let ca = |name: &str| Some(ElasticsearchTls { ca_file: PathBuf::from(variable("ELASTICSEARCH_WORK")).join(name) });
    for (config, reason) in [
        (at("nowhere"), "url"),
        (at("ftp://127.0.0.1:1"), "http"),
        (at("http://ann:secret@127.0.0.1:1"), "name or password"),
        (ElasticsearchConfig { tls: ca("ca.crt"), ..at("http://127.0.0.1:1") }, "https"),
        (ElasticsearchConfig { tls: ca("username"), ..at("https://127.0.0.1:1") }, "caFile"),
        (ElasticsearchConfig { tls: ca("no-such.crt"), ..at("https://127.0.0.1:1") }, "no-such.crt"),
        (ElasticsearchConfig { prefix: "UPPER-".to_owned(), ..plain.clone() }, "prefix"),
    ] {
        let error = ElasticsearchIndex::open(&config).await.unwrap_err();
        assert!(matches!(&error, OpenError::Config(why) if why.contains(reason)), "{error:?} does not tell {reason}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    let error = ElasticsearchIndex::open(&at("http://127.0.0.1:1")).await.unwrap_err();
    assert!(matches!(error, OpenError::Unavailable(_)) && error.is_retryable(), "{error:?}");
}
