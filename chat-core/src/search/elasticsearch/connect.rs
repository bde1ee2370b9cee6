//! The connection: address, TLS, name and password.

use std::path::Path;

use ::elasticsearch::Elasticsearch;
use ::elasticsearch::auth::Credentials;
use ::elasticsearch::cert::{Certificate, CertificateValidation};
use ::elasticsearch::http::transport::{SingleNodeConnectionPool, TransportBuilder};

use super::SEARCH_DEADLINE;
use crate::config::ElasticsearchConfig;

/// Why the engine could not be opened or provisioned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// A setting, or a file that it names, cannot be used.
    #[error("the settings of the search index cannot be used: {0}")]
    Config(String),
    /// The server did not answer as it should: also one whose certificate is not trusted.
    #[error("the search index is unavailable: {0}")]
    Unavailable(String),
    /// The name and password are not taken, or allow too little.
    #[error("the search index refuses the name or password: {0}")]
    Refused(String),
    /// The alias is not there.
    #[error("there is no index {0}: provision it")]
    Missing(String),
}

impl OpenError {
    /// Returns whether the same call may succeed later without a change of settings.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// Makes a client. It connects with its first call.
pub(super) async fn connect(config: &ElasticsearchConfig) -> Result<Elasticsearch, OpenError> {
    let refused = |why: &dyn std::fmt::Display| OpenError::Config(format!("url: {why}"));
    let url: url::Url = config.url.parse().map_err(|error| refused(&error))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refused(&"neither http:// nor https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused(&"a name or password in it; give files"));
    }
    if config.prefix.bytes().any(|byte| !(byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte)))
    {
        return Err(OpenError::Config("prefix: of a-z, 0-9, `-`, `_` and `.` only".to_owned()));
    }
    if config.tls.is_some() && url.scheme() != "https" {
        return Err(OpenError::Config("tls: the url is not https://".to_owned()));
    }
    let mut builder =
        TransportBuilder::new(SingleNodeConnectionPool::new(url)).timeout(SEARCH_DEADLINE).disable_proxy();
    if let Some(auth) = &config.auth {
        let (username, password) = (read(&auth.username_file).await?, read(&auth.password_file).await?);
        builder = builder.auth(Credentials::Basic(username.trim().to_owned(), password.trim().to_owned()));
    }
    if let Some(tls) = &config.tls {
        let authorities = Certificate::from_pem(read(&tls.ca_file).await?.as_bytes());
        let authorities = authorities.map_err(|error| OpenError::Config(format!("caFile: {error}")))?;
        builder = builder.cert_validation(CertificateValidation::Full(authorities));
    }
    let transport = builder.build().map_err(|error| OpenError::Config(error.to_string()))?;
    Ok(Elasticsearch::new(transport))
}

async fn read(path: &Path) -> Result<String, OpenError> {
    let text = tokio::task::spawn_blocking({
        let path = path.to_owned();
        move || std::fs::read_to_string(path)
    });
    let text = text.await.map_err(|error| OpenError::Config(error.to_string()))?;
    text.map_err(|error| OpenError::Config(format!("{}: {error}", path.display())))
}
