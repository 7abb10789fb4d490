//! Sums in fixed point: exact, the same in whatever order rows come, and too narrow to overflow.
//!
//! The engine's sums of 64-bit integers and of decimals wrap without a word, and sums of floating point numbers depend on
//! the order of rows. So every value is a decimal of at most 28 digits before it is added: 10^10 rows of the greatest such
//! value still fit the 38 digits of the sum.

use arrow::datatypes::DataType;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TryCast, lit, when};

/// Decimal places of a floating point value in a sum.
const FLOAT_SCALE: i8 = 9;
/// Greatest floating point value in a sum; 19 digits before the point and [`FLOAT_SCALE`] after it make 28.
const FLOAT_MOST: f64 = 1e18;
const DIGITS: u8 = 28;

/// Decimal places that a value of this type has in a sum.
pub(crate) fn scale_of(data_type: &DataType) -> i8 {
    match data_type {
        DataType::Float16 | DataType::Float32 | DataType::Float64 => FLOAT_SCALE,
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => (*scale).clamp(0, 18),
        _ => 0,
    }
}

/// A number of the given type as the decimal that is added; NULL where it is none that fits.
pub(crate) fn ticks(value: Expr, data_type: &DataType) -> Expr {
    let scale = scale_of(data_type);
    if !data_type.is_floating() {
        let digits = if data_type.is_integer() { 20 } else { DIGITS };
        return try_cast(value, DataType::Decimal128(digits, scale));
    }
    let value = try_cast(value, DataType::Float64);
    let clamped = when(value.clone().gt(lit(FLOAT_MOST)), lit(FLOAT_MOST))
        .when(value.clone().lt(lit(-FLOAT_MOST)), lit(-FLOAT_MOST))
        .otherwise(value.clone())
        .unwrap_or(value);
    try_cast(clamped, DataType::Decimal128(DIGITS, scale))
}

/// A number as floating point.
pub(crate) fn float(value: Expr) -> Expr {
    try_cast(value, DataType::Float64)
}

pub(crate) fn try_cast(value: Expr, to: DataType) -> Expr {
    Expr::TryCast(TryCast::new(Box::new(value), to))
}

/// Days from one date to another. The engine says as much of `left - right`, and fails on it in a condition, where it takes
/// the difference for a duration.
pub(crate) fn days_between(left: Expr, right: Expr) -> Expr {
    let [left, right] = [left, right].map(|date| Box::new(try_cast(try_cast(date, DataType::Int32), DataType::Int64)));
    Expr::BinaryExpr(BinaryExpr::new(left, Operator::Minus, right))
}

/// The floating point number nearest to `ticks * 10^-scale`, in which trailing zeros do not cost digits.
pub(crate) fn to_f64(ticks: i128, scale: i8) -> f64 {
    let (mut ticks, mut scale) = (ticks, scale.max(0));
    while scale > 0 && ticks % 10 == 0 {
        ticks /= 10;
        scale -= 1;
    }
    #[expect(clippy::cast_precision_loss, reason = "the nearest floating point number is what is asked for")]
    let whole = ticks as f64;
    whole / 10_f64.powi(i32::from(scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cents_come_back_as_written() {
        assert_eq!(to_f64(3_860_000_000, 9), 3.86);
        assert_eq!(to_f64(-244_129_130_000_000, 9), -244_129.13);
        assert_eq!(to_f64(0, 9), 0.0);
        assert_eq!(to_f64(460_000_000_010_000_000, 9), 460_000_000.01);
    }
}
