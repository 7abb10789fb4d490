//! Room keys that partners seal for each other: kept to be passed on, and of no use to whoever keeps them.

use cleanroom_policy::{PartnerName, RoomName};

use crate::error::Result;
use crate::registry::Registry;

impl Registry {
    /// Keeps a sealed key, in the place of an earlier one between the two partners.
    ///
    /// # Errors
    /// Where there is no such room, or the database fails.
    pub async fn put_sealed_key(
        &self,
        room: &RoomName,
        from: &PartnerName,
        to: &PartnerName,
        note: &str,
    ) -> Result<()> {
        let mut write = self.write().await?;
        let at = write.now();
        sqlx::query(
            "INSERT INTO sealed_keys (room, sender, recipient, note, at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (room, sender, recipient) DO UPDATE SET note = excluded.note, at = excluded.at",
        )
        .bind(room.as_str())
        .bind(from.as_str())
        .bind(to.as_str())
        .bind(note)
        .bind(at)
        .execute(write.connection())
        .await?;
        write.commit().await
    }

    /// The key that `from` sealed for `to`, as it came.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn sealed_key(&self, room: &RoomName, from: &PartnerName, to: &PartnerName) -> Result<Option<String>> {
        let note =
            sqlx::query_scalar("SELECT note FROM sealed_keys WHERE room = $1 AND sender = $2 AND recipient = $3")
                .bind(room.as_str())
                .bind(from.as_str())
                .bind(to.as_str())
                .fetch_optional(&self.inner.pool)
                .await?;
        Ok(note)
    }
}
