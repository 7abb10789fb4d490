//! Which columns of the analyst's own distinct rows a release point still uses, once conditions are met as early as they can
//! be and unused columns are gone.
//!
//! A person may have as many of these rows as the columns have values. Grouped by such a column, as it is, the person has
//! one row in each group. Used in any other way, it would have several in one, and an analyst who gives person k some 2^k
//! rows would read everybody's presence out of one sum. This looks at the very plan that is compiled, whatever the checker
//! concluded before.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, JoinType};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::{Optimizer, OptimizerContext};

use super::aggregate::{CellKind, ReleasePoint};
use super::distinct::OwnDistinct;
use super::internal;
use crate::compile;
use crate::refusal::{Code, Refusal};
use crate::source::CheckedScan;

/// Refuses a release point in which own rows could weigh people.
pub(super) fn check_own_rows(release: &ReleasePoint) -> Result<(), Refusal> {
    if release.cells.iter().all(|cell| cell.kind == CellKind::Units) {
        return Ok(());
    }
    let plan = compile::release_plan(release).map_err(internal)?;
    if !holds_own_rows(&plan)? {
        return Ok(());
    }
    let plan = narrowed(plan)?;
    let mut grouped = Vec::new();
    if let Some((groups, input)) = per_unit(&plan) {
        for group in groups {
            if let Expr::Column(column) = group.clone().unalias() {
                trace(input, &column, &mut grouped);
            }
        }
    }
    let mut weighs = false;
    plan.apply(|node| {
        if let Some(own) = own_distinct(node) {
            let groups: Vec<usize> = grouped
                .iter()
                .filter(|(input, _position)| *input == Arc::as_ptr(&own.input))
                .map(|(_input, position)| *position)
                .collect();
            for (position, field) in own.input.schema().fields().iter().enumerate() {
                // Units are the only numbers of this type: ingestion makes all others wider.
                let unit = *field.data_type() == DataType::UInt32;
                weighs |= !unit && !groups.contains(&position) && !determined(&own.input, position, &groups);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map_err(internal)?;
    if weighs {
        return Err(Refusal::new(
            Code::OwnMeasure,
            "a column of your own table, of which a unit may have several values, is used in a join with another owner's rows other than as a group",
        )
        .suggest("group by it, put its condition or its join with a reference table into a subquery over your own table, or answer with COUNT(DISTINCT key) alone"));
    }
    Ok(())
}

/// The rules that the compilation applies before own rows become distinct.
pub(crate) fn narrowing() -> Optimizer {
    Optimizer::with_rules(vec![Arc::new(PushDownFilter::new()), Arc::new(OptimizeProjections::new())])
}

fn narrowed(plan: LogicalPlan) -> Result<LogicalPlan, Refusal> {
    narrowing().optimize(plan, &OptimizerContext::new(), |_plan, _rule| {}).map_err(internal)
}

fn holds_own_rows(plan: &LogicalPlan) -> Result<bool, Refusal> {
    plan.exists(|node| Ok(own_distinct(node).is_some())).map_err(internal)
}

fn own_distinct(plan: &LogicalPlan) -> Option<&OwnDistinct> {
    match plan {
        LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref::<OwnDistinct>(),
        _ => None,
    }
}

/// The groups and the input of the aggregate per group and unit, which stands below the one per group.
fn per_unit(plan: &LogicalPlan) -> Option<(&[Expr], &LogicalPlan)> {
    let mut node = plan;
    let mut aggregates = 0;
    loop {
        if let LogicalPlan::Aggregate(aggregate) = node {
            aggregates += 1;
            if aggregates == 2 {
                return Some((&aggregate.group_expr, &aggregate.input));
            }
        }
        let mut inputs = node.inputs().into_iter();
        node = match (inputs.next(), inputs.next()) {
            (Some(input), None) => input,
            _ => return None,
        };
    }
}

/// Follows a column, unchanged, down to own distinct rows; also through the equality of a join, whose sides are the same.
fn trace(plan: &LogicalPlan, column: &Column, found: &mut Vec<(*const LogicalPlan, usize)>) {
    if let Some(own) = own_distinct(plan) {
        if let Some(position) = own.input.schema().maybe_index_of_column(column) {
            found.push((Arc::as_ptr(&own.input), position));
        }
        return;
    }
    let Some(position) = plan.schema().maybe_index_of_column(column) else { return };
    match plan {
        LogicalPlan::Projection(projection) => {
            if let Some(Expr::Column(inner)) = projection.expr.get(position).map(|expr| expr.clone().unalias()) {
                trace(&projection.input, &inner, found);
            }
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let (qualifier, field) = alias.input.schema().qualified_field(position);
            trace(&alias.input, &Column::new(qualifier.cloned(), field.name()), found);
        }
        LogicalPlan::Filter(filter) => trace(&filter.input, column, found),
        LogicalPlan::Join(join) => {
            for (side, other, own_side_first) in [(&join.left, &join.right, true), (&join.right, &join.left, false)] {
                if side.schema().maybe_index_of_column(column).is_none() {
                    continue;
                }
                trace(side, column, found);
                for (left, right) in &join.on {
                    let (here, there) = if own_side_first { (left, right) } else { (right, left) };
                    if let (Expr::Column(here), Expr::Column(there)) = (here, there)
                        && here == column
                    {
                        trace(other, there, found);
                    }
                }
            }
        }
        // Anything else computes, groups or ends here.
        _ => {}
    }
}

/// A column of a table in a plan.
#[derive(Clone, PartialEq, Eq)]
struct Source {
    scan: *const LogicalPlan,
    column: String,
}

/// Where a column of a plan is read, if it comes from there unchanged.
fn source<'p>(plan: &'p LogicalPlan, column: &Column) -> Option<(&'p LogicalPlan, String)> {
    let position = plan.schema().maybe_index_of_column(column)?;
    match plan {
        LogicalPlan::TableScan(_) => Some((plan, plan.schema().field(position).name().clone())),
        LogicalPlan::Projection(projection) => match projection.expr.get(position)?.clone().unalias() {
            Expr::Column(inner) => source(&projection.input, &inner),
            _ => None,
        },
        LogicalPlan::SubqueryAlias(alias) => {
            let (qualifier, field) = alias.input.schema().qualified_field(position);
            source(&alias.input, &Column::new(qualifier.cloned(), field.name()))
        }
        LogicalPlan::Filter(filter) => source(&filter.input, column),
        LogicalPlan::Join(join) => source(&join.left, column).or_else(|| source(&join.right, column)),
        _ => None,
    }
}

fn source_at(plan: &LogicalPlan, position: usize) -> Option<Source> {
    let (qualifier, field) = plan.schema().qualified_field(position);
    let (scan, column) = source(plan, &Column::new(qualifier.cloned(), field.name()))?;
    Some(Source { scan: std::ptr::from_ref(scan), column })
}

/// Whether the groups leave a column one value: it equals one of them by a join, or it is a reference table's, which has one row for each value of a column
/// that is grouped, or that is joined with one that is.
fn determined(input: &LogicalPlan, position: usize, groups: &[usize]) -> bool {
    let grouped: Vec<Source> = groups.iter().filter_map(|group| source_at(input, *group)).collect();
    let (qualifier, field) = input.schema().qualified_field(position);
    let Some((scan, column)) = source(input, &Column::new(qualifier.cloned(), field.name())) else { return false };
    let unique = |column: &str| {
        CheckedScan::of(scan).is_some_and(|checked| checked.facts.unit().is_none() && checked.facts.is_unique(column))
    };
    let reference = std::ptr::from_ref(scan);
    if grouped.iter().any(|group| group.scan == reference && unique(&group.column)) {
        return true;
    }
    let mut determined = false;
    let walked = input.apply(|node| {
        if let LogicalPlan::Join(join) = node
            && join.join_type == JoinType::Inner
        {
            for (left, right) in &join.on {
                let (Expr::Column(left), Expr::Column(right)) = (left, right) else { continue };
                let (Some(left), Some(right)) = (source(&join.left, left), source(&join.right, right)) else {
                    continue;
                };
                for ((one, one_column), (other, other_column)) in [(&left, &right), (&right, &left)] {
                    let group = Source { scan: std::ptr::from_ref(*other), column: other_column.clone() };
                    // The column itself, equal to a group, or one that a group finds the row of.
                    let here = std::ptr::from_ref(*one) == reference && (*one_column == column || unique(one_column));
                    determined |= here && grouped.contains(&group);
                }
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    walked.is_ok() && determined
}
