//! The end of a question, however it comes.

use cleanroom_log::{OutcomeStatus, QueryOutcome, result_commitment};
use cleanroom_policy::{RoomName, TableName};
use serde_json::{Value, json};
use sqlx::Row;

use crate::actor::Actor;
use crate::error::{RegistryError, Result, partner};
use crate::history::query_id as read_query_id;
use crate::numbers::stored;
use crate::outcome::{Outcome, Status};
use crate::queries::{must_be_active, must_be_member};
use crate::query_id::QueryId;
use crate::random::random;
use crate::registry::Registry;
use crate::write::Write;

/// The code of whatever ends for a reason that no question has.
pub(crate) const INTERNAL: &str = "CR5001";

/// How a question ends, ready to be stored.
pub(crate) struct Ending<'a> {
    pub(crate) status: Status,
    pub(crate) code: Option<&'a str>,
    pub(crate) document: Value,
    pub(crate) result: Option<&'a [u8]>,
    /// The answer that is committed to.
    answer: Option<Value>,
    /// Whether the program ends it, and not whoever asked.
    stopped: bool,
}

impl<'a> Ending<'a> {
    pub(crate) fn of<T: Outcome>(outcome: &'a T) -> Self {
        Self {
            status: outcome.status(),
            code: outcome.code(),
            document: outcome.document(),
            result: outcome.result(),
            answer: outcome.answer(),
            stopped: false,
        }
    }
}

impl Registry {
    /// Ends an intent of this process that was left without an outcome.
    pub(crate) async fn abandon(&self, room: &RoomName, query_id: &QueryId) -> Result<()> {
        if let Some(sequence) = self.end(room, query_id, self.inner.run.id(), stopped(), &[]).await? {
            self.publish(room, sequence).await?;
        }
        Ok(())
    }

    /// Ends the intents of processes that are gone.
    pub(crate) async fn fail_orphans(&self, living: &[String]) -> Result<()> {
        let open =
            sqlx::query("SELECT room, query_id, run FROM queries WHERE status = 'open' ORDER BY room, intent_sequence")
                .fetch_all(&self.inner.pool)
                .await?;
        for row in open {
            let (room, query_id, run): (String, String, String) =
                (row.try_get("room")?, row.try_get("query_id")?, row.try_get("run")?);
            if living.contains(&run) {
                continue;
            }
            let room = RoomName::new(&room).map_err(|error| RegistryError::damaged("a room's name", error))?;
            let query_id = read_query_id(&query_id)?;
            if self.must_serve(&room).is_err() {
                continue; // nothing is added to its log
            }
            if let Some(sequence) = self.end(&room, &query_id, &run, stopped(), &[]).await? {
                tracing::warn!(%room, query = %query_id, "a process ended before this query did; it is recorded as failed");
                self.publish(&room, sequence).await?;
            }
        }
        Ok(())
    }

    /// Stores the ending of an open intent of `run` and its log entry; `None` where there is no such open intent. It ends in
    /// an answer only while `policies` are in force and the analyst may ask.
    pub(crate) async fn end(
        &self,
        room: &RoomName,
        query_id: &QueryId,
        run: &str,
        ending: Ending<'_>,
        policies: &[(TableName, String)],
    ) -> Result<Option<u64>> {
        let status = match (ending.status, ending.result, &ending.answer) {
            (Status::Released, Some(_), Some(_)) => OutcomeStatus::Released,
            (Status::Failed, None, None) => OutcomeStatus::Failed,
            (Status::Cancelled, None, None) => OutcomeStatus::Cancelled,
            (status, ..) => {
                return Err(RegistryError::Misplaced { status: status.as_str(), place: "after an intent" });
            }
        };
        let code = (status != OutcomeStatus::Released).then(|| ending.code.unwrap_or(INTERNAL).to_owned());
        let mut write = self.write().await?;
        let analyst: Option<String> = sqlx::query_scalar(
            "SELECT analyst FROM queries WHERE room = $1 AND query_id = $2 AND run = $3 AND status = 'open'",
        )
        .bind(room.as_str())
        .bind(query_id.as_str())
        .bind(run)
        .fetch_optional(write.connection())
        .await?;
        let Some(analyst) = analyst else {
            return Ok(None);
        };
        if status == OutcomeStatus::Released {
            must_be_member(&mut write, room, &partner(&analyst)?).await?;
            for (table, digest) in policies {
                must_be_active(&mut write, room, table, digest).await?;
            }
        }
        let nonce = ending.result.map(|_| random::<32>()).transpose()?;
        let commitment = nonce
            .zip(ending.answer.as_ref())
            .map(|(nonce, answer)| result_commitment(&nonce, answer))
            .transpose()
            .map_err(|error| RegistryError::damaged("an answer", error))?;
        let event = QueryOutcome { status, code, result: commitment };
        let actor = match ending.stopped {
            true => Actor::operator(),
            false => self.asked_by(&partner(&analyst)?),
        };
        let sequence = write.append(room, &actor, Some(query_id), event.into(), &[]).await?;
        finish(&mut write, room, query_id, sequence, &ending, nonce).await?;
        // A crash before this leaves an intent that the next start ends as failed; one after it an answer that was
        // recorded and not seen.
        write.commit().await?;
        Ok(Some(sequence))
    }
}

/// Stores how a question ended.
pub(crate) async fn finish(
    write: &mut Write<'_>,
    room: &RoomName,
    query_id: &QueryId,
    sequence: u64,
    ending: &Ending<'_>,
    nonce: Option<[u8; 32]>,
) -> Result<()> {
    let finished_at = write.now();
    sqlx::query(
        "UPDATE queries SET status = $3, outcome_sequence = $4, document = $5, result = $6, nonce = $7, finished_at = $8 \
         WHERE room = $1 AND query_id = $2",
    )
    .bind(room.as_str())
    .bind(query_id.as_str())
    .bind(ending.status.as_str())
    .bind(stored(sequence)?)
    .bind(ending.document.to_string())
    .bind(ending.result)
    .bind(nonce.map(|nonce| nonce.to_vec()))
    .bind(finished_at)
    .execute(write.connection())
    .await?;
    Ok(())
}

/// The ending of a question whose process or task went away.
fn stopped() -> Ending<'static> {
    let error =
        json!({"code": INTERNAL, "title": "internal failure", "detail": "the server stopped before the query ended"});
    Ending {
        status: Status::Failed,
        code: Some(INTERNAL),
        document: json!({"outcome": "failed", "error": error}),
        result: None,
        answer: None,
        stopped: true,
    }
}
