//! Quantiles: one of a grid of values, chosen by how nearly the right number of rows lies below it.
//!
//! *Candidates* are the ends of a row's bounds and equal steps between them ([`Grid`]), by the policy alone. *Values* are moved
//! to the nearest candidate; how many lie on each is what the vault counts. *Bounding*: at most `rows_per_unit` of a unit's
//! rows in a group, drawn by the secret numbers of its rows and a fresh salt, and so many of its groups, the same ones that
//! its other numbers count in. *Scores* (after Smith 2011): of a candidate c for the share a of n rows, `lt` of them below it
//! and `le` below or on it, `max(0, lt - a n, a n - le)`, in ten-thousandths of a row: the rows by which it misses being the
//! quantile, also where many rows lie on one value. One row more or less moves `lt - a n` and `a n - le` by at most
//! `max(a, 1 - a)`, and so the greatest of them; a unit has at most r rows in a group: the sensitivity. *Mechanisms*, both `OpenDP`'s, a candidate being the likelier the
//! lower its score:
//!
//! | | Laplace policies | Gaussian policies |
//! |---|---|---|
//! | mechanism | permute-and-flip | exponential |
//! | guarantee of one group | `2 sensitivity / scale`, pure | `(2 sensitivity / scale)^2 / 8`, zCDP |
//! | source | McKenna and Sheldon 2020 | McSherry and Talwar 2007; Cesar and Rogers 2021 |
//!
//! Of groups in which a unit counts the losses add up, in either measure: noise of the groups is independent, and of so many
//! groups alone the distribution differs between neighbours.

use std::collections::HashMap;

use arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err};
use datafusion::functions::math::expr_fn::round;
use datafusion::functions_aggregate::expr_fn::{count, max, sum};
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::functions_window::expr_fn::{dense_rank, row_number};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{
    Expr, ExprFunctionExt as _, LogicalPlan, LogicalPlanBuilder, WindowFunctionDefinition, lit, when,
};

use super::bound::{Salt, within_place};
use super::plan::{ReleaseNoise, What};
use crate::check::{Rank, ReleasePoint, combined_id};
use crate::compile::{self, PLACE, PRIORITY, ROW_PLACE, UNIT, column, group_name};
use crate::fixed;
use crate::invariants::Bounding;
use crate::release;

/// Most steps of a grid.
const MOST_STEPS: i128 = 1024;
/// The place of a value on the grid.
const BUCKET: &str = "__cr_b";
/// The secret number of a row.
const ROW: &str = "__cr_h";
/// How many rows lie there.
const ROWS: &str = "__cr_n";

/// The values that a quantile can be, in ticks: `low`, equal steps from it, and `high`.
///
/// A step is 1, 2 or 5 times a power of ten of ticks, the least with which there are no more than 1024: what is released can
/// be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    low: i128,
    high: i128,
    step: i128,
}

impl Grid {
    /// Between two limits, the lower one first.
    pub(crate) fn between(low: i128, high: i128) -> Self {
        let span = high.saturating_sub(low).max(0);
        let mut power = 1_i128;
        let fits = |step: i128| span <= step.saturating_mul(MOST_STEPS);
        let step = loop {
            if let Some(step) = [1, 2, 5].iter().map(|times| power.saturating_mul(*times)).find(|step| fits(*step)) {
                break step;
            }
            power = power.saturating_mul(10);
        };
        Self { low, high, step }
    }

    /// The place of the highest value; the lowest has 0.
    fn last(self) -> usize {
        let span = self.high.saturating_sub(self.low).max(0);
        usize::try_from((span + self.step - 1) / self.step).unwrap_or(0)
    }

    /// Values there are, at least 1.
    pub(crate) fn len(self) -> usize {
        self.last() + 1
    }

    /// In ticks.
    pub(crate) fn step(self) -> i128 {
        self.step
    }

    fn value(self, place: usize) -> i128 {
        i128::try_from(place).map_or(self.high, |place| (self.low + place * self.step).min(self.high))
    }

    /// The place of a value of this scale; NULL of none. Nothing in it raises, whatever the value.
    fn place_of(self, value: Expr, scale: i8) -> Result<Expr> {
        let unit = |ticks: i128| lit(fixed::to_f64(ticks, scale));
        let steps = round(vec![(fixed::float(value) - unit(self.low)) / unit(self.step)]);
        #[expect(clippy::cast_precision_loss, reason = "at most 1024")]
        let last = lit(self.last() as f64);
        let within =
            when(steps.clone().lt(lit(0.0)), lit(0.0)).when(steps.clone().gt(last.clone()), last).otherwise(steps)?;
        Ok(fixed::try_cast(within, DataType::Int32))
    }
}

/// What lies how often on which grid: the cell whose argument and filter it is of, and the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Histogram {
    pub(crate) cell: usize,
    pub(crate) grid: Grid,
}

impl ReleaseNoise {
    /// Those of its quantiles, each once.
    pub(crate) fn histograms(&self) -> Vec<Histogram> {
        let mut all: Vec<Histogram> = Vec::new();
        for histogram in self.terms.iter().filter_map(|term| Histogram::of(term.what)) {
            if !all.contains(&histogram) {
                all.push(histogram);
            }
        }
        all
    }
}

impl Histogram {
    fn of(what: What) -> Option<Self> {
        match what {
            What::Quantile { cell, rank: _, low, high } => Some(Self { cell, grid: Grid::between(low, high) }),
            What::Units | What::Contributors { .. } | What::Rows { .. } | What::Sum { .. } | What::Squares { .. } => {
                None
            }
        }
    }
}

/// What has to be found again in [`histogram_plan`]: see [`Bounding`].
pub(crate) fn histogram_bounding(release: &ReleasePoint, noise: &ReleaseNoise) -> Bounding {
    let cut = noise.sets.iter().any(|set| set.cut);
    Bounding {
        limits: vec![ScalarValue::from(i64::from(release.most_rows))],
        places: noise.sets.iter().filter(|_set| cut).map(|set| set.most_groups).collect(),
        rows: Some(u64::from(release.most_rows)),
    }
}

/// By group and place on the grid, how many bounded rows lie there. For release points without grouping sets.
pub(crate) fn histogram_plan(
    release: &ReleasePoint,
    noise: &ReleaseNoise,
    salt: &Salt,
    of: Histogram,
) -> Result<LogicalPlan> {
    let cell = release.cells.get(of.cell).ok_or_else(|| exec_datafusion_err!("a quantile is of no cell"))?;
    if release.sets.is_some() {
        return Err(exec_datafusion_err!("a quantile of grouping sets"));
    }
    let rows = &release.rows;
    let names: Vec<String> = (0..release.groups.len()).map(group_name).collect();
    let groups = || names.iter().map(column);
    let scale = compile::scale(cell, release)?;
    let value = of.grid.place_of(cell.argument.clone(), scale)?;
    let value = match &cell.filter {
        Some(filter) => when(filter.clone(), value).end()?,
        None => value,
    };
    let mut inputs: Vec<Expr> =
        release.groups.iter().zip(&names).map(|(group, name)| group.clone().unalias().alias(name)).collect();
    inputs.push(Expr::Column(rows.unit.clone()).alias(UNIT));
    inputs.push(value.alias(BUCKET));
    inputs.push(combined_id(rows.row_ids.iter()).alias(ROW));
    let others: Vec<_> = rows.row_ids.iter().filter(|id| rows.repeated && !id.own).collect();
    let id_name = |index: usize| format!("__cr_r_{index}");
    inputs.extend(others.iter().enumerate().map(|(index, id)| Expr::Column(id.column.clone()).alias(id_name(index))));
    let mut plan = LogicalPlanBuilder::from(rows.plan.clone()).project(inputs)?;
    if rows.repeated {
        // Another owner's row has a part in a group once, however many rows of the analyst's own it meets there.
        let keys = groups().chain([column(UNIT)]).chain((0..others.len()).map(|index| column(id_name(index))));
        let firsts = [BUCKET, ROW].map(|name| max(column(name)).alias(name));
        plan = plan.aggregate(keys.collect::<Vec<_>>(), firsts)?;
    }
    let in_group = || std::iter::once(column(UNIT)).chain(groups());
    let cut = noise.sets.iter().any(|set| set.cut);
    if cut {
        // As the priority of the other numbers' plan: of all rows, also of those without a value.
        let all = WindowFunction::new(WindowFunctionDefinition::AggregateUDF(sum_udaf()), vec![column(ROW)]);
        let all = Expr::from(all).partition_by(in_group().collect()).build()?;
        plan = plan.window(vec![all.alias(PRIORITY)])?;
    }
    // Rows without a value do not count, and take no other's place.
    let place = row_number()
        .partition_by(in_group().chain([column(BUCKET).is_null()]).collect())
        .order_by(vec![salt.on(column(ROW)).sort(true, false), column(BUCKET).sort(true, false)])
        .build()?;
    plan = plan.window(vec![place.alias(ROW_PLACE)])?;
    plan = plan.filter(column(ROW_PLACE).lt_eq(lit(u64::from(release.most_rows))))?;
    let keys = in_group().chain([column(BUCKET)]).chain(cut.then(|| column(PRIORITY)));
    plan = plan.aggregate(keys.collect::<Vec<_>>(), vec![count(column(BUCKET)).alias(ROWS)])?;
    if cut {
        let order = std::iter::once(salt.on(column(PRIORITY)).sort(true, false));
        let order = order.chain(groups().map(|group| group.sort(true, true)));
        let place = dense_rank().partition_by(vec![column(UNIT)]).order_by(order.collect()).build()?;
        plan = plan.window(vec![place.alias(PLACE)])?.filter(within_place(release, noise)?)?;
    }
    let most = lit(i64::from(release.most_rows));
    let counted = when(column(ROWS).gt(most.clone()), most).otherwise(column(ROWS))?;
    let keys = groups().chain([column(BUCKET)]).collect::<Vec<_>>();
    plan.filter(column(BUCKET).is_not_null())?.aggregate(keys, vec![sum(counted).alias(ROWS)])?.build()
}

/// By group, as they stand among the other exact numbers: places on a grid, and how many rows lie there.
type ByGroup = HashMap<usize, Vec<(usize, u64)>>;

/// How the values lie of which quantiles are chosen.
pub(super) struct Lying(Vec<(Histogram, ByGroup)>);

impl Lying {
    /// `totals` are the other exact numbers of the same groups.
    pub(super) fn of(
        release: &ReleasePoint,
        noise: &ReleaseNoise,
        totals: &RecordBatch,
        histograms: &[RecordBatch],
    ) -> Result<Self> {
        let wanted = noise.histograms();
        if wanted.len() != histograms.len() {
            return Err(exec_datafusion_err!("the values of a quantile were not read"));
        }
        if wanted.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let keys = |batch: &RecordBatch| -> Result<Vec<ArrayRef>> {
            (0..release.groups.len())
                .map(|group| {
                    Ok(cast(release::column(batch, &group_name(group))?, release.schema.field(group).data_type())?)
                })
                .collect()
        };
        let fields =
            (0..release.groups.len()).map(|group| SortField::new(release.schema.field(group).data_type().clone()));
        let converter = RowConverter::new(fields.collect())?;
        let rows_of = |batch: &RecordBatch| -> Result<Vec<Option<OwnedRow>>> {
            if release.groups.is_empty() {
                return Ok(vec![None; batch.num_rows()]);
            }
            Ok(converter.convert_columns(&keys(batch)?)?.iter().map(|row| Some(row.owned())).collect())
        };
        let places: HashMap<Option<OwnedRow>, usize> =
            rows_of(totals)?.into_iter().enumerate().map(|(place, row)| (row, place)).collect();
        let mut all = Vec::with_capacity(wanted.len());
        for (histogram, batch) in wanted.into_iter().zip(histograms) {
            let buckets = cast(release::column(batch, BUCKET)?, &DataType::Int64)?;
            let rows = cast(release::column(batch, ROWS)?, &DataType::Int64)?;
            let (buckets, rows) = (buckets.as_primitive::<Int64Type>(), rows.as_primitive::<Int64Type>());
            let mut by_group = ByGroup::new();
            for (row, key) in rows_of(batch)?.into_iter().enumerate() {
                let Some(place) = places.get(&key) else { continue };
                if buckets.is_null(row) || rows.is_null(row) {
                    continue;
                }
                let bucket = usize::try_from(buckets.value(row)).unwrap_or(0).min(histogram.grid.last());
                by_group.entry(*place).or_default().push((bucket, u64::try_from(rows.value(row)).unwrap_or(0)));
            }
            all.push((histogram, by_group));
        }
        Ok(Self(all))
    }

    /// The scores of a quantile's candidates in a group; of one that nobody is in they are all the same. `None` of what is no
    /// quantile.
    pub(super) fn scores(&self, what: What, place: Option<usize>) -> Option<(Grid, Vec<u64>)> {
        let What::Quantile { rank, .. } = what else { return None };
        let wanted = Histogram::of(what)?;
        let (histogram, by_group) = self.0.iter().find(|(histogram, _by_group)| *histogram == wanted)?;
        let found = place.and_then(|place| by_group.get(&place)).map_or(&[][..], Vec::as_slice);
        let mut lying = vec![0_u64; histogram.grid.len()];
        for (bucket, rows) in found {
            if let Some(there) = lying.get_mut(*bucket) {
                *there = there.saturating_add(*rows);
            }
        }
        Some((histogram.grid, scores(&lying, rank)))
    }
}

impl Grid {
    /// The value at the place that a mechanism chose.
    pub(super) fn chosen(self, place: usize) -> i128 {
        self.value(place.min(self.last()))
    }
}

/// Of each place of a grid on which so many rows lie, how far off it is, in ten-thousandths of a row.
fn scores(lying: &[u64], rank: Rank) -> Vec<u64> {
    let whole = u128::from(Rank::WHOLE);
    let all: u128 = lying.iter().map(|rows| u128::from(*rows)).sum();
    let wanted = all * u128::from(rank.ten_thousandths());
    let mut less = 0_u128;
    lying
        .iter()
        .map(|rows| {
            let too_many = (less * whole).saturating_sub(wanted);
            less += u128::from(*rows);
            let too_few = wanted.saturating_sub(less * whole);
            u64::try_from(too_many.max(too_few)).unwrap_or(u64::MAX)
        })
        .collect()
}

/// The most that one row moves a score.
pub(super) fn most_of_a_row(rank: Rank) -> u128 {
    u128::from(rank.ten_thousandths().max(Rank::WHOLE - rank.ten_thousandths()))
}

#[cfg(test)]
mod tests;
