//! Whether an aggregate over protected rows leaves a row for each unit, or releases.

use datafusion::common::{Column, JoinType};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};

use crate::source::PolicyTable;

/// Whether an aggregate leaves a row for each unit. The checker has refused keys inside anything computed.
pub(super) fn groups_by_unit(aggregate: &Aggregate) -> bool {
    aggregate
        .group_expr
        .iter()
        .any(|group| group.column_refs().into_iter().any(|column| is_unit(&aggregate.input, column)))
}

/// Whether a column is some table's unit: followed down by its place.
fn is_unit(plan: &LogicalPlan, column: &Column) -> bool {
    let Some(position) = plan.schema().maybe_index_of_column(column) else { return false };
    unit_at(plan, position)
}

fn unit_at(plan: &LogicalPlan, position: usize) -> bool {
    let (_qualifier, field) = plan.schema().qualified_field(position);
    match plan {
        LogicalPlan::TableScan(scan) => PolicyTable::facts_of(scan)
            .is_some_and(|facts| facts.unit().is_some_and(|(unit, _space)| unit == field.name())),
        LogicalPlan::Projection(projection) => {
            projection.expr.get(position).is_some_and(|expr| unit_expr(&projection.input, expr))
        }
        LogicalPlan::Aggregate(aggregate) => {
            aggregate.group_expr.get(position).is_some_and(|expr| unit_expr(&aggregate.input, expr))
        }
        LogicalPlan::Join(join) => {
            let left = join.left.schema().fields().len();
            match join.join_type {
                JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => unit_at(&join.right, position),
                _ if position < left => unit_at(&join.left, position),
                _ if position - left < join.right.schema().fields().len() => unit_at(&join.right, position - left),
                _ => false,
            }
        }
        // These have their inputs' columns in the same places, or add their own behind them.
        _ => {
            plan.inputs().into_iter().any(|input| position < input.schema().fields().len() && unit_at(input, position))
        }
    }
}

fn unit_expr(input: &LogicalPlan, expr: &Expr) -> bool {
    match expr.clone().unalias_nested().data {
        Expr::Column(column) => is_unit(input, &column),
        _ => false,
    }
}
