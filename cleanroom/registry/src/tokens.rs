//! Bearer tokens: made, shown once, recognised, revoked.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cleanroom_log::{Event, TokenIssued, TokenRevoked};
use cleanroom_policy::{PartnerName, RoomName};
use sqlx::Row;
use subtle::ConstantTimeEq;
use time::OffsetDateTime;

use crate::actor::{Actor, Role};
use crate::error::{RegistryError, Result, partner};
use crate::numbers::{milliseconds, now};
use crate::random::{random, sha256};
use crate::registry::Registry;
use crate::write::Write;

const PREFIX: &str = "crs_";

/// A token that was just made.
#[derive(Clone)]
pub struct IssuedToken {
    /// Its public id.
    pub id: String,
    /// What its holder shows. It is stored nowhere and cannot be shown again.
    pub secret: String,
}

impl std::fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedToken").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Who shows a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The partner; `None` for the token of the first start.
    pub partner: Option<PartnerName>,
    /// What it lets its holder do.
    pub role: Role,
    /// The token's public id.
    pub token_id: String,
}

impl Registry {
    /// Makes a token for a partner. The logs of the rooms it opens say so.
    ///
    /// # Errors
    /// Where the database or a log fails.
    pub async fn issue_token(
        &self,
        partner: &PartnerName,
        role: Role,
        label: &str,
        expires: Option<OffsetDateTime>,
        actor: &Actor,
    ) -> Result<IssuedToken> {
        let write = self.write().await?;
        self.insert_token(write, Some(partner), role, label, expires, actor).await
    }

    /// The administrator's token of the first start: `Some` only where there was none before, revoked ones included.
    ///
    /// # Errors
    /// As [`Registry::issue_token`].
    pub async fn ensure_admin_token(&self) -> Result<Option<String>> {
        let mut write = self.write().await?;
        let admins: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM tokens WHERE role = 'admin'")
            .fetch_one(write.connection())
            .await?;
        if admins > 0 {
            return Ok(None);
        }
        let issued = self.insert_token(write, None, Role::Admin, "first start", None, &Actor::operator()).await?;
        Ok(Some(issued.secret))
    }

    /// Who shows `secret`; `None` for anything but a token that is neither expired nor revoked.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn authenticate(&self, secret: &str) -> Result<Option<Identity>> {
        if !secret.starts_with(PREFIX) {
            return Ok(None);
        }
        // The look-up is by a hash the caller cannot steer, so its timing tells nothing of other tokens.
        let hash = hash(secret);
        let row = sqlx::query("SELECT id, hash, partner, role, expires_at, revoked_at FROM tokens WHERE hash = $1")
            .bind(hash.to_vec())
            .fetch_optional(&self.inner.pool)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let known: Vec<u8> = row.try_get("hash")?;
        let (expires, revoked): (Option<i64>, Option<i64>) = (row.try_get("expires_at")?, row.try_get("revoked_at")?);
        if !bool::from(known.ct_eq(&hash)) || revoked.is_some() || expires.is_some_and(|expires| expires <= now()) {
            return Ok(None);
        }
        let name: Option<String> = row.try_get("partner")?;
        let role: String = row.try_get("role")?;
        Ok(Some(Identity {
            partner: name.as_deref().map(partner).transpose()?,
            role: if role == Role::Admin.as_str() { Role::Admin } else { Role::Member },
            token_id: row.try_get("id")?,
        }))
    }

    /// Ends a token. Doing so again changes nothing.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchToken`]; where the database or a log fails.
    pub async fn revoke_token(&self, id: &str, actor: &Actor) -> Result<()> {
        let mut write = self.write().await?;
        let row = sqlx::query("SELECT partner, role, revoked_at FROM tokens WHERE id = $1")
            .bind(id)
            .fetch_optional(write.connection())
            .await?
            .ok_or_else(|| RegistryError::NoSuchToken(id.to_owned()))?;
        if row.try_get::<Option<i64>, _>("revoked_at")?.is_some() {
            return Ok(());
        }
        let name: Option<String> = row.try_get("partner")?;
        let holder = name.as_deref().map(partner).transpose()?;
        let revoked_at = write.now();
        sqlx::query("UPDATE tokens SET revoked_at = $2 WHERE id = $1")
            .bind(id)
            .bind(revoked_at)
            .execute(write.connection())
            .await?;
        let role: String = row.try_get("role")?;
        let event = TokenRevoked { token: id.to_owned() };
        self.log_token(write, holder.as_ref(), role == Role::Admin.as_str(), event.into(), actor).await
    }

    async fn insert_token(
        &self,
        mut write: Write<'_>,
        partner: Option<&PartnerName>,
        role: Role,
        label: &str,
        expires: Option<OffsetDateTime>,
        actor: &Actor,
    ) -> Result<IssuedToken> {
        let secret = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random::<32>()?));
        let id = hex::encode(random::<8>()?);
        let created_at = write.now();
        sqlx::query(
            "INSERT INTO tokens (id, hash, partner, role, label, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(&id)
        .bind(hash(&secret).to_vec())
        .bind(partner.map(PartnerName::as_str))
        .bind(role.as_str())
        .bind(label)
        .bind(created_at)
        .bind(expires.map(milliseconds))
        .execute(write.connection())
        .await?;
        let event = TokenIssued { partner: partner.map(ToString::to_string), role: role.logged(), token: id.clone() };
        self.log_token(write, partner, role == Role::Admin, event.into(), actor).await?;
        Ok(IssuedToken { id, secret })
    }

    /// Writes `event` into the log of every room the token opens, and commits.
    async fn log_token(
        &self,
        mut write: Write<'_>,
        partner: Option<&PartnerName>,
        everywhere: bool,
        event: Event,
        actor: &Actor,
    ) -> Result<()> {
        let mut entries: Vec<(RoomName, u64)> = Vec::new();
        for room in self.rooms().await? {
            if everywhere || partner.is_some_and(|partner| room.partner(partner).is_some()) {
                let sequence = write.append(&room.name, actor, None, event.clone(), &[]).await?;
                entries.push((room.name, sequence));
            }
        }
        // A crash before this leaves no token, and a secret that nobody was shown.
        write.commit().await?;
        for (room, sequence) in entries {
            self.publish(&room, sequence).await?;
        }
        Ok(())
    }
}

/// SHA-256, not a slow hash: the secret is 32 random bytes, which nobody guesses however quick the guessing is.
fn hash(secret: &str) -> [u8; 32] {
    sha256(&[secret.as_bytes()])
}
