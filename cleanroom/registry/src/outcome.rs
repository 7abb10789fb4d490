//! The types of the last steps: a question that is reserved, pending and recorded.

use cleanroom_policy::{PartnerName, RoomName, TableName};
use serde_json::Value;

use crate::ledger::Remaining;
use crate::query_id::QueryId;
use crate::registry::Registry;
use crate::templates::TemplateUse;

/// How a question ended.
pub trait Outcome {
    /// Its kind.
    fn status(&self) -> Status;
    /// What is stored, and shown again when the question is looked up.
    fn document(&self) -> Value;
    /// The rows as they are stored (an Arrow IPC stream); `None` unless released.
    fn result(&self) -> Option<&[u8]>;
    /// The whole answer as it is shown, but for `query_id` and `receipt`: what the log commits to. `None` unless released.
    fn answer(&self) -> Option<Value>;
    /// The code under which it was refused or failed.
    fn code(&self) -> Option<&str>;
}

/// The kinds of outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Answered.
    Released,
    /// Refused before anything was read.
    Refused,
    /// Not finished.
    Failed,
    /// Stopped by whoever asked.
    Cancelled,
    /// Decided and priced only, as asked.
    Priced,
}

impl Status {
    /// The word the registry and the log use.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Released => "released",
            Status::Refused => "refused",
            Status::Failed => "failed",
            Status::Cancelled => "cancelled",
            Status::Priced => "priced",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Status::Released, Status::Refused, Status::Failed, Status::Cancelled, Status::Priced]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

/// What is about to be executed, down to the versions it reads.
#[derive(Debug, Clone)]
pub struct Intent {
    /// The question's id.
    pub query_id: QueryId,
    /// Where it is asked.
    pub room: RoomName,
    /// Who asks.
    pub analyst: PartnerName,
    /// The text that was asked; a template's, where it came through one.
    pub sql: String,
    /// The template it came through.
    pub template: Option<TemplateUse>,
    /// The values of its parameters as a JSON object, where there are any.
    pub params: Option<String>,
    /// The plan that will run, as text.
    pub plan: String,
    /// The digest of each policy that let it pass.
    pub policies: Vec<(TableName, String)>,
    /// The version of each table it reads.
    pub tables: Vec<(TableName, u64)>,
}

/// A question that ends without an intent.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The question's id.
    pub query_id: QueryId,
    /// Where it is asked.
    pub room: RoomName,
    /// Who asks.
    pub analyst: PartnerName,
    /// The text that was asked; a template's, where it came through one.
    pub sql: String,
    /// The template it came through.
    pub template: Option<TemplateUse>,
    /// The values of its parameters as a JSON object, where there are any.
    pub params: Option<String>,
}

/// The proof that an intent is durable: the right to execute it once.
#[derive(Debug)]
pub struct Reservation {
    query_id: QueryId,
    remaining: Vec<Remaining>,
}

impl Reservation {
    pub(crate) fn new(query_id: QueryId, remaining: Vec<Remaining>) -> Self {
        Self { query_id, remaining }
    }

    /// What is left of the tables that were charged, in the order in which they were given.
    pub fn remaining(&self) -> &[Remaining] {
        &self.remaining
    }

    /// The question it was made for.
    pub fn query_id(&self) -> &QueryId {
        &self.query_id
    }
}

/// An intent that has no outcome yet.
///
/// It is ended by [`Registry::record`]. Dropped without one (a panic, a cancelled future), the question is recorded as
/// failed: at once where a runtime is left to do it, else when the registry is next opened.
#[must_use = "an intent without an outcome is recorded as failed"]
#[derive(Debug)]
pub struct Pending {
    pub(crate) registry: Registry,
    pub(crate) room: RoomName,
    pub(crate) query_id: QueryId,
    /// The digest of each policy that let it pass.
    pub(crate) policies: Vec<(TableName, String)>,
    pub(crate) ended: bool,
}

impl Pending {
    /// The question it stands for.
    pub fn query_id(&self) -> &QueryId {
        &self.query_id
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        tracing::error!(room = %self.room, query = %self.query_id, "query ended without an outcome; it is recorded as failed");
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (registry, room, query) = (self.registry.clone(), self.room.clone(), self.query_id.clone());
            runtime.spawn(async move {
                if let Err(error) = registry.abandon(&room, &query).await {
                    tracing::error!(%room, %query, %error, "failed outcome not recorded; the next start records it");
                }
            });
        }
    }
}

/// A value whose record is durable and signed. Only the registry makes one.
#[derive(Debug)]
pub struct Recorded<T> {
    value: T,
    receipt: ReceiptRef,
}

impl<T> Recorded<T> {
    pub(crate) fn new(value: T, receipt: ReceiptRef) -> Self {
        Self { value, receipt }
    }

    /// What was recorded.
    pub fn value(&self) -> &T {
        &self.value
    }

    /// Where it was recorded.
    pub fn receipt(&self) -> &ReceiptRef {
        &self.receipt
    }

    /// Both parts.
    pub fn into_parts(self) -> (T, ReceiptRef) {
        (self.value, self.receipt)
    }
}

/// Where an outcome stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptRef {
    /// The room whose log it is.
    pub room: RoomName,
    /// The question.
    pub query_id: QueryId,
    /// The entry of the outcome, from 0.
    pub sequence: u64,
}
