//! Whether a token that was shown before still stands.

use sqlx::Row;

use crate::actor::Role;
use crate::error::{Result, partner};
use crate::numbers::now;
use crate::registry::Registry;
use crate::tokens::Identity;

impl Registry {
    /// Who the token of a public id is of; `None` where it has expired, was revoked or never was. It stands for nobody who
    /// has not shown the token itself to [`Registry::authenticate`].
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn standing_token(&self, id: &str) -> Result<Option<Identity>> {
        let row = sqlx::query(
            "SELECT partner, role FROM tokens WHERE id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)",
        )
        .bind(id)
        .bind(now())
        .fetch_optional(&self.inner.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let (name, role): (Option<String>, String) = (row.try_get("partner")?, row.try_get("role")?);
        Ok(Some(Identity {
            partner: name.as_deref().map(partner).transpose()?,
            role: if role == Role::Admin.as_str() { Role::Admin } else { Role::Member },
            token_id: id.to_owned(),
        }))
    }
}
