//! Templates: one in force a name. A changed one is another template, which nobody has approved yet.

use std::collections::BTreeSet;

use cleanroom_log::{TemplatePut, TemplateReference};
use cleanroom_policy::{
    PartnerName, Policy, RoomName, TableName, Template, TemplateApproval, TemplateName, parse_template,
};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::actor::Actor;
use crate::error::{RegistryError, Result, partner};
use crate::numbers::{stored, unsigned};
use crate::policies::sha256_digest;
use crate::registry::Registry;
use crate::rooms::{Change, first};
use crate::write::Write;

/// The template in force under a name.
#[derive(Debug, Clone, PartialEq)]
pub struct TemplateRecord {
    /// What it says.
    pub template: Template,
    /// The document as it was written.
    pub text: String,
    /// SHA-256 of what it says, in hexadecimal.
    pub digest: String,
    /// From 1; one more with every change.
    pub version: u64,
    /// The partner that put the first version; `None` for the operator.
    pub author: Option<PartnerName>,
    /// The log entry that put it in force.
    pub sequence: u64,
}

/// A template and its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateUse {
    /// Its name.
    pub name: TemplateName,
    /// SHA-256 of what it says, in hexadecimal.
    pub digest: String,
}

/// Whose templates somebody may replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// Those that the same partner put first.
    Own,
    /// All: the operator's right.
    Any,
}

const IN_FORCE: &str = "SELECT name, version, digest, text, author, sequence FROM templates \
     WHERE room = $1 AND name = $2 ORDER BY version DESC LIMIT 1";

impl Registry {
    /// Puts `template` in force under its name; `text` is the document it was parsed from. Approvals of what stood there
    /// before do not pass over to it.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchRoom`]; [`RegistryError::TemplateTaken`], where it is another partner's;
    /// [`RegistryError::TemplateText`], where `text` says something else; where the database or the log fails.
    pub async fn put_template(
        &self,
        room: &RoomName,
        template: &Template,
        text: &str,
        actor: &Actor,
        replace: Replace,
    ) -> Result<Change> {
        let (name, digest) = (&template.name, template.digest());
        if parse_template("template", text).ok().map(|parsed| parsed.digest()).as_ref() != Some(&digest) {
            return Err(RegistryError::TemplateText(name.clone()));
        }
        let mut write = self.write().await?;
        let known =
            sqlx::query(IN_FORCE).bind(room.as_str()).bind(name.as_str()).fetch_optional(write.connection()).await?;
        let (mut version, mut author, mut previous) = (1, actor.partner.clone(), None);
        if let Some(row) = &known {
            author = row.try_get::<Option<String>, _>("author")?.as_deref().map(partner).transpose()?;
            let before: String = row.try_get("digest")?;
            if before == digest {
                return Ok(Change::Unchanged);
            }
            if replace == Replace::Own && author != actor.partner {
                return Err(RegistryError::TemplateTaken(name.clone()));
            }
            version = unsigned(row.try_get("version")?)?.saturating_add(1);
            previous = Some(sha256_digest(&before)?);
        }
        let event = TemplatePut { name: name.to_string(), digest: sha256_digest(&digest)?, previous };
        let canonical = template.canonical_json();
        let sequence = write.append(room, actor, None, event.into(), &[canonical.as_bytes()]).await?;
        sqlx::query(
            "INSERT INTO templates (room, name, version, digest, text, author, sequence) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(room.as_str())
        .bind(name.as_str())
        .bind(stored(version)?)
        .bind(&digest)
        .bind(text)
        .bind(author.as_ref().map(PartnerName::as_str))
        .bind(stored(sequence)?)
        .execute(write.connection())
        .await?;
        write.commit().await?;
        self.publish(room, sequence).await?;
        Ok(if known.is_some() { Change::Updated } else { Change::Created })
    }

    /// The template in force under a name.
    ///
    /// # Errors
    /// Where the database fails, or the stored text no longer says what its digest was taken of.
    pub async fn template(&self, room: &RoomName, name: &TemplateName) -> Result<Option<TemplateRecord>> {
        let row =
            sqlx::query(IN_FORCE).bind(room.as_str()).bind(name.as_str()).fetch_optional(&self.inner.pool).await?;
        row.as_ref().map(read).transpose()
    }

    /// All templates in force in a room, by name.
    ///
    /// # Errors
    /// As [`Registry::template`].
    pub async fn templates(&self, room: &RoomName) -> Result<Vec<TemplateRecord>> {
        let rows = sqlx::query(
            "SELECT name, version, digest, text, author, sequence FROM templates t WHERE room = $1 \
             AND version = (SELECT MAX(version) FROM templates WHERE room = t.room AND name = t.name) ORDER BY name",
        )
        .bind(room.as_str())
        .fetch_all(&self.inner.pool)
        .await?;
        rows.iter().map(read).collect()
    }

    /// The contents that a version of a policy approves.
    pub(crate) async fn approved(
        &self,
        room: &RoomName,
        table: &TableName,
        version: u64,
    ) -> Result<BTreeSet<TemplateApproval>> {
        let rows = sqlx::query(
            "SELECT template, digest FROM policy_templates WHERE room = $1 AND table_name = $2 AND version = $3",
        )
        .bind(room.as_str())
        .bind(table.to_string())
        .bind(stored(version)?)
        .fetch_all(&self.inner.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(TemplateApproval {
                    name: template_name(row.try_get("template")?)?,
                    digest: Some(row.try_get("digest")?),
                })
            })
            .collect()
    }
}

/// What a policy approves, each bound to a content: the one it names, or the one in force now.
pub(crate) async fn bound(
    write: &mut Write<'_>,
    room: &RoomName,
    policy: &Policy,
) -> Result<Option<Vec<TemplateReference>>> {
    let Some(approvals) = &policy.access.templates else { return Ok(None) };
    let mut contents = BTreeSet::new();
    for approval in approvals {
        let digest = match &approval.digest {
            Some(digest) => digest.clone(),
            None => in_force(write, room, &approval.name)
                .await?
                .ok_or_else(|| RegistryError::NoSuchTemplate { room: room.clone(), template: approval.name.clone() })?,
        };
        contents.insert((approval.name.clone(), digest));
    }
    let reference = |(name, digest): (TemplateName, String)| {
        Ok(TemplateReference { name: name.to_string(), digest: sha256_digest(&digest)? })
    };
    contents.into_iter().map(reference).collect::<Result<Vec<_>>>().map(Some)
}

/// Keeps what a version of a policy approves.
pub(crate) async fn keep(
    write: &mut Write<'_>,
    room: &RoomName,
    policy: &Policy,
    templates: &[TemplateReference],
) -> Result<()> {
    // Of the same version, where it takes effect anew.
    sqlx::query("DELETE FROM policy_templates WHERE room = $1 AND table_name = $2 AND version = $3")
        .bind(room.as_str())
        .bind(policy.table.to_string())
        .bind(stored(policy.version)?)
        .execute(write.connection())
        .await?;
    for template in templates {
        sqlx::query(
            "INSERT INTO policy_templates (room, table_name, version, template, digest) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(room.as_str())
        .bind(policy.table.to_string())
        .bind(stored(policy.version)?)
        .bind(&template.name)
        .bind(template.digest.hex())
        .execute(write.connection())
        .await?;
    }
    Ok(())
}

/// A question comes through a template as it stands at the intent, or not at all.
pub(crate) async fn must_be_in_force(write: &mut Write<'_>, room: &RoomName, template: &TemplateUse) -> Result<()> {
    if in_force(write, room, &template.name).await?.as_ref() == Some(&template.digest) {
        Ok(())
    } else {
        Err(RegistryError::TemplateChanged(template.name.clone()))
    }
}

async fn in_force(write: &mut Write<'_>, room: &RoomName, name: &TemplateName) -> Result<Option<String>> {
    let digest =
        sqlx::query_scalar("SELECT digest FROM templates WHERE room = $1 AND name = $2 ORDER BY version DESC LIMIT 1")
            .bind(room.as_str())
            .bind(name.as_str())
            .fetch_optional(write.connection())
            .await?;
    Ok(digest)
}

/// A stored template's name, checked again.
pub(crate) fn template_name(text: &str) -> Result<TemplateName> {
    TemplateName::new(text).map_err(|error| RegistryError::damaged("a template's name", error))
}

fn read(row: &SqliteRow) -> Result<TemplateRecord> {
    let (name, digest, text): (String, String, String) =
        (row.try_get("name")?, row.try_get("digest")?, row.try_get("text")?);
    let template =
        parse_template(&name, &text).map_err(|errors| RegistryError::damaged("a template", first(&errors)))?;
    if template.digest() != digest || template.name.as_str() != name {
        return Err(RegistryError::damaged("a template", "its text does not match its digest"));
    }
    Ok(TemplateRecord {
        template,
        text,
        digest,
        version: unsigned(row.try_get("version")?)?,
        author: row.try_get::<Option<String>, _>("author")?.as_deref().map(partner).transpose()?,
        sequence: unsigned(row.try_get("sequence")?)?,
    })
}
