//! What takes effect only with its owner's signature: memberships and policies of partners that have a key in the room.
//!
//! Nothing here can sign. Whoever runs the server can leave a member out, and can let one in that has no key; it cannot put a
//! policy in the name of a partner with a key, nor give that partner another key or other abilities.

use cleanroom_log::{Member, MembershipStatement, PolicyStatement, TemplateReference, VerifierKey, check_signature};
use cleanroom_policy::{Partner, PartnerName, Policy, Room, RoomName};

use crate::error::{RegistryError, Result};
use crate::numbers::stored;
use crate::policies::sha256_digest;
use crate::registry::Registry;
use crate::rooms::ability_word;
use crate::write::Write;

/// The text that an owner signs to put `policy` in force in `room`. `templates` are those that it approves, by content.
///
/// # Errors
/// Never for a policy that was parsed.
pub fn policy_statement(room: &RoomName, policy: &Policy, templates: &[TemplateReference]) -> Result<String> {
    let (table, digest) = (policy.table.to_string(), sha256_digest(&policy.digest())?);
    Ok(PolicyStatement { room: room.as_str(), table: &table, version: policy.version, digest, templates }.text())
}

/// The text that a partner signs to be in `room` under `key`.
pub fn membership_statement(room: &RoomName, partner: &Partner, key: &VerifierKey) -> String {
    let abilities = abilities(partner);
    MembershipStatement { room: room.as_str(), partner: partner.name.as_str(), abilities: &abilities, key }.text()
}

fn abilities(partner: &Partner) -> Vec<String> {
    partner.abilities.iter().map(|ability| ability_word(*ability).to_owned()).collect()
}

impl Registry {
    /// The key that signs for a partner of the room; `None` for one without.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn member_key(&self, room: &RoomName, partner: &PartnerName) -> Result<Option<VerifierKey>> {
        let key: Option<String> = sqlx::query_scalar(NEWEST)
            .bind(room.as_str())
            .bind(partner.as_str())
            .fetch_optional(&self.inner.pool)
            .await?;
        key.as_deref().map(read_key).transpose()
    }
}

const NEWEST: &str = "SELECT key FROM member_keys WHERE room = $1 AND partner = $2 ORDER BY sequence DESC LIMIT 1";

async fn held(write: &mut Write<'_>, room: &RoomName, partner: &PartnerName) -> Result<Option<VerifierKey>> {
    let key: Option<String> = sqlx::query_scalar(NEWEST)
        .bind(room.as_str())
        .bind(partner.as_str())
        .fetch_optional(write.connection())
        .await?;
    key.as_deref().map(read_key).transpose()
}

fn read_key(text: &str) -> Result<VerifierKey> {
    text.parse().map_err(|error| RegistryError::damaged("a partner's key", error))
}

/// Everybody in the room as the log says it, and the keys that are new. Each partner with a key has signed for what it may do.
pub(crate) async fn members(write: &mut Write<'_>, room: &Room) -> Result<(Vec<Member>, Vec<(PartnerName, String)>)> {
    let (mut members, mut new) = (Vec::new(), Vec::new());
    for partner in &room.partners {
        let held = held(write, &room.name, &partner.name).await?;
        let refuse = |reason: &str| RegistryError::Membership {
            room: room.name.clone(),
            partner: partner.name.clone(),
            reason: reason.to_owned(),
        };
        let Some(written) = &partner.key else {
            if held.is_some() {
                return Err(refuse("it has a key in this room, and the room document leaves it out"));
            }
            members.push(Member {
                partner: partner.name.to_string(),
                abilities: abilities(partner),
                key: None,
                signature: None,
                rotation: None,
            });
            continue;
        };
        let key: VerifierKey = written.parse().map_err(|error| refuse(&format!("its `key`: {error}")))?;
        if key.origin().as_str() != partner.name.as_str() {
            return Err(refuse("its `key` is one under another name"));
        }
        let statement = membership_statement(&room.name, partner, &key);
        let signature = partner.membership.as_deref().ok_or_else(|| refuse("it has a `key` and no `membership`"))?;
        check_signature(&statement, signature, &key).map_err(|error| refuse(&format!("its `membership`: {error}")))?;
        let rotated = held.as_ref().is_some_and(|held| *held != key);
        if let Some(held) = held.as_ref().filter(|_| rotated) {
            let rotation = partner
                .rotation
                .as_deref()
                .ok_or_else(|| refuse("its `key` is not the one it had, and there is no `rotation`"))?;
            check_signature(&statement, rotation, held).map_err(|error| refuse(&format!("its `rotation`: {error}")))?;
        }
        if held.as_ref() != Some(&key) {
            new.push((partner.name.clone(), key.to_string()));
        }
        members.push(Member {
            partner: partner.name.to_string(),
            abilities: abilities(partner),
            key: Some(key.to_string()),
            signature: Some(signature.to_owned()),
            rotation: partner.rotation.clone().filter(|_| rotated),
        });
    }
    Ok((members, new))
}

/// Keeps keys that came with an entry.
pub(crate) async fn keep(
    write: &mut Write<'_>,
    room: &RoomName,
    keys: &[(PartnerName, String)],
    sequence: u64,
) -> Result<()> {
    for (partner, key) in keys {
        sqlx::query("INSERT INTO member_keys (room, partner, sequence, key) VALUES ($1, $2, $3, $4)")
            .bind(room.as_str())
            .bind(partner.as_str())
            .bind(stored(sequence)?)
            .bind(key)
            .execute(write.connection())
            .await?;
    }
    Ok(())
}

/// Whether a partner has a key in the room.
pub(crate) async fn has_key(write: &mut Write<'_>, room: &RoomName, partner: &PartnerName) -> Result<bool> {
    Ok(held(write, room, partner).await?.is_some())
}

/// Whether the policy may take effect: signed by its owner, or of one without a key.
pub(crate) async fn must_be_signed(
    write: &mut Write<'_>,
    room: &RoomName,
    policy: &Policy,
    templates: &[TemplateReference],
    signature: Option<&str>,
) -> Result<()> {
    let refuse = |reason: String| RegistryError::PolicySignature { table: policy.table.clone(), reason };
    let owner = policy.table.owner();
    match (held(write, room, owner).await?, signature) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(refuse(format!("it is signed, and `{owner}` has no key in the room"))),
        (Some(_), None) => Err(refuse(format!("`{owner}` has a key in the room, and the policy is not signed"))),
        (Some(key), Some(signature)) => {
            let statement = policy_statement(room, policy, templates)?;
            check_signature(&statement, signature, &key).map_err(|error| refuse(error.to_string()))
        }
    }
}
