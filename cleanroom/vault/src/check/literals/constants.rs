//! Whether a constant is a listed one.

use std::collections::BTreeSet;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;

/// Whether a constant is one of those that may stand beside a bare column, whatever casts are around both. `casts` are the
/// column's own type and those it was cast to, innermost first.
pub(super) fn listed(casts: &[DataType], constant: &Expr, allowed: &BTreeSet<String>) -> bool {
    let Some(value) = folded(constant) else { return false };
    // Each value of the column must keep one of its own, or the comparison would hold for others than the one listed.
    let exact = casts.windows(2).all(|pair| match pair {
        [from, to] => lossless(from, to),
        _ => true,
    });
    let through = |text: &String| {
        let mut value = ScalarValue::Utf8(Some(text.clone()));
        for data_type in casts {
            value = value.cast_to(data_type).ok().filter(|value| !value.is_null())?;
        }
        Some(value)
    };
    exact && !value.is_null() && allowed.iter().filter_map(through).any(|allowed| allowed == value)
}

/// The value of a constant under casts.
fn folded(expr: &Expr) -> Option<ScalarValue> {
    match expr {
        Expr::Literal(value, _metadata) => Some(value.clone()),
        Expr::Alias(alias) => folded(&alias.expr),
        Expr::Cast(cast) => folded(&cast.expr)?.cast_to(cast.field.data_type()).ok(),
        Expr::TryCast(cast) => folded(&cast.expr)?.cast_to(cast.field.data_type()).ok(),
        _ => None,
    }
}

/// Whether a cast gives different values different results.
fn lossless(from: &DataType, to: &DataType) -> bool {
    let bits = |data_type: &DataType| data_type.primitive_width().unwrap_or(0);
    let text = |data_type: &DataType| matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    match (from, to) {
        (from, to) if from == to || (text(to) && (text(from) || from.is_integer() || *from == DataType::Date32)) => {
            true
        }
        (from, to) if from.is_signed_integer() && to.is_signed_integer() => bits(from) <= bits(to),
        (from, DataType::Float64) if from.is_signed_integer() => bits(from) <= 4,
        (DataType::Float32, DataType::Float64) => true,
        // What a finer unit cannot hold is NULL there, and equals nothing.
        (DataType::Date32, DataType::Timestamp(_, None)) => true,
        (DataType::Timestamp(from, None), DataType::Timestamp(to, None)) => from <= to,
        (DataType::Decimal128(p, s), DataType::Decimal128(to_p, to_s)) => {
            to_s >= s && i32::from(*to_p) - i32::from(*to_s) >= i32::from(*p) - i32::from(*s)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::TimeUnit;
    use datafusion::logical_expr::{cast, lit};

    use super::*;

    fn fits(casts: &[DataType], constant: &Expr, allowed: &[&str]) -> bool {
        listed(casts, constant, &allowed.iter().map(|&text| text.to_owned()).collect())
    }

    #[test]
    fn a_constant_is_listed_by_its_value_in_the_columns_type() {
        use DataType::{Boolean, Date32, Float64, Int32, Int64, Utf8};
        let moment = DataType::Timestamp(TimeUnit::Nanosecond, None);
        assert!(fits(&[Utf8], &lit("8"), &["8"]));
        assert!(fits(&[Int32, Int64], &lit(8_i64), &["8"]));
        assert!(fits(&[Int32, Int64], &lit(8_i64), &["08"]));
        assert!(fits(&[Int64, Utf8], &lit("8"), &["8"]));
        assert!(fits(&[Float64], &lit(0.5), &["0.5", "x"]));
        assert!(fits(&[Date32], &cast(lit("2024-01-05"), Date32), &["2024-01-05"]));
        assert!(fits(
            &[Date32, moment.clone()],
            &cast(cast(lit("2024-01-05"), Date32), moment.clone()),
            &["2024-01-05"]
        ));

        assert!(!fits(&[Utf8], &lit("08"), &["8"]));
        assert!(!fits(&[Int64], &lit(ScalarValue::Int64(None)), &["8"]));
        assert!(!fits(&[Int64], &lit(9_i64), &["8", "ten"]));
        // A cast that takes several values for one makes the comparison one with all of them.
        assert!(!fits(&[Float64, Int64], &lit(8_i64), &["8"]));
        assert!(!fits(&[Int64, Int32], &lit(8_i32), &["8"]));
        assert!(!fits(&[Int64, Float64], &lit(8.0), &["8"]));
        assert!(!fits(&[Int64, Boolean], &lit(true), &["8"]));
        let coarse = DataType::Timestamp(TimeUnit::Second, None);
        assert!(!fits(&[moment.clone(), coarse.clone()], &cast(lit("2024-01-05"), coarse), &["2024-01-05"]));
        assert!(!fits(&[moment, Date32], &cast(lit("2024-01-05"), Date32), &["2024-01-05"]));
        // A constant is what its casts make of it.
        assert!(!fits(&[Int64], &cast(cast(lit(8_i64), Boolean), Int64), &["8"]));
        assert!(!fits(&[Int64], &(lit(4_i64) + lit(4_i64)), &["8"]));
    }
}
