//! How nodes are reached: addresses, TLS, name and password, and the limits of one connection.

use std::path::Path;
use std::time::Duration;

use ::redis::aio::{AsyncPushSender, MultiplexedConnection};
use ::redis::cluster::ClusterClientBuilder;
use ::redis::cluster_async::ClusterConnection;
use ::redis::io::tcp::TcpSettings;
use ::redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo,
    ProtocolVersion, RedisConnectionInfo, RedisError, TlsCertificates,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::{DEADLINE, OpenError};
use crate::config::RedisConfig;

/// How long connecting to a node may take.
const CONNECTING: Duration = Duration::from_secs(1);

/// How long what was sent may stay without the other machine's acknowledgement: one that lost its power says nothing.
const UNACKNOWLEDGED: Duration = Duration::from_secs(3);

/// What connections are made of, as the settings and their files were when it was read.
pub(super) struct Nodes {
    /// The nodes of the settings, at least one.
    seeds: Vec<ConnectionInfo>,
    certificates: Option<TlsCertificates>,
    is_tls: bool,
    credentials: RedisConnectionInfo,
}

impl Nodes {
    /// Reads the settings and their files.
    pub(super) async fn read(config: &RedisConfig) -> Result<Self, OpenError> {
        let mut credentials = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3);
        if let Some(auth) = &config.auth {
            if let Some(file) = &auth.username_file {
                credentials = credentials.set_username(read(file).await?.trim());
            }
            credentials = credentials.set_password(read(&auth.password_file).await?.trim());
        }
        let mut seeds = Vec::new();
        for url in &config.urls {
            let refused = |why: &str| OpenError::Config(format!("urls: {why}"));
            let info = url.as_str().into_connection_info().map_err(|error| refused(&error.to_string()))?;
            if info.redis_settings().username().is_some() || info.redis_settings().password().is_some() {
                return Err(refused("a name or password in it; give files"));
            }
            seeds.push(info.set_redis_settings(credentials.clone()).set_tcp_settings(tcp()));
        }
        let is_tls = |info: &ConnectionInfo| matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        let first = seeds.first().ok_or_else(|| OpenError::Config("urls: none".to_owned()))?;
        let is_tls_at_first = is_tls(first);
        if seeds.iter().any(|seed| is_tls(seed) != is_tls_at_first) {
            return Err(OpenError::Config("urls: redis:// and rediss:// mixed".to_owned()));
        }
        let certificates = match &config.tls {
            Some(_) if !is_tls_at_first => {
                return Err(OpenError::Config("tls: the urls are not rediss://".to_owned()));
            }
            Some(tls) => {
                let root_cert = match &tls.ca_file {
                    Some(file) => Some(certificates(&read(file).await?)?),
                    None => None,
                };
                let client_tls = match &tls.client {
                    Some(client) => Some(ClientTlsConfig {
                        client_cert: read(&client.certificate_file).await?.into_bytes(),
                        client_key: read(&client.key_file).await?.into_bytes(),
                    }),
                    None => None,
                };
                Some(TlsCertificates { client_tls, root_cert })
            }
            None => None,
        };
        let nodes = Self { seeds, certificates, is_tls: is_tls_at_first, credentials };
        for seed in &nodes.seeds {
            nodes.client(seed.clone()).map_err(|error| OpenError::Config(format!("tls: {error}")))?;
        }
        Ok(nodes)
    }

    /// Returns the nodes of the settings.
    pub(super) fn seeds(&self) -> &[ConnectionInfo] {
        &self.seeds
    }

    /// Returns how to reach a node that was discovered.
    pub(super) fn at(&self, host: String, port: u16) -> ConnectionInfo {
        let addr = if self.is_tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        self.seeds[0].clone().set_addr(addr)
    }

    fn client(&self, node: ConnectionInfo) -> Result<Client, RedisError> {
        match &self.certificates {
            Some(certificates) => Client::build_with_tls(node, certificates.clone()),
            None => Client::open(node),
        }
    }

    /// Connects to one node. What the server pushes goes to `pushed`.
    pub(super) async fn connect(
        &self,
        node: ConnectionInfo,
        pushed: Option<impl AsyncPushSender>,
    ) -> Result<MultiplexedConnection, RedisError> {
        let mut settings =
            AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECTING)).set_response_timeout(Some(DEADLINE));
        if let Some(pushed) = pushed {
            settings = settings.set_push_sender(pushed);
        }
        self.client(node)?.get_multiplexed_async_connection_with_config(&settings).await
    }

    /// Connects to all nodes of the cluster. It tries nothing again by itself, so that nothing is done twice.
    pub(super) async fn connect_all(&self) -> Result<ClusterConnection, RedisError> {
        let mut builder = ClusterClientBuilder::new(self.seeds.clone())
            .use_protocol(ProtocolVersion::RESP3)
            .tcp_settings(tcp())
            .connection_timeout(CONNECTING)
            .response_timeout(DEADLINE)
            .retries(0);
        if let Some(username) = self.credentials.username() {
            builder = builder.username(username);
        }
        if let Some(password) = self.credentials.password() {
            builder = builder.password(password);
        }
        if let Some(certificates) = &self.certificates {
            builder = builder.certs(certificates.clone());
        }
        builder.build()?.get_async_connection().await
    }
}

fn tcp() -> TcpSettings {
    TcpSettings::default().set_nodelay(true).set_user_timeout(UNACKNOWLEDGED)
}

/// Returns the authorities of a file that has some: the client takes one without as if it trusted nobody.
fn certificates(text: &str) -> Result<Vec<u8>, OpenError> {
    match CertificateDer::pem_slice_iter(text.as_bytes()).next() {
        Some(Ok(_)) => Ok(text.as_bytes().to_vec()),
        Some(Err(error)) => Err(OpenError::Config(format!("caFile: {error}"))),
        None => Err(OpenError::Config("caFile: no certificate in it".to_owned())),
    }
}

/// Says why a connection was not made.
pub(super) fn classify(error: &RedisError) -> OpenError {
    match error.kind() {
        ErrorKind::AuthenticationFailed => OpenError::Refused(error.to_string()),
        ErrorKind::InvalidClientConfig => OpenError::Config(error.to_string()),
        _ if matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM")) => OpenError::Refused(error.to_string()),
        _ => OpenError::Unavailable(error.to_string()),
    }
}

async fn read(path: &Path) -> Result<String, OpenError> {
    let text = tokio::task::spawn_blocking({
        let path = path.to_owned();
        move || std::fs::read_to_string(path)
    });
    let text = text.await.map_err(|error| OpenError::Config(error.to_string()))?;
    text.map_err(|error| OpenError::Config(format!("{}: {error}", path.display())))
}
