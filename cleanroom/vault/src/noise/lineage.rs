//! Of which released columns a column of the answer is made.

use std::collections::BTreeSet;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinType, Result};
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan};

use crate::source::ReleasedScan;

/// A column of a release point: the release point, and its place in the schema.
pub(crate) type Place = (usize, usize);

/// Where the values of a column come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Source {
    /// The released column that it is, value by value.
    pub(crate) is: Option<Place>,
    /// All released columns that it is computed from.
    pub(crate) from: BTreeSet<Place>,
}

impl Source {
    fn computed<'a>(sources: impl IntoIterator<Item = &'a Self>) -> Self {
        Self { is: None, from: sources.into_iter().flat_map(|source| source.from.iter().copied()).collect() }
    }
}

/// The sources of a plan's columns, in their order. What rows there are is no column's source.
///
/// # Errors
/// Where a column of the plan is none of its inputs'.
pub(crate) fn sources(plan: &LogicalPlan) -> Result<Vec<Source>> {
    let all = || -> Result<Vec<Source>> {
        Ok(plan.inputs().into_iter().map(sources).collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    };
    Ok(match plan {
        LogicalPlan::TableScan(scan) => {
            let fields = scan.projected_schema.fields().len();
            let Some(released) = ReleasedScan::of(plan) else { return Ok(vec![Source::default(); fields]) };
            let place = |position: usize| {
                let column = scan.projection.as_ref().map_or(Some(position), |kept| kept.get(position).copied());
                let is = column.map(|column| (released.release, column));
                Source { is, from: is.into_iter().collect() }
            };
            (0..fields).map(place).collect()
        }
        LogicalPlan::Projection(projection) => of_exprs(&projection.expr, plan)?,
        LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Repartition(_)
        | LogicalPlan::Distinct(Distinct::All(_))
        | LogicalPlan::Subquery(_) => all()?,
        LogicalPlan::Distinct(Distinct::On(on)) => of_exprs(&on.select_expr, plan)?,
        LogicalPlan::Join(join) => {
            let (left, right) = (sources(&join.left)?, sources(&join.right)?);
            match join.join_type {
                JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => {
                    left.into_iter().chain(right).collect()
                }
                JoinType::LeftSemi | JoinType::LeftAnti => left,
                JoinType::RightSemi | JoinType::RightAnti => right,
                JoinType::LeftMark => {
                    let mark = Source::computed(&right);
                    left.into_iter().chain([mark]).collect()
                }
                JoinType::RightMark => {
                    let mark = Source::computed(&left);
                    right.into_iter().chain([mark]).collect()
                }
            }
        }
        LogicalPlan::Aggregate(aggregate) => {
            let groups: Vec<Expr> = match aggregate.group_expr.as_slice() {
                [Expr::GroupingSet(sets)] => sets.distinct_expr().into_iter().cloned().collect(),
                plain => plain.to_vec(),
            };
            let aggregates = plan.schema().fields().len().saturating_sub(aggregate.aggr_expr.len());
            let mut columns = of_exprs(&groups, plan)?;
            columns.resize(aggregates, Source::default());
            columns.extend(of_exprs(&aggregate.aggr_expr, plan)?);
            columns
        }
        LogicalPlan::Window(window) => {
            let mut columns = all()?;
            columns.extend(of_exprs(&window.window_expr, plan)?);
            columns
        }
        LogicalPlan::Union(union) => {
            let branches = union.inputs.iter().map(|input| sources(input)).collect::<Result<Vec<_>>>()?;
            (0..plan.schema().fields().len())
                .map(|place| Source::computed(branches.iter().filter_map(|branch| branch.get(place))))
                .collect()
        }
        LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => {
            vec![Source::default(); plan.schema().fields().len()]
        }
        // None of these is answered; a column of theirs would be one for all that is below it.
        LogicalPlan::Statement(_)
        | LogicalPlan::Explain(_)
        | LogicalPlan::Analyze(_)
        | LogicalPlan::Extension(_)
        | LogicalPlan::Dml(_)
        | LogicalPlan::Ddl(_)
        | LogicalPlan::Copy(_)
        | LogicalPlan::DescribeTable(_)
        | LogicalPlan::Unnest(_)
        | LogicalPlan::RecursiveQuery(_) => {
            let below = Source::computed(&all()?);
            vec![below; plan.schema().fields().len()]
        }
    })
}

fn of_exprs(exprs: &[Expr], plan: &LogicalPlan) -> Result<Vec<Source>> {
    let inputs: Vec<(&LogicalPlan, Vec<Source>)> =
        plan.inputs().into_iter().map(|input| Ok((input, sources(input)?))).collect::<Result<_>>()?;
    let column = |column: &datafusion::common::Column| -> Source {
        let found = inputs.iter().find_map(|(input, sources)| {
            input.schema().maybe_index_of_column(column).and_then(|place| sources.get(place))
        });
        found.cloned().unwrap_or_default()
    };
    exprs
        .iter()
        .map(|expr| {
            if let Expr::Column(name) = expr.clone().unalias_nested().data {
                return Ok(column(&name));
            }
            let mut parts: Vec<Source> = expr.column_refs().into_iter().map(column).collect();
            expr.apply(|part| {
                if let Expr::ScalarSubquery(subquery) = part {
                    parts.extend(sources(&subquery.subquery)?);
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
            Ok(Source::computed(&parts))
        })
        .collect()
}
