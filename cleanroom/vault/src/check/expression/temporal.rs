//! The rule of dates and times: they move by literal intervals of at most a century, and differ exactly.

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::TryCast;
use datafusion::logical_expr::{Expr, Operator};

use super::Scope;
use super::comparison::coarse;
use super::operator::rebuilt;
use crate::check::functions;
use crate::fixed::{days_between, try_cast};

/// An operand: its total form, its type, and what the question says.
type Operand<'e> = (Expr, &'e DataType, &'e Expr);

/// A date or time moved by a literal interval, or the distance of two; `None` for anything else.
pub(super) fn moved_time(
    (left, left_type, left_said): Operand<'_>,
    op: Operator,
    (right, right_type, right_said): Operand<'_>,
    result_type: &DataType,
    scope: &Scope<'_>,
) -> Option<Expr> {
    let temporal = |data_type: &DataType| matches!(data_type, DataType::Date32 | DataType::Timestamp(_, None));
    // In microseconds a hundred years from any year that data can hold is a time; in nanoseconds it need not be.
    let coarse = |expr: Expr, data_type: &DataType| match data_type {
        DataType::Timestamp(..) => {
            Expr::TryCast(TryCast::new(Box::new(expr), DataType::Timestamp(TimeUnit::Microsecond, None)))
        }
        _ => expr,
    };
    let moved =
        |left: Expr, right: Expr| Expr::TryCast(TryCast::new(Box::new(rebuilt(left, op, right)), result_type.clone()));
    if matches!(op, Operator::Plus | Operator::Minus) && temporal(left_type) && small_interval(right_said) {
        return Some(moved(coarse(left, left_type), right));
    }
    if op == Operator::Plus && temporal(right_type) && small_interval(left_said) {
        return Some(moved(left, coarse(right, right_type)));
    }
    if op != Operator::Minus {
        return None;
    }
    if *left_type == DataType::Date32 && *right_type == DataType::Date32 {
        return Some(days_between(left, right));
    }
    match (exactly(left, left_type, left_said, scope), exactly(right, right_type, right_said, scope)) {
        (Some(left), Some(right)) => Some(moved(left, right)),
        _ => None,
    }
}

/// A moment in microseconds, in which all data is; `None` where it could lose digits.
fn exactly(total: Expr, data_type: &DataType, said: &Expr, scope: &Scope<'_>) -> Option<Expr> {
    match data_type {
        DataType::Date32
        | DataType::Timestamp(TimeUnit::Second | TimeUnit::Millisecond | TimeUnit::Microsecond, None) => {
            Some(try_cast(total, DataType::Timestamp(TimeUnit::Microsecond, None)))
        }
        // The planner makes nanoseconds of a date and a time.
        DataType::Timestamp(TimeUnit::Nanosecond, None) => coarse(said, scope).ok().flatten(),
        _ => None,
    }
}

fn small_interval(expr: &Expr) -> bool {
    const MONTHS: i32 = 1_200;
    const DAYS: i32 = 36_600;
    const NANOS: i64 = 36_600 * 86_400 * 1_000_000_000;
    match functions::constant(expr) {
        Some(ScalarValue::IntervalMonthDayNano(Some(interval))) => {
            (-MONTHS..=MONTHS).contains(&interval.months)
                && (-DAYS..=DAYS).contains(&interval.days)
                && (-NANOS..=NANOS).contains(&interval.nanoseconds)
        }
        Some(value) => {
            matches!(value.data_type(), DataType::Interval(IntervalUnit::YearMonth)) && {
                matches!(value, ScalarValue::IntervalYearMonth(Some(months)) if (-MONTHS..=MONTHS).contains(&months))
            }
        }
        None => false,
    }
}
