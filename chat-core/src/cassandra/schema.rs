//! The schema: the keyspace, whose it is, and its numbered migrations.
//!
//! A migration is a file of statements, each of which changes nothing where it was run before. It only adds, so that
//! the version before still runs on it; what it makes needless goes in a later one.

use scylla::client::session::Session;
use scylla::errors::{DbError, ExecutionError, RequestAttemptError};
use tokio::time::timeout;
use uuid::Uuid;

use super::{Cassandra, OPENING, OpenError, unreachable_now};
use crate::config::CassandraConfig;

/// The migrations in their order; the first has number 1.
const MIGRATIONS: [&str; 2] = [include_str!("migrations/0001_messages.cql"), include_str!("migrations/0002_users.cql")];

/// What keeps the schema's own records, made before any migration.
const RECORDS: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS schema_migrations (kind text, version int, applied_at timestamp, \
     PRIMARY KEY ((kind), version)) WITH CLUSTERING ORDER BY (version DESC)",
    "CREATE TABLE IF NOT EXISTS marks (name text PRIMARY KEY, value text)",
];

/// How long a holder of the lock may be silent before another one takes it, in seconds.
const LOCK_TTL: i32 = 120;

/// What provisioning needs to know beside how to reach the nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provision {
    /// Copies of each row in the local datacenter. Used when the keyspace is made, never changed by this.
    pub replication: u8,
    /// Which cluster the keyspace belongs to.
    pub owner: String,
    /// A former owner that gives it up.
    pub take_over: Option<String>,
}

/// Makes the keyspace and brings its schema to this version. May be repeated at any time; one holder at a time applies
/// migrations, and another one is told to try later.
///
/// A keyspace that bears another cluster's mark is left as it is.
pub async fn provision(config: &CassandraConfig, provision: &Provision) -> Result<(), OpenError> {
    let session = Cassandra::connect(config).await?.session;
    let (keyspace, datacenter) = (&config.keyspace, config.local_datacenter.replace('\'', "''"));
    durable(&session).await?;
    let create = format!(
        "CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {{'class': 'NetworkTopologyStrategy', \
         '{datacenter}': {}}}",
        provision.replication
    );
    run(&session, &create).await?;
    session.use_keyspace(keyspace, false).await.map_err(unreachable_now)?;
    for statement in RECORDS {
        run(&session, statement).await?;
    }
    if let Some(former) = &provision.take_over {
        let replace = "UPDATE marks SET value = ? WHERE name = 'owner' IF value = ?";
        let replaced = timeout(OPENING, session.query_unpaged(replace, (&provision.owner, former)));
        replaced.await.map_err(unreachable_now)?.map_err(unreachable_now)?;
    }
    let owner = mark(&session, "owner", &provision.owner, None).await?;
    if owner != provision.owner {
        return Err(OpenError::Owned(owner));
    }
    let holder = Uuid::now_v7().to_string();
    if mark(&session, "migrating", &holder, Some(LOCK_TTL)).await? != holder {
        return Err(OpenError::Unavailable("another holder applies migrations".to_owned()));
    }
    mark(&session, "restore_epoch", &Uuid::now_v7().to_string(), None).await?;
    migrate(&session).await?;
    run(&session, &format!("DELETE FROM marks WHERE name = 'migrating' IF value = '{holder}'")).await
}

/// Checks that the keyspace can be a name in a statement as it is.
pub(super) fn check_name(keyspace: &str) -> Result<(), OpenError> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if keyspace.is_empty() || keyspace.len() > 48 || !keyspace.bytes().all(allowed) {
        return Err(OpenError::Config(format!("the keyspace {keyspace:?} is not 1-48 of a-z0-9_")));
    }
    Ok(())
}

/// Checks that the keyspace has at least the schema of this version.
pub(super) async fn check(session: &Session, config: &CassandraConfig) -> Result<(), OpenError> {
    let found = version(session, &format!("{}.schema_migrations", config.keyspace)).await?;
    let needed = newest();
    if found < needed { Err(OpenError::Schema { found, needed }) } else { Ok(()) }
}

fn newest() -> i32 {
    i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX)
}

async fn migrate(session: &Session) -> Result<(), OpenError> {
    let found = version(session, "schema_migrations").await?;
    for (number, migration) in (1..).zip(MIGRATIONS).filter(|(number, _)| *number > found) {
        for statement in statements(migration) {
            run(session, &statement).await?;
        }
        let record = "INSERT INTO schema_migrations (kind, version, applied_at) VALUES ('chat', ?, toTimestamp(now()))";
        let done = timeout(OPENING, session.query_unpaged(record, (number,)));
        done.await.map_err(unreachable_now)?.map_err(unreachable_now)?;
    }
    Ok(())
}

/// Splits a migration into its statements, without its comments.
fn statements(migration: &str) -> Vec<String> {
    let code: Vec<_> = migration.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    let code = code.join("\n");
    code.split(';').map(str::trim).filter(|statement| !statement.is_empty()).map(str::to_owned).collect()
}

async fn version(session: &Session, table: &str) -> Result<i32, OpenError> {
    let query = format!("SELECT version FROM {table} WHERE kind = 'chat' LIMIT 1");
    match timeout(OPENING, session.query_unpaged(query, ())).await.map_err(unreachable_now)? {
        Ok(answer) => {
            let rows = answer.into_rows_result().map_err(unreachable_now)?;
            let row: Option<(i32,)> = rows.maybe_first_row().map_err(unreachable_now)?;
            Ok(row.map_or(0, |(version,)| version))
        }
        Err(ExecutionError::LastAttemptError(RequestAttemptError::DbError(DbError::Invalid, _))) => Ok(0),
        Err(error) => Err(unreachable_now(error)),
    }
}

/// Sets a mark unless there is one, and returns the one that holds.
async fn mark(session: &Session, name: &str, value: &str, ttl: Option<i32>) -> Result<String, OpenError> {
    let ttl = ttl.map(|ttl| format!(" USING TTL {ttl}")).unwrap_or_default();
    let insert = format!("INSERT INTO marks (name, value) VALUES (?, ?) IF NOT EXISTS{ttl}");
    let inserted = timeout(OPENING, session.query_unpaged(insert, (name, value)));
    inserted.await.map_err(unreachable_now)?.map_err(unreachable_now)?;
    let read = timeout(OPENING, session.query_unpaged("SELECT value FROM marks WHERE name = ?", (name,)));
    let rows = read.await.map_err(unreachable_now)?.map_err(unreachable_now)?;
    let rows = rows.into_rows_result().map_err(unreachable_now)?;
    let row: Option<(String,)> = rows.maybe_first_row().map_err(unreachable_now)?;
    row.map(|(value,)| value).ok_or_else(|| OpenError::Unavailable(format!("the mark {name} is gone again")))
}

/// Checks that a write is on disk when it is acknowledged, where the node tells. ScyllaDB does not.
async fn durable(session: &Session) -> Result<(), OpenError> {
    let query = "SELECT value FROM system_views.settings WHERE name = 'commitlog_sync'";
    let answer = timeout(OPENING, session.query_unpaged(query, ())).await.map_err(unreachable_now)?;
    let Ok(Ok(rows)) = answer.map(scylla::response::query_result::QueryResult::into_rows_result) else {
        return Ok(());
    };
    match rows.maybe_first_row::<(String,)>() {
        Ok(Some((sync,))) if sync == "periodic" => Err(OpenError::NotDurable(sync)),
        _ => Ok(()),
    }
}

async fn run(session: &Session, statement: &str) -> Result<(), OpenError> {
    let done = timeout(OPENING, session.query_unpaged(statement, ()));
    done.await.map_err(unreachable_now)?.map_err(unreachable_now)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_migration_may_be_repeated() {
        for migration in MIGRATIONS {
            let statements = statements(migration);
            assert!(!statements.is_empty());
            for statement in statements {
                assert!(statement.contains(" IF NOT EXISTS "), "{statement}");
            }
        }
    }

    #[test]
    fn names_that_are_no_plain_word_are_refused() {
        for name in ["", "a b", "a;b", "A", "\"a\"", &"a".repeat(49)] {
            assert!(matches!(check_name(name), Err(OpenError::Config(_))), "{name:?}");
        }
        assert_eq!(check_name("chat_1"), Ok(()));
    }
}
