//! Total forms: the engine's functions with what keeps every value of a row from making them fail.
//!
//! Values are made harmless before they reach a function, not guarded by a condition beside it: the engine may compute a
//! branch of a CASE for rows that do not take it.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::functions::datetime::expr_fn::date_trunc;
use datafusion::functions::math::expr_fn::abs;
use datafusion::logical_expr::expr::{ScalarFunction, TryCast};
use datafusion::logical_expr::{Expr, ScalarUDF, lit, when};

use super::constant;
use super::table::Form;
use crate::check::expression::{in_years, saturated};
use crate::refusal::{Code, Refusal};

/// The total form of a call: `args` are total, `types` are theirs, `wanted` is that of the call.
pub(crate) fn total(
    form: Form,
    func: &Arc<ScalarUDF>,
    args: Vec<Expr>,
    types: &[DataType],
    wanted: &DataType,
) -> Result<Expr, Refusal> {
    let call = |args: Vec<Expr>| Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(func), args));
    let mut args = args;
    let first = types.first().unwrap_or(&DataType::Null);
    Ok(match form {
        Form::AsIs | Form::Cast => call(args),
        Form::NonNegative => call(limited(args, types, |value, zero| value.gt_eq(zero))?),
        Form::Positive => call(limited(args, types, |value, zero| value.gt(zero))?),
        Form::Absolute => {
            if let (Some(least), [value]) = (least(first), args.as_mut_slice()) {
                let given = std::mem::take(value);
                *value = when(given.clone().eq(literal(least.0)), literal(least.1))
                    .otherwise(given)
                    .map_err(|_detail| unfit())?;
            }
            call(args)
        }
        Form::Whole => match (first, args.as_mut_slice()) {
            (DataType::Decimal128(38, _), [value]) => {
                *value = float(std::mem::take(value));
                saturated(call(args), wanted)
            }
            (DataType::Decimal128(precision, scale), [value]) => {
                let wide = DataType::Decimal128(precision.saturating_add(1), *scale);
                *value = try_cast(std::mem::take(value), wide);
                try_cast(call(args), wanted.clone())
            }
            _ => call(args),
        },
        Form::Round => {
            let places = args.get(1).and_then(constant).and_then(|value| value.cast_to(&DataType::Int64).ok());
            let above = matches!(places, Some(ScalarValue::Int64(Some(places))) if places < 0);
            let exact = first.is_integer() || first.is_decimal();
            match args.as_mut_slice() {
                // A whole number has no places to round.
                [value, ..] if first.is_integer() && !above => std::mem::take(value),
                [value, _places] if exact && above => {
                    *value = float(std::mem::take(value));
                    saturated(call(args), wanted)
                }
                _ => call(args),
            }
        }
        Form::Power => {
            if let [base, exponent] = args.as_mut_slice()
                && constant(exponent).is_none_or(|value| negative(&value))
            {
                // By its size, as -0.0 is another number than 0.0 where the engine compares.
                let given = std::mem::take(base);
                *base = when(abs(given.clone()).gt(lit(0.0_f64)), given).end().map_err(|_detail| unfit())?;
            }
            call(args)
        }
        Form::Truncated => match args.as_mut_slice() {
            [unit, moment] => truncated(std::mem::take(unit), coarse_time(std::mem::take(moment))),
            _ => return Err(unfit()),
        },
        Form::Coarse => {
            if let [unit, moment] = args.as_mut_slice() {
                if let Some(DataType::Duration(within)) = types.get(1) {
                    // The time between two times, in whole days; other units of it the engine has no rule for.
                    let day = matches!(constant(unit), Some(ScalarValue::Utf8(Some(unit))) if unit.eq_ignore_ascii_case("day"));
                    if !day {
                        return Err(unfit());
                    }
                    let second: i64 = match within {
                        TimeUnit::Second => 1,
                        TimeUnit::Millisecond => 1_000,
                        TimeUnit::Microsecond => 1_000_000,
                        TimeUnit::Nanosecond => 1_000_000_000,
                    };
                    let days = try_cast(std::mem::take(moment), DataType::Int64) / lit(86_400 * second);
                    return Ok(try_cast(days, wanted.clone()));
                }
                if !matches!(
                    types.get(1),
                    Some(DataType::Date32 | DataType::Timestamp(..) | DataType::Utf8 | DataType::Null)
                ) {
                    return Err(unfit());
                }
                *moment = coarse_time(std::mem::take(moment));
            }
            call(args)
        }
        Form::Written => {
            if let Some(moment) = args.first_mut() {
                *moment = in_years(coarse_time(std::mem::take(moment)), &MICROSECONDS);
            }
            call(args)
        }
    })
}

const MICROSECONDS: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// A date or time in microseconds, in which every year that data can hold is one.
fn coarse_time(moment: Expr) -> Expr {
    try_cast(moment, MICROSECONDS)
}

/// The start of the unit that a time in microseconds lies in, in any year.
///
/// The engine does this in nanoseconds and raises on what is none, so the time is moved by whole cycles of the calendar to
/// the years 1800 to 2199 and back. A cycle is 400 years, which are 146 097 days and 20 871 weeks, to the day.
pub(crate) fn truncated(unit: Expr, moment: Expr) -> Expr {
    const CYCLE: i64 = 146_097 * 86_400_000_000;
    /// 1800-01-01.
    const FIRST: i64 = -5_364_662_400_000_000;
    let far = try_cast(moment, DataType::Int64);
    let within = ((far.clone() - lit(FIRST)) % lit(CYCLE) + lit(CYCLE)) % lit(CYCLE) + lit(FIRST);
    let start = try_cast(date_trunc(unit, try_cast(within.clone(), MICROSECONDS)), DataType::Int64);
    try_cast(start + (far - within), MICROSECONDS)
}

/// Whether a constant is below zero, or no number.
fn negative(value: &ScalarValue) -> bool {
    !matches!(value.cast_to(&DataType::Float64), Ok(ScalarValue::Float64(Some(number))) if number >= 0.0)
}

/// Each argument where it compares with zero as asked, else NULL.
fn limited(args: Vec<Expr>, types: &[DataType], holds: fn(Expr, Expr) -> Expr) -> Result<Vec<Expr>, Refusal> {
    args.into_iter()
        .zip(types)
        .map(|(value, data_type)| {
            // The engine cannot write a 10 in a decimal of fractions alone.
            let (value, data_type) =
                if data_type.is_decimal() { (float(value), &DataType::Float64) } else { (value, data_type) };
            let zero = ScalarValue::new_zero(data_type).map_err(|_detail| unfit())?;
            when(holds(value.clone(), literal(zero)), value).end().map_err(|_detail| unfit())
        })
        .collect()
}

/// The least whole number of a type, and the next.
fn least(data_type: &DataType) -> Option<(ScalarValue, ScalarValue)> {
    match data_type {
        DataType::Int8 => Some((ScalarValue::from(i8::MIN), ScalarValue::from(i8::MIN + 1))),
        DataType::Int16 => Some((ScalarValue::from(i16::MIN), ScalarValue::from(i16::MIN + 1))),
        DataType::Int32 => Some((ScalarValue::from(i32::MIN), ScalarValue::from(i32::MIN + 1))),
        DataType::Int64 => Some((ScalarValue::from(i64::MIN), ScalarValue::from(i64::MIN + 1))),
        _ => None,
    }
}

fn literal(value: ScalarValue) -> Expr {
    Expr::Literal(value, None)
}

fn try_cast(value: Expr, to: DataType) -> Expr {
    Expr::TryCast(TryCast::new(Box::new(value), to))
}

fn float(value: Expr) -> Expr {
    try_cast(value, DataType::Float64)
}

fn unfit() -> Refusal {
    Refusal::new(Code::Invalid, "the types of a function's arguments do not fit")
}
