//! A released table, built anew from the values that stay.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Array, Float64Array, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array, UInt64Array,
};
use arrow::compute::{SortColumn, cast, lexsort_to_indices, take};
use arrow::datatypes::{DataType, Field, Schema};
use cleanroom_policy::Step;
use datafusion::common::{Result, exec_datafusion_err};

use super::ReleasedTable;
use super::rules::CellTotals;
use crate::check::{Cell, CellKind, ReleasePoint};
use crate::compile;
use crate::fixed;

/// A sum, or any other number, and the count that it is an average over.
pub(crate) type Value = (i128, i64);

/// One group of a released table.
pub(crate) struct Row {
    /// Where its values stand among the keys; NULL in all columns where it is the remainder of small groups.
    pub(crate) key: Option<usize>,
    /// The planner's grouping id, where there are sets.
    pub(crate) grouping_id: Option<u64>,
    /// One for each cell of the release point; NULL where it is suppressed.
    pub(crate) values: Vec<Option<Value>>,
}

/// What a cell tells of rows of which it may be told.
pub(super) fn value(cell: &Cell, of_cell: &CellTotals) -> Option<Value> {
    match cell.kind {
        CellKind::Units => Some((i128::from(of_cell.contributors), 1)),
        CellKind::Rows => Some((i128::from(of_cell.count), 1)),
        CellKind::Sum | CellKind::Average => Some((of_cell.sum?, of_cell.count)).filter(|_value| of_cell.count > 0),
        // There are none without noise.
        CellKind::Quantile(_) => None,
    }
}

/// A released table of rows in the order of their groups' values, which no suppressed group has a part in.
pub(crate) fn table(release: &ReleasePoint, keys: &[&ArrayRef], rows: &[Row]) -> Result<ReleasedTable> {
    let places: UInt32Array = rows
        .iter()
        .map(|row| row.key.map(u32::try_from).transpose().map_err(|_many| exec_datafusion_err!("too many groups")))
        .collect::<Result<_>>()?;
    let mut groups = Vec::with_capacity(release.schema.fields().len());
    for (index, key) in keys.iter().enumerate() {
        groups.push(take(&cast(key, release.schema.field(index).data_type())?, &places, None)?);
    }
    if release.sets.is_some() {
        let ids: UInt64Array = rows.iter().map(|row| row.grouping_id).collect();
        groups.push(cast(&ids, release.schema.field(keys.len()).data_type())?);
    }
    let order = sorted(&groups, rows.len())?;
    let mut columns =
        groups.iter().map(|group| take(group, &order, None)).collect::<std::result::Result<Vec<ArrayRef>, _>>()?;
    for (index, cell) in release.cells.iter().enumerate() {
        let values: Vec<Option<Value>> = order
            .values()
            .iter()
            .map(|row| rows.get(*row as usize).and_then(|row| row.values.get(index).copied().flatten()))
            .collect();
        columns.push(self::values(&values, cell, release)?);
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

/// Numbers in ticks of a cell's scale as the values that are shown, rounded as the policies ask.
pub(crate) fn values(numbers: &[Option<Value>], cell: &Cell, release: &ReleasePoint) -> Result<ArrayRef> {
    let data_type = &cell.data_type;
    match cell.kind {
        CellKind::Units | CellKind::Rows => sums_as(numbers, 0, cell, release),
        CellKind::Sum => sums_as(numbers, compile::scale(cell, release)?, cell, release),
        CellKind::Average => averages(numbers, compile::scale(cell, release)?, cell, release),
        CellKind::Quantile(_) => {
            // A quantile has the type of the values, which is any type of number.
            let wide = match &cell.data_type {
                narrow if narrow.is_floating() => DataType::Float64,
                narrow if narrow.is_signed_integer() => DataType::Int64,
                narrow if narrow.is_unsigned_integer() => DataType::UInt64,
                DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) | DataType::Decimal256(_, scale) => {
                    DataType::Decimal128(38, *scale)
                }
                other => other.clone(),
            };
            let cell = Cell { data_type: wide, ..cell.clone() };
            let wide = sums_as(numbers, compile::scale(&cell, release)?, &cell, release)?;
            Ok(cast(&wide, data_type)?)
        }
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

fn sums_as(values: &[Option<Value>], scale: i8, cell: &Cell, release: &ReleasePoint) -> Result<ArrayRef> {
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

fn averages(values: &[Option<Value>], scale: i8, cell: &Cell, release: &ReleasePoint) -> Result<ArrayRef> {
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
