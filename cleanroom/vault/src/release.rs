//! [`ExactAggregate`] to [`ReleasedTable`]: floors per group and per cell, dominance, rounding. What is suppressed is not
//! copied: the table is built anew from the values that stay.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Decimal128Array, Float64Array, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array,
    UInt64Array,
};
use arrow::compute::{SortColumn, cast, lexsort_to_indices, take};
use arrow::datatypes::{DataType, Field, Schema};
use cleanroom_policy::Step;
use datafusion::common::{Result, exec_datafusion_err};

use crate::check::{Cell, CellKind, ReleasePoint};
use crate::compile::{self, UNITS, contributors_name, count_name, group_name, largest_name, mass_name, sum_name};
use crate::execute::ExactAggregate;
use crate::fixed;

/// The result of a release point as anyone may see it: positional columns `c0`, `c1`, ... in the order of the groups'
/// values, which no suppressed group has a part in.
pub(crate) struct ReleasedTable {
    batch: RecordBatch,
}

impl ReleasedTable {
    pub(crate) fn into_batch(self) -> RecordBatch {
        self.batch
    }
}

/// Applies the release rules.
pub(crate) fn release(exact: ExactAggregate) -> Result<ReleasedTable> {
    let (release, batch) = exact.into_parts();
    let units = whole(&batch, UNITS)?;
    let large: UInt32Array = (0..batch.num_rows())
        .filter(|row| at_least(&units, *row, release.floor))
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
        columns.push(cell_column(&batch, index, cell, &release, &rows)?);
    }
    let fields: Vec<Field> = columns
        .iter()
        .enumerate()
        .map(|(position, column)| Field::new(format!("c{position}"), column.data_type().clone(), true))
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?;
    Ok(ReleasedTable { batch })
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

fn cell_column(
    batch: &RecordBatch,
    index: usize,
    cell: &Cell,
    release: &ReleasePoint,
    rows: &[usize],
) -> Result<ArrayRef> {
    let contributors = whole(batch, &contributors_name(index))?;
    let counts = whole(batch, &count_name(index))?;
    let shown: Vec<Option<usize>> =
        rows.iter().map(|row| at_least(&contributors, *row, release.floor).then_some(*row)).collect();
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

fn at_least(array: &Int64Array, row: usize, floor: u64) -> bool {
    value_of(array, row).and_then(|value| u64::try_from(value).ok()).is_some_and(|value| value >= floor)
}
