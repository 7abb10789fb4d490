//! Where the operator can stand.

use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode as _, TreeNodeRecursion};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties as _, InputOrderMode, PlanProperties};

use super::Choice;
use super::exec::{Call, Steps, UnitTotalsExec};
use crate::compile::{PLACE, UNIT};

/// The plan of a release point with the operator in it, where its shape and the order of its rows allow that.
///
/// `choice` is what the window in the plan does, where there is one.
///
/// # Errors
/// The engine's.
pub(crate) fn lowered(plan: Arc<dyn ExecutionPlan>, choice: Option<&Choice>) -> Result<Arc<dyn ExecutionPlan>> {
    let mut done = false;
    let plan = plan.transform_down(|node| {
        let last = node.downcast_ref::<AggregateExec>().filter(|last| !done && last.mode() == &AggregateMode::Partial);
        match last.and_then(|last| in_place_of(last, choice)) {
            Some(lowered) => {
                done = true;
                Ok(Transformed::new(lowered, true, TreeNodeRecursion::Stop))
            }
            None => Ok(Transformed::no(node)),
        }
    })?;
    Ok(plan.data)
}

/// The operator for this first step of an aggregate and what comes before it; `None` where anything is not as expected.
fn in_place_of(last: &AggregateExec, choice: Option<&Choice>) -> Option<Arc<dyn ExecutionPlan>> {
    let per_unit = aggregate_per_unit(last.input(), choice.is_some())?;
    let per_unit = per_unit.downcast_ref::<AggregateExec>()?;
    if [last, per_unit].iter().any(|step| step.group_expr().has_grouping_set() || step.limit_options().is_some()) {
        return None;
    }
    let keys = per_unit.group_expr().expr();
    let unit_position = keys.iter().position(|(_key, name)| name == UNIT)?;
    let (unit, _name) = keys.get(unit_position)?;
    // Each unit in one partition, in order.
    let ordered = match per_unit.input_order_mode() {
        InputOrderMode::PartiallySorted(places) => places == &[unit_position],
        InputOrderMode::Sorted => keys.len() == 1,
        InputOrderMode::Linear => false,
    };
    let whole = per_unit.mode() == &AggregateMode::SinglePartitioned;
    let input = per_unit.input();
    if !ordered || !whole || !ascends(input, unit) || unit.data_type(&input.schema()).ok()? != DataType::UInt32 {
        return None;
    }
    let of_groups =
        || keys.iter().enumerate().filter(|(position, _key)| *position != unit_position).map(|(_, key)| key);
    let pair_schema = nullable(&per_unit.schema());
    // Numbers are made of units and shares, never of what groups are.
    let usable = |column: &str| !of_groups().any(|(_group, name)| name == column);
    let totals = calls(last)
        .map(|call| {
            let place = |expr: Arc<dyn PhysicalExpr>| placed(expr, &pair_schema, &usable);
            let expressions = call.function.expressions().into_iter().map(place).collect::<Option<Vec<_>>>()?;
            let function = Arc::new(call.function.with_new_expressions(expressions, Vec::new())?);
            let plain = call.function.order_bys().is_empty() && !call.function.is_distinct();
            let filter = match call.filter {
                Some(filter) => Some(place(filter)?),
                None => None,
            };
            plain.then_some(Call { function, filter })
        })
        .collect::<Option<Vec<_>>>()?;
    let shares: Vec<Call> = calls(per_unit).collect();
    if shares.iter().any(|share| !share.function.order_bys().is_empty() || share.function.is_distinct()) {
        return None;
    }
    let output_groups = last.group_expr().expr().iter().map(|(group, _name)| {
        let column = group.downcast_ref::<Column>()?;
        of_groups().position(|(_group, name)| name == column.name())
    });
    let output_groups: Vec<usize> = output_groups.collect::<Option<_>>()?;
    let mut every: Vec<usize> = output_groups.clone();
    every.sort_unstable();
    if !every.iter().copied().eq(0..keys.len() - 1) {
        return None;
    }
    let group_fields = of_groups().map(|(_group, name)| pair_schema.field_with_name(name).ok().cloned());
    let steps = Steps {
        groups: of_groups().map(|(group, _name)| Arc::clone(group)).collect(),
        group_schema: Arc::new(Schema::new(group_fields.collect::<Option<Vec<_>>>()?)),
        unit: Arc::clone(unit),
        shares,
        pair_schema,
        unit_position,
        choice: choice.cloned(),
        totals,
        output_groups,
        schema: last.schema(),
    };
    let partitions = Partitioning::UnknownPartitioning(input.output_partitioning().partition_count());
    let equivalences = EquivalenceProperties::new(last.schema());
    let properties = PlanProperties::new(equivalences, partitions, EmissionType::Final, Boundedness::Bounded);
    Some(Arc::new(UnitTotalsExec::new(Arc::new(steps), Arc::clone(input), Arc::new(properties))))
}

/// The aggregate per group and unit under `plan`, with nothing between but what the window of a choice needs.
fn aggregate_per_unit(plan: &Arc<dyn ExecutionPlan>, choice: bool) -> Option<&Arc<dyn ExecutionPlan>> {
    let (mut windows, mut filters) = (0, Vec::new());
    let mut node = plan;
    loop {
        if let Some(per_unit) = node.downcast_ref::<AggregateExec>() {
            let schema = per_unit.schema();
            let of_place = |filter: &Arc<dyn PhysicalExpr>| {
                let known = |name: &str| name != UNIT && schema.column_with_name(name).is_some();
                !collect_columns(filter).iter().any(|column| known(column.name()))
            };
            let expected = usize::from(choice);
            return (windows == expected && filters.len() == expected && filters.iter().all(of_place)).then_some(node);
        }
        if let Some(projection) = node.downcast_ref::<ProjectionExec>() {
            let plain = projection.expr().iter().all(|projected| {
                let column = projected.expr.downcast_ref::<Column>();
                column.is_some_and(|column| column.name() == projected.alias || (choice && projected.alias == PLACE))
            });
            node = plain.then(|| projection.input())?;
        } else if !choice {
            return None;
        } else if let Some(filter) = node.downcast_ref::<FilterExec>() {
            filters.push(Arc::clone(filter.predicate()));
            node = filter.fetch().is_none().then(|| filter.input())?;
        } else if let Some(sort) = node.downcast_ref::<SortExec>() {
            node = sort.fetch().is_none().then(|| sort.input())?;
        } else if node.is::<BoundedWindowAggExec>() || node.is::<WindowAggExec>() {
            windows += 1;
            node = node.children().into_iter().next()?;
        } else {
            node = node.downcast_ref::<RepartitionExec>()?.input();
        }
    }
}

fn calls(aggregate: &AggregateExec) -> impl Iterator<Item = Call> {
    let calls = aggregate.aggr_expr().iter().zip(aggregate.filter_expr());
    calls.map(|(function, filter)| Call { function: Arc::clone(function), filter: filter.clone() })
}

/// The expression over columns of the same names in `schema`; `None` where it has others.
fn placed(
    expr: Arc<dyn PhysicalExpr>,
    schema: &SchemaRef,
    usable: &impl Fn(&str) -> bool,
) -> Option<Arc<dyn PhysicalExpr>> {
    if !collect_columns(&expr).iter().all(|column| usable(column.name()) && schema.index_of(column.name()).is_ok()) {
        return None;
    }
    let placed = expr.transform(|expr| {
        Ok(match expr.downcast_ref::<Column>() {
            Some(column) => Transformed::yes(Arc::new(Column::new_with_schema(column.name(), schema)?) as _),
            None => Transformed::no(expr),
        })
    });
    placed.ok().map(|placed| placed.data)
}

fn ascends(input: &Arc<dyn ExecutionPlan>, unit: &Arc<dyn PhysicalExpr>) -> bool {
    [false, true].into_iter().any(|nulls_first| {
        let options = SortOptions { descending: false, nulls_first };
        let order = PhysicalSortExpr { expr: Arc::clone(unit), options };
        input.equivalence_properties().ordering_satisfy([order]).unwrap_or_default()
    })
}

fn nullable(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
