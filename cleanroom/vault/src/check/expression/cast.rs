//! The rule of casts: NULL where a value does not fit, never an error, and only to types that arithmetic here can hold.

use arrow::compute::can_cast_types;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::TryCast;

use super::keys::refuse_key;
use super::{Scope, expression};
use crate::check::functions;
use crate::check::label::Label;
use crate::refusal::{Code, Refusal};

pub(super) fn try_cast(inner: &Expr, to: &DataType, scope: &Scope<'_>) -> Result<(Expr, Label), Refusal> {
    let (total, label) = expression(inner, scope)?;
    refuse_key(inner, &label, scope)?;
    let from = scope.data_type(inner)?;
    let text = |data_type: &DataType| matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let time = |data_type: &DataType| matches!(data_type, DataType::Date32 | DataType::Timestamp(_, None));
    let listed = match to {
        DataType::Boolean | DataType::Float64 | DataType::Float32 | DataType::Null | DataType::Decimal128(..) => true,
        // Unsigned numbers are the units' own: a column made one would pass for a key.
        to if to.is_signed_integer() || text(to) => true,
        // From a number a time could be one that no arithmetic holds; from data they lie in the years 1 to 9999.
        to if time(to) => text(&from) || time(&from) || from == DataType::Null,
        DataType::Interval(_) => functions::literal(inner).is_some(),
        _ => false,
    };
    // A pair of types that the engine has no cast for would fail when it runs.
    if !listed || !can_cast_types(&from, to) {
        return Err(Refusal::new(Code::Function, "a cast to this type is not allowed on protected rows").about("CAST"));
    }
    // A cast that holds every value of the type it comes from keeps a measure one; any other would be a filter on it.
    let whole_digits = |data_type: &DataType| match data_type {
        DataType::Decimal128(precision, scale) => i32::from(*precision) - i32::from(*scale),
        data_type if data_type.is_integer() => 19,
        _ => i32::MAX,
    };
    let widens = match to {
        DataType::Float64 => true,
        DataType::Int64 => from == DataType::Int64,
        DataType::Decimal128(_, to_scale) => {
            let scale = match &from {
                DataType::Decimal128(_, scale) => *scale,
                _ => 0,
            };
            whole_digits(to) >= whole_digits(&from) && *to_scale >= scale
        }
        _ => false,
    };
    let measure = label.measure.clone().filter(|_measure| widens);
    let numbers = label.numbers && *to == DataType::Int64;
    let label = Label { measure, numbers, ..Label::computed([&label]) };
    let cast = Expr::TryCast(TryCast::new(Box::new(total), to.clone()));
    Ok((if time(to) && text(&from) { in_years(cast, to) } else { cast }, label))
}

/// A date or time that a text gave, if it lies in the years 1 to 9999, as those of data do; else NULL.
pub(crate) fn in_years(time: Expr, data_type: &DataType) -> Expr {
    const FIRST_DAY: i32 = -719_162;
    const LAST_DAY: i32 = 2_932_896;
    let day = |day: i32| Expr::Literal(ScalarValue::Date32(Some(day)), None);
    let date = match data_type {
        DataType::Date32 => time.clone(),
        _ => Expr::TryCast(TryCast::new(Box::new(time.clone()), DataType::Date32)),
    };
    let within = date.clone().gt_eq(day(FIRST_DAY)).and(date.lt_eq(day(LAST_DAY)));
    let null = ScalarValue::try_from(data_type).unwrap_or(ScalarValue::Null);
    datafusion::logical_expr::when(within, time)
        .otherwise(Expr::Literal(null.clone(), None))
        .unwrap_or(Expr::Literal(null, None))
}
