//! The operator, and the steps it goes through.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray as _, BooleanArray, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::GroupsAccumulator;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::{GroupsAccumulatorAdapter, PhysicalExpr};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt as _;

use super::stream::Totals;
use super::{Choice, lost};

/// One aggregate function, and the condition on the rows that it takes.
pub(super) struct Call {
    pub(super) function: Arc<AggregateFunctionExpr>,
    pub(super) filter: Option<Arc<dyn PhysicalExpr>>,
}

impl Call {
    pub(super) fn accumulator(&self) -> Result<Box<dyn GroupsAccumulator>> {
        if self.function.groups_accumulator_supported() {
            return self.function.create_groups_accumulator();
        }
        let function = Arc::clone(&self.function);
        Ok(Box::new(GroupsAccumulatorAdapter::new(move || function.create_accumulator())))
    }

    /// The state of its number where it took no row.
    pub(super) fn empty(&self) -> Result<Vec<ArrayRef>> {
        let state = self.function.create_accumulator()?.state()?;
        state.iter().map(|value| value.to_array_of_size(1)).collect()
    }

    pub(super) fn values(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let values = self.function.expressions();
        values.iter().map(|value| value.evaluate(batch)?.into_array(batch.num_rows())).collect()
    }

    pub(super) fn filter(&self, batch: &RecordBatch) -> Result<Option<BooleanArray>> {
        let Some(filter) = &self.filter else {
            return Ok(None);
        };
        let kept = filter.evaluate(batch)?.into_array(batch.num_rows())?;
        kept.as_boolean_opt().cloned().map(Some).ok_or_else(|| lost("a condition is none"))
    }
}

/// What is made of rows.
pub(super) struct Steps {
    /// What groups are made of, but for the unit.
    pub(super) groups: Vec<Arc<dyn PhysicalExpr>>,
    pub(super) group_schema: SchemaRef,
    pub(super) unit: Arc<dyn PhysicalExpr>,
    /// Shares of a unit in a group, over rows.
    pub(super) shares: Vec<Call>,
    /// Groups and unit as they stand in the aggregate per unit, then shares; all of them may be NULL.
    pub(super) pair_schema: SchemaRef,
    pub(super) unit_position: usize,
    pub(super) choice: Option<Choice>,
    /// Numbers of a group, over pairs.
    pub(super) totals: Vec<Call>,
    /// Of each group column that comes out, which of `groups` it is.
    pub(super) output_groups: Vec<usize>,
    /// Groups and states of numbers: what the last aggregate's first step gives.
    pub(super) schema: SchemaRef,
}

/// Rows, in order of units, to the states of groups' numbers. A partition of rows yields one of states; the next step of the
/// aggregate puts them together.
pub(super) struct UnitTotalsExec {
    steps: Arc<Steps>,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl UnitTotalsExec {
    /// In the place of an operator of these properties.
    pub(super) fn new(steps: Arc<Steps>, input: Arc<dyn ExecutionPlan>, properties: Arc<PlanProperties>) -> Self {
        Self { steps, input, properties }
    }
}

impl fmt::Debug for UnitTotalsExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnitTotalsExec")
    }
}

impl DisplayAs for UnitTotalsExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Steps { groups, shares, totals, choice, .. } = self.steps.as_ref();
        let names = |calls: &[Call]| calls.iter().map(|call| call.function.name().to_owned()).collect::<Vec<_>>();
        write!(f, "UnitTotalsExec: unit={}, groups={}", self.steps.unit, groups.len())?;
        write!(f, ", shares=[{}], totals=[{}]", names(shares).join(", "), names(totals).join(", "))?;
        choice.as_ref().map_or(Ok(()), |choice| write!(f, ", groups of a unit<={}", choice.most))
    }
}

impl ExecutionPlan for UnitTotalsExec {
    fn name(&self) -> &'static str {
        "UnitTotalsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        // No rule runs after this operator was put in its place.
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok([input]) = <[_; 1]>::try_from(children) else {
            return internal_err!("rows by unit come from one place");
        };
        Ok(Arc::new(Self::new(Arc::clone(&self.steps), input, Arc::clone(&self.properties))))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = self.input.execute(partition, Arc::clone(&context))?;
        let consumer = MemoryConsumer::new(format!("UnitTotals[{partition}]"));
        let totals = Totals::new(Arc::clone(&self.steps), consumer.register(context.memory_pool()))?;
        let batch_size = context.session_config().batch_size();
        let states = futures::stream::try_unfold(Some((rows, totals)), |state| async {
            let Some((mut rows, mut totals)) = state else {
                return Ok(None);
            };
            while let Some(batch) = rows.next().await {
                if let Some(early) = totals.take(&batch?)? {
                    return Ok(Some((early, Some((rows, totals)))));
                }
            }
            let last = totals.end()?;
            Ok(Some((last, None)))
        });
        let pieces =
            states.flat_map(move |states: Result<RecordBatch>| futures::stream::iter(pieces(states, batch_size)));
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.steps.schema), pieces)))
    }
}

/// A batch in batches of the engine's size.
fn pieces(states: Result<RecordBatch>, size: usize) -> Vec<Result<RecordBatch>> {
    let states = match states {
        Ok(states) => states,
        Err(error) => return vec![Err(error)],
    };
    let size = size.max(1);
    let starts = (0..states.num_rows()).step_by(size);
    starts.map(|start| Ok(states.slice(start, size.min(states.num_rows() - start)))).collect()
}
