//! The rule of arithmetic: no value makes it raise, and none is lost at a type's end.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::functions::core::expr_fn::nullif;
use datafusion::functions::math::expr_fn::abs;
use datafusion::logical_expr::expr::{BinaryExpr, TryCast};
use datafusion::logical_expr::{Expr, Operator};

use super::keys::refuse_key;
use super::measure::combined_measure;
use super::operator::rebuilt;
use super::temporal::moved_time;
use super::{Scope, expression, is_zero};
use crate::check::functions;
use crate::check::label::Label;
use crate::refusal::{Code, Refusal};

/// Arithmetic that cannot raise: integers wrap only outside any range the policies could give them, decimals go through
/// floating point, a zero divisor gives NULL, dates move by literal intervals of at most a century.
pub(super) fn arithmetic(binary: &BinaryExpr, scope: &Scope<'_>) -> Result<(Expr, Label), Refusal> {
    let BinaryExpr { left, op, right } = binary;
    let (left_total, left_label) = expression(left, scope)?;
    refuse_key(left, &left_label, scope)?;
    let (right_total, right_label) = expression(right, scope)?;
    refuse_key(right, &right_label, scope)?;
    let (left_type, right_type) = (scope.data_type(left)?, scope.data_type(right)?);
    let result_type = scope.data_type(&Expr::BinaryExpr(binary.clone()))?;

    let mut label = Label::computed([&left_label, &right_label]);
    label.measure = combined_measure(*op, (left, &left_label, &left_type), (right, &right_label, &right_type), scope);

    if !holds(*op, &left_type, &right_type, &result_type) {
        label.measure = None;
    }

    let number = |data_type: &DataType| data_type.is_numeric() || *data_type == DataType::Null;
    if number(&left_type) && number(&right_type) {
        let through_float = result_type.is_decimal()
            || (result_type.is_integer() && matches!(op, Operator::Divide | Operator::Modulo) && !safe_divisor(right))
            // Whole numbers wrap; a measure that does would tell one value's bits.
            || (result_type.is_integer() && label.measure.is_some());
        let total = if through_float {
            let float = |expr: Expr| Expr::TryCast(TryCast::new(Box::new(expr), DataType::Float64));
            let quotient = rebuilt(float(left_total), *op, guarded(float(right_total), *op, &DataType::Float64)?);
            let quotient = if result_type.is_integer() && *op == Operator::Divide {
                datafusion::functions::math::expr_fn::trunc(vec![quotient])
            } else {
                quotient
            };
            saturated(quotient, &result_type)
        } else {
            rebuilt(left_total, *op, guarded(right_total, *op, &right_type)?)
        };
        return Ok((total, label));
    }
    match moved_time((left_total, &left_type, left), *op, (right_total, &right_type, right), &result_type, scope) {
        Some(total) => Ok((total, label)),
        None => Err(Refusal::new(
            Code::Function,
            format!("`{op}` on protected rows takes numbers, dates, and literal intervals of at most 100 years"),
        )
        .about(op.to_string())),
    }
}

/// Whether a decimal type holds every result of an operation: one that is too narrow would cut a measure off at a value
/// that the question chooses.
fn holds(op: Operator, left: &DataType, right: &DataType, result: &DataType) -> bool {
    let digits = |data_type: &DataType| match data_type {
        DataType::Decimal128(precision, scale) => i32::from(*precision) - i32::from(*scale),
        _ => 19,
    };
    let DataType::Decimal128(..) = result else { return !result.is_decimal() };
    let needed = match op {
        Operator::Multiply => digits(left) + digits(right),
        _ => digits(left).max(digits(right)) + 1,
    };
    digits(result) >= needed
}

/// A floating point number as another numeric type, cut off at the type's ends instead of lost there: a NULL that depends
/// on a value would be a filter on it.
pub(crate) fn saturated(value: Expr, to: &DataType) -> Expr {
    let most = match to {
        DataType::Decimal128(precision, scale) => 10_f64.powi(i32::from(*precision) - i32::from(*scale)) * 0.999_999,
        _ => 9.2e18,
    };
    let cut = datafusion::logical_expr::when(
        value.clone().gt(datafusion::logical_expr::lit(most)),
        datafusion::logical_expr::lit(most),
    )
    .when(value.clone().lt(datafusion::logical_expr::lit(-most)), datafusion::logical_expr::lit(-most))
    .otherwise(value.clone())
    .unwrap_or(value);
    Expr::TryCast(TryCast::new(Box::new(cut), to.clone()))
}

/// A divisor that makes integer division raise for no value: a constant other than 0 and -1.
fn safe_divisor(expr: &Expr) -> bool {
    matches!(functions::constant(expr), Some(ScalarValue::Int64(Some(value))) if value != 0 && value != -1)
}

fn guarded(divisor: Expr, op: Operator, data_type: &DataType) -> Result<Expr, Refusal> {
    if !matches!(op, Operator::Divide | Operator::Modulo)
        || functions::constant(&divisor).is_some_and(|value| !is_zero(&value))
    {
        return Ok(divisor);
    }
    let zero = ScalarValue::new_zero(data_type)
        .map_err(|_detail| Refusal::new(Code::Invalid, "the types of a division do not fit"))?;
    let zero = Expr::Literal(zero, None);
    if !data_type.is_floating() {
        return Ok(nullif(divisor, zero));
    }
    // By its size, as -0.0 is another number than 0.0 where the engine compares.
    datafusion::logical_expr::when(abs(divisor.clone()).gt(zero), divisor)
        .end()
        .map_err(|_detail| Refusal::new(Code::Invalid, "the types of a division do not fit"))
}
