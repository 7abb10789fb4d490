//! The versions of a table's policy.

use cleanroom_policy::{Policy, RoomName, TableName, parse_policy};
use sqlx::Row;
use time::OffsetDateTime;

use crate::error::Result;
use crate::numbers::{time, unsigned};
use crate::registry::Registry;

/// One version of a table's policy.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyVersion {
    /// Its number, which grows from version to version.
    pub version: u64,
    /// SHA-256 of what it says, in hexadecimal.
    pub digest: String,
    /// What it says; `None` where its text no longer reads as what its digest was taken of.
    pub policy: Option<Policy>,
    /// The log entry that made it active.
    pub sequence: u64,
    /// When that was.
    pub at: OffsetDateTime,
    /// Whether its owner signed it.
    pub signed: bool,
}

impl Registry {
    /// The newest versions of a table's policy, newest first and at most `limit`.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn policy_versions(&self, room: &RoomName, table: &TableName, limit: u32) -> Result<Vec<PolicyVersion>> {
        let rows = sqlx::query(
            "SELECT p.version, p.digest, p.text, p.sequence, p.signature IS NOT NULL AS signed, e.at FROM policies p \
             JOIN log_entries e ON e.room = p.room AND e.sequence = p.sequence \
             WHERE p.room = $1 AND p.table_name = $2 ORDER BY p.version DESC LIMIT $3",
        )
        .bind(room.as_str())
        .bind(table.to_string())
        .bind(i64::from(limit))
        .fetch_all(&self.inner.pool)
        .await?;
        rows.iter()
            .map(|row| {
                let (digest, text): (String, String) = (row.try_get("digest")?, row.try_get("text")?);
                let policy = parse_policy(&table.to_string(), &text).ok().filter(|policy| policy.digest() == digest);
                Ok(PolicyVersion {
                    version: unsigned(row.try_get("version")?)?,
                    digest,
                    policy,
                    sequence: unsigned(row.try_get("sequence")?)?,
                    at: time(row.try_get("at")?)?,
                    signed: row.try_get("signed")?,
                })
            })
            .collect()
    }
}
