//! The argument of an aggregate over protected rows: which rows add to it, and what.

use std::borrow::Cow;

use arrow::datatypes::DataType;
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Case, Expr, lit};

use super::expression::{self, Scope};
use super::functions;
use super::label::Label;
use crate::refusal::{Code, Refusal};

/// The one argument and the total filter of a call without clauses of its own.
pub(super) fn plain_call<'e>(
    call: &'e AggregateFunction,
    scope: &Scope<'_>,
) -> Result<(&'e Expr, Option<Expr>), Refusal> {
    let params = &call.params;
    if !params.order_by.is_empty() || params.null_treatment.is_some() {
        return Err(not_allowed(call.func.name()));
    }
    let filter = params.filter.as_ref().map(|filter| expression::condition(filter, scope)).transpose()?;
    match params.args.as_slice() {
        [argument] => Ok((argument, filter)),
        _ => Err(Refusal::new(Code::NotAMeasure, "an aggregate over protected rows takes one argument")
            .about(call.func.name())),
    }
}

/// What ELSE 0 means to an aggregate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Zero {
    /// As much as no value.
    AddsNothing,
    /// One value more.
    Counts,
}

/// A sum of `COALESCE(x, 0)` is that of x: zeros add nothing, and only those who have an x contribute.
pub(super) fn or_zero(argument: &Expr) -> &Expr {
    match argument {
        Expr::Alias(alias) => or_zero(&alias.expr),
        Expr::ScalarFunction(call) if matches!(call.func.name(), "coalesce" | "nvl" | "ifnull") => {
            match call.args.as_slice() {
                [value, other] if functions::constant(other).is_some_and(|other| adds_nothing(&other)) => {
                    or_zero(value)
                }
                _ => argument,
            }
        }
        _ => argument,
    }
}

fn adds_nothing(value: &ScalarValue) -> bool {
    value.is_null() || ScalarValue::new_zero(&value.data_type()).is_ok_and(|zero| zero == *value)
}

/// What a `CASE WHEN c THEN x [ELSE NULL] END` counts or adds: x where c holds. Where zeros add nothing, further cases of 0
/// and a truth value as a number are the same.
pub(super) fn under_case<'e>(
    argument: &'e Expr,
    filter: Option<Expr>,
    scope: &Scope<'_>,
    zero: Zero,
) -> Result<(Cow<'e, Expr>, Option<Expr>), Refusal> {
    let also = |filter: Option<Expr>, when: Expr| match filter {
        Some(filter) => filter.and(when),
        None => when,
    };
    let mut bare = argument;
    loop {
        bare = match bare {
            Expr::Cast(cast) => &cast.expr,
            Expr::TryCast(cast) => &cast.expr,
            Expr::Alias(alias) => &alias.expr,
            _ => break,
        };
    }
    if zero == Zero::AddsNothing
        && !std::ptr::eq(bare, argument)
        && functions::literal(bare).is_none()
        && scope.data_type(bare)? == DataType::Boolean
        && scope.data_type(argument)?.is_numeric()
    {
        let when = expression::condition(bare, scope)?;
        return Ok((Cow::Owned(lit(1_i64)), Some(also(filter, when))));
    }
    let Expr::Case(Case { expr: None, when_then_expr, else_expr }) = bare else {
        return Ok((Cow::Borrowed(argument), filter));
    };
    let nothing = |expr: &Expr| {
        functions::literal(expr)
            .is_some_and(|value| value.is_null() || (zero == Zero::AddsNothing && adds_nothing(value)))
    };
    match when_then_expr.split_first() {
        Some(((when, then), others))
            if else_expr.as_deref().is_none_or(nothing) && others.iter().all(|(_when, then)| nothing(then)) =>
        {
            let when = expression::condition(when, scope)?;
            for (other, _nothing) in others {
                expression::condition(other, scope)?;
            }
            Ok((Cow::Borrowed(then.as_ref()), Some(also(filter, when))))
        }
        _ => Ok((Cow::Borrowed(argument), filter)),
    }
}

/// The condition that all rows of `AGGREGATE(CASE WHEN c THEN x END)` meet which add to it.
pub(super) fn case_condition(call: &AggregateFunction) -> Option<&Expr> {
    let [Expr::Case(Case { expr: None, when_then_expr, else_expr })] = call.params.args.as_slice() else { return None };
    let nothing = match else_expr.as_deref().map(functions::literal) {
        None => true,
        Some(Some(value)) => value.is_null() || (call.func.name() == "sum" && adds_nothing(value)),
        Some(None) => false,
    };
    match when_then_expr.as_slice() {
        [(when, _then)] if nothing => Some(when),
        _ => None,
    }
}

pub(super) fn not_allowed(name: &str) -> Refusal {
    Refusal::new(
        Code::Aggregate,
        format!("`{name}` is not allowed over protected rows; COUNT, COUNT(DISTINCT key), SUM and AVG are, and for each unit (GROUP BY key) MIN, MAX and COUNT(DISTINCT column), too"),
    )
    .about(name)
}

pub(super) fn not_a_measure(argument: &Expr, scope: &Scope<'_>) -> Refusal {
    let refusal = Refusal::new(
        Code::NotAMeasure,
        "the argument is one granted measure, arithmetic of measures of one table with constants, or such a measure under CASE WHEN ... THEN ... END",
    )
    .suggest("for a share: COUNT(*) FILTER (WHERE ...) * 1.0 / COUNT(*); for an average of those who have one, leave out COALESCE and ELSE 0");
    let mut columns: Vec<&Column> = argument.column_refs().into_iter().collect();
    columns.sort_by_key(|column| column.spans.first().map(|span| (span.start.line, span.start.column)));
    let culprit = columns
        .into_iter()
        .filter_map(|column| scope.label(column).ok().map(|label| (column, label)))
        .find(|(_column, label)| label.measure.is_none());
    match culprit {
        Some((column, label)) => scope.about(refusal, &Expr::Column(column.clone()), label, "use"),
        None => scope.about(refusal, argument, &Label::constant(), "use"),
    }
}
