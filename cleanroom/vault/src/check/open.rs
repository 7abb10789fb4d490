//! Everything above the release points: any SQL, as long as its functions are listed and its subqueries are released too.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, ScalarValue, TableReference};
use datafusion::functions::core::expr_fn::nullif;
use datafusion::functions::unicode::expr_fn::left;
use datafusion::logical_expr::expr::{BinaryExpr, Exists, InSubquery, TryCast};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Aggregate, Case, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, Subquery,
    WindowFunctionDefinition, lit,
};
use std::sync::Arc;

use super::{Checker, Reference, Relation, functions, internal, under_name};
use crate::fixed;
use crate::refusal::{Code, Refusal};
use crate::source::ReleasedScan;

impl Checker<'_> {
    /// The node over other inputs, once its expressions have been looked at.
    pub(super) fn open(&mut self, plan: &LogicalPlan, inputs: Vec<LogicalPlan>) -> Result<LogicalPlan, Refusal> {
        let mut exprs = Vec::new();
        for expr in plan.expressions() {
            check_functions(&expr)?;
            check_subqueries(plan, &expr)?;
            let expr = self.released_subqueries(expr)?;
            exprs.push(expr);
        }
        let exprs = match plan {
            LogicalPlan::Projection(projection) => exprs
                .into_iter()
                .zip(plan.schema().iter())
                .map(|(expr, (qualifier, field))| {
                    let expr = hidden_is_not_none(expr, &inputs)?;
                    Ok(under_name(computed(expr, projection.input.schema())?, qualifier, field.name()))
                })
                .collect::<Result<Vec<_>, Refusal>>()?,
            LogicalPlan::Filter(filter) => exprs
                .into_iter()
                .map(|expr| computed(hidden_is_not_none(expr, &inputs)?, filter.input.schema()))
                .collect::<Result<Vec<_>, Refusal>>()?,
            LogicalPlan::Join(_) => {
                let schema = merge_schema(&inputs.iter().collect::<Vec<_>>());
                exprs.into_iter().map(|expr| computed(expr, &schema)).collect::<Result<Vec<_>, Refusal>>()?
            }
            LogicalPlan::Aggregate(_) => exprs.into_iter().map(in_order).collect::<Result<Vec<_>, Refusal>>()?,
            LogicalPlan::Window(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Repartition(_)
            | LogicalPlan::Union(_)
            | LogicalPlan::TableScan(_)
            | LogicalPlan::EmptyRelation(_)
            | LogicalPlan::Subquery(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Limit(_)
            | LogicalPlan::Statement(_)
            | LogicalPlan::Values(_)
            | LogicalPlan::Explain(_)
            | LogicalPlan::Analyze(_)
            | LogicalPlan::Extension(_)
            | LogicalPlan::Distinct(_)
            | LogicalPlan::Dml(_)
            | LogicalPlan::Ddl(_)
            | LogicalPlan::Copy(_)
            | LogicalPlan::DescribeTable(_)
            | LogicalPlan::Unnest(_)
            | LogicalPlan::RecursiveQuery(_) => exprs,
        };
        let opened = plan.with_new_exprs(exprs, inputs).and_then(LogicalPlan::recompute_schema).map_err(internal)?;
        match opened {
            LogicalPlan::Aggregate(aggregate) => cut(aggregate),
            other => Ok(other),
        }
    }

    /// A subquery in an expression above the release is a query of its own: its root is released, or it is refused.
    fn released_subqueries(&mut self, expr: Expr) -> Result<Expr, Refusal> {
        let mut refused = None;
        let rewritten = expr
            .transform_up(|expr| {
                let rewritten = match expr {
                    Expr::ScalarSubquery(subquery) => self.released_subquery(&subquery).map(Expr::ScalarSubquery),
                    Expr::Exists(Exists { subquery, negated }) => {
                        self.released_subquery(&subquery).map(|subquery| Expr::Exists(Exists { subquery, negated }))
                    }
                    Expr::InSubquery(InSubquery { expr, subquery, negated }) => self
                        .released_subquery(&subquery)
                        .map(|subquery| Expr::InSubquery(InSubquery { expr, subquery, negated })),
                    other => return Ok(Transformed::no(other)),
                };
                match rewritten {
                    Ok(expr) => Ok(Transformed::yes(expr)),
                    Err(refusal) => {
                        refused = Some(refusal);
                        datafusion::common::plan_err!("refused")
                    }
                }
            })
            .map(|transformed| transformed.data);
        match (rewritten, refused) {
            (_, Some(refusal)) => Err(refusal),
            (Ok(expr), None) => Ok(expr),
            (Err(detail), None) => Err(internal(detail)),
        }
    }

    fn released_subquery(&mut self, subquery: &Subquery) -> Result<Subquery, Refusal> {
        if !subquery.outer_ref_columns.is_empty() {
            return Err(Refusal::new(Code::Subquery, "this correlated subquery is not answered")
                .suggest("join the two results instead"));
        }
        match self.node(&subquery.subquery)? {
            Relation::Open(plan) | Relation::Reference(Reference { plan, .. }) => {
                Ok(Subquery { subquery: Arc::new(plan), outer_ref_columns: Vec::new(), spans: subquery.spans.clone() })
            }
            Relation::Rows(rows) => Err(self.rows_would_leave(&rows)),
        }
    }
}

/// Most characters of texts that are put together.
const MAX_TOGETHER: i64 = 8_192;

fn is_together(expr: &Expr) -> bool {
    match expr {
        Expr::Alias(alias) => is_together(&alias.expr),
        Expr::AggregateFunction(call) => call.func.name() == functions::TOGETHER,
        _ => false,
    }
}

/// Texts are put together in an order, their own where the statement names none: the same question has the same answer.
fn in_order(expr: Expr) -> Result<Expr, Refusal> {
    let name = expr.schema_name().to_string();
    let ordered = expr
        .transform_up(|expr| match expr {
            Expr::AggregateFunction(mut call) if call.func.name() == functions::TOGETHER => {
                if call.params.order_by.is_empty() {
                    call.params.order_by.extend(call.params.args.first().map(|text| text.clone().sort(true, false)));
                }
                Ok(Transformed::yes(Expr::AggregateFunction(call)))
            }
            other => Ok(Transformed::no(other)),
        })
        .map(|transformed| transformed.data)
        .map_err(internal)?;
    // What stands above finds it under the name it had.
    Ok(if ordered.schema_name().to_string() == name { ordered } else { ordered.alias(name) })
}

/// No more of texts that are put together than the rules for texts count with.
fn cut(aggregate: Aggregate) -> Result<LogicalPlan, Refusal> {
    if !aggregate.aggr_expr.iter().any(is_together) {
        return Ok(LogicalPlan::Aggregate(aggregate));
    }
    let before = aggregate.schema.fields().len().saturating_sub(aggregate.aggr_expr.len());
    let columns: Vec<Expr> = aggregate
        .schema
        .iter()
        .enumerate()
        .map(|(position, (qualifier, field))| {
            let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
            let together = position.checked_sub(before).and_then(|call| aggregate.aggr_expr.get(call));
            if together.is_some_and(is_together) {
                left(column, lit(MAX_TOGETHER)).alias_qualified(qualifier.cloned(), field.name())
            } else {
                column
            }
        })
        .collect();
    LogicalPlanBuilder::from(LogicalPlan::Aggregate(aggregate))
        .project(columns)
        .and_then(LogicalPlanBuilder::build)
        .map_err(internal)
}

/// IN and EXISTS stand in conditions, and no subquery in a LIMIT: the engine executes them nowhere else.
fn check_subqueries(plan: &LogicalPlan, expr: &Expr) -> Result<(), Refusal> {
    let found = expr
        .exists(|expr| {
            Ok(match (plan, expr) {
                (LogicalPlan::Limit(_), expr) => !matches!(expr, Expr::Literal(..)),
                (LogicalPlan::Filter(_), _) => false,
                (_, expr) => matches!(expr, Expr::Exists(_) | Expr::InSubquery(_)),
            })
        })
        .map_err(internal)?;
    if found {
        return Err(Refusal::new(Code::Subquery, "a subquery is not answered in this place")
            .suggest("put IN and EXISTS into WHERE or HAVING, and a number into LIMIT"));
    }
    Ok(())
}

/// Functions and forms of an expression above the release. Errors there depend on released values only, so more is listed
/// than below; what could exhaust the server, draw at random or look outside is not.
fn check_functions(expr: &Expr) -> Result<(), Refusal> {
    let mut refused = None;
    let walked = expr.apply(|expr| {
        let checked = match expr {
            Expr::ScalarFunction(call) => functions::check_released(call.func.name(), &call.args),
            Expr::AggregateFunction(call) => functions::check_released_aggregate(call.func.name()),
            Expr::WindowFunction(call) => match &call.fun {
                WindowFunctionDefinition::AggregateUDF(function) => functions::check_released_window(function.name()),
                WindowFunctionDefinition::WindowUDF(function) => functions::check_released_window(function.name()),
            },
            Expr::Placeholder(_) => {
                Err(Refusal::new(Code::NotAvailable, "parameters are not available in this version").about("$"))
            }
            Expr::ScalarVariable(..) => Err(Refusal::new(Code::Syntax, "variables are not supported").about("@")),
            Expr::Unnest(_) | Expr::HigherOrderFunction(_) | Expr::Lambda(_) | Expr::LambdaVariable(_) => {
                Err(Refusal::new(Code::Syntax, "arrays and lambdas are not supported"))
            }
            Expr::SetComparison(_) => Err(Refusal::new(Code::Subquery, "ANY and ALL are not answered here")),
            Expr::OuterReferenceColumn(..) => {
                Err(Refusal::new(Code::Subquery, "this correlated subquery is not answered"))
            }
            #[expect(deprecated, reason = "the variant still exists; the planner resolves it")]
            Expr::Wildcard { .. } => Err(Refusal::new(Code::Invalid, "`*` stands where it cannot")),
            Expr::Alias(_)
            | Expr::Column(_)
            | Expr::Literal(..)
            | Expr::BinaryExpr(_)
            | Expr::Like(_)
            | Expr::SimilarTo(_)
            | Expr::Not(_)
            | Expr::IsNotNull(_)
            | Expr::IsNull(_)
            | Expr::IsTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNotFalse(_)
            | Expr::IsNotUnknown(_)
            | Expr::Negative(_)
            | Expr::Between(_)
            | Expr::Case(_)
            | Expr::Cast(_)
            | Expr::TryCast(_)
            | Expr::InList(_)
            | Expr::Exists(_)
            | Expr::InSubquery(_)
            | Expr::ScalarSubquery(_)
            | Expr::GroupingSet(_) => Ok(()),
        };
        Ok(match checked {
            Ok(()) => TreeNodeRecursion::Continue,
            Err(refusal) => {
                refused = Some(refusal);
                TreeNodeRecursion::Stop
            }
        })
    });
    match (walked, refused) {
        (_, Some(refusal)) => Err(refusal),
        (Ok(_), None) => Ok(()),
        (Err(detail), None) => Err(internal(detail)),
    }
}

/// The planner's column that is NULL where a correlated subquery found no group.
const FOUND: &str = "__always_true";

/// A correlated COUNT over protected rows finds no group where there is nobody, and where there are too few: the planner's
/// 0 would say the first of both, so it is NULL.
fn hidden_is_not_none(expr: Expr, inputs: &[LogicalPlan]) -> Result<Expr, Refusal> {
    expr.transform_up(|expr| match expr {
        Expr::Case(Case { expr: None, when_then_expr, else_expr }) => {
            let mut changed = false;
            let branches = when_then_expr.into_iter().map(|(when, then)| {
                let released = match when.as_ref() {
                    Expr::IsNull(found) => matches!(found.as_ref(), Expr::Column(column)
                        if column.name == FOUND && inputs.iter().any(|input| is_released(input, column.relation.as_ref()))),
                    _ => false,
                };
                changed |= released;
                let then = match then.as_ref() {
                    Expr::Literal(value, _metadata) if released => {
                        Expr::Literal(ScalarValue::try_from(value.data_type())?, None)
                    }
                    _ => *then,
                };
                Ok((when, Box::new(then)))
            });
            let branches = branches.collect::<datafusion::common::Result<Vec<_>>>()?;
            let case = Expr::Case(Case { expr: None, when_then_expr: branches, else_expr });
            Ok(if changed { Transformed::yes(case) } else { Transformed::no(case) })
        }
        other => Ok(Transformed::no(other)),
    })
    .map(|transformed| transformed.data)
    .map_err(internal)
}

/// Whether the relation of this name is a release point, with nothing but its columns chosen.
fn is_released(plan: &LogicalPlan, name: Option<&TableReference>) -> bool {
    match plan {
        LogicalPlan::SubqueryAlias(alias) if Some(&alias.alias) == name => {
            let mut below = &alias.input;
            loop {
                below = match below.as_ref() {
                    LogicalPlan::Projection(projection) => &projection.input,
                    LogicalPlan::SubqueryAlias(alias) => &alias.input,
                    LogicalPlan::Filter(filter) => &filter.input,
                    other => return ReleasedScan::of(other).is_some(),
                };
            }
        }
        other => other.inputs().into_iter().any(|input| is_released(input, name)),
    }
}

/// A value that does not fit the type it is cast to is NULL, as below the release.
fn fitting(expr: Expr) -> Result<Expr, Refusal> {
    expr.transform_up(|expr| match expr {
        Expr::Cast(cast) => {
            Ok(Transformed::yes(Expr::TryCast(TryCast::new(cast.expr, cast.field.data_type().clone()))))
        }
        other => Ok(Transformed::no(other)),
    })
    .map(|transformed| transformed.data)
    .map_err(internal)
}

fn is_zero(value: &ScalarValue) -> bool {
    ScalarValue::new_zero(&value.data_type()).is_ok_and(|zero| zero == *value)
}

/// A ratio whose divisor is zero is NULL, as below the release; so is a whole number that does not fit its type, where the
/// engine would wrap around.
fn computed(expr: Expr, schema: &datafusion::common::DFSchema) -> Result<Expr, Refusal> {
    fitting(expr)?
        .transform_up(|expr| match expr {
            Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::Divide | Operator::Modulo), right })
                if functions::constant(&right).is_none_or(|value| is_zero(&value)) =>
            {
                let zero = ScalarValue::new_zero(&right.get_type(schema)?)?;
                let right = Box::new(nullif(*right, Expr::Literal(zero, None)));
                Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right })))
            }
            Expr::BinaryExpr(BinaryExpr { op: Operator::Plus | Operator::Minus | Operator::Multiply, .. }) => {
                wide(expr, schema)
            }
            other => Ok(Transformed::no(other)),
        })
        .map(|transformed| transformed.data)
        .map_err(internal)
}

/// A sum, difference or product of whole numbers, computed where it fits, and NULL where it does not fit its own type.
fn wide(expr: Expr, schema: &datafusion::common::DFSchema) -> datafusion::common::Result<Transformed<Expr>> {
    /// Products of two of these fit; both hold all 64 bits.
    const WIDE: DataType = DataType::Decimal128(20, 0);
    let narrow = expr.get_type(schema)?;
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else {
        return Ok(Transformed::no(expr));
    };
    let is_date = |side: &Expr| side.get_type(schema).is_ok_and(|data_type| data_type == DataType::Date32);
    if op == Operator::Minus && is_date(&left) && is_date(&right) {
        return Ok(Transformed::yes(fixed::days_between(*left, *right)));
    }
    if !(left.get_type(schema)?.is_integer() && right.get_type(schema)?.is_integer()) {
        return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })));
    }
    let [left, right] = [left, right].map(|side| Box::new(Expr::TryCast(TryCast::new(side, WIDE))));
    let exact = Box::new(Expr::BinaryExpr(BinaryExpr { left, op, right }));
    Ok(Transformed::yes(Expr::TryCast(TryCast::new(exact, narrow))))
}
