//! MEDIAN, PERCENTILE_CONT and their kin over protected rows, which are answered under noise only.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::AggregateFunction;

use super::argument::not_allowed;
use super::expression::{self, Scope};
use super::functions;
use crate::refusal::{Code, Refusal};

/// The share of values that lie below a quantile, in ten-thousandths: 5000 of a median.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rank(u16);

impl Rank {
    /// All values.
    pub(crate) const WHOLE: u16 = 10_000;
    const MEDIAN: Self = Self(Self::WHOLE / 2);

    /// The nearest; `None` of what is not within 0 and 1.
    fn of(share: f64) -> Option<Self> {
        if !(0.0..=1.0).contains(&share) {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 10000")]
        Some(Self((share * f64::from(Self::WHOLE)).round() as u16))
    }

    #[must_use]
    fn reversed(self) -> Self {
        Self(Self::WHOLE.saturating_sub(self.0))
    }

    pub(crate) fn ten_thousandths(self) -> u16 {
        self.0
    }
}

#[cfg(test)]
impl Rank {
    pub(crate) fn at(ten_thousandths: u16) -> Self {
        Self(ten_thousandths)
    }
}

/// The rank, the values and the total filter.
type Called<'e> = (Rank, &'e Expr, Option<Expr>);

/// The rank, the values and the total filter of a quantile; `None` of any other aggregate.
///
/// # Errors
/// A refusal, where it has clauses or arguments that are not understood.
pub(super) fn called<'e>(call: &'e AggregateFunction, scope: &Scope<'_>) -> Result<Option<Called<'e>>, Refusal> {
    let name = call.func.name();
    let params = &call.params;
    let (rank, argument) = match (name, params.args.as_slice()) {
        ("median" | "approx_median", [argument]) if params.order_by.is_empty() => (Rank::MEDIAN, argument),
        ("percentile_cont" | "approx_percentile_cont", [argument, share]) => {
            let share = functions::constant(share)
                .and_then(|share| match share.cast_to(&arrow::datatypes::DataType::Float64) {
                    Ok(ScalarValue::Float64(share)) => share,
                    _ => None,
                })
                .and_then(Rank::of)
                .ok_or_else(|| {
                    Refusal::new(Code::NotAMeasure, format!("the share in `{name}` is a number between 0 and 1"))
                        .about(name)
                })?;
            match params.order_by.as_slice() {
                [] => (share, argument),
                // WITHIN GROUP (ORDER BY x): the planner makes x the first argument.
                [order] if whole(&order.expr, scope)? == whole(argument, scope)? => {
                    (if order.asc { share } else { share.reversed() }, argument)
                }
                _ => return Err(not_allowed(name)),
            }
        }
        ("median" | "approx_median" | "percentile_cont" | "approx_percentile_cont", _) => {
            return Err(not_allowed(name));
        }
        _ => return Ok(None),
    };
    if params.distinct || params.null_treatment.is_some() {
        return Err(not_allowed(name));
    }
    let filter = params.filter.as_ref().map(|filter| expression::condition(filter, scope)).transpose()?;
    Ok(Some((rank, whole(argument, scope)?, filter)))
}

/// Without the planner's cast of whole numbers and decimals to floating point: their grid is of what they can be.
fn whole<'e>(argument: &'e Expr, scope: &Scope<'_>) -> Result<&'e Expr, Refusal> {
    let (inner, to) = match argument {
        Expr::Cast(cast) => (cast.expr.as_ref(), cast.field.data_type()),
        Expr::TryCast(cast) => (cast.expr.as_ref(), cast.field.data_type()),
        _ => return Ok(argument),
    };
    let from = scope.data_type(inner)?;
    Ok(if to.is_floating() && (from.is_integer() || from.is_decimal()) { inner } else { argument })
}
