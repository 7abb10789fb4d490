//! Aggregates that are released as the numbers they are made of, each of which meets the rules by itself.
//!
//! What is 0 for most would, added up or averaged, tell of the one for whom it is not: a floor that counts all of a group
//! is met by people of whom nothing is told. So, written out before they are checked:
//!
//! - *A sum of ones and zeros* is a count of the rows that have a one.
//! - *An average of ones and zeros*, or of numbers that are 0 for those who have nothing, is their sum and the number of all.
//! - *A sum of counts of different values* is the number of those who have a value, and what they have beyond one: where one
//!   unit alone has two, that part is as small as its cell.

use arrow::datatypes::DataType;
use datafusion::common::{Column, ScalarValue};
use datafusion::functions::core::expr_fn::nullif;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Aggregate, Case, Expr, cast, lit, when};

use cleanroom_policy::Use;

use super::aggregate::called;
use super::argument::{Zero, or_zero, under_case};
use super::expression::{self, Scope};
use super::rows::Rows;
use super::told::told;
use super::{Checker, functions, internal};
use crate::fixed;
use crate::refusal::Refusal;

/// What one call is made of.
struct Made {
    /// Aggregates that are added up.
    sum: Vec<Expr>,
    /// What their sum is divided by.
    divisor: Option<Expr>,
}

impl Checker<'_> {
    /// The aggregate with its calls in parts, and the columns of the original made of them; `None` where no call has any.
    pub(super) fn in_parts(
        &self,
        aggregate: &Aggregate,
        rows: &Rows,
    ) -> Result<Option<(Aggregate, Vec<Expr>)>, Refusal> {
        let made = self.with_scope(aggregate.input.schema(), &rows.labels, |scope| {
            aggregate.aggr_expr.iter().map(|call| self.made_of(call, scope)).collect::<Result<Vec<_>, _>>()
        })?;
        if made.iter().all(Option::is_none) {
            return Ok(None);
        }
        let before = aggregate.schema.fields().len().saturating_sub(aggregate.aggr_expr.len());
        let mut columns = aggregate.schema.iter();
        let mut outputs: Vec<Expr> = Vec::with_capacity(aggregate.schema.fields().len());
        for (qualifier, field) in columns.by_ref().take(before) {
            outputs.push(Expr::Column(Column::new(qualifier.cloned(), field.name())));
        }
        let mut calls: Vec<Expr> = Vec::with_capacity(aggregate.aggr_expr.len() + 1);
        for ((call, made), (qualifier, field)) in aggregate.aggr_expr.iter().zip(made).zip(columns) {
            let Some(Made { sum, divisor }) = made else {
                calls.push(call.clone());
                outputs.push(Expr::Column(Column::new(qualifier.cloned(), field.name())));
                continue;
            };
            let mut part = |call: Expr| {
                let name = format!("__cr_part_{}", calls.len());
                calls.push(call.alias(&name));
                Expr::Column(Column::new_unqualified(name))
            };
            let sum = sum.into_iter().map(&mut part).reduce(|one, other| one + other);
            let output = match (sum, divisor.map(&mut part)) {
                (Some(sum), Some(divisor)) => {
                    let [sum, divisor] = [sum, divisor].map(|number| cast(number, DataType::Float64));
                    sum / nullif(divisor, lit(0.0_f64))
                }
                (Some(sum), None) => sum,
                (None, _) => Expr::Literal(ScalarValue::Null, None),
            };
            let output = fixed::try_cast(output, field.data_type().clone());
            outputs.push(output.alias_qualified(qualifier.cloned(), field.name()));
        }
        let parts =
            Aggregate::try_new(aggregate.input.clone(), aggregate.group_expr.clone(), calls).map_err(internal)?;
        Ok(Some((parts, outputs)))
    }

    fn made_of(&self, call: &Expr, scope: &Scope<'_>) -> Result<Option<Made>, Refusal> {
        let call = called(call)?;
        let params = &call.params;
        let average = match call.func.name() {
            "sum" => false,
            "avg" => true,
            _ => return Ok(None),
        };
        let [argument] = params.args.as_slice() else { return Ok(None) };
        if params.distinct || !params.order_by.is_empty() || params.null_treatment.is_some() {
            return Ok(None);
        }
        let filter = params.filter.as_deref();
        let bare = whole(or_zero(whole(argument, scope)?), scope)?;
        let Ok((_total, label)) = expression::expression(bare, scope) else { return Ok(None) };
        let data_type = scope.data_type(bare)?;
        if functions::literal(bare).is_some() || !data_type.is_numeric() || label.is_key() {
            return Ok(None);
        }
        let sum = if let Some(measure) = &label.measure {
            if measure.distinct && !self.noisy && label.allows(Use::Filter) {
                let zero = Expr::Literal(ScalarValue::new_zero(&data_type).map_err(internal)?, None);
                vec![count(both(filter, bare.clone().gt(zero))), summed(bare.clone(), filter.cloned())]
            } else if average && (measure.zero_else || !std::ptr::eq(bare, whole(argument, scope)?)) {
                vec![summed(bare.clone(), filter.cloned())]
            } else {
                return Ok(None);
            }
        } else if let Some(truth) = truth(bare, scope)?
            && average
            && label.allows(Use::Filter)
        {
            vec![summed(lit(1_i64), Some(both(filter, truth.clone())))]
        } else if told(bare, scope).is_flag() && label.allows(Use::Filter) && !is_case(bare, scope)? {
            let one = Expr::Literal(ScalarValue::new_one(&data_type).map_err(internal)?, None);
            vec![summed(lit(1_i64), Some(both(filter, bare.clone().eq(one))))]
        } else {
            return Ok(None);
        };
        if !average {
            return Ok(Some(Made { sum, divisor: None }));
        }
        // An average is over those rows that have a value.
        let divisor = if told(whole(argument, scope)?, scope).is_never_null() {
            filter.cloned().map_or_else(|| count_call(None), count)
        } else if let Some((when, then)) = or_else_zero(bare) {
            if !expression::expression(then, scope)?.1.allows(Use::Filter) {
                return Ok(None);
            }
            let valued = when.clone().is_not_true().or(then.clone().is_not_null());
            count(both(filter, valued))
        } else if label.allows(Use::Filter) && std::ptr::eq(bare, whole(argument, scope)?) {
            count(both(filter, bare.clone().is_not_null()))
        } else {
            return Ok(None);
        };
        Ok(Some(Made { sum, divisor: Some(divisor) }))
    }
}

/// What counts of different values have beyond one; NULL for those who have no more.
pub(super) fn beyond_one(count: Expr, data_type: &DataType) -> Result<Expr, Refusal> {
    let one = Expr::Literal(ScalarValue::new_one(data_type).map_err(internal)?, None);
    when(count.clone().gt(one.clone()), count - one).end().map_err(internal)
}

/// A whole number without the casts that an average puts around it.
fn whole<'e>(expr: &'e Expr, scope: &Scope<'_>) -> Result<&'e Expr, Refusal> {
    let inner = match expr {
        Expr::Alias(alias) => return whole(&alias.expr, scope),
        Expr::Cast(cast) => &cast.expr,
        Expr::TryCast(cast) => &cast.expr,
        _ => return Ok(expr),
    };
    let to = scope.data_type(expr)?;
    let wide = to == DataType::Float64 || to == DataType::Int64;
    if wide && scope.data_type(inner)?.is_integer() { whole(inner, scope) } else { Ok(expr) }
}

/// The truth value that is taken for a number.
fn truth<'e>(expr: &'e Expr, scope: &Scope<'_>) -> Result<Option<&'e Expr>, Refusal> {
    let inner = match expr {
        Expr::Cast(cast) => &cast.expr,
        Expr::TryCast(cast) => &cast.expr,
        _ => return Ok(None),
    };
    Ok((scope.data_type(inner)? == DataType::Boolean).then_some(inner))
}

/// A CASE of ones and zeros, whose sum is a count as it stands.
fn is_case(expr: &Expr, scope: &Scope<'_>) -> Result<bool, Refusal> {
    let case = matches!(expr, Expr::Case(_));
    Ok(case
        && under_case(expr, None, scope, Zero::AddsNothing)
            .is_ok_and(|(one, _filter)| functions::literal(&one).is_some()))
}

/// The condition and the value of `CASE WHEN c THEN x ELSE 0 END`.
fn or_else_zero(expr: &Expr) -> Option<(&Expr, &Expr)> {
    let Expr::Case(Case { expr: None, when_then_expr, else_expr: Some(otherwise) }) = expr else { return None };
    let zero = functions::constant(otherwise)
        .is_some_and(|value| ScalarValue::new_zero(&value.data_type()).is_ok_and(|zero| zero == value));
    match when_then_expr.as_slice() {
        [(when, then)] if zero => Some((when.as_ref(), then.as_ref())),
        _ => None,
    }
}

fn both(filter: Option<&Expr>, condition: Expr) -> Expr {
    match filter {
        Some(filter) => filter.clone().and(condition),
        None => condition,
    }
}

fn count(filter: Expr) -> Expr {
    count_call(Some(filter))
}

fn count_call(filter: Option<Expr>) -> Expr {
    let filter = filter.map(Box::new);
    Expr::AggregateFunction(AggregateFunction::new_udf(count_udaf(), vec![lit(1_i64)], false, filter, Vec::new(), None))
}

fn summed(argument: Expr, filter: Option<Expr>) -> Expr {
    let filter = filter.map(Box::new);
    Expr::AggregateFunction(AggregateFunction::new_udf(sum_udaf(), vec![argument], false, filter, Vec::new(), None))
}
