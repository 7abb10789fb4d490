//! Looking questions up again, and what is counted over them.

use cleanroom_policy::{PartnerName, RoomName, TableName};
use serde_json::Value;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use time::OffsetDateTime;

use crate::error::{RegistryError, Result, partner};
use crate::numbers::{time, unsigned};
use crate::outcome::Status;
use crate::query_id::QueryId;
use crate::registry::Registry;
use crate::templates::{TemplateUse, template_name};

const DAY_MILLISECONDS: i64 = 24 * 60 * 60 * 1000;

/// A question and how it ended.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryRecord {
    /// Its id.
    pub id: QueryId,
    /// Where it was asked.
    pub room: RoomName,
    /// Who asked.
    pub analyst: PartnerName,
    /// The text that was asked; a template's, where it came through one.
    pub sql: String,
    /// The template it came through.
    pub template: Option<TemplateUse>,
    /// The values of its parameters as a JSON object, where there are any.
    pub params: Option<String>,
    /// How it ended; `None` while it runs.
    pub status: Option<Status>,
    /// What [`crate::Outcome::document`] said; null while it runs.
    pub document: Value,
    /// The canonical result where one was released (an Arrow IPC stream); left out of lists.
    pub result: Option<Vec<u8>>,
    /// When it was asked.
    pub created: OffsetDateTime,
    /// When it ended.
    pub finished: Option<OffsetDateTime>,
    /// The log entry of its outcome.
    pub sequence: Option<u64>,
}

/// What an idempotency key stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdempotencyState {
    /// It is new, and stands for the proposed query from now on.
    New,
    /// It stands for this query, asked with the same request. Where the query is not found, the process that took the
    /// key is still on its way to it, or stopped before it: ask again under this very id.
    Same(QueryId),
    /// It was used with another request.
    Conflict,
}

impl Registry {
    /// A question of the room. Its outcome is in the signed log before it is returned here.
    ///
    /// # Errors
    /// Where the database or the log fails.
    pub async fn query(&self, room: &RoomName, id: &QueryId) -> Result<Option<QueryRecord>> {
        let row = sqlx::query(
            "SELECT query_id, analyst, sql, template, template_digest, params, status, document, result, created_at, \
             finished_at, outcome_sequence \
             FROM queries WHERE room = $1 AND query_id = $2",
        )
        .bind(room.as_str())
        .bind(id.as_str())
        .fetch_optional(&self.inner.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let record = read(room, &row, row.try_get("result")?)?;
        if let Some(sequence) = record.sequence {
            self.publish(room, sequence).await?;
        }
        Ok(Some(record))
    }

    /// The room's questions, newest first and at most `limit`, of one analyst or of all.
    ///
    /// # Errors
    /// As [`Registry::query`].
    pub async fn queries(
        &self,
        room: &RoomName,
        analyst: Option<&PartnerName>,
        limit: u32,
    ) -> Result<Vec<QueryRecord>> {
        let rows = sqlx::query(
            "SELECT query_id, analyst, sql, template, template_digest, params, status, document, created_at, finished_at, \
             outcome_sequence \
             FROM queries WHERE room = $1 AND ($2 IS NULL OR analyst = $2) \
             ORDER BY created_at DESC, COALESCE(intent_sequence, outcome_sequence) DESC LIMIT $3",
        )
        .bind(room.as_str())
        .bind(analyst.map(PartnerName::as_str))
        .bind(i64::from(limit))
        .fetch_all(&self.inner.pool)
        .await?;
        let records = rows.iter().map(|row| read(room, row, None)).collect::<Result<Vec<_>>>()?;
        if let Some(sequence) = records.iter().filter_map(|record| record.sequence).max() {
            self.publish(room, sequence).await?;
        }
        Ok(records)
    }

    /// How often the analyst has reserved a question over the table since midnight UTC, however those ended.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn queries_today(&self, room: &RoomName, analyst: &PartnerName, table: &TableName) -> Result<u64> {
        let mut connection = self.inner.pool.acquire().await?;
        count_today(&mut connection, room, analyst, table, self.now()).await
    }

    /// Takes an idempotency key of a partner for the query `proposed`, or tells which query it already stands for.
    /// `request_digest` is of everything that makes the request what it is.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchRoom`]; where the database fails.
    pub async fn reserve_key(
        &self,
        room: &RoomName,
        partner: &PartnerName,
        key: &str,
        request_digest: &str,
        proposed: &QueryId,
    ) -> Result<IdempotencyState> {
        if !self.room_names().await?.contains(room) {
            return Err(RegistryError::NoSuchRoom(room.clone()));
        }
        let mut write = self.write().await?;
        let known = sqlx::query(
            "SELECT request_digest, query_id FROM idempotency_keys WHERE room = $1 AND partner = $2 AND key = $3",
        )
        .bind(room.as_str())
        .bind(partner.as_str())
        .bind(key)
        .fetch_optional(write.connection())
        .await?;
        if let Some(row) = known {
            let (digest, id): (String, String) = (row.try_get("request_digest")?, row.try_get("query_id")?);
            return if digest == request_digest {
                Ok(IdempotencyState::Same(query_id(&id)?))
            } else {
                Ok(IdempotencyState::Conflict)
            };
        }
        let at = write.now();
        sqlx::query(
            "INSERT INTO idempotency_keys (room, partner, key, request_digest, query_id, at) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(room.as_str())
        .bind(partner.as_str())
        .bind(key)
        .bind(request_digest)
        .bind(proposed.as_str())
        .bind(at)
        .execute(write.connection())
        .await?;
        // A crash after this leaves a key that stands for a query nobody has asked yet.
        write.commit().await?;
        Ok(IdempotencyState::New)
    }
}

/// Intents of the analyst over the table since midnight UTC before `now`.
pub(crate) async fn count_today(
    connection: &mut SqliteConnection,
    room: &RoomName,
    analyst: &PartnerName,
    table: &TableName,
    now: i64,
) -> Result<u64> {
    let count: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM queries q JOIN query_tables t ON t.room = q.room AND t.query_id = q.query_id \
         WHERE q.room = $1 AND q.analyst = $2 AND t.table_name = $3 AND q.created_at >= $4",
    )
    .bind(room.as_str())
    .bind(analyst.as_str())
    .bind(table.to_string())
    .bind(now - now.rem_euclid(DAY_MILLISECONDS))
    .fetch_one(connection)
    .await?;
    unsigned(count)
}

fn read(room: &RoomName, row: &SqliteRow, result: Option<Vec<u8>>) -> Result<QueryRecord> {
    let (id, analyst, status): (String, String, String) =
        (row.try_get("query_id")?, row.try_get("analyst")?, row.try_get("status")?);
    let document: Option<String> = row.try_get("document")?;
    let document = match document {
        None => Value::Null,
        Some(text) => serde_json::from_str(&text).map_err(|error| RegistryError::damaged("an outcome", error))?,
    };
    let template: Option<(String, String)> =
        row.try_get::<Option<String>, _>("template")?.zip(row.try_get::<Option<String>, _>("template_digest")?);
    Ok(QueryRecord {
        id: query_id(&id)?,
        room: room.clone(),
        analyst: partner(&analyst)?,
        sql: row.try_get("sql")?,
        template: template.map(read_template).transpose()?,
        params: row.try_get("params")?,
        status: Status::parse(&status),
        document,
        result,
        created: time(row.try_get("created_at")?)?,
        finished: row.try_get::<Option<i64>, _>("finished_at")?.map(time).transpose()?,
        sequence: row.try_get::<Option<i64>, _>("outcome_sequence")?.map(unsigned).transpose()?,
    })
}

fn read_template((name, digest): (String, String)) -> Result<TemplateUse> {
    Ok(TemplateUse { name: template_name(&name)?, digest })
}

pub(crate) fn query_id(text: &str) -> Result<QueryId> {
    QueryId::parse(text).ok_or_else(|| RegistryError::damaged("a query id", "it is not 32 hexadecimal digits"))
}
