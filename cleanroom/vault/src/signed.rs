//! Results of the engine's functions in the types that everything else has. Numbers without a sign get one. The engine numbers rows and ranks in a type that has none, and a difference of two of
//! them that is below zero comes out as a number near 2^64.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Aggregate, BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, Projection, cast};

/// The plan with the results of windows, and what is calculated with, in signed types. Before the engine makes types fit:
/// what is compared with them is fitted to the new ones.
pub(crate) fn signed(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        let names = NamePreserver::new(&node);
        let node = node
            .map_expressions(|expr| {
                let name = names.save(&expr);
                let signed = expr.transform_up(|expr| calculated(expr, &schema))?;
                Ok(signed.update_data(|expr| name.restore(expr)))
            })?
            .data
            .recompute_schema()?;
        Ok(Transformed::yes(match node {
            LogicalPlan::Window(_) => LogicalPlan::Projection(of_window(node)?),
            LogicalPlan::Aggregate(aggregate) if aggregate.schema.fields().iter().any(|field| is_large(field)) => {
                LogicalPlan::Projection(of_aggregate(aggregate)?)
            }
            other => other,
        }))
    })
    .map(|transformed| transformed.data)
}

/// A window's columns, those without a sign as BIGINT.
fn of_window(window: LogicalPlan) -> Result<Projection> {
    let columns = window.schema().iter().map(|(qualifier, field)| {
        let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
        if qualifier.is_none() && field.data_type().is_unsigned_integer() {
            cast(column, DataType::Int64).alias(field.name())
        } else {
            column
        }
    });
    Projection::try_new(columns.collect(), Arc::new(window))
}

/// Texts that are put together come out in a type of their own.
fn is_large(field: &Field) -> bool {
    *field.data_type() == DataType::LargeUtf8
}

fn of_aggregate(aggregate: Aggregate) -> Result<Projection> {
    let columns = aggregate.schema.iter().map(|(qualifier, field)| {
        let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
        if is_large(field) {
            cast(column, DataType::Utf8).alias_qualified(qualifier.cloned(), field.name())
        } else {
            column
        }
    });
    let columns = columns.collect();
    Projection::try_new(columns, Arc::new(LogicalPlan::Aggregate(aggregate)))
}

/// Operands without a sign as BIGINT.
fn calculated(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let unsigned = |expr: &Expr| expr.get_type(schema).is_ok_and(|data_type| data_type.is_unsigned_integer());
    let signed = |expr: Box<Expr>| if unsigned(&expr) { Box::new(cast(*expr, DataType::Int64)) } else { expr };
    Ok(match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply)
                && (unsigned(&left) || unsigned(&right)) =>
        {
            Transformed::yes(Expr::BinaryExpr(BinaryExpr { left: signed(left), op, right: signed(right) }))
        }
        Expr::Negative(inner) if unsigned(&inner) => Transformed::yes(Expr::Negative(signed(inner))),
        other => Transformed::no(other),
    })
}
