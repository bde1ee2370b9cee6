//! Cassandra, or ScyllaDB, as the engine of the message store and the store of users: the session, its deadlines and bounds.
//!
//! Reads and writes are prepared, token-aware and at `LOCAL_QUORUM` in one datacenter. Every statement is idempotent,
//! because its write timestamp is a value of it, so the driver may repeat one on another node.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::deserialize::row::DeserializeRow;
use scylla::errors::{
    ConnectionError, ConnectionPoolError, ConnectionSetupRequestErrorKind, DbError, MetadataError, NewSessionError,
};
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::serialize::row::SerializeRow;
use scylla::statement::Consistency;
use scylla::statement::prepared::PreparedStatement;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::config::CassandraConfig;
use crate::message_store::StoreError;

mod epoch;
mod schema;
mod statements;
pub(crate) mod values;

pub use schema::{Provision, provision};
pub(crate) use statements::statements;

/// The ports' deadline for every call.
const DEADLINE: Duration = Duration::from_secs(5);

/// How long the driver may take for one statement, repetitions on other nodes included.
const STATEMENT: Duration = Duration::from_secs(4);

/// How long opening may take, and each step of provisioning.
const OPENING: Duration = Duration::from_secs(20);

/// Statements under way at once from one process; further ones wait for a place, within the deadline.
const STATEMENTS: usize = 512;

/// Statements under way at once for one call.
const STATEMENTS_OF_A_CALL: usize = 128;

/// Rows of a page.
const PAGE_ROWS: usize = 500;

/// Why the engine could not be opened or provisioned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// A setting, or a file that it names, cannot be used.
    #[error("the settings of Cassandra cannot be used: {0}")]
    Config(String),
    /// No node answered as it should: also one whose certificate is not trusted, as far as the driver tells.
    #[error("Cassandra is unavailable: {0}")]
    Unavailable(String),
    /// The name and password are not taken.
    #[error("Cassandra refuses the name or password: {0}")]
    Refused(String),
    /// The keyspace is not there, or older than this version needs.
    #[error("the keyspace has schema version {found}, {needed} is needed: provision it")]
    Schema {
        /// The version it has, 0 for none.
        found: i32,
        /// The version that is needed.
        needed: i32,
    },
    /// The keyspace is another cluster's.
    #[error("the keyspace belongs to {0}")]
    Owned(String),
    /// The nodes acknowledge writes before they are on disk (`commitlog_sync: periodic`).
    #[error("Cassandra acknowledges writes before they are durable: commitlog_sync is {0}")]
    NotDurable(String),
}

impl OpenError {
    /// Returns whether the same call may succeed later without a change of settings.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// One session. Clones share it.
#[derive(Clone)]
pub struct Cassandra {
    session: Arc<Session>,
    places: Arc<Semaphore>,
}

impl fmt::Debug for Cassandra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cassandra").field("places", &self.places.available_permits()).finish_non_exhaustive()
    }
}

impl Cassandra {
    /// Connects, and checks that the keyspace has the schema of this version or a later one.
    pub async fn open(config: &CassandraConfig) -> Result<Self, OpenError> {
        let cassandra = Self::connect(config).await?;
        schema::check(&cassandra.session, config).await?;
        cassandra.session.use_keyspace(&config.keyspace, false).await.map_err(unreachable_now)?;
        Ok(cassandra)
    }

    /// Connects without a keyspace.
    async fn connect(config: &CassandraConfig) -> Result<Self, OpenError> {
        schema::check_name(&config.keyspace)?;
        let nearest = DefaultPolicy::builder()
            .prefer_datacenter(config.local_datacenter.clone())
            .token_aware(true)
            .permit_dc_failover(false)
            .build();
        let profile = ExecutionProfile::builder()
            .consistency(Consistency::LocalQuorum)
            .request_timeout(Some(STATEMENT))
            .load_balancing_policy(nearest)
            .build();
        let mut builder = SessionBuilder::new()
            .known_nodes(&config.contact_points)
            .default_execution_profile_handle(profile.into_handle())
            .connection_timeout(Duration::from_secs(3))
            .keepalive_interval(Duration::from_secs(5))
            .keepalive_timeout(Duration::from_secs(5))
            .keyspaces_to_fetch([&config.keyspace]);
        if let Some(auth) = &config.auth {
            builder = builder.user(read(&auth.username_file).await?, read(&auth.password_file).await?);
        }
        if let Some(tls) = &config.tls {
            builder = builder.tls_context(Some(trusting(&read(&tls.ca_file).await?)?));
        }
        // On the heap: the driver's future is large.
        let session = timeout(OPENING, Box::pin(builder.build())).await.map_err(unreachable_now)?.map_err(classify)?;
        Ok(Self { session: Arc::new(session), places: Arc::new(Semaphore::new(STATEMENTS)) })
    }

    /// Prepares a statement of a store.
    pub(crate) async fn prepare(&self, statement: &str) -> Result<PreparedStatement, OpenError> {
        let prepare = timeout(OPENING, self.session.prepare(statement));
        let mut prepared = prepare.await.map_err(unreachable_now)?.map_err(unreachable_now)?;
        prepared.set_is_idempotent(true);
        Ok(prepared)
    }

    /// Runs a statement that gives no rows.
    pub(crate) async fn execute(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow + Send,
    ) -> Result<(), StoreError> {
        let _place = self.places.acquire().await.map_err(unavailable)?;
        self.session.execute_unpaged(statement, values).await.map_err(unavailable)?;
        Ok(())
    }

    /// Runs a statement that gives at most one row.
    pub(crate) async fn row<T>(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow + Send,
    ) -> Result<Option<T>, StoreError>
    where
        T: for<'f, 'm> DeserializeRow<'f, 'm>,
    {
        let _place = self.places.acquire().await.map_err(unavailable)?;
        let answer = self.session.execute_unpaged(statement, values).await.map_err(unavailable)?;
        answer.into_rows_result().map_err(unreadable)?.maybe_first_row().map_err(unreadable)
    }

    /// Runs a statement that gives rows, page by page, and keeps of each what `keep` makes of it, at most `limit`.
    pub(crate) async fn rows<T, R>(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow + Send,
        limit: usize,
        mut keep: impl FnMut(T) -> Result<Option<R>, StoreError> + Send,
    ) -> Result<Vec<R>, StoreError>
    where
        T: for<'f, 'm> DeserializeRow<'f, 'm> + Send + Unpin + 'static,
        R: Send,
    {
        let mut kept = Vec::new();
        if limit == 0 {
            return Ok(kept);
        }
        let _place = self.places.acquire().await.map_err(unavailable)?;
        let mut statement = statement.clone();
        statement.set_page_size(i32::try_from(limit.min(PAGE_ROWS)).unwrap_or(i32::MAX));
        let pager = Box::pin(self.session.execute_iter(statement, values)).await.map_err(unavailable)?;
        let mut rows = pager.rows_stream::<T>().map_err(unreadable)?;
        while kept.len() < limit
            && let Some(row) = rows.try_next().await.map_err(unavailable)?
        {
            kept.extend(keep(row)?);
        }
        Ok(kept)
    }
}

/// Runs one call of a port within its deadline.
pub(crate) async fn within<T>(call: impl Future<Output = Result<T, StoreError>> + Send) -> Result<T, StoreError> {
    timeout(DEADLINE, call).await.map_err(unavailable)?
}

/// Runs the parts of one call, some at a time, and returns their answers in order.
pub(crate) async fn each<T: Send>(
    parts: impl IntoIterator<Item = impl Future<Output = Result<T, StoreError>> + Send, IntoIter: Send> + Send,
) -> Result<Vec<T>, StoreError> {
    stream::iter(parts).buffered(STATEMENTS_OF_A_CALL).try_collect().await
}

pub(crate) fn unavailable(error: impl fmt::Display) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

pub(crate) fn unreadable(error: impl fmt::Display) -> StoreError {
    StoreError::Corrupt(error.to_string())
}

async fn read(path: &std::path::Path) -> Result<String, OpenError> {
    let text = tokio::task::spawn_blocking({
        let path = path.to_owned();
        move || std::fs::read_to_string(path)
    });
    let text = text.await.map_err(|error| OpenError::Config(error.to_string()))?;
    let text = text.map_err(|error| OpenError::Config(format!("{}: {error}", path.display())))?;
    Ok(text.trim().to_owned())
}

fn trusting(authorities: &str) -> Result<Arc<ClientConfig>, OpenError> {
    let refused = |error: &dyn fmt::Display| OpenError::Config(format!("caFile: {error}"));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authorities.as_bytes()) {
        roots.add(certificate.map_err(|error| refused(&error))?).map_err(|error| refused(&error))?;
    }
    if roots.is_empty() {
        return Err(refused(&"no certificate in it"));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| refused(&error))?.with_root_certificates(roots).with_no_client_auth();
    Ok(Arc::new(config))
}

fn unreachable_now(error: impl fmt::Display) -> OpenError {
    OpenError::Unavailable(error.to_string())
}

fn classify(error: NewSessionError) -> OpenError {
    let text = error.to_string();
    match error {
        NewSessionError::IllegalConfig(_) | NewSessionError::EmptyKnownNodesList => OpenError::Config(text),
        NewSessionError::MetadataError(MetadataError::ConnectionPoolError(ConnectionPoolError::Broken {
            last_connection_error: ConnectionError::ConnectionSetupRequestError(setup),
        })) => match setup.get_error() {
            ConnectionSetupRequestErrorKind::MissingAuthentication
            | ConnectionSetupRequestErrorKind::DbError(DbError::AuthenticationError, _) => OpenError::Refused(text),
            _ => OpenError::Unavailable(text),
        },
        _ => OpenError::Unavailable(text),
    }
}
