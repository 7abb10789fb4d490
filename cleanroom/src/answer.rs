//! What a question is answered with: the object of the contract, made only of what was recorded.

use arrow::array::RecordBatch;
use cleanroom_registry::{Outcome, QueryRecord, ReceiptRef, Recorded, Registry, RegistryError, Status};
use cleanroom_vault::{Decision, Released, json_rows};
use serde_json::{Map, Value, json};

use crate::render;

/// How a question ended. It is made of a recorded decision, or of the record itself; there is no other way to one.
pub(crate) struct Answer {
    query_id: String,
    document: Map<String, Value>,
    batch: Option<RecordBatch>,
    receipt: Value,
}

impl Answer {
    /// The answer of a decision that was just made.
    pub(crate) async fn decided(decision: Decision, registry: &Registry) -> Result<Self, RegistryError> {
        match decision {
            Decision::Released(recorded) => {
                let (released, receipt): (Released, ReceiptRef) = recorded.into_parts();
                let document = released.document();
                let batch = released.batch().clone();
                Self::new(&receipt, document, Some(batch), registry).await
            }
            Decision::Priced(recorded) => Self::plain(recorded, registry).await,
            Decision::Refused(recorded) => Self::plain(recorded, registry).await,
            Decision::Failed(recorded) => Self::plain(recorded, registry).await,
        }
    }

    /// The answer of a question that ended earlier; `None` while it runs.
    pub(crate) async fn stored(record: QueryRecord, registry: &Registry) -> Result<Option<Self>, RegistryError> {
        let (Some(status), Some(sequence)) = (record.status, record.sequence) else {
            return Ok(None);
        };
        let damaged = |detail: String| RegistryError::Damaged { what: "a stored result", detail };
        let batch = match (status, &record.result) {
            (Status::Released, Some(bytes)) => {
                Some(render::from_ipc(bytes).map_err(|error| damaged(error.to_string()))?)
            }
            _ => None,
        };
        let receipt = ReceiptRef { room: record.room, query_id: record.id, sequence };
        Self::new(&receipt, record.document, batch, registry).await.map(Some)
    }

    /// `released`, `refused`, `exhausted` or `failed`.
    pub(crate) fn outcome(&self) -> &str {
        self.document.get("outcome").and_then(Value::as_str).unwrap_or("failed")
    }

    /// The code under which it was refused or failed; empty where it was answered.
    pub(crate) fn code(&self) -> &str {
        let error = self.document.get("error");
        error.and_then(|error| error.get("code")).and_then(Value::as_str).unwrap_or_default()
    }

    /// The released rows; `None` for a dry run and where nothing was released.
    pub(crate) fn batch(&self) -> Option<&RecordBatch> {
        self.batch.as_ref()
    }

    /// The receipt by itself: the text of a `c2sp.org/tlog-proof@v1` file.
    pub(crate) fn proof(&self) -> &str {
        self.receipt.get("proof").and_then(Value::as_str).unwrap_or_default()
    }

    /// The object of the contract.
    pub(crate) fn to_json(&self) -> Result<Value, RegistryError> {
        let mut object = Map::new();
        object.insert("query_id".to_owned(), json!(self.query_id));
        for (key, value) in &self.document {
            object.insert(key.clone(), value.clone());
            if key == "columns"
                && let Some(batch) = &self.batch
            {
                let rows = json_rows(batch)
                    .map_err(|error| RegistryError::Damaged { what: "a result", detail: error.to_string() })?;
                object.insert("rows".to_owned(), Value::Array(rows));
            }
        }
        object.insert("receipt".to_owned(), self.receipt.clone());
        Ok(Value::Object(object))
    }

    async fn plain<T: Outcome>(recorded: Recorded<T>, registry: &Registry) -> Result<Self, RegistryError> {
        let (value, receipt) = recorded.into_parts();
        Self::new(&receipt, value.document(), None, registry).await
    }

    async fn new(
        receipt: &ReceiptRef,
        document: Value,
        batch: Option<RecordBatch>,
        registry: &Registry,
    ) -> Result<Self, RegistryError> {
        let shown = registry.receipt(receipt).await?;
        let document = match document {
            Value::Object(object) => object,
            _ => {
                return Err(RegistryError::Damaged { what: "an outcome", detail: "it is not an object".to_owned() });
            }
        };
        Ok(Self {
            query_id: receipt.query_id.to_string(),
            document,
            batch,
            receipt: json!({
                "room": receipt.room.as_str(),
                "sequence": receipt.sequence,
                "entry": shown.entry,
                "proof": shown.proof,
            }),
        })
    }
}
