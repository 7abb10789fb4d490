//! Contribution bounding, in the plan: what a unit adds to a group is clamped, and it has a part in so many groups at most.
//!
//! Stock operators: an aggregate per group and unit, a window over each unit's groups in an order that a fresh secret salt
//! decides, a condition on their places in it, and the aggregate per group of clamped numbers. Group columns are carried from
//! the first aggregate on and never computed again.

use datafusion::common::{Result, ScalarValue, exec_datafusion_err};
use datafusion::functions_aggregate::expr_fn::{count, sum};
use datafusion::functions_window::expr_fn::{lag, row_number};
use datafusion::logical_expr::{
    Expr, ExprFunctionExt as _, LogicalPlan, LogicalPlanBuilder, Operator, binary_expr, lit, when,
};
use ring::rand::{SecureRandom, SystemRandom};

use super::plan::{ReleaseNoise, What};
use crate::check::ReleasePoint;
use crate::compile::{
    self, GROUPING_ID, PLACE, PRIORITY, UNIT, UNITS, column, contributors_name, count_name, group_name, squares_name,
    sum_name,
};
use crate::invariants::Bounding;
use crate::units::Choice;

/// Parts that units fall into, each of which is put in order by itself: enough for the cores of a large machine.
const PARTS: u32 = 256;

/// Which of a unit's groups count, where it has too many: fresh for every run, known to nobody.
///
/// The secret numbers of a unit's rows in a group add up to a number of which nobody knows anything; times an odd salt and
/// with another one added it decides the group's place (multiply-shift hashing; Dietzfelbinger et al. 1997). Which groups are
/// kept depends on the unit's own rows and the salt alone, so that no other unit's rows take a part in it. It stays the same
/// where a part of the plan is run again.
#[derive(Clone)]
pub(crate) struct Salt(pub(super) [i64; 2]);

impl Salt {
    pub(crate) fn fresh() -> Result<Self> {
        let mut bytes = [0_u8; 16];
        SystemRandom::new().fill(&mut bytes).map_err(|_unspecified| exec_datafusion_err!("no randomness"))?;
        let number = u128::from_le_bytes(bytes);
        #[expect(clippy::cast_possible_truncation, reason = "two halves")]
        let halves = [(number as u64).cast_signed(), ((number >> 64) as u64).cast_signed()];
        Ok(Self([halves[0] | 1, halves[1]]))
    }
}

impl Salt {
    /// A secret number, under the salt.
    pub(super) fn on(&self, number: Expr) -> Expr {
        let [times, plus] = self.0;
        number * lit(times) + lit(plus)
    }

    /// As [`Salt::on`], of a number that is there: the engine's whole numbers wrap.
    pub(crate) fn of(&self, number: i64) -> i64 {
        let [times, plus] = self.0;
        number.wrapping_mul(times).wrapping_add(plus)
    }

    /// None, for a plan that is written down and not run.
    pub(crate) fn none() -> Self {
        Self([1, 0])
    }
}

/// What has to be found again in [`bounded_plan`]: see [`Bounding`].
pub(crate) fn bounding(release: &ReleasePoint, noise: &ReleaseNoise) -> Result<Bounding> {
    let mut limits = Vec::new();
    if !release.cells.is_empty() {
        limits.push(ScalarValue::from(i64::from(release.most_rows)));
    }
    for term in &noise.terms {
        let (scale, ends) = match term.what {
            What::Sum { cell, low, high } => match release.cells.get(cell) {
                Some(cell) => (compile::scale(cell, release)?, [low, high]),
                None => continue,
            },
            What::Squares { cell: _, low, high } => (compile::SQUARE_SCALE, [low, high]),
            What::Units | What::Contributors { .. } | What::Rows { .. } | What::Quantile { .. } => continue,
        };
        limits.extend(ends.map(|ticks| ScalarValue::Decimal128(Some(ticks), 38, scale)));
    }
    let cut = noise.sets.iter().any(|set| set.cut);
    let places = noise.sets.iter().filter(|_set| cut).map(|set| set.most_groups).collect();
    Ok(Bounding { limits, places, rows: None })
}

/// What [`chosen`] does, where it is for one set of groups.
pub(crate) fn choice(release: &ReleasePoint, noise: &ReleaseNoise, salt: &Salt) -> Option<Choice> {
    let [set] = noise.sets.as_slice() else {
        return None;
    };
    let most = usize::try_from(set.most_groups).ok()?;
    (set.cut && release.sets.is_none()).then(|| Choice { most, number: PRIORITY, salt: salt.clone() })
}

/// The exact numbers of a release point, bounded: as [`compile::release_plan`], over scans that still stand for tables.
pub(crate) fn bounded_plan(release: &ReleasePoint, noise: &ReleaseNoise, salt: &Salt) -> Result<LogicalPlan> {
    let cut = noise.sets.iter().any(|set| set.cut);
    let shares = if cut { compile::Shares::Bounded } else { compile::Shares::Totals };
    let mut plan = LogicalPlanBuilder::from(compile::unit_plan(release, shares)?);
    if cut {
        plan = chosen(plan, release, noise, salt)?;
    }
    let mut totals = vec![count(column(UNIT)).alias(UNITS)];
    for (index, cell) in release.cells.iter().enumerate() {
        let contributes = column(count_name(index)).gt(lit(0_i64));
        totals.push(count(column(UNIT)).filter(contributes).build()?.alias(contributors_name(index)));
        let rows = column(count_name(index));
        let most = lit(i64::from(release.most_rows));
        let rows = when(rows.clone().gt(most.clone()), most).otherwise(rows)?;
        totals.push(sum(rows).alias(count_name(index)));
        // Of two cells that are one number only the first is read.
        for term in &noise.terms {
            let (name, scale, limits) = match term.what {
                What::Sum { cell: of, low, high } if of == index => {
                    (sum_name(index), compile::scale(cell, release)?, (low, high))
                }
                What::Squares { cell: of, low, high } if of == index => {
                    (squares_name(index), compile::SQUARE_SCALE, (low, high))
                }
                What::Sum { .. }
                | What::Squares { .. }
                | What::Units
                | What::Contributors { .. }
                | What::Rows { .. }
                | What::Quantile { .. } => {
                    continue;
                }
            };
            totals.push(sum(clamped(column(&name), limits, scale)?).alias(name));
        }
    }
    plan.aggregate(compile::group_columns(release), totals)?.build()
}

/// Of each unit the groups that count.
fn chosen(
    plan: LogicalPlanBuilder,
    release: &ReleasePoint,
    noise: &ReleaseNoise,
    salt: &Salt,
) -> Result<LogicalPlanBuilder> {
    let salted = salt.on(column(PRIORITY)).sort(true, false);
    // Groups of the same rows have the same number, as where a reference table gives a row several labels. They are told
    // apart by what they are: by the order in which the engine finds them, others' rows would have a part in it.
    let groups = (0..release.groups.len()).map(|index| column(group_name(index)).sort(true, true));
    let order = std::iter::once(salted).chain(groups);
    let most = noise.sets.first().map_or(1, |set| set.most_groups);
    if let (None, Ok(most)) = (&release.sets, i64::try_from(most)) {
        // The place is within the limit where so many groups before it there is another unit, or none. A row number within
        // each unit says the same, but to the engine a partition costs as much as dozens of rows, and there are as many
        // partitions then as units.
        let before = lag(column(UNIT), Some(most), None)
            .partition_by(vec![column(UNIT) % lit(PARTS)])
            .order_by(std::iter::once(column(UNIT).sort(true, true)).chain(order).collect())
            .build()?
            .alias(PLACE);
        let within = binary_expr(column(UNIT), Operator::IsDistinctFrom, column(PLACE));
        return plan.window(vec![before])?.filter(within);
    }
    let partition = std::iter::once(column(UNIT)).chain(release.sets.as_ref().map(|_sets| column(GROUPING_ID)));
    let place = row_number().partition_by(partition.collect()).order_by(order.collect()).build()?.alias(PLACE);
    plan.window(vec![place])?.filter(within_place(release, noise)?)
}

/// What a unit adds, moved into the limits; NULL stays NULL, and adds nothing.
fn clamped(share: Expr, (low, high): (i128, i128), scale: i8) -> Result<Expr> {
    let limit = |ticks: i128| Expr::Literal(ScalarValue::Decimal128(Some(ticks), 38, scale), None);
    when(share.clone().lt(limit(low)), limit(low)).when(share.clone().gt(limit(high)), limit(high)).otherwise(share)
}

/// A unit's group is among those that count: of several sets, each has its own number of them.
pub(super) fn within_place(release: &ReleasePoint, noise: &ReleaseNoise) -> Result<Expr> {
    let most = |groups: u64| lit(groups);
    let place = || column(PLACE);
    let Some(sets) = &release.sets else {
        let groups = noise.sets.first().map_or(1, |set| set.most_groups);
        return Ok(place().lt_eq(most(groups)));
    };
    let mut within: Option<Expr> = None;
    for (set, of_it) in sets.iter().zip(&noise.sets) {
        let id = compile::engine_grouping_id(release, set);
        let here = crate::fixed::try_cast(column(GROUPING_ID), arrow::datatypes::DataType::UInt64).eq(lit(id));
        let here = here.and(place().lt_eq(most(of_it.most_groups)));
        within = Some(match within {
            Some(within) => within.or(here),
            None => here,
        });
    }
    within.ok_or_else(|| exec_datafusion_err!("there is no grouping set"))
}

#[cfg(test)]
pub(crate) mod tests;
