//! Rooms: their documents and secrets.

use cleanroom_log::RoomPut;
use cleanroom_policy::{Ability, Policy, Room, RoomName, TableName, parse_room};

use crate::actor::{Actor, Door};
use crate::error::{RegistryError, Result};
use crate::policies::{active_policies, sha256_digest};
use crate::random::random;
use crate::registry::Registry;
use crate::signatures;

/// What putting a document changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Created,
    /// It replaces another.
    Updated,
    /// It was there already.
    Unchanged,
}

impl Registry {
    /// Makes a room, or replaces its document.
    ///
    /// # Errors
    /// [`RegistryError::Membership`], where a partner with a key has not signed for how it is in the room;
    /// [`RegistryError::TestOnly`], where it is for tests alone and this is a server's; [`RegistryError::NotForTests`], where it no
    /// longer is and has a policy that is; [`RegistryError::NoWitnesses`], where it is strict and nobody is asked to cosign its log;
    /// where the database or the log fails.
    pub async fn put_room(&self, room: &Room, actor: &Actor) -> Result<Change> {
        self.takes_for_tests(room.test_only, || format!("room `{}`", room.name))?;
        self.must_have_witnesses(room).await?;
        let digest = room.digest();
        let mut write = self.write().await?;
        let stored: Option<String> = sqlx::query_scalar("SELECT digest FROM rooms WHERE room = $1")
            .bind(room.name.as_str())
            .fetch_optional(write.connection())
            .await?;
        let change = match stored {
            Some(stored) if stored == digest => return Ok(Change::Unchanged),
            Some(_) => Change::Updated,
            None => Change::Created,
        };
        if !room.test_only && change == Change::Updated {
            for policy in active_policies(&mut write, &room.name).await? {
                must_not_be_for_tests(&room.name, &policy)?;
            }
        }
        if change == Change::Created {
            sqlx::query(
                "INSERT INTO rooms (room, origin, document, digest, secret, at) VALUES ($1, $2, $3, $4, $5, $6)",
            )
            .bind(room.name.as_str())
            .bind(self.origin_of_new(&room.name)?.as_str())
            .bind(room.canonical_json())
            .bind(&digest)
            .bind(random::<32>()?.to_vec())
            .bind(write.now())
            .execute(write.connection())
            .await?;
        } else {
            sqlx::query("UPDATE rooms SET document = $2, digest = $3, at = $4 WHERE room = $1")
                .bind(room.name.as_str())
                .bind(room.canonical_json())
                .bind(&digest)
                .bind(write.now())
                .execute(write.connection())
                .await?;
        }
        let origin = signatures::origin(&mut write, &room.name).await?;
        let (members, keys) = signatures::members(&mut write, room, &origin).await?;
        let event = RoomPut { digest: sha256_digest(&digest)?, strict: Some(room.strict), members };
        let sequence = write.append(&room.name, actor, None, event.into(), &[]).await?;
        signatures::keep(&mut write, &room.name, &keys, sequence).await?;
        write.commit().await?;
        self.publish(&room.name, sequence).await?;
        Ok(change)
    }

    /// A room by name.
    ///
    /// # Errors
    /// Where the database fails, or its document does not read back.
    pub async fn room(&self, name: &RoomName) -> Result<Option<Room>> {
        let document: Option<String> = sqlx::query_scalar("SELECT document FROM rooms WHERE room = $1")
            .bind(name.as_str())
            .fetch_optional(&self.inner.pool)
            .await?;
        document.map(|document| read_room(&document)).transpose()
    }

    /// All rooms, by name.
    ///
    /// # Errors
    /// As [`Registry::room`].
    pub async fn rooms(&self) -> Result<Vec<Room>> {
        let documents: Vec<String> =
            sqlx::query_scalar("SELECT document FROM rooms ORDER BY room").fetch_all(&self.inner.pool).await?;
        documents.iter().map(|document| read_room(document)).collect()
    }

    /// 32 random bytes of the room that never leave the machine; they salt what the log says of its data.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchRoom`]; where the database fails.
    pub async fn room_secret(&self, name: &RoomName) -> Result<[u8; 32]> {
        let secret: Option<Vec<u8>> = sqlx::query_scalar("SELECT secret FROM rooms WHERE room = $1")
            .bind(name.as_str())
            .fetch_optional(&self.inner.pool)
            .await?;
        let secret = secret.ok_or_else(|| RegistryError::NoSuchRoom(name.clone()))?;
        <[u8; 32]>::try_from(secret).map_err(|_| RegistryError::damaged("a room's secret", "it is not 32 bytes long"))
    }

    pub(crate) async fn room_names(&self) -> Result<Vec<RoomName>> {
        let names: Vec<String> =
            sqlx::query_scalar("SELECT room FROM rooms ORDER BY room").fetch_all(&self.inner.pool).await?;
        names
            .iter()
            .map(|name| RoomName::new(name).map_err(|error| RegistryError::damaged("a room's name", error)))
            .collect()
    }

    pub(crate) async fn declared(&self, room: &RoomName, table: &TableName) -> Result<()> {
        match self.room(room).await? {
            None => Err(RegistryError::NoSuchRoom(room.clone())),
            Some(document) if document.table(table).is_none() => Err(RegistryError::no_table(room, table)),
            Some(_) => Ok(()),
        }
    }

    /// What is for tests alone never comes through a server.
    pub(crate) fn takes_for_tests(&self, test_only: bool, what: impl FnOnce() -> String) -> Result<()> {
        if test_only && self.door == Door::Rest { Err(RegistryError::TestOnly { what: what() }) } else { Ok(()) }
    }
}

/// A policy for tests alone has no place in a room that is for more.
pub(crate) fn must_not_be_for_tests(room: &RoomName, policy: &Policy) -> Result<()> {
    if policy.noise.as_ref().is_some_and(|noise| noise.test_only) {
        return Err(RegistryError::NotForTests { room: room.clone(), table: policy.table.clone() });
    }
    Ok(())
}

pub(crate) fn read_room(document: &str) -> Result<Room> {
    parse_room("registry", document).map_err(|errors| RegistryError::damaged("a room", first(&errors)))
}

pub(crate) fn first<E: ToString>(errors: &[E]) -> String {
    errors.first().map(E::to_string).unwrap_or_default()
}

pub(crate) fn ability_word(ability: Ability) -> &'static str {
    match ability {
        Ability::Contribute => "contribute",
        Ability::Query => "query",
        Ability::Receive => "receive",
        Ability::Audit => "audit",
    }
}
