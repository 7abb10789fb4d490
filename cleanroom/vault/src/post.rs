//! Post-processing: what stands above the release points runs on released and reference tables only.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::ipc::writer::StreamWriter;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Result, plan_datafusion_err, resources_datafusion_err};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{LogicalPlan, TableScan};

use crate::cells::json_rows;
use crate::deep;
use crate::execute;
use crate::noise::ColumnNoise;
use crate::release::ReleasedTable;
use crate::released::{OutputColumn, Released};
use crate::source::ReleasedScan;

/// Most rows of one answer.
const MAX_ROWS: usize = 1_000_000;

/// The plan above the release points, optimized once however often it runs.
#[derive(Clone)]
pub(crate) struct Above(LogicalPlan);

impl Above {
    /// # Errors
    /// The engine's, for the operator alone.
    pub(crate) async fn optimized(state: &SessionState, above: LogicalPlan) -> Result<Self> {
        let state = state.clone();
        deep::run(move || state.optimize(&above)).await?.map(Self)
    }

    /// The answer over released tables.
    ///
    /// # Errors
    /// The engine's, for the operator alone.
    pub(crate) async fn run(&self, state: &SessionState, released: Vec<ReleasedTable>) -> Result<RecordBatch> {
        let tables = released
            .into_iter()
            .map(|table| {
                let batch = table.into_batch();
                let table = MemTable::try_new(batch.schema(), vec![vec![batch]])?;
                Ok(provider_as_source(Arc::new(table)))
            })
            .collect::<Result<Vec<_>>>()?;
        let plan = self.0.clone().transform_up_with_subqueries(|node| {
            let Some(released) = ReleasedScan::of(&node).map(|scan| scan.release) else {
                return Ok(Transformed::no(node));
            };
            let LogicalPlan::TableScan(scan) = node else {
                return Ok(Transformed::no(node));
            };
            let table = tables.get(released).ok_or_else(|| plan_datafusion_err!("a release point has no result"))?;
            Ok(Transformed::yes(LogicalPlan::TableScan(TableScan { source: Arc::clone(table), ..scan })))
        })?;
        let batch = execute::run_optimized(state, plan.data).await?;
        if batch.num_rows() > MAX_ROWS {
            return Err(resources_datafusion_err!("the answer has more than {MAX_ROWS} rows"));
        }
        Ok(batch)
    }
}

/// Builds the answer anew, so that no buffer of what came before is in it.
///
/// # Errors
/// The engine's, for the operator alone.
pub(crate) fn answer(batch: &RecordBatch, notes: Vec<String>, noise: Vec<Option<ColumnNoise>>) -> Result<Released> {
    let batch = rebuilt(batch)?;
    let columns = batch
        .schema()
        .fields()
        .iter()
        .zip(noise.into_iter().chain(std::iter::repeat(None)))
        .map(|(field, noise)| OutputColumn::new(field.name(), field.data_type().to_string()).with_noise(noise))
        .collect();
    let ipc = ipc(&batch)?;
    let rows = json_rows(&batch)?;
    Ok(Released::new(columns, batch, rows, ipc, notes))
}

fn rebuilt(batch: &RecordBatch) -> Result<RecordBatch> {
    let rows = u32::try_from(batch.num_rows()).map_err(|_many| resources_datafusion_err!("too many rows"))?;
    let all: UInt32Array = (0..rows).collect::<Vec<u32>>().into();
    let columns = batch
        .columns()
        .iter()
        .map(|column| {
            let plain = match column.data_type() {
                DataType::Utf8View | DataType::LargeUtf8 => cast(column, &DataType::Utf8)?,
                DataType::Dictionary(_, value) => cast(column, value)?,
                _ => Arc::clone(column),
            };
            Ok(take(&plain, &all, None)?)
        })
        .collect::<Result<Vec<ArrayRef>>>()?;
    let fields: Vec<Field> = batch
        .schema()
        .fields()
        .iter()
        .zip(&columns)
        .map(|(field, column)| Field::new(field.name(), column.data_type().clone(), true))
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
}

fn ipc(batch: &RecordBatch) -> Result<Vec<u8>> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema())?;
    writer.write(batch)?;
    writer.finish()?;
    Ok(writer.into_inner()?)
}
