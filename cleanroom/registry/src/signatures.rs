//! What takes effect only with its owner's signature: memberships and policies of partners that have a key in the room.
//!
//! Nothing here can sign. Whoever runs the server can leave a member out, and can let one in that has no key; it cannot put a
//! policy in the name of a partner with a key, nor give that partner another key or other abilities.

use std::time::Duration;

use cleanroom_log::{
    EntryTime, Member, MembershipStatement, Origin, PolicyStatement, TemplateReference, VerifierKey, check_signature,
};
use cleanroom_policy::{Partner, PartnerName, Policy, Room, RoomName};

use crate::error::{RegistryError, Result};
use crate::numbers::{stored, time};
use crate::policies::sha256_digest;
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

/// The text that a partner signs to be in `room`, whose log is `log`, under `key` from `since` on.
pub fn membership_statement(
    room: &RoomName,
    log: &Origin,
    partner: &Partner,
    since: EntryTime,
    key: &VerifierKey,
) -> String {
    membership(room, Some(log), partner, since, key)
}

fn membership(room: &RoomName, log: Option<&Origin>, partner: &Partner, since: EntryTime, key: &VerifierKey) -> String {
    let (room, abilities) = (room.as_str(), abilities(partner));
    MembershipStatement { room, log, partner: partner.name.as_str(), abilities: &abilities, since, key }.text()
}

/// The name of the room's log.
pub(crate) async fn origin(write: &mut Write<'_>, room: &RoomName) -> Result<Origin> {
    let origin: String = sqlx::query_scalar("SELECT origin FROM rooms WHERE room = $1")
        .bind(room.as_str())
        .fetch_one(write.connection())
        .await?;
    Origin::new(&origin).map_err(|error| RegistryError::damaged("a log's origin", error))
}

/// How far a partner's clock may be ahead of this one.
const AHEAD: Duration = Duration::from_secs(24 * 60 * 60);

fn abilities(partner: &Partner) -> Vec<String> {
    partner.abilities.iter().map(|ability| ability_word(*ability).to_owned()).collect()
}

/// The newest membership that a partner signed.
struct Held {
    key: VerifierKey,
    since: EntryTime,
    statement: String,
}

async fn held(write: &mut Write<'_>, room: &RoomName, partner: &PartnerName) -> Result<Option<Held>> {
    let newest = "SELECT key, since, statement FROM member_keys WHERE room = $1 AND partner = $2 \
                  ORDER BY sequence DESC LIMIT 1";
    let row: Option<(String, String, String)> =
        sqlx::query_as(newest).bind(room.as_str()).bind(partner.as_str()).fetch_optional(write.connection()).await?;
    let Some((key, since, statement)) = row else {
        return Ok(None);
    };
    let key = key.parse().map_err(|error| RegistryError::damaged("a partner's key", error))?;
    let since = EntryTime::parse(&since).ok_or_else(|| RegistryError::damaged("a membership", "its time is none"))?;
    Ok(Some(Held { key, since, statement }))
}

/// A membership that was not there before.
pub(crate) struct Joined {
    partner: PartnerName,
    held: Held,
}

/// Everybody in the room as the log says it, and the memberships that are new. Each partner with a key has signed for what it
/// may do, in this log.
pub(crate) async fn members(write: &mut Write<'_>, room: &Room, log: &Origin) -> Result<(Vec<Member>, Vec<Joined>)> {
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
                since: None,
                rotation: None,
            });
            continue;
        };
        let key: VerifierKey = written.parse().map_err(|error| refuse(&format!("its `key`: {error}")))?;
        if key.origin().as_str() != partner.name.as_str() {
            return Err(refuse("its `key` is one under another name"));
        }
        let since = partner.since.as_deref().and_then(EntryTime::parse).ok_or_else(|| {
            refuse("its `since` is no time in RFC 3339 in UTC with milliseconds, as in `2026-05-04T13:14:15.123Z`")
        })?;
        let signature = partner.membership.as_deref().ok_or_else(|| refuse("it has a `key` and no `membership`"))?;
        // One that was signed before memberships named the log stays, and none comes new.
        let unbound = membership(&room.name, None, partner, since, &key);
        let statement = match held.as_ref().is_some_and(|held| held.statement == unbound) {
            true => unbound,
            false => membership_statement(&room.name, log, partner, since, &key),
        };
        check_signature(&statement, signature, &key)
            .map_err(|error| refuse(&format!("its `membership`: {error}, or not for the log `{log}`")))?;
        let rotated = held.as_ref().is_some_and(|held| held.key != key);
        if let Some(held) = held.as_ref().filter(|_| rotated) {
            let rotation = partner
                .rotation
                .as_deref()
                .ok_or_else(|| refuse("its `key` is not the one it had, and there is no `rotation`"))?;
            check_signature(&statement, rotation, &held.key)
                .map_err(|error| refuse(&format!("its `rotation`: {error}")))?;
        }
        if held.as_ref().is_none_or(|held| held.statement != statement) {
            if held.is_some_and(|held| since <= held.since) {
                return Err(refuse("its `since` is not after that of the membership it signed last"));
            }
            // A clock far ahead would leave the partner without a later time to sign at.
            if since.moment() > time(write.now())? + AHEAD {
                return Err(refuse("its `since` lies in the future"));
            }
            let held = Held { key: key.clone(), since, statement };
            new.push(Joined { partner: partner.name.clone(), held });
        }
        members.push(Member {
            partner: partner.name.to_string(),
            abilities: abilities(partner),
            key: Some(key.to_string()),
            signature: Some(signature.to_owned()),
            since: Some(since.to_string()),
            rotation: partner.rotation.clone().filter(|_| rotated),
        });
    }
    Ok((members, new))
}

/// Keeps memberships that came with an entry.
pub(crate) async fn keep(write: &mut Write<'_>, room: &RoomName, new: &[Joined], sequence: u64) -> Result<()> {
    let insert =
        "INSERT INTO member_keys (room, partner, sequence, key, since, statement) VALUES ($1, $2, $3, $4, $5, $6)";
    for Joined { partner, held } in new {
        sqlx::query(insert)
            .bind(room.as_str())
            .bind(partner.as_str())
            .bind(stored(sequence)?)
            .bind(held.key.to_string())
            .bind(held.since.to_string())
            .bind(&held.statement)
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
        (Some(held), Some(signature)) => {
            let statement = policy_statement(room, policy, templates)?;
            check_signature(&statement, signature, &held.key).map_err(|error| refuse(error.to_string()))
        }
    }
}
