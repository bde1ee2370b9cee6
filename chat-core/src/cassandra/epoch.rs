//! Which life of the log the keyspace holds the projection of: kept beside what was made of it, so that nobody has to
//! tell every process.

use super::{Cassandra, OpenError, unavailable, unreachable_now, unreadable, within};
use crate::message_store::StoreError;

/// The first life of a log.
const FIRST: u32 = 1;

impl Cassandra {
    /// Returns the life of the log that was adopted last.
    pub async fn log_epoch(&self) -> Result<u32, OpenError> {
        let read = self.prepare("SELECT value FROM marks WHERE name = 'log_epoch'").await?;
        let row: Option<(String,)> = self.row(&read, ()).await.map_err(unreachable_now)?;
        row.map_or(Ok(FIRST), |(epoch,)| epoch.parse().map_err(unreachable_now))
    }

    /// Opens the life after `current`: positions of it are above all that came before. Returns it.
    ///
    /// # Errors
    /// When the nodes do not answer, or somebody else has opened it meanwhile.
    pub async fn adopt_log(&self, current: u32) -> Result<u32, StoreError> {
        let next = current + 1;
        let (held, wanted) = (current.to_string(), next.to_string());
        let adopt = async {
            // The first mark is made before it is replaced, so that both ways end in one condition.
            let make = "INSERT INTO marks (name, value) VALUES ('log_epoch', ?) IF NOT EXISTS";
            self.session.query_unpaged(make, (&held,)).await.map_err(unavailable)?;
            let replace = "UPDATE marks SET value = ? WHERE name = 'log_epoch' IF value = ?";
            let answer = self.session.query_unpaged(replace, (&wanted, &held)).await.map_err(unavailable)?;
            let rows = answer.into_rows_result().map_err(unreadable)?;
            let (is_ours, ..): (bool, Option<String>) = rows.first_row().map_err(unreadable)?;
            if is_ours { Ok(next) } else { Err(unavailable("another one has adopted the log meanwhile")) }
        };
        within(adopt).await
    }
}
