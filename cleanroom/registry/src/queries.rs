//! Questions: intent before anything is read, outcome before anything is seen.

use cleanroom_log::{
    Digest, Event, PolicyReference, PricedOutcome, QueryIntent, QueryPriced, QueryRefused, ResultDelivered,
    TableReference, TemplateReference,
};
use cleanroom_policy::{Ability, PartnerName, RoomName, TableName};
use sqlx::Row;

use crate::actor::Actor;
use crate::ending::{Ending, INTERNAL, finish};
use crate::error::{RegistryError, Result};
use crate::history::count_today;
use crate::ledger::{Price, paid_for};
use crate::numbers::{stored, unsigned};
use crate::outcome::{Attempt, Intent, Outcome, Pending, ReceiptRef, Recorded, Reservation, Status};
use crate::policies::sha256_digest;
use crate::query_id::QueryId;
use crate::registry::Registry;
use crate::rooms::read_room;
use crate::signatures::has_key;
use crate::templates::{TemplateUse, must_be_in_force};
use crate::write::Write;

impl Registry {
    /// Makes an intent durable: from here on the question counts, whatever happens.
    ///
    /// # Errors
    /// [`RegistryError::PolicyChanged`], where another policy became active since the question was checked;
    /// [`RegistryError::TemplateChanged`], where another template stands under the name of the one it came through;
    /// [`RegistryError::NoSuchRoom`]; [`RegistryError::QueryExists`]; where the database or the log fails. The question
    /// must not be executed then.
    pub async fn reserve(&self, intent: Intent) -> Result<(Reservation, Pending)> {
        self.reserve_within(intent, &[]).await
    }

    /// As [`Registry::reserve`], but at most so many times a day for the analyst and each table of `limits`. Counting and
    /// reserving are one step: of two questions that come at once, one is the last.
    ///
    /// # Errors
    /// [`RegistryError::DailyLimit`], and those of [`Registry::reserve`].
    pub async fn reserve_within(&self, intent: Intent, limits: &[(TableName, u64)]) -> Result<(Reservation, Pending)> {
        self.reserve_at(intent, limits, &Price::Nothing).await
    }

    /// As [`Registry::reserve_within`], and charges what the question costs: to every table and owner, or the question is not
    /// admitted. Looking and charging are one step: two questions never both spend the last of a budget. What is charged
    /// stays charged, whatever becomes of the question.
    ///
    /// # Errors
    /// [`RegistryError::Exhausted`], where a budget is too small; [`RegistryError::NotPaid`], for a replay that the analyst
    /// has not paid for; [`RegistryError::Uncharged`], [`RegistryError::NotCharged`] and [`RegistryError::NoCharge`], where
    /// the price is not one of this question; those of [`Registry::reserve_within`]. Nothing is written then.
    pub async fn reserve_at(
        &self,
        intent: Intent,
        limits: &[(TableName, u64)],
        price: &Price,
    ) -> Result<(Reservation, Pending)> {
        let Intent { query_id, room, analyst, sql, template, params, plan, policies, tables } = intent;
        let mut write = self.write().await?;
        must_be_member(&mut write, &room, &analyst).await?;
        for (table, digest) in &policies {
            must_be_active(&mut write, &room, table, digest).await?;
        }
        if let Some(template) = &template {
            must_be_in_force(&mut write, &room, template).await?;
        }
        for (table, limit) in limits {
            let now = write.now();
            if count_today(write.connection(), &room, &analyst, table, now).await? >= *limit {
                return Err(RegistryError::DailyLimit { table: table.clone(), limit: *limit });
            }
        }
        let admitted = self.admit(&mut write, (&room, &analyst), &policies, price).await?;
        let mut event = QueryIntent {
            sql: Digest::sha256_of(sql.as_bytes()),
            plan: Digest::sha256_of(plan.as_bytes()),
            policies: policies
                .iter()
                .map(|(table, digest)| Ok(PolicyReference { table: table.to_string(), digest: sha256_digest(digest)? }))
                .collect::<Result<_>>()?,
            tables: tables
                .iter()
                .map(|(table, version)| TableReference { table: table.to_string(), version: *version })
                .collect(),
            charge: admitted.logged(),
            replay: None,
            template: template.as_ref().map(reference).transpose()?,
            params: params.as_ref().map(|params| Digest::sha256_of(params.as_bytes())),
        };
        if let Price::Replay(key) = price {
            event.replay = Some(paid_for(write.connection(), &room, key, &analyst, &event).await?);
        }
        let actor = self.asked_by(&analyst);
        let mut blobs = vec![sql.as_bytes(), plan.as_bytes()];
        blobs.extend(params.as_ref().map(String::as_bytes));
        let sequence = write.append(&room, &actor, Some(&query_id), event.into(), &blobs).await?;
        let asked = Attempt { query_id: query_id.clone(), room: room.clone(), analyst, sql, template, params };
        self.insert_query(&mut write, &asked, Some(sequence)).await?;
        for (table, version) in &tables {
            sqlx::query("INSERT INTO query_tables (room, query_id, table_name, version) VALUES ($1, $2, $3, $4)")
                .bind(room.as_str())
                .bind(query_id.as_str())
                .bind(table.to_string())
                .bind(stored(*version)?)
                .execute(write.connection())
                .await?;
        }
        admitted.write(&mut write, &asked).await?;
        // Armed before the commit: whatever ends this future from here on ends the intent too.
        let pending =
            Pending { registry: self.clone(), room: room.clone(), query_id: query_id.clone(), policies, ended: false };
        // A crash after this leaves an intent that the next start ends as failed.
        write.commit().await?;
        Ok((Reservation::new(query_id, admitted.remaining), pending))
    }

    /// Makes the outcome of an intent durable, with the result's bytes, and signs the log over it.
    ///
    /// # Errors
    /// [`RegistryError::Misplaced`] for an outcome that does not end an intent: it is released, failed or cancelled;
    /// [`RegistryError::PolicyChanged`] and [`RegistryError::NotAMember`] for an answer that would be given no more;
    /// [`RegistryError::AlreadyRecorded`]; where the database or the log fails. Nothing may be answered then.
    pub async fn record<T: Outcome>(&self, mut pending: Pending, outcome: T) -> Result<Recorded<T>> {
        let receipt = self.end_pending(&mut pending, &outcome).await?;
        Ok(Recorded::new(outcome, receipt))
    }

    /// As [`Registry::record`]; where a policy changed, or the analyst may no longer ask, since the intent was made,
    /// `revoked` is recorded in the stead of the answer. Looking at what is in force and recording are one step.
    ///
    /// # Errors
    /// Those of [`Registry::record`].
    pub async fn record_unless_revoked<T: Outcome, U: Outcome>(
        &self,
        mut pending: Pending,
        answer: T,
        revoked: impl FnOnce() -> U,
    ) -> Result<std::result::Result<Recorded<T>, Recorded<U>>> {
        match self.end_pending(&mut pending, &answer).await {
            Ok(receipt) => Ok(Ok(Recorded::new(answer, receipt))),
            Err(
                RegistryError::PolicyChanged(_)
                | RegistryError::PolicySignature { .. }
                | RegistryError::NotAMember { .. },
            ) => self.record(pending, revoked()).await.map(Err),
            Err(error) => Err(error),
        }
    }

    async fn end_pending<T: Outcome>(&self, pending: &mut Pending, outcome: &T) -> Result<ReceiptRef> {
        let (room, query_id) = (pending.room.clone(), pending.query_id.clone());
        let sequence = self
            .end(&room, &query_id, self.inner.run.id(), Ending::of(outcome), &pending.policies)
            .await?
            .ok_or_else(|| RegistryError::AlreadyRecorded(query_id.clone()))?;
        pending.ended = true;
        self.publish(&room, sequence).await?;
        Ok(ReceiptRef { room, query_id, sequence })
    }

    /// Records a question that ends without an intent: refused, only priced, or failed before anything was read.
    ///
    /// # Errors
    /// [`RegistryError::Misplaced`] for an answer or a cancelled question; [`RegistryError::NoSuchRoom`];
    /// [`RegistryError::QueryExists`]; where the database or the log fails. Nothing may be shown then.
    pub async fn record_refusal<T: Outcome>(&self, attempt: Attempt, outcome: T) -> Result<Recorded<T>> {
        let status = outcome.status();
        if matches!(status, Status::Released | Status::Cancelled)
            || outcome.result().is_some()
            || outcome.answer().is_some()
        {
            return Err(RegistryError::Misplaced { status: status.as_str(), place: "without an intent" });
        }
        let ending = Ending::of(&outcome);
        let sql = Digest::sha256_of(attempt.sql.as_bytes());
        let template = attempt.template.as_ref().map(reference).transpose()?;
        let params = attempt.params.as_ref().map(|params| Digest::sha256_of(params.as_bytes()));
        let event = match status {
            Status::Priced => {
                let outcome = if ending.code.is_none() { PricedOutcome::Released } else { PricedOutcome::Refused };
                Event::from(QueryPriced { sql, outcome, template, params })
            }
            _ => {
                let code = ending.code.unwrap_or(INTERNAL).to_owned();
                Event::from(QueryRefused { sql, code, template, params })
            }
        };
        let mut write = self.write().await?;
        let actor = self.asked_by(&attempt.analyst);
        let mut blobs = vec![attempt.sql.as_bytes()];
        blobs.extend(attempt.params.as_ref().map(String::as_bytes));
        let sequence = write.append(&attempt.room, &actor, Some(&attempt.query_id), event, &blobs).await?;
        self.insert_query(&mut write, &attempt, None).await?;
        finish(&mut write, &attempt.room, &attempt.query_id, sequence, &ending, None).await?;
        // A crash before this leaves no trace of a question that nobody was answered; one after it leaves a record.
        write.commit().await?;
        self.publish(&attempt.room, sequence).await?;
        let Attempt { query_id, room, .. } = attempt;
        Ok(Recorded::new(outcome, ReceiptRef { room, query_id, sequence }))
    }

    /// Records that a released result is handed out; call it before the first byte is sent.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchQuery`] and [`RegistryError::NotReleased`]; where the database or the log fails.
    pub async fn delivered(&self, room: &RoomName, query_id: &QueryId, to: &PartnerName, format: &str) -> Result<()> {
        let mut write = self.write().await?;
        let row = sqlx::query("SELECT status, outcome_sequence FROM queries WHERE room = $1 AND query_id = $2")
            .bind(room.as_str())
            .bind(query_id.as_str())
            .fetch_optional(write.connection())
            .await?
            .ok_or_else(|| RegistryError::NoSuchQuery { room: room.clone(), query: query_id.clone() })?;
        let (status, outcome): (String, Option<i64>) = (row.try_get("status")?, row.try_get("outcome_sequence")?);
        let outcome = match (Status::parse(&status), outcome) {
            (Some(Status::Released), Some(outcome)) => unsigned(outcome)?,
            _ => return Err(RegistryError::NotReleased(query_id.clone())),
        };
        let event = ResultDelivered { query: outcome, to: to.to_string(), format: format.to_owned() };
        let sequence = write.append(room, &self.asked_by(to), Some(query_id), event.into(), &[]).await?;
        write.commit().await?;
        self.publish(room, sequence).await
    }

    async fn insert_query(&self, write: &mut Write<'_>, asked: &Attempt, intent: Option<u64>) -> Result<()> {
        let created_at = write.now();
        let inserted = sqlx::query(
            "INSERT INTO queries (room, query_id, analyst, sql, status, run, intent_sequence, created_at, template, \
             template_digest, params) VALUES ($1, $2, $3, $4, 'open', $5, $6, $7, $8, $9, $10) ON CONFLICT (room, query_id) DO NOTHING",
        )
        .bind(asked.room.as_str())
        .bind(asked.query_id.as_str())
        .bind(asked.analyst.as_str())
        .bind(&asked.sql)
        .bind(self.inner.run.id())
        .bind(intent.map(stored).transpose()?)
        .bind(created_at)
        .bind(asked.template.as_ref().map(|template| template.name.as_str()))
        .bind(asked.template.as_ref().map(|template| template.digest.as_str()))
        .bind(asked.params.as_deref())
        .execute(write.connection())
        .await?;
        if inserted.rows_affected() == 1 {
            Ok(())
        } else {
            Err(RegistryError::QueryExists { room: asked.room.clone(), query: asked.query_id.clone() })
        }
    }

    pub(crate) fn asked_by(&self, analyst: &PartnerName) -> Actor {
        Actor { partner: Some(analyst.clone()), token_id: None, door: self.door }
    }
}

fn reference(template: &TemplateUse) -> Result<TemplateReference> {
    Ok(TemplateReference { name: template.name.to_string(), digest: sha256_digest(&template.digest)? })
}

/// Membership is looked at in the transaction of the intent: it may have changed since the question was checked.
pub(crate) async fn must_be_member(write: &mut Write<'_>, room: &RoomName, analyst: &PartnerName) -> Result<()> {
    let document: Option<String> = sqlx::query_scalar("SELECT document FROM rooms WHERE room = $1")
        .bind(room.as_str())
        .fetch_optional(write.connection())
        .await?;
    let document = document.ok_or_else(|| RegistryError::NoSuchRoom(room.clone()))?;
    let may_ask =
        read_room(&document)?.partner(analyst).is_some_and(|partner| partner.abilities.contains(&Ability::Query));
    if may_ask { Ok(()) } else { Err(RegistryError::NotAMember { room: room.clone(), partner: analyst.clone() }) }
}

/// A question is executed under the policies that are active at its intent, or not at all; and where the owner has a key, under
/// one that it signed: what somebody put in its name before it had one decides no more.
pub(crate) async fn must_be_active(
    write: &mut Write<'_>,
    room: &RoomName,
    table: &TableName,
    digest: &str,
) -> Result<()> {
    let active = sqlx::query(
        "SELECT digest, signature FROM policies WHERE room = $1 AND table_name = $2 ORDER BY version DESC LIMIT 1",
    )
    .bind(room.as_str())
    .bind(table.to_string())
    .fetch_optional(write.connection())
    .await?;
    let changed = || RegistryError::PolicyChanged(table.clone());
    let active = active.ok_or_else(changed)?;
    if active.try_get::<String, _>("digest")? != digest {
        return Err(changed());
    }
    let signature: Option<String> = active.try_get("signature")?;
    if signature.is_none() && has_key(write, room, table.owner()).await? {
        let reason = format!("it is from before `{}` had a key in the room", table.owner());
        return Err(RegistryError::PolicySignature { table: table.clone(), reason });
    }
    Ok(())
}
