//! The rule of comparisons: values with values; a key with nothing.
//!
//! Comparisons cannot raise. Moments that the planner compares in nanoseconds are compared in microseconds, since the years
//! after 2262, which data does hold (9999-12-31 stands for "no end"), are no nanoseconds and would be NULL.

use arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalUnit, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::{Between, InList, Like, TryCast};

use super::keys::refuse_compared_key;
use super::{Scope, expression};
use crate::check::functions;
use crate::check::label::Label;
use crate::refusal::{Code, Refusal};

/// `x BETWEEN low AND high`.
pub(super) fn between(between: &Between, scope: &Scope<'_>) -> Result<(Expr, Label), Refusal> {
    let parts = [between.expr.as_ref(), between.low.as_ref(), between.high.as_ref()];
    let ([expr, low, high], label) = compared(parts, scope)?;
    Ok((Expr::Between(Between::new(Box::new(expr), between.negated, Box::new(low), Box::new(high))), label))
}

/// `x LIKE pattern` and `x ILIKE pattern`, with a short literal as pattern: it is compiled when the first row reaches it.
pub(super) fn like(like: &Like, scope: &Scope<'_>) -> Result<(Expr, Label), Refusal> {
    functions::check_pattern(&like.pattern)?;
    if like.escape_char.is_some_and(|escape| escape != '\\') {
        return Err(Refusal::new(Code::Function, "LIKE takes a backslash as its escape, or none").about("ESCAPE"));
    }
    let ([inner], label) = compared([like.expr.as_ref()], scope)?;
    Ok((Expr::Like(Like { expr: Box::new(inner), ..like.clone() }), label))
}

/// `x IN (a, b, ...)`.
pub(super) fn in_list(list: &InList, scope: &Scope<'_>) -> Result<(Expr, Label), Refusal> {
    let mut parts = Vec::with_capacity(list.list.len() + 1);
    parts.push(list.expr.as_ref());
    parts.extend(&list.list);
    let (mut totals, label) = all_compared(&parts, scope)?;
    if totals.is_empty() {
        return Err(Refusal::new(Code::Internal, "an expression changed its arity"));
    }
    let inner = totals.remove(0);
    Ok((Expr::InList(InList::new(Box::new(inner), totals, list.negated)), label))
}

/// Operands of a comparison: keys among them are refused as compared.
pub(super) fn compared<const N: usize>(parts: [&Expr; N], scope: &Scope<'_>) -> Result<([Expr; N], Label), Refusal> {
    let (totals, label) = all_compared(&parts, scope)?;
    let totals = totals.try_into().map_err(|_more| Refusal::new(Code::Internal, "an expression changed its arity"))?;
    Ok((totals, label))
}

fn all_compared(parts: &[&Expr], scope: &Scope<'_>) -> Result<(Vec<Expr>, Label), Refusal> {
    let mut totals = Vec::with_capacity(parts.len());
    let mut labels = Vec::with_capacity(parts.len());
    for part in parts {
        refuse_compared_key(part, scope)?;
    }
    let distances = distances(parts, scope)?;
    for part in parts {
        let (total, label) = expression(if distances.is_some() { uncast(part) } else { part }, scope)?;
        totals.push(total);
        labels.push(label);
    }
    if let Some(distances) = distances {
        totals = totals.into_iter().zip(distances).map(|(total, distance)| distance.unwrap_or(total)).collect();
    } else if let Some(coarse) = parts.iter().map(|part| coarse(part, scope)).collect::<Result<Option<Vec<_>>, _>>()? {
        totals = coarse;
    }
    Ok((totals, Label::computed(&labels)))
}

/// What the planner makes an interval of to compare it.
fn uncast(part: &Expr) -> &Expr {
    match part {
        Expr::Cast(cast) => &cast.expr,
        Expr::TryCast(cast) => &cast.expr,
        _ => part,
    }
}

/// Distances of moments compared with literal intervals: as numbers of the same unit, since the engine compares months, days
/// and what is left of two intervals one after the other, and a distance has no days. The literals as distances, `None` for
/// the others; `None` where the comparison is another.
fn distances(parts: &[&Expr], scope: &Scope<'_>) -> Result<Option<Vec<Option<Expr>>>, Refusal> {
    const DAY: i64 = 86_400_000_000_000;
    let interval = DataType::Interval(IntervalUnit::MonthDayNano);
    let mut unit = None;
    for part in parts {
        if scope.data_type(part)? != interval {
            return Ok(None);
        }
        if functions::constant(part).is_none() {
            match (scope.data_type(uncast(part))?, unit) {
                (DataType::Duration(own), None) => unit = Some(own),
                (DataType::Duration(own), Some(unit)) if own == unit => {}
                _ => return Ok(None),
            }
        }
    }
    let Some(unit) = unit else { return Ok(None) };
    let literal = |of: &IntervalMonthDayNano| -> Option<Expr> {
        let nanoseconds = i64::from(of.days).checked_mul(DAY)?.checked_add(of.nanoseconds)?;
        let whole = |size: i64| (of.months == 0 && nanoseconds % size == 0).then(|| Some(nanoseconds / size));
        let value = match unit {
            TimeUnit::Second => ScalarValue::DurationSecond(whole(1_000_000_000)?),
            TimeUnit::Millisecond => ScalarValue::DurationMillisecond(whole(1_000_000)?),
            TimeUnit::Microsecond => ScalarValue::DurationMicrosecond(whole(1_000)?),
            TimeUnit::Nanosecond => ScalarValue::DurationNanosecond(whole(1)?),
        };
        Some(Expr::Literal(value, None))
    };
    let mut compared = Vec::with_capacity(parts.len());
    for part in parts {
        compared.push(match functions::constant(part) {
            None => None,
            Some(ScalarValue::IntervalMonthDayNano(Some(of))) => match literal(&of) {
                Some(literal) => Some(literal),
                None => return Ok(None),
            },
            Some(_) => return Ok(None),
        });
    }
    Ok(Some(compared))
}

const NANOSECONDS: DataType = DataType::Timestamp(TimeUnit::Nanosecond, None);
const MICROSECONDS: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// A moment that is compared in nanoseconds, in microseconds; `None` where it is not one, or could lose digits.
pub(super) fn coarse(part: &Expr, scope: &Scope<'_>) -> Result<Option<Expr>, Refusal> {
    if scope.data_type(part)? != NANOSECONDS {
        return Ok(None);
    }
    if functions::literal(part).is_some() {
        return Ok(
            constant_moment(part).map(|moment| Expr::Literal(ScalarValue::TimestampMicrosecond(moment, None), None))
        );
    }
    let (Expr::Cast(datafusion::logical_expr::Cast { expr: inner, .. }) | Expr::TryCast(TryCast { expr: inner, .. })) =
        part
    else {
        return Ok(None);
    };
    Ok(match scope.data_type(inner)? {
        DataType::Date32
        | DataType::Timestamp(TimeUnit::Second | TimeUnit::Millisecond | TimeUnit::Microsecond, None) => {
            let (total, _label) = expression(inner, scope)?;
            Some(Expr::TryCast(TryCast::new(Box::new(total), MICROSECONDS)))
        }
        _ => None,
    })
}

/// A constant that the planner makes nanoseconds of, in microseconds; `None` where it is finer, or none that data can hold.
fn constant_moment(part: &Expr) -> Option<Option<i64>> {
    const FIRST: i64 = -62_135_596_800_000_000;
    const LAST: i64 = 253_402_300_799_999_999;
    match functions::constant(part) {
        Some(ScalarValue::TimestampNanosecond(Some(nanoseconds), None)) if nanoseconds % 1_000 == 0 => {
            Some(Some(nanoseconds / 1_000))
        }
        Some(value) => value.is_null().then_some(None),
        // After 2262, or no time at all.
        None => {
            let said = functions::literal(part)?;
            match said.cast_to(&MICROSECONDS) {
                Ok(ScalarValue::TimestampMicrosecond(Some(moment), None)) => {
                    (FIRST..=LAST).contains(&moment).then_some(Some(moment))
                }
                _ => None,
            }
        }
    }
}
