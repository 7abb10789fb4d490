//! Policies: one active version a table.

use std::collections::BTreeSet;

use cleanroom_log::{Algorithm, Digest, PolicyActive};
use cleanroom_policy::{Policy, RoomName, TableName, TemplateApproval, parse_policy};
use sqlx::Row;

use crate::actor::Actor;
use crate::error::{RegistryError, Result};
use crate::numbers::{stored, unsigned};
use crate::registry::Registry;
use crate::rooms::{Change, first, must_not_be_for_tests, read_room};
use crate::signatures;
use crate::templates;
use crate::write::Write;

/// The active policy of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyRecord {
    /// What it says.
    pub policy: Policy,
    /// The document as the owner wrote it.
    pub text: String,
    /// SHA-256 of what it says, in hexadecimal.
    pub digest: String,
    /// Where its access names templates: those it approves, each with the digest of its content. What stands under an
    /// approved name later is not among them.
    pub approved: BTreeSet<TemplateApproval>,
    /// The log entry that made it active.
    pub sequence: u64,
    /// The owner's signature over it; `None` of an owner that had no key in the room then.
    pub signature: Option<String>,
}

impl Registry {
    /// As [`Registry::put_signed_policy`], of an owner that has no key in the room.
    ///
    /// # Errors
    /// As [`Registry::put_signed_policy`].
    pub async fn put_policy(&self, room: &RoomName, policy: &Policy, text: &str, actor: &Actor) -> Result<Change> {
        self.put_signed_policy(room, policy, text, None, actor).await
    }

    /// Makes `policy` the active one of its table; `text` is the document it was parsed from, and `signature` that of its
    /// owner over [`crate::policy_statement`].
    ///
    /// # Errors
    /// [`RegistryError::PolicySignature`], where the owner has a key in the room and the signature is not by it, or has none
    /// and there is a signature;
    /// [`RegistryError::NoSuchRoom`] and [`RegistryError::NoSuchTable`]; [`RegistryError::PolicyOutdated`] and
    /// [`RegistryError::PolicyVersionReused`], where the version does not grow with the change;
    /// [`RegistryError::NoSuchTemplate`], where it approves a template that the room does not have;
    /// [`RegistryError::PolicyText`], where `text` says something else; [`RegistryError::TestOnly`] and
    /// [`RegistryError::NotForTests`], where it is for tests alone and this is a server's, or the room is not; where the
    /// database or the log fails.
    pub async fn put_signed_policy(
        &self,
        room: &RoomName,
        policy: &Policy,
        text: &str,
        signature: Option<&str>,
        actor: &Actor,
    ) -> Result<Change> {
        let table = &policy.table;
        let digest = policy.digest();
        self.declared(room, table).await?;
        let test_only = policy.noise.as_ref().is_some_and(|noise| noise.test_only);
        self.takes_for_tests(test_only, || format!("the policy of `{table}`"))?;
        if parse_policy("policy", text).ok().map(|parsed| parsed.digest()).as_ref() != Some(&digest) {
            return Err(RegistryError::PolicyText(table.clone()));
        }
        let mut write = self.write().await?;
        // In the same transaction: the room cannot cease to be for tests in between.
        if test_only && !is_for_tests(&mut write, room).await? {
            must_not_be_for_tests(room, policy)?;
        }
        let active = sqlx::query(
            "SELECT version, digest, signature FROM policies WHERE room = $1 AND table_name = $2 ORDER BY version DESC LIMIT 1",
        )
        .bind(room.as_str())
        .bind(table.to_string())
        .fetch_optional(write.connection())
        .await?;
        let previous = match active {
            None => None,
            Some(row) => {
                let version = unsigned(row.try_get("version")?)?;
                let stored: String = row.try_get("digest")?;
                if policy.version < version {
                    return Err(RegistryError::PolicyOutdated {
                        table: table.clone(),
                        active: version,
                        given: policy.version,
                    });
                }
                if policy.version == version && stored != digest {
                    return Err(RegistryError::PolicyVersionReused { table: table.clone(), version });
                }
                let signed: Option<String> = row.try_get("signature")?;
                // One from before its owner had a key takes effect anew, with the signature.
                let joined = signed.is_none() && signatures::has_key(&mut write, room, table.owner()).await?;
                if policy.version == version && !joined {
                    return self.reword_policy(write, room, policy, text).await;
                }
                Some(stored)
            }
        };
        let change = if previous.is_some() { Change::Updated } else { Change::Created };
        let approved = templates::bound(&mut write, room, policy).await?;
        let bound = approved.as_deref().unwrap_or_default();
        signatures::must_be_signed(&mut write, room, policy, bound, signature).await?;
        let event = PolicyActive {
            table: table.to_string(),
            version: policy.version,
            digest: sha256_digest(&digest)?,
            previous: previous.as_deref().map(sha256_digest).transpose()?,
            templates: approved.clone(),
            signature: signature.map(str::to_owned),
        };
        let canonical = policy.canonical_json();
        let sequence = write.append(room, actor, None, event.into(), &[canonical.as_bytes()]).await?;
        sqlx::query(
            "INSERT INTO policies (room, table_name, version, digest, text, sequence, signature) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (room, table_name, version) \
             DO UPDATE SET text = excluded.text, sequence = excluded.sequence, signature = excluded.signature",
        )
        .bind(room.as_str())
        .bind(table.to_string())
        .bind(stored(policy.version)?)
        .bind(&digest)
        .bind(text)
        .bind(stored(sequence)?)
        .bind(signature)
        .execute(write.connection())
        .await?;
        templates::keep(&mut write, room, policy, approved.as_deref().unwrap_or_default()).await?;
        write.commit().await?;
        self.publish(room, sequence).await?;
        Ok(change)
    }

    /// The active policy of a table.
    ///
    /// # Errors
    /// Where the database fails, or the stored text no longer says what its digest was taken of.
    pub async fn policy(&self, room: &RoomName, table: &TableName) -> Result<Option<PolicyRecord>> {
        let row = sqlx::query(
            "SELECT digest, text, sequence, signature FROM policies WHERE room = $1 AND table_name = $2 ORDER BY version DESC LIMIT 1",
        )
        .bind(room.as_str())
        .bind(table.to_string())
        .fetch_optional(&self.inner.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let (digest, text): (String, String) = (row.try_get("digest")?, row.try_get("text")?);
        let policy = parse_policy(&table.to_string(), &text)
            .map_err(|errors| RegistryError::damaged("a policy", first(&errors)))?;
        if policy.digest() != digest {
            return Err(RegistryError::damaged("a policy", "its text does not match its digest"));
        }
        let sequence = unsigned(row.try_get("sequence")?)?;
        let approved = self.approved(room, table, policy.version).await?;
        let signature = row.try_get("signature")?;
        Ok(Some(PolicyRecord { policy, text, digest, approved, sequence, signature }))
    }

    /// Another spelling of the active policy: nothing to log, but its lines are what refusals point at.
    async fn reword_policy(
        &self,
        mut write: Write<'_>,
        room: &RoomName,
        policy: &Policy,
        text: &str,
    ) -> Result<Change> {
        sqlx::query(
            "UPDATE policies SET text = $4 WHERE room = $1 AND table_name = $2 AND version = $3 AND text <> $4",
        )
        .bind(room.as_str())
        .bind(policy.table.to_string())
        .bind(stored(policy.version)?)
        .bind(text)
        .execute(write.connection())
        .await?;
        write.commit().await?;
        Ok(Change::Unchanged)
    }
}

async fn is_for_tests(write: &mut Write<'_>, room: &RoomName) -> Result<bool> {
    let document: Option<String> = sqlx::query_scalar("SELECT document FROM rooms WHERE room = $1")
        .bind(room.as_str())
        .fetch_optional(write.connection())
        .await?;
    document.map_or(Ok(false), |document| Ok(read_room(&document)?.test_only))
}

/// The active policies of a room, also of tables that it does not declare any more.
pub(crate) async fn active_policies(write: &mut Write<'_>, room: &RoomName) -> Result<Vec<Policy>> {
    let texts: Vec<String> = sqlx::query_scalar(
        "SELECT text FROM policies AS p WHERE room = $1 AND version = \
         (SELECT MAX(version) FROM policies WHERE room = p.room AND table_name = p.table_name)",
    )
    .bind(room.as_str())
    .fetch_all(write.connection())
    .await?;
    let read = |text: &String| {
        parse_policy("policy", text).map_err(|errors| RegistryError::damaged("a policy", first(&errors)))
    };
    texts.iter().map(read).collect()
}

pub(crate) fn sha256_digest(hex: &str) -> Result<Digest> {
    Digest::from_hex(Algorithm::Sha256, hex).map_err(|error| RegistryError::damaged("a digest", error))
}
