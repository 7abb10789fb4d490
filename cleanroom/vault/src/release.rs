//! [`ExactAggregate`] to [`ReleasedTable`]: floors per group and per cell, dominance, rounding. What is suppressed is not
//! copied: the table is built anew from the values that stay.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray as _, Decimal128Array, Float64Array, Int64Array, RecordBatch, RecordBatchOptions,
    UInt32Array, UInt64Array,
};
use arrow::compute::{SortColumn, cast, lexsort_to_indices, take};
use arrow::datatypes::{DataType, Field, Schema, UInt64Type};
use cleanroom_policy::Step;
use datafusion::common::{Result, exec_datafusion_err};

use crate::check::{Cell, CellKind, FloorKind, ReleasePoint};
use crate::compile::{
    self, GROUPING_ID, UNITS, contributors_name, contributors_of_name, count_name, floor_name, group_name,
    largest_name, mass_name, sum_name,
};
use crate::execute::ExactAggregate;
use crate::fixed;
use crate::guard::Held;

/// The result of a release point as anyone may see it: positional columns `c0`, `c1`, ... in the order of the groups'
/// values, which no suppressed group has a part in.
pub(crate) struct ReleasedTable {
    batch: RecordBatch,
}

impl ReleasedTable {
    /// The rows of a table that stay as they were decided on, or stand for others that were released before.
    pub(crate) fn of(batch: RecordBatch) -> Self {
        Self { batch }
    }

    pub(crate) fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    pub(crate) fn into_batch(self) -> RecordBatch {
        self.batch
    }
}

/// Applies the release rules, but for those that look at other answers.
pub(crate) fn release(exact: ExactAggregate) -> Result<Held> {
    let (release, batch, matching, evidence) = exact.into_parts();
    let standing = Standing::of(&release, &batch, &matching)?;
    let large: UInt32Array = (0..batch.num_rows())
        .filter(|row| standing.stands(*row))
        .filter_map(|row| u32::try_from(row).ok())
        .collect::<Vec<u32>>()
        .into();
    let groups = (0..release.groups.len())
        .map(|index| {
            let column = column(&batch, &group_name(index))?;
            let wanted = release.schema.field(index).data_type();
            Ok(take(&cast(column, wanted)?, &large, None)?)
        })
        .collect::<Result<Vec<ArrayRef>>>()?;
    let mut groups = groups;
    if release.sets.is_some() {
        let ids = cast(column(&batch, GROUPING_ID)?, &DataType::UInt64)?;
        let ids = ids.as_primitive::<UInt64Type>();
        let planned: UInt64Array =
            large.values().iter().map(|row| compile::planned_grouping_id(&release, ids.value(*row as usize))).collect();
        groups.push(cast(&planned, release.schema.field(release.groups.len()).data_type())?);
    }
    let order = sorted(&groups, large.len())?;
    let rows: Vec<usize> = order
        .values()
        .iter()
        .filter_map(|position| large.values().get(usize::try_from(*position).ok()?))
        .filter_map(|row| usize::try_from(*row).ok())
        .collect();

    let mut columns =
        groups.iter().map(|group| take(group, &order, None)).collect::<std::result::Result<Vec<ArrayRef>, _>>()?;
    for (index, cell) in release.cells.iter().enumerate() {
        columns.push(cell_column(&batch, (index, cell), &release, &standing, &rows)?);
    }
    let fields: Vec<Field> = columns
        .iter()
        .enumerate()
        .map(|(position, column)| Field::new(format!("c{position}"), column.data_type().clone(), true))
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?;
    Ok(Held { release, table: ReleasedTable { batch }, evidence })
}

/// Numbers as a cell's values: sums in ticks of its scale with what they are divided by for an average, rounded as its
/// policies ask.
pub(crate) fn values(numbers: &[Option<(i128, i64)>], cell: &Cell, release: &ReleasePoint) -> Result<ArrayRef> {
    match cell.kind {
        CellKind::Units | CellKind::Rows => sums_as(numbers, 0, cell, release),
        CellKind::Sum => sums_as(numbers, compile::scale(cell, release)?, cell, release),
        CellKind::Average => averages(numbers, compile::scale(cell, release)?, cell, release),
    }
}

fn sorted(groups: &[ArrayRef], rows: usize) -> Result<UInt32Array> {
    if groups.is_empty() {
        let rows = u32::try_from(rows).map_err(|_too_many| exec_datafusion_err!("too many groups"))?;
        return Ok((0..rows).collect::<Vec<u32>>().into());
    }
    let columns: Vec<SortColumn> =
        groups.iter().map(|group| SortColumn { values: Arc::clone(group), options: None }).collect();
    Ok(lexsort_to_indices(&columns, None)?)
}

/// Which groups stand: whose units are how many in them.
struct Standing<'r> {
    release: &'r ReleasePoint,
    units: Int64Array,
    /// For each floor, the units of its tables.
    present: Vec<Int64Array>,
    /// Enough units match, or do not need to.
    matched: bool,
    /// The same for each floor.
    floors_matched: Vec<bool>,
}

impl<'r> Standing<'r> {
    fn of(release: &'r ReleasePoint, batch: &RecordBatch, matching: &[u64]) -> Result<Self> {
        let mut matching = matching.iter();
        let mut met = |least: u64| {
            matching
                .next()
                .map(|matching| *matching >= least)
                .ok_or_else(|| exec_datafusion_err!("a check of unmatched rows was not made"))
        };
        let mut matched = true;
        for check in &release.checks {
            matched &= met(check.least)?;
        }
        let mut floors_matched = Vec::with_capacity(release.floors.len());
        for floor in &release.floors {
            floors_matched.push(match &floor.kind {
                FloorKind::Flagged(check) => met(check.least)?,
                FloorKind::Matched | FloorKind::Branch | FloorKind::Tagged => true,
            });
        }
        let present =
            (0..release.floors.len()).map(|floor| whole(batch, &floor_name(floor))).collect::<Result<Vec<_>>>()?;
        Ok(Self { release, units: whole(batch, UNITS)?, present, matched, floors_matched })
    }

    /// Every owner's floor is met in the group: by units that stand in it or, where the question itself asks for unmatched
    /// rows, by those that have no match.
    fn stands(&self, row: usize) -> bool {
        if !self.matched || !at_least(&self.units, row, self.release.floor) {
            return false;
        }
        self.release.floors.iter().zip(&self.present).zip(&self.floors_matched).all(|((floor, present), matched)| {
            if at_least(present, row, floor.least) {
                return true;
            }
            let none = value_of(present, row) == Some(0);
            match floor.kind {
                FloorKind::Matched | FloorKind::Branch => false,
                FloorKind::Flagged(_) => none && *matched && at_least(&self.units, row, floor.least),
                FloorKind::Tagged => none,
            }
        })
    }

    /// Whether units without a match, who are told by a count of all beside a count of those that match, are none or enough.
    fn hides_unmatched(&self, row: usize, floor: usize) -> bool {
        let (Some(floor), Some(present)) = (self.release.floors.get(floor), self.present.get(floor)) else {
            return false;
        };
        match floor.kind {
            FloorKind::Matched => match (value_of(&self.units, row), value_of(present, row)) {
                (Some(units), Some(present)) => {
                    u64::try_from(units - present).is_ok_and(|unmatched| unmatched == 0 || unmatched >= floor.least)
                }
                _ => false,
            },
            FloorKind::Flagged(_) | FloorKind::Branch | FloorKind::Tagged => true,
        }
    }
}

fn cell_column(
    batch: &RecordBatch,
    (index, cell): (usize, &Cell),
    release: &ReleasePoint,
    standing: &Standing<'_>,
    rows: &[usize],
) -> Result<ArrayRef> {
    let contributors = whole(batch, &contributors_name(index))?;
    let counts = whole(batch, &count_name(index))?;
    let of_branches = compile::branches(release)
        .map(|floor| Ok((floor, whole(batch, &contributors_of_name(index, floor))?)))
        .collect::<Result<Vec<_>>>()?;
    let counting = matches!(cell.kind, CellKind::Units | CellKind::Rows);
    let floor_of_cell = release.floor_of(cell);
    let shows = |row: usize| {
        at_least(&contributors, row, floor_of_cell)
            && of_branches.iter().all(|(floor, contributors)| {
                let Some(floor) = release.floors.get(*floor) else { return false };
                at_least(contributors, row, floor.least)
                    || (matches!(floor.kind, FloorKind::Tagged) && value_of(contributors, row) == Some(0))
            })
            && (!counting || cell.floors.iter().all(|floor| standing.hides_unmatched(row, *floor)))
    };
    let shown: Vec<Option<usize>> = rows.iter().map(|row| shows(*row).then_some(*row)).collect();
    match cell.kind {
        CellKind::Units => {
            numbers(shown.iter().map(|row| value_of(&contributors, (*row)?).map(i128::from)), cell, release)
        }
        CellKind::Rows => {
            let largest = release.max_share.map(|_share| whole(batch, &largest_name(index))).transpose()?;
            numbers(
                shown.iter().map(|row| {
                    let row = (*row)?;
                    let count = i128::from(value_of(&counts, row)?);
                    let largest = match &largest {
                        Some(largest) => Some(i128::from(value_of(largest, row)?)),
                        None => None,
                    };
                    (!dominated(largest, count, release.max_share)).then_some(count)
                }),
                cell,
                release,
            )
        }
        CellKind::Sum | CellKind::Average => {
            let sums = decimal(batch, &sum_name(index))?;
            let dominance = release
                .max_share
                .map(|_share| {
                    Ok::<_, datafusion::error::DataFusionError>((
                        decimal(batch, &largest_name(index))?,
                        decimal(batch, &mass_name(index))?,
                    ))
                })
                .transpose()?;
            let scale = compile::scale(cell, release)?;
            let kept: Vec<Option<(i128, i64)>> = shown
                .iter()
                .map(|row| {
                    let row = (*row)?;
                    let (sum, count) = (decimal_of(&sums, row)?, value_of(&counts, row)?);
                    let hidden = match &dominance {
                        Some((largest, mass)) => {
                            dominated(Some(decimal_of(largest, row)?), decimal_of(mass, row)?, release.max_share)
                        }
                        None => false,
                    };
                    (!hidden && count > 0).then_some((sum, count))
                })
                .collect();
            if cell.kind == CellKind::Sum {
                sums_as(&kept, scale, cell, release)
            } else {
                averages(&kept, scale, cell, release)
            }
        }
    }
}

/// Whether the largest contributor holds more of the mass than the policy's share.
fn dominated(largest: Option<i128>, mass: i128, max_share: Option<f64>) -> bool {
    match (largest, max_share) {
        #[expect(clippy::cast_precision_loss, reason = "a share is no finer than floating point")]
        (Some(largest), Some(share)) => largest as f64 > share * mass as f64,
        _ => false,
    }
}

fn numbers(values: impl Iterator<Item = Option<i128>>, cell: &Cell, release: &ReleasePoint) -> Result<ArrayRef> {
    let values: Vec<Option<(i128, i64)>> = values.map(|value| value.map(|value| (value, 1))).collect();
    sums_as(&values, 0, cell, release)
}

fn sums_as(values: &[Option<(i128, i64)>], scale: i8, cell: &Cell, release: &ReleasePoint) -> Result<ArrayRef> {
    let rounds = &release.round_to;
    Ok(match &cell.data_type {
        DataType::Float64 => Arc::new(
            values
                .iter()
                .map(|value| value.map(|(sum, _count)| rounded(fixed::to_f64(sum, scale), rounds)))
                .collect::<Float64Array>(),
        ),
        DataType::Int64 => Arc::new(
            values
                .iter()
                .map(|value| {
                    let (sum, _count) = (*value)?;
                    i64::try_from(rounded_whole(sum, rounds)).ok()
                })
                .collect::<Int64Array>(),
        ),
        DataType::UInt64 => Arc::new(
            values
                .iter()
                .map(|value| {
                    let (sum, _count) = (*value)?;
                    u64::try_from(rounded_whole(sum, rounds)).ok()
                })
                .collect::<UInt64Array>(),
        ),
        DataType::Decimal128(precision, out_scale) => {
            let shift = power_of_ten(i32::from(*out_scale) - i32::from(scale))?;
            let decimals: Decimal128Array = values
                .iter()
                .map(|value| {
                    let (sum, _count) = (*value)?;
                    rounded_decimal(sum.checked_mul(shift)?, *out_scale, rounds)
                })
                .collect();
            Arc::new(decimals.with_precision_and_scale(*precision, *out_scale)?)
        }
        other => return Err(exec_datafusion_err!("a sum of type {other}")),
    })
}

fn averages(values: &[Option<(i128, i64)>], scale: i8, cell: &Cell, release: &ReleasePoint) -> Result<ArrayRef> {
    let rounds = &release.round_to;
    Ok(match &cell.data_type {
        DataType::Float64 => Arc::new(
            values
                .iter()
                .map(|value| {
                    value.map(|(sum, count)| {
                        #[expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^53")]
                        let count = count as f64;
                        rounded(fixed::to_f64(sum, scale) / count, rounds)
                    })
                })
                .collect::<Float64Array>(),
        ),
        DataType::Decimal128(precision, out_scale) => {
            let shift = power_of_ten(i32::from(*out_scale) - i32::from(scale))?;
            let decimals: Decimal128Array = values
                .iter()
                .map(|value| {
                    let (sum, count) = (*value)?;
                    rounded_decimal(sum.checked_mul(shift)?.checked_div(i128::from(count))?, *out_scale, rounds)
                })
                .collect();
            Arc::new(decimals.with_precision_and_scale(*precision, *out_scale)?)
        }
        other => return Err(exec_datafusion_err!("an average of type {other}")),
    })
}

fn power_of_ten(exponent: i32) -> Result<i128> {
    u32::try_from(exponent)
        .ok()
        .and_then(|exponent| 10_i128.checked_pow(exponent))
        .ok_or_else(|| exec_datafusion_err!("a decimal lost places"))
}

fn rounded(value: f64, steps: &[Step]) -> f64 {
    steps.iter().fold(value, |value, step| {
        let power = 10_f64.powi(i32::from(step.scale));
        #[expect(clippy::cast_precision_loss, reason = "a step has few digits")]
        let mantissa = step.mantissa as f64;
        (value * power / mantissa).round() * mantissa / power
    })
}

fn rounded_whole(value: i128, steps: &[Step]) -> i128 {
    rounded_decimal(value, 0, steps).unwrap_or(value)
}

/// Rounds `value * 10^-scale` to the nearest multiple of each step, half away from zero; `None` where that overflows.
fn rounded_decimal(value: i128, scale: i8, steps: &[Step]) -> Option<i128> {
    steps.iter().try_fold(value, |value, step| {
        let places = i32::from(scale) - i32::from(step.scale);
        if places < 0 {
            // Finer than the value's own places: what is left of the step decides only where it is a whole multiple.
            let coarse = i128::from(step.mantissa) / 10_i128.checked_pow(u32::try_from(-places).ok()?)?;
            return if coarse > 1 { nearest(value, coarse) } else { Some(value) };
        }
        nearest(value, i128::from(step.mantissa).checked_mul(10_i128.checked_pow(u32::try_from(places).ok()?)?)?)
    })
}

fn nearest(value: i128, step: i128) -> Option<i128> {
    let half = step.checked_div(2)?;
    let moved = if value < 0 { value.checked_sub(half)? } else { value.checked_add(half)? };
    moved.checked_div(step)?.checked_mul(step)
}

fn column<'b>(batch: &'b RecordBatch, name: &str) -> Result<&'b ArrayRef> {
    batch.column_by_name(name).ok_or_else(|| exec_datafusion_err!("the exact aggregate lacks a column"))
}

fn whole(batch: &RecordBatch, name: &str) -> Result<Int64Array> {
    let array = cast(column(batch, name)?, &DataType::Int64)?;
    array
        .as_any()
        .downcast_ref::<Int64Array>()
        .cloned()
        .ok_or_else(|| exec_datafusion_err!("a count of the exact aggregate is none"))
}

fn decimal(batch: &RecordBatch, name: &str) -> Result<Decimal128Array> {
    column(batch, name)?
        .as_any()
        .downcast_ref::<Decimal128Array>()
        .cloned()
        .ok_or_else(|| exec_datafusion_err!("a sum of the exact aggregate is none"))
}

fn value_of(array: &Int64Array, row: usize) -> Option<i64> {
    (row < array.len() && array.is_valid(row)).then(|| array.value(row))
}

fn decimal_of(array: &Decimal128Array, row: usize) -> Option<i128> {
    (row < array.len() && array.is_valid(row)).then(|| array.value(row))
}

/// The one number of a check.
pub(crate) fn one_count(batch: &RecordBatch) -> Result<u64> {
    value_of(&whole(batch, UNITS)?, 0)
        .and_then(|count| u64::try_from(count).ok())
        .ok_or_else(|| exec_datafusion_err!("a check of unmatched rows has no result"))
}

fn at_least(array: &Int64Array, row: usize, floor: u64) -> bool {
    value_of(array, row).and_then(|value| u64::try_from(value).ok()).is_some_and(|value| value >= floor)
}
