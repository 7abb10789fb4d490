//! The rule of measures in arithmetic: what is summed stays a linear function of granted amounts.
//!
//! A SUM is protected by how many people it adds up, which holds as long as each adds in proportion to what the policy
//! grants. An attack makes it a test of one value instead: by a power, under which the largest stands out; by a remainder
//! or a whole quotient, which is a step; by a factor or an offset so large that values reach the end of a type, where they
//! are cut off; or by anything that is 0 for all but one. So, and no further:
//!
//! - *Sums and differences* of measures of one table: linear. Where a policy has a dominance rule they are refused by the
//!   aggregate, since a cell that is suppressed for its dominance could be had from the sum and the other cells.
//! - *Multiples and floating point quotients* by a constant between 1e-6 and 1e6, over all of an expression: every value
//!   and the sum change by the same factor, and so do the shares that a dominance rule looks at.
//! - *The negative*: a multiple.
//! - *One product of two different columns* (price and quantity): of degree two, not more.
//! - *A constant of at most 1e6 added* to one column: `SUM(m + c)` is `SUM(m) + c * COUNT(m)`, which tells as much as the
//!   count of `m`, and so needs `count` among the measure's functions. It hides who dominates (a large offset makes all
//!   shares equal), so it counts as a combination and is refused under a dominance rule. Only once, and on the bare column,
//!   so that offsets do not add up to where floating point numbers have no cents.
//!
//! Division of whole numbers and of decimals rounds, and is a step: cast to DOUBLE first.

use arrow::datatypes::DataType;
use cleanroom_policy::MeasureFunction;
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::{Expr, Operator};

use super::Scope;
use crate::check::functions;
use crate::check::label::{Label, Measure, Range};
use crate::noise;

/// Most that constants may multiply or divide a measure by.
const MAX_FACTOR: f64 = 1e6;

/// Most that a constant may add to a measure.
const MAX_OFFSET: f64 = 1e6;

/// What a term of arithmetic is as a measure, by the rules above.
pub(super) fn combined_measure(
    op: Operator,
    (left, left_label, left_type): (&Expr, &Label, &DataType),
    (right, right_label, right_type): (&Expr, &Label, &DataType),
    scope: &Scope<'_>,
) -> Option<Measure> {
    let both = |one: &Measure, other: &Measure, degree: u8| Measure {
        instance: one.instance,
        functions: one.functions.intersection(&other.functions).copied().collect(),
        zero_else: false,
        zeros: false,
        distinct: false,
        matches: one.matches || other.matches,
        combined: true,
        degree,
        factors: if degree > one.degree.max(other.degree) {
            (one.factors.0 * other.factors.0, one.factors.1 * other.factors.1)
        } else {
            // A sum of a measure with itself is a multiple of it.
            (one.factors.0.min(other.factors.0), one.factors.1 + other.factors.1)
        },
        own: one.own || other.own,
        range: op_range(one.range, op, other.range),
        unit_range: match op {
            Operator::Plus | Operator::Minus => {
                one.unit_range.zip(other.unit_range).map(|(one, other)| op_range(one, op, other))
            }
            _ => None,
        },
    };
    let measure = match (&left_label.measure, &right_label.measure) {
        (Some(one), Some(other)) if one.instance == other.instance && !one.zero_else && !other.zero_else => match op {
            Operator::Plus | Operator::Minus => Some(both(one, other, one.degree.max(other.degree))),
            Operator::Multiply => {
                let columns = (bare(left).and_then(|column| scope.label(column).ok()?.origin.clone()))
                    .zip(bare(right).and_then(|column| scope.label(column).ok()?.origin.clone()));
                let differ = columns.is_some_and(|(one, other)| one != other);
                (differ && one.degree == 1 && other.degree == 1).then(|| both(one, other, 2))
            }
            _ => None,
        },
        (Some(one), None) if !one.zero_else => match op {
            Operator::Plus | Operator::Minus => shifted(one, left, right, scope),
            Operator::Multiply => scaled(one, right, false),
            Operator::Divide if left_type.is_floating() || right_type.is_floating() => scaled(one, right, true),
            _ => None,
        },
        (None, Some(other)) if !other.zero_else => match op {
            Operator::Plus | Operator::Minus => shifted(other, right, left, scope),
            Operator::Multiply => scaled(other, left, false),
            _ => None,
        },
        _ => None,
    };
    measure.filter(|measure| measure.factors.0 >= 1.0 / MAX_FACTOR && measure.factors.1 <= MAX_FACTOR)
}

/// What comes of values of two ranges.
fn op_range(one: Range, op: Operator, other: Range) -> Range {
    match op {
        Operator::Minus => (one.0 - other.1, one.1 - other.0),
        Operator::Multiply => {
            let ends = [one.0 * other.0, one.0 * other.1, one.1 * other.0, one.1 * other.1];
            (ends.into_iter().fold(f64::INFINITY, f64::min), ends.into_iter().fold(f64::NEG_INFINITY, f64::max))
        }
        _ => (one.0 + other.0, one.1 + other.1),
    }
}

/// A measure multiplied or divided by a literal.
fn scaled(measure: &Measure, constant: &Expr, divided: bool) -> Option<Measure> {
    let value = number(constant)?;
    if value == 0.0 {
        return None;
    }
    let moderate = |factor: f64| (1.0 / MAX_FACTOR..=MAX_FACTOR).contains(&factor);
    let factor = if divided { 1.0 / value.abs() } else { value.abs() };
    let factors = (measure.factors.0 * factor, measure.factors.1 * factor);
    let signed = if divided { value.recip() } else { value };
    (moderate(factor) && moderate(factors.0) && moderate(factors.1)).then(|| Measure {
        factors,
        range: noise::scaled(measure.range, signed),
        unit_range: measure.unit_range.map(|range| noise::scaled(range, signed)),
        ..measure.clone()
    })
}

/// A measure's column with a literal added or subtracted.
fn shifted(measure: &Measure, column: &Expr, constant: &Expr, scope: &Scope<'_>) -> Option<Measure> {
    let column = bare(column)?;
    let counted = measure.functions.contains(&MeasureFunction::Count);
    let as_is = scope.label(column).is_ok_and(|label| label.origin.is_some());
    let offset = number(constant)?;
    let moderate = offset.abs() <= MAX_OFFSET;
    // Which side of a difference it stands on is left open: the range holds both.
    let range = op_range(measure.range, Operator::Plus, (-offset.abs(), offset.abs()));
    let range = (range.0.min(-range.1), range.1.max(-range.0));
    (counted && as_is && moderate).then(|| Measure { combined: true, range, unit_range: None, ..measure.clone() })
}

/// The column under casts that the planner may have put around it; one that loses something has left no measure.
fn bare(expr: &Expr) -> Option<&Column> {
    match expr {
        Expr::Column(column) => Some(column),
        Expr::Cast(cast) => bare(&cast.expr),
        Expr::TryCast(cast) => bare(&cast.expr),
        _ => None,
    }
}

/// A constant as a finite number.
fn number(constant: &Expr) -> Option<f64> {
    match functions::constant(constant)?.cast_to(&DataType::Float64) {
        Ok(ScalarValue::Float64(Some(value))) if value.is_finite() => Some(value),
        _ => None,
    }
}
