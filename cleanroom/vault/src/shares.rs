//! `AVG(CASE WHEN c THEN 1 ELSE 0 END)`, the share of rows that meet a condition, as what it is made of: a count of those
//! rows and a count of all, each of which is released or not by itself. As one average it would be told of any one row.

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Aggregate, Case, Expr, LogicalPlan, LogicalPlanBuilder, cast, lit};

/// The plan with such averages written out, under the names they had.
pub(crate) fn shares(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut named = 0;
    plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Aggregate(aggregate) => written_out(aggregate, &mut named),
        other => Ok(Transformed::no(other)),
    })
    .map(|transformed| transformed.data)
}

fn written_out(aggregate: Aggregate, named: &mut usize) -> Result<Transformed<LogicalPlan>> {
    let sets = matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_)]);
    if sets || !aggregate.aggr_expr.iter().any(|call| share(call).is_some()) {
        return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
    }
    let groups = aggregate.group_expr.len();
    let column = |name: &str| Expr::Column(Column::new_unqualified(name));
    let mut calls = Vec::with_capacity(aggregate.aggr_expr.len() + 1);
    let mut outputs: Vec<Expr> = Vec::with_capacity(aggregate.schema.fields().len());
    for (position, (qualifier, field)) in aggregate.schema.iter().enumerate() {
        let call = position.checked_sub(groups).and_then(|call| aggregate.aggr_expr.get(call));
        let Some((when, filter)) = call.and_then(share) else {
            calls.extend(call.cloned());
            outputs.push(Expr::Column(Column::new(qualifier.cloned(), field.name())));
            continue;
        };
        *named += 1;
        let (part, whole) = (format!("__cr_part_{named}"), format!("__cr_whole_{named}"));
        let met = match &filter {
            Some(filter) => filter.clone().and(when),
            None => when,
        };
        calls.push(counted(Some(met)).alias(&part));
        calls.push(counted(filter).alias(&whole));
        let parts = [&part, &whole].map(|name| cast(column(name), field.data_type().clone()));
        let [part, whole] = parts;
        outputs.push((part / whole).alias_qualified(qualifier.cloned(), field.name()));
    }
    LogicalPlanBuilder::from(aggregate.input.as_ref().clone())
        .aggregate(aggregate.group_expr, calls)?
        .project(outputs)?
        .build()
        .map(Transformed::yes)
}

fn counted(filter: Option<Expr>) -> Expr {
    let filter = filter.map(Box::new);
    Expr::AggregateFunction(AggregateFunction::new_udf(count_udaf(), vec![lit(1_i64)], false, filter, Vec::new(), None))
}

/// The condition and the filter of an average of ones and zeros.
fn share(call: &Expr) -> Option<(Expr, Option<Expr>)> {
    let call = match call {
        Expr::Alias(alias) => return share(&alias.expr),
        Expr::AggregateFunction(call) if call.func.name() == "avg" => call,
        _ => return None,
    };
    let params = &call.params;
    let [Expr::Case(Case { expr: None, when_then_expr, else_expr: Some(otherwise) })] = params.args.as_slice() else {
        return None;
    };
    let [(when, then)] = when_then_expr.as_slice() else { return None };
    let plain = !params.distinct && params.order_by.is_empty() && params.null_treatment.is_none();
    (plain && is(then, 1.0) && is(otherwise, 0.0)).then(|| (when.as_ref().clone(), params.filter.as_deref().cloned()))
}

fn is(expr: &Expr, number: f64) -> bool {
    match expr {
        Expr::Literal(ScalarValue::Int64(Some(1)), _metadata) => number == 1.0,
        Expr::Literal(ScalarValue::Int64(Some(0)), _metadata) => number == 0.0,
        Expr::Literal(ScalarValue::Float64(Some(value)), _metadata) => *value == number,
        _ => false,
    }
}
