//! Subqueries in places where the engine's own rules do not look for them: IN and EXISTS among the columns of a SELECT
//! become match flags, and what stands inside an aggregate moves into a column below it.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Expr, Filter, LogicalPlan, LogicalPlanBuilder, Operator, Projection, lit,
};
use datafusion::optimizer::OptimizerRule;
use datafusion::optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;

/// Rewrites a plan whose types fit already; the engine's rules for subqueries in conditions come after.
pub(crate) fn mark_subqueries(state: &SessionState, plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut named = 0;
    plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Aggregate(aggregate) => below_aggregate(aggregate, &mut named, state),
        LogicalPlan::Projection(projection) => in_projection(projection, state),
        other => Ok(Transformed::no(other)),
    })
    .map(|transformed| transformed.data)
}

fn is_predicate(expr: &Expr) -> bool {
    matches!(expr, Expr::InSubquery(_) | Expr::Exists(_))
}

fn is_subquery(expr: &Expr) -> bool {
    is_predicate(expr) || matches!(expr, Expr::ScalarSubquery(subquery) if !subquery.outer_ref_columns.is_empty())
}

fn found(exprs: &[Expr], wanted: fn(&Expr) -> bool) -> Result<Vec<Expr>> {
    let mut found: Vec<Expr> = Vec::new();
    for expr in exprs {
        expr.apply(|expr| {
            if wanted(expr) {
                if !found.contains(expr) {
                    found.push(expr.clone());
                }
                return Ok(TreeNodeRecursion::Jump);
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    Ok(found)
}

fn replaced(expr: Expr, subquery: &Expr, by: &Expr) -> Result<Transformed<Expr>> {
    expr.transform_down(|expr| {
        Ok(if expr == *subquery {
            Transformed::new(by.clone(), true, TreeNodeRecursion::Jump)
        } else {
            Transformed::no(expr)
        })
    })
}

/// Each expression with the subquery replaced, under the name it had.
fn replaced_in(exprs: Vec<Expr>, subquery: &Expr, by: &Expr) -> Result<Vec<Expr>> {
    exprs
        .into_iter()
        .map(|expr| {
            let (qualifier, name) = expr.qualified_name();
            let replaced = replaced(expr, subquery, by)?;
            Ok(if replaced.transformed {
                replaced.data.unalias().alias_qualified(qualifier, name)
            } else {
                replaced.data
            })
        })
        .collect()
}

/// NOT IN and NOT EXISTS as the negation of IN and EXISTS, under the names they had: who is asked for twice, once with and
/// once without NOT, is found out once.
fn positive(exprs: Vec<Expr>) -> Result<Vec<Expr>> {
    exprs
        .into_iter()
        .map(|expr| {
            let (qualifier, name) = expr.qualified_name();
            let positive = expr.transform_up(|expr| {
                let positive = match expr {
                    Expr::InSubquery(InSubquery { expr, subquery, negated: true }) => {
                        Expr::InSubquery(InSubquery { expr, subquery, negated: false })
                    }
                    Expr::Exists(Exists { subquery, negated: true }) => {
                        Expr::Exists(Exists { subquery, negated: false })
                    }
                    other => return Ok(Transformed::no(other)),
                };
                // Not the operator `!`, which would make it a NOT IN again.
                Ok(Transformed::yes(Expr::Not(Box::new(positive))))
            })?;
            Ok(if positive.transformed {
                positive.data.unalias().alias_qualified(qualifier, name)
            } else {
                positive.data
            })
        })
        .collect()
}

fn below_aggregate(aggregate: Aggregate, named: &mut usize, state: &SessionState) -> Result<Transformed<LogicalPlan>> {
    let all = [aggregate.group_expr.as_slice(), aggregate.aggr_expr.as_slice()].concat();
    if found(&all, is_subquery)?.is_empty() || matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_)]) {
        return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
    }
    let (mut groups, mut calls) = (positive(aggregate.group_expr)?, positive(aggregate.aggr_expr)?);
    let subqueries = found(&[groups.as_slice(), calls.as_slice()].concat(), is_subquery)?;
    let mut columns: Vec<Expr> = aggregate.input.schema().columns().into_iter().map(Expr::Column).collect();
    for subquery in subqueries {
        *named += 1;
        let name = format!("__cr_sub_{named}");
        let by = Expr::Column(datafusion::common::Column::new_unqualified(&name));
        groups = replaced_in(groups, &subquery, &by)?;
        calls = replaced_in(calls, &subquery, &by)?;
        columns.push(subquery.alias(name));
    }
    let below = in_projection(Projection::try_new(columns, aggregate.input)?, state)?.data;
    LogicalPlanBuilder::from(below).aggregate(groups, calls)?.build().map(Transformed::yes)
}

fn in_projection(projection: Projection, state: &SessionState) -> Result<Transformed<LogicalPlan>> {
    let mut exprs = positive(projection.expr.clone())?;
    let subqueries = found(&exprs, is_predicate)?;
    let mut input = projection.input.as_ref().clone();
    let mut changed = false;
    for subquery in subqueries {
        // The engine makes a match flag of a subquery that stands beside an OR; this condition holds of every row.
        let always = subquery.clone().or(lit(true));
        let filter = LogicalPlan::Filter(Filter::try_new(always, Arc::new(input.clone()))?);
        let Some((flagged, flag)) = flag_of(DecorrelatePredicateSubquery::new().rewrite(filter, state)?.data) else {
            continue;
        };
        exprs = replaced_in(exprs, &subquery, &flag)?;
        input = flagged;
        changed = true;
    }
    if !changed {
        return Ok(Transformed::no(LogicalPlan::Projection(projection)));
    }
    LogicalPlanBuilder::from(input).project(exprs)?.build().map(Transformed::yes)
}

/// The flagged rows and the flag, out of what the engine made of the condition.
fn flag_of(plan: LogicalPlan) -> Option<(LogicalPlan, Expr)> {
    let plan = match plan {
        LogicalPlan::Projection(projection) => Arc::unwrap_or_clone(projection.input),
        other => other,
    };
    let LogicalPlan::Filter(Filter { predicate, input, .. }) = plan else { return None };
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right: _ }) = predicate else { return None };
    let left = *left;
    (!left.exists(|expr| Ok(is_predicate(expr))).unwrap_or(true)).then(|| (Arc::unwrap_or_clone(input), left))
}
