//! Totals out of an exact aggregate's columns.

use arrow::array::{Array as _, ArrayRef, AsArray as _, Decimal128Array, Int64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type};
use datafusion::common::{Result, exec_datafusion_err};

use super::rules::{CellTotals, Totals, exceeds};
use crate::check::{CellKind, Floor, ReleasePoint};
use crate::compile::{
    self, UNITS, contributors_name, contributors_of_name, count_name, largest_count_name, largest_name, mass_name,
    present_name, sum_name,
};

/// The totals of each row of a plan of [`compile::release_plan`].
pub(super) fn of(release: &ReleasePoint, batch: &RecordBatch) -> Result<Vec<Totals>> {
    let units = whole(batch, UNITS)?;
    let present = (0..release.floors.len())
        .map(|floor| counted(release, floor, batch, &present_name(release, floor)))
        .collect::<Result<Vec<_>>>()?;
    let cells = (0..release.cells.len()).map(|index| Columns::of(release, batch, index)).collect::<Result<Vec<_>>>()?;
    Ok((0..batch.num_rows())
        .map(|row| Totals {
            units: number(&units, row),
            present: present.iter().map(|present| number(present, row)).collect(),
            cells: cells.iter().map(|cell| cell.totals(row, release.max_share())).collect(),
        })
        .collect())
}

/// One cell's columns.
struct Columns {
    contributors: Int64Array,
    branches: Vec<(usize, Int64Array)>,
    counts: Int64Array,
    largest_counts: Option<Int64Array>,
    sums: Option<Decimal128Array>,
    /// The largest sum of one unit, and all units' sums, without their signs.
    masses: Option<(Decimal128Array, Decimal128Array)>,
}

impl Columns {
    fn of(release: &ReleasePoint, batch: &RecordBatch, index: usize) -> Result<Self> {
        let kind = release.cells.get(index).map(|cell| cell.kind);
        let ruled = !release.dominance.is_empty();
        let adds = matches!(kind, Some(CellKind::Sum | CellKind::Average));
        let most = match kind {
            Some(CellKind::Rows) => Some(largest_name(index)),
            Some(CellKind::Average) => Some(largest_count_name(index)),
            Some(CellKind::Sum | CellKind::Units | CellKind::Quantile(_)) | None => None,
        };
        Ok(Self {
            contributors: whole(batch, &contributors_name(index))?,
            branches: compile::branches(release)
                .map(|floor| Ok((floor, counted(release, floor, batch, &contributors_of_name(index, floor))?)))
                .collect::<Result<_>>()?,
            counts: whole(batch, &count_name(index))?,
            largest_counts: most.filter(|_name| ruled).map(|name| whole(batch, &name)).transpose()?,
            sums: adds.then(|| decimal(batch, &sum_name(index))).transpose()?,
            masses: (ruled && adds)
                .then(|| {
                    Ok::<_, datafusion::error::DataFusionError>((
                        decimal(batch, &largest_name(index))?,
                        decimal(batch, &mass_name(index))?,
                    ))
                })
                .transpose()?,
        })
    }

    fn totals(&self, row: usize, max_share: Option<f64>) -> CellTotals {
        let count = value_of(&self.counts, row).unwrap_or(0);
        // What is not known is held by one.
        let dominated = |largest: Option<i128>, mass: Option<i128>| match (max_share, largest, mass) {
            (None, _, _) => false,
            (Some(share), Some(largest), Some(mass)) => exceeds(largest, mass, share),
            (Some(_), _, _) => true,
        };
        CellTotals {
            contributors: number(&self.contributors, row),
            branches: self.branches.iter().map(|(floor, of_it)| (*floor, number(of_it, row))).collect(),
            count,
            sum: self.sums.as_ref().and_then(|sums| decimal_of(sums, row)),
            count_dominated: self
                .largest_counts
                .as_ref()
                .is_some_and(|largest| dominated(value_of(largest, row).map(i128::from), Some(i128::from(count)))),
            sum_dominated: self
                .masses
                .as_ref()
                .is_some_and(|(largest, mass)| dominated(decimal_of(largest, row), decimal_of(mass, row))),
        }
    }
}

/// How many stand for a floor, in each row; nobody where nobody counts.
fn counted(release: &ReleasePoint, floor: usize, batch: &RecordBatch, name: &str) -> Result<Int64Array> {
    match release.floors.get(floor).is_some_and(Floor::is_idle) {
        true => Ok(Int64Array::new_null(batch.num_rows())),
        false => whole(batch, name),
    }
}

/// The one number of a check.
pub(crate) fn one_count(batch: &RecordBatch) -> Result<u64> {
    value_of(&whole(batch, UNITS)?, 0)
        .and_then(|count| u64::try_from(count).ok())
        .ok_or_else(|| exec_datafusion_err!("a check of unmatched rows has no result"))
}

pub(crate) fn column<'b>(batch: &'b RecordBatch, name: &str) -> Result<&'b ArrayRef> {
    batch.column_by_name(name).ok_or_else(|| exec_datafusion_err!("the exact aggregate lacks a column"))
}

pub(crate) fn whole(batch: &RecordBatch, name: &str) -> Result<Int64Array> {
    let array = cast(column(batch, name)?, &DataType::Int64)?;
    array
        .as_primitive_opt::<Int64Type>()
        .cloned()
        .ok_or_else(|| exec_datafusion_err!("a count of the exact aggregate is none"))
}

pub(crate) fn decimal(batch: &RecordBatch, name: &str) -> Result<Decimal128Array> {
    column(batch, name)?
        .as_primitive_opt::<Decimal128Type>()
        .cloned()
        .ok_or_else(|| exec_datafusion_err!("a sum of the exact aggregate is none"))
}

pub(crate) fn value_of(array: &Int64Array, row: usize) -> Option<i64> {
    (row < array.len() && array.is_valid(row)).then(|| array.value(row))
}

pub(crate) fn decimal_of(array: &Decimal128Array, row: usize) -> Option<i128> {
    (row < array.len() && array.is_valid(row)).then(|| array.value(row))
}

/// A count; none is 0.
fn number(array: &Int64Array, row: usize) -> u64 {
    value_of(array, row).and_then(|count| u64::try_from(count).ok()).unwrap_or(0)
}
