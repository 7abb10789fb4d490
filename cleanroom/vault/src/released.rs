//! What leaves the vault: released tables, and the price of a question that was only asked about.

use arrow::array::RecordBatch;
use cleanroom_policy::TableName;
use cleanroom_registry::{Outcome, Recorded, Status};
use serde_json::{Value, json};

use crate::noise::ColumnNoise;
use crate::refusal::{Failure, Refusal};

/// What a question costs an owner.
#[derive(Debug, Clone, PartialEq)]
pub struct Cost {
    /// The table that is charged.
    pub table: TableName,
    /// Of the whole answer.
    pub epsilon: f64,
    /// Of the whole answer.
    pub delta: f64,
    /// What is left of the least budget that counts for the analyst, once this is charged.
    pub remaining_epsilon: Option<f64>,
}

impl Cost {
    fn to_json(&self) -> Value {
        json!({
            "table": self.table.to_string(),
            "epsilon": self.epsilon,
            "delta": self.delta,
            "remaining_epsilon": self.remaining_epsilon,
        })
    }
}

fn costs(costs: &[Cost]) -> Value {
    costs.iter().map(Cost::to_json).collect()
}

/// One column of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputColumn {
    name: String,
    data_type: String,
    noise: Option<ColumnNoise>,
}

impl OutputColumn {
    pub(crate) fn new(name: impl Into<String>, data_type: impl Into<String>) -> Self {
        Self { name: name.into(), data_type: data_type.into(), noise: None }
    }

    pub(crate) fn with_noise(self, noise: Option<ColumnNoise>) -> Self {
        Self { noise, ..self }
    }

    /// The noise of its numbers, where they have some.
    pub fn noise(&self) -> Option<&ColumnNoise> {
        self.noise.as_ref()
    }

    /// Its name in the query.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its Arrow type.
    pub fn data_type(&self) -> &str {
        &self.data_type
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut json = json!({ "name": self.name, "type": self.data_type });
        if let (Some(noise), Some(json)) = (&self.noise, json.as_object_mut()) {
            json.insert("noise".to_owned(), noise.to_json());
        }
        json
    }
}

/// A table that may be shown: every release rule has been applied to all that it was computed from.
///
/// Only the release stage of this crate can make one.
pub struct Released {
    columns: Vec<OutputColumn>,
    batch: RecordBatch,
    rows: Vec<Value>,
    ipc: Vec<u8>,
    notes: Vec<String>,
    cost: Vec<Cost>,
}

impl Released {
    /// `rows` and `ipc` are the batch, as JSON and as an Arrow IPC stream.
    pub(crate) fn new(
        columns: Vec<OutputColumn>,
        batch: RecordBatch,
        rows: Vec<Value>,
        ipc: Vec<u8>,
        notes: Vec<String>,
    ) -> Self {
        Self { columns, batch, rows, ipc, notes, cost: Vec::new() }
    }

    pub(crate) fn at_cost(self, cost: Vec<Cost>) -> Self {
        Self { cost, ..self }
    }

    /// What it cost each owner: nothing where there is no noise, or where it was paid for before.
    pub fn cost(&self) -> &[Cost] {
        &self.cost
    }

    /// The columns, in the query's order.
    pub fn columns(&self) -> &[OutputColumn] {
        &self.columns
    }

    /// The rows, in the query's order.
    pub fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    /// Sentences for the reader; they depend on query and policies alone.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

impl Outcome for Released {
    fn status(&self) -> Status {
        Status::Released
    }

    /// Everything of the contract's object but `query_id`, `rows` and `receipt`; the rows are [`Outcome::result`].
    fn document(&self) -> Value {
        json!({
            "outcome": "released",
            "columns": self.columns.iter().map(OutputColumn::to_json).collect::<Vec<_>>(),
            "cost": costs(&self.cost),
            "notes": self.notes,
        })
    }

    /// The rows as an Arrow IPC stream of one batch.
    fn result(&self) -> Option<&[u8]> {
        Some(&self.ipc)
    }

    fn answer(&self) -> Option<Value> {
        let mut answer = self.document();
        answer.as_object_mut()?.insert("rows".to_owned(), Value::Array(self.rows.clone()));
        Some(answer)
    }

    fn code(&self) -> Option<&str> {
        None
    }
}

/// What a dry run tells: the query would be admitted, what it would show and cost. Nothing was read.
pub struct Priced {
    columns: Vec<OutputColumn>,
    notes: Vec<String>,
    floors: Vec<Value>,
    cost: Vec<Cost>,
}

impl Priced {
    pub(crate) fn new(columns: Vec<OutputColumn>, notes: Vec<String>, floors: Vec<Value>, cost: Vec<Cost>) -> Self {
        Self { columns, notes, floors, cost }
    }
}

impl Outcome for Priced {
    fn status(&self) -> Status {
        Status::Priced
    }

    fn document(&self) -> Value {
        json!({
            "outcome": "released",
            "dry_run": true,
            "columns": self.columns.iter().map(OutputColumn::to_json).collect::<Vec<_>>(),
            "rows": [],
            "cost": costs(&self.cost),
            "floors": self.floors,
            "notes": self.notes,
        })
    }

    fn result(&self) -> Option<&[u8]> {
        None
    }

    fn answer(&self) -> Option<Value> {
        None
    }

    fn code(&self) -> Option<&str> {
        None
    }
}

/// How a question ended. Each arm is proof that the log holds it.
pub enum Decision {
    /// Answered.
    Released(Recorded<Released>),
    /// A dry run that would be admitted.
    Priced(Recorded<Priced>),
    /// Not answered, by rule.
    Refused(Recorded<Refusal>),
    /// Admitted, not finished.
    Failed(Recorded<Failure>),
}
