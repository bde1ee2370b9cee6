//! The index: its template, its alias, and whether they are there.

use ::elasticsearch::Elasticsearch;
use ::elasticsearch::http::StatusCode;
use ::elasticsearch::http::response::Response;
use ::elasticsearch::indices::{IndicesCreateParts, IndicesExistsAliasParts, IndicesPutIndexTemplateParts};
use serde_json::{Value, json};

use super::WRITE_DEADLINE;
use super::connect::{OpenError, connect};
use crate::config::ElasticsearchConfig;

/// How the index is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Provision {
    /// Primary shards.
    pub shards: u32,
    /// Copies of each beside the primary.
    pub replicas: u32,
}

/// Returns the name that the index is read and written by.
pub(super) fn alias(config: &ElasticsearchConfig) -> String {
    format!("{}messages", config.prefix)
}

/// Makes the template, the index and its alias where they are missing. May be repeated; a template that differs is
/// replaced, and holds for indices made later.
pub async fn provision(config: &ElasticsearchConfig, provision: Provision) -> Result<(), OpenError> {
    let client = connect(config).await?;
    let alias = alias(config);
    let indices = client.indices();
    let put = indices.put_index_template(IndicesPutIndexTemplateParts::Name(&alias)).body(template(&alias, provision));
    accepted(put.request_timeout(WRITE_DEADLINE).send().await.map_err(|error| unreachable_now(&error))?).await?;
    if check(&client, &alias).await.is_ok() {
        return Ok(());
    }
    let first = format!("{alias}-000001");
    let body = json!({ "aliases": { &alias: { "is_write_index": true } } });
    let create = indices.create(IndicesCreateParts::Index(&first)).body(body);
    let answer = create.request_timeout(WRITE_DEADLINE).send().await.map_err(|error| unreachable_now(&error))?;
    if answer.status_code() == StatusCode::BAD_REQUEST {
        // Somebody else was faster, or it is refused: what counts is that it is there.
        return check(&client, &alias).await;
    }
    accepted(answer).await
}

/// Checks that the alias is there.
pub(super) async fn check(client: &Elasticsearch, alias: &str) -> Result<(), OpenError> {
    let names = [alias];
    let indices = client.indices();
    let exists = indices.exists_alias(IndicesExistsAliasParts::Name(&names)).request_timeout(WRITE_DEADLINE);
    let answer = exists.send().await.map_err(|error| unreachable_now(&error))?;
    if answer.status_code() == StatusCode::NOT_FOUND {
        return Err(OpenError::Missing(alias.to_owned()));
    }
    accepted(answer).await
}

fn template(alias: &str, Provision { shards, replicas }: Provision) -> Value {
    json!({
        "index_patterns": [format!("{alias}-*")],
        "template": {
            "settings": {
                "number_of_shards": shards,
                "number_of_replicas": replicas,
                // Given, so that an index that nobody searches for a while is refreshed all the same.
                "refresh_interval": "1s",
            },
            "mappings": {
                "dynamic": "strict",
                "properties": {
                    "message_id": { "type": "keyword", "index": false, "doc_values": false },
                    "chat_id": { "type": "keyword" },
                    "sender_id": { "type": "keyword" },
                    "content": { "type": "text", "analyzer": "standard", "norms": false },
                    "created_at": { "type": "date", "format": "epoch_millis" },
                    "seq": { "type": "long" },
                },
            },
        },
    })
}

async fn accepted(answer: Response) -> Result<(), OpenError> {
    let status = answer.status_code();
    if status.is_success() {
        return Ok(());
    }
    let reason = answer.exception().await.ok().flatten();
    let reason = reason.as_ref().and_then(|exception| exception.error().reason()).unwrap_or("no reason given");
    let told = format!("{status}: {reason}");
    Err(match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => OpenError::Refused(told),
        status if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => OpenError::Config(told),
        _ => OpenError::Unavailable(told),
    })
}

/// Tells all that led to an error: the client's own text leaves out what a certificate lacks.
fn unreachable_now(error: &::elasticsearch::Error) -> OpenError {
    let mut told = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        told = format!("{told}: {error}");
        cause = error.source();
    }
    OpenError::Unavailable(told)
}
