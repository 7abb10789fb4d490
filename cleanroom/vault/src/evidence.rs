//! What each unit has to do with each released number: the exact ground on which rules that look past totals are judged.
//!
//! A total tells how many units stand behind a cell; it does not tell which, so it cannot say what two cells leave when one
//! is taken from the other. Evidence is the plan per group and unit, read as a stream and kept within the memory that all
//! queries share.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, Decimal128Array, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, UInt32Type, UInt64Type};
use arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::session_state::SessionState;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionContext;
use futures::StreamExt as _;
use roaring::RoaringBitmap;

use crate::check::{CellKind, ReleasePoint};
use crate::compile::{
    self, GROUPING_ID, Shares, UNIT, contributors_of_name, count_name, floor_name, group_name, others_rows_name,
    rows_name, sum_name,
};
use crate::without;

/// Bytes that a group is reckoned to take beside its contributions.
const GROUP_BYTES: usize = 512;
/// Bytes that a unit is reckoned to take in each bitmap: two where it stands among many, more where it stands alone.
const UNIT_BYTES: usize = 4;

/// Every group of a release point, small ones too. It cannot be printed, copied or serialised.
pub(crate) struct Evidence {
    /// The groups' values, one array for each group expression, one row for each of `groups`; NULL where the group's set
    /// leaves the expression out.
    pub(crate) keys: Vec<ArrayRef>,
    pub(crate) groups: Vec<GroupEvidence>,
    /// Given back when the evidence is dropped.
    memory: MemoryReservation,
}

/// One group: who stands in it.
pub(crate) struct GroupEvidence {
    /// Which of the release point's grouping sets it is of; 0 where it has none.
    pub(crate) set: usize,
    pub(crate) units: RoaringBitmap,
    /// For each floor of the release point, the units with rows of its tables.
    pub(crate) present: Vec<RoaringBitmap>,
    /// For each floor of units to which an owner's rows make a difference, those that would stand here without them. Where
    /// there are only such, the group is none.
    pub(crate) staying: Vec<RoaringBitmap>,
    /// For each cell of the release point.
    pub(crate) cells: Vec<CellEvidence>,
}

/// Who has a part in one cell.
#[derive(Default)]
pub(crate) struct CellEvidence {
    /// The units that contribute.
    pub(crate) contributors: RoaringBitmap,
    /// One for each of them, by ascending unit; where a guard leaves others' rows out, one for each who would be one by those
    /// alone, too.
    pub(crate) contributions: Vec<Contribution>,
    /// For each floor that a cell meets by itself (see [`compile::branches`]), the units that contribute rows of its tables.
    pub(crate) branches: Vec<RoaringBitmap>,
    /// For each floor of units to which an owner's rows make a difference, those that would contribute without them.
    pub(crate) staying: Vec<RoaringBitmap>,
    /// What others' rows add to it by themselves, and which the contributions are without, where a guard leaves that out:
    /// values and their sum.
    pub(crate) known: (i64, i128),
}

/// One unit's part in one cell.
pub(crate) struct Contribution {
    pub(crate) unit: u32,
    /// Rows with a value, at least 1; without what others' rows add, any number.
    pub(crate) count: i64,
    /// Their sum, in ticks of the cell's scale; 0 for a cell that adds nothing up.
    pub(crate) sum: i128,
    /// A hash of those rows. Of a joined row it is the hash of all that was joined: the analyst's own rows, which the analyst
    /// can change at will, have a part in it. 0 for a count of units, to which it is all one by which rows they stand there.
    pub(crate) rows: u64,
    /// The same of other owners' rows alone, or of the analyst's own where there are no others.
    pub(crate) others: u64,
}

impl Contribution {
    /// Nothing yet.
    pub(crate) fn none(unit: u32) -> Self {
        Self { unit, count: 0, sum: 0, rows: 0, others: 0 }
    }

    /// Adds another part of the same unit, made of other rows.
    ///
    /// # Errors
    /// Where the sum leaves its type, which no admitted number of rows makes it do.
    pub(crate) fn add(&mut self, other: &Self) -> Result<()> {
        let too_large = || exec_datafusion_err!("a sum of the evidence is too large");
        self.count = self.count.checked_add(other.count).ok_or_else(too_large)?;
        self.sum = self.sum.checked_add(other.sum).ok_or_else(too_large)?;
        self.rows = self.rows.wrapping_add(other.rows);
        self.others = self.others.wrapping_add(other.others);
        Ok(())
    }
}

impl GroupEvidence {
    /// Bytes that it is reckoned to take.
    pub(crate) fn size(&self) -> usize {
        let contributions: usize = self.cells.iter().map(|cell| cell.contributions.len()).sum();
        let units = usize::try_from(self.units.len()).unwrap_or(usize::MAX);
        GROUP_BYTES
            .saturating_add(contributions.saturating_mul(size_of::<Contribution>() + UNIT_BYTES))
            .saturating_add(units.saturating_mul((1 + self.present.len()) * UNIT_BYTES))
    }
}

impl Evidence {
    /// Takes more of the queries' memory, until the evidence is dropped.
    ///
    /// # Errors
    /// `ResourcesExhausted` where it is not there.
    pub(crate) fn reserve(&self, bytes: usize) -> Result<()> {
        self.memory.try_grow(bytes)
    }

    /// Runs what the engine made of a plan of [`compile::unit_plan`] with evidence.
    ///
    /// # Errors
    /// The engine's, for the operator alone; `ResourcesExhausted` where the queries' memory does not hold it.
    pub(crate) async fn collect(
        state: &SessionState,
        release: &ReleasePoint,
        physical: Arc<dyn ExecutionPlan>,
    ) -> Result<Self> {
        let schema = physical.schema();
        let context = SessionContext::new_with_state(state.clone()).task_ctx();
        let memory = MemoryConsumer::new("evidence").register(context.memory_pool());
        let mut names: Vec<String> = (0..release.groups.len()).map(group_name).collect();
        names.extend(release.sets.as_ref().map(|_sets| GROUPING_ID.to_owned()));
        let fields = names
            .iter()
            .map(|name| Ok(SortField::new(schema.field_with_name(name)?.data_type().clone())))
            .collect::<Result<Vec<_>>>()?;
        let mut collector = Collector {
            release,
            names,
            converter: RowConverter::new(fields)?,
            known: HashMap::new(),
            order: Vec::new(),
            groups: Vec::new(),
            memory,
        };
        let mut stream = execute_stream(physical, context)?;
        while let Some(batch) = stream.next().await {
            collector.take(&batch?)?;
        }
        collector.finish()
    }
}

struct Collector<'r> {
    release: &'r ReleasePoint,
    /// Columns that tell groups apart.
    names: Vec<String>,
    converter: RowConverter,
    known: HashMap<OwnedRow, usize>,
    order: Vec<OwnedRow>,
    groups: Vec<GroupEvidence>,
    memory: MemoryReservation,
}

/// The columns of one cell in a batch.
struct CellColumns {
    counts: Int64Array,
    sums: Option<Decimal128Array>,
    rows: Int64Array,
    others: Int64Array,
    branches: Vec<(usize, Int64Array)>,
    staying: Vec<(usize, Int64Array)>,
    /// Values and sums of others' rows by themselves.
    known: Option<(Int64Array, Option<Decimal128Array>)>,
}

impl Collector<'_> {
    fn take(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let release = self.release;
        let keys = self.names.iter().map(|name| column(batch, name).cloned()).collect::<Result<Vec<_>>>()?;
        let keyed = if keys.is_empty() { None } else { Some(self.converter.convert_columns(&keys)?) };
        let either = without::unit_name(release, Shares::Evidence);
        let (units, here) = (units_of(column(batch, either)?)?, column(batch, UNIT)?);
        let present =
            marked(release).map(|floor| Ok((floor, column(batch, &floor_name(floor))?))).collect::<Result<Vec<_>>>()?;
        let staying = swayed(release)
            .map(|floor| Ok((floor, column(batch, &without::stays_name(floor))?)))
            .collect::<Result<Vec<_>>>()?;
        let cells = (0..release.cells.len()).map(|cell| self.cell_columns(batch, cell)).collect::<Result<Vec<_>>>()?;
        let per_row = (1 + release.floors.len()) * UNIT_BYTES
            + cells
                .iter()
                .map(|cell| size_of::<Contribution>() + (1 + cell.branches.len()) * UNIT_BYTES)
                .sum::<usize>();
        self.memory.try_grow(per_row * batch.num_rows())?;
        for (row, unit) in units.values().iter().enumerate() {
            let group = self.group(keyed.as_ref().map(|keyed| keyed.row(row).owned()))?;
            if here.is_valid(row) {
                group.units.insert(*unit);
            }
            for (floor, marker) in &present {
                if marker.is_valid(row)
                    && let Some(among) = group.present.get_mut(*floor)
                {
                    among.insert(*unit);
                }
            }
            for (floor, stays) in &staying {
                if stays.is_valid(row)
                    && let Some(among) = group.staying.get_mut(*floor)
                {
                    among.insert(*unit);
                }
            }
            for ((evidence, columns), cell) in group.cells.iter_mut().zip(&cells).zip(&release.cells) {
                for (floor, counts) in &columns.branches {
                    if number(counts, row) > 0
                        && let Some(among) = evidence.branches.get_mut(*floor)
                    {
                        among.insert(*unit);
                    }
                }
                for (floor, counts) in &columns.staying {
                    if number(counts, row) > 0
                        && let Some(among) = evidence.staying.get_mut(*floor)
                    {
                        among.insert(*unit);
                    }
                }
                let (count, sum) = (number(&columns.counts, row), ticks(columns.sums.as_ref(), row));
                let known = columns.known.as_ref();
                let known = known.map_or((0, 0), |(counts, sums)| (number(counts, row), ticks(sums.as_ref(), row)));
                if count <= 0 && known.0 <= 0 {
                    continue;
                }
                if count > 0 {
                    evidence.contributors.insert(*unit);
                }
                // Of a count of units it is all one by how many rows they stand there.
                let once = |count: i64| if cell.kind == CellKind::Units { count.min(1) } else { count };
                let (count, known) = match columns.known {
                    Some(_) => (once(count), (once(known.0), known.1)),
                    None => (count, known),
                };
                evidence.known.0 = evidence.known.0.saturating_add(known.0);
                evidence.known.1 = evidence.known.1.saturating_add(known.1);
                let (count, sum) = (count.saturating_sub(known.0), sum.saturating_sub(known.1));
                let hash = |ids: &Int64Array| if cell.kind == CellKind::Units { 0 } else { number(ids, row) as u64 };
                let (rows, others) = (hash(&columns.rows), hash(&columns.others));
                evidence.contributions.push(Contribution { unit: *unit, count, sum, rows, others });
            }
        }
        Ok(())
    }

    fn cell_columns(&self, batch: &RecordBatch, index: usize) -> Result<CellColumns> {
        let sums = match self.release.cells.get(index).map(|cell| cell.kind) {
            Some(CellKind::Sum | CellKind::Average) => Some(decimals(batch, &sum_name(index))?),
            Some(CellKind::Rows | CellKind::Units | CellKind::Quantile(_)) | None => None,
        };
        let rows = whole(batch, &rows_name(index))?;
        let others = match compile::own_and_others(self.release) {
            true => whole(batch, &others_rows_name(index))?,
            false => rows.clone(),
        };
        let branches = marked(self.release)
            .filter(|floor| compile::branches(self.release).contains(floor))
            .map(|floor| Ok((floor, whole(batch, &contributors_of_name(index, floor))?)))
            .collect::<Result<Vec<_>>>()?;
        let staying = swayed(self.release)
            .map(|floor| Ok((floor, whole(batch, &without::stays_in_name(index, floor))?)))
            .collect::<Result<Vec<_>>>()?;
        let known = match self.release.guarded {
            Some(_) => {
                let counts = whole(batch, &without::known_count_name(index))?;
                let sums = sums.as_ref().map(|_sums| decimals(batch, &without::known_sum_name(index))).transpose()?;
                Some((counts, sums))
            }
            None => None,
        };
        Ok(CellColumns { counts: whole(batch, &count_name(index))?, sums, rows, others, branches, staying, known })
    }

    /// The group of a key; all rows are of one where there is none.
    fn group(&mut self, key: Option<OwnedRow>) -> Result<&mut GroupEvidence> {
        let index = match &key {
            Some(key) => self.known.get(key).copied().unwrap_or(self.groups.len()),
            None => 0,
        };
        if index == self.groups.len() {
            let size = key.as_ref().map_or(0, |key| 2 * key.as_ref().len());
            self.memory.try_grow(GROUP_BYTES + size)?;
            let branches = compile::branches(self.release).count();
            let cell = || CellEvidence {
                contributors: RoaringBitmap::new(),
                contributions: Vec::new(),
                branches: std::iter::repeat_with(RoaringBitmap::new).take(branches).collect(),
                staying: std::iter::repeat_with(RoaringBitmap::new).take(branches).collect(),
                known: (0, 0),
            };
            self.groups.push(GroupEvidence {
                set: 0,
                units: RoaringBitmap::new(),
                present: std::iter::repeat_with(RoaringBitmap::new).take(self.release.floors.len()).collect(),
                staying: std::iter::repeat_with(RoaringBitmap::new).take(self.release.floors.len()).collect(),
                cells: std::iter::repeat_with(cell).take(self.release.cells.len()).collect(),
            });
            if let Some(key) = key {
                self.order.push(key.clone());
                self.known.insert(key, index);
            }
        }
        self.groups.get_mut(index).ok_or_else(|| exec_datafusion_err!("a group of the evidence is missing"))
    }

    fn finish(self) -> Result<Evidence> {
        let Self { release, converter, known, order, groups, memory, .. } = self;
        drop(known);
        // In the order of their values, whatever order the engine came upon them in.
        let (order, mut groups) = if order.is_empty() {
            (order, groups)
        } else {
            let mut keyed: Vec<(OwnedRow, GroupEvidence)> = order.into_iter().zip(groups).collect();
            keyed.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
            keyed.into_iter().unzip()
        };
        let mut keys = match order.is_empty() {
            true => Vec::new(),
            false => converter.convert_rows(order.iter().map(OwnedRow::row))?,
        };
        drop(order);
        if let Some(sets) = &release.sets
            && let Some(ids) = keys.pop()
        {
            let ids = cast(&ids, &DataType::UInt64)?;
            for (group, id) in groups.iter_mut().zip(ids.as_primitive::<UInt64Type>().values()) {
                let planned = compile::planned_grouping_id(release, *id);
                group.set = sets
                    .iter()
                    .position(|set| compile::grouping_id_of(release, set) == planned)
                    .ok_or_else(|| exec_datafusion_err!("a group is of no grouping set"))?;
            }
        }
        for cell in groups.iter_mut().flat_map(|group| &mut group.cells) {
            cell.contributions.sort_unstable_by_key(|contribution| contribution.unit);
        }
        Ok(Evidence { keys, groups, memory })
    }
}

fn column<'b>(batch: &'b RecordBatch, name: &str) -> Result<&'b ArrayRef> {
    batch.column_by_name(name).ok_or_else(|| exec_datafusion_err!("the evidence lacks a column"))
}

fn whole(batch: &RecordBatch, name: &str) -> Result<Int64Array> {
    column(batch, name)?
        .as_primitive_opt::<Int64Type>()
        .cloned()
        .ok_or_else(|| exec_datafusion_err!("a count of the evidence is none"))
}

fn decimals(batch: &RecordBatch, name: &str) -> Result<Decimal128Array> {
    let sums = column(batch, name)?.as_primitive_opt::<Decimal128Type>().cloned();
    sums.ok_or_else(|| exec_datafusion_err!("a unit's sum is none"))
}

/// Floors of which the rows of the evidence say who stands for them.
fn marked(release: &ReleasePoint) -> impl Iterator<Item = usize> {
    compile::present(release).map(|(floor, _present)| floor).chain(swayed(release))
}

/// Floors of units to which an owner's rows make a difference, where those are counted.
fn swayed(release: &ReleasePoint) -> impl Iterator<Item = usize> {
    let floors = release.floors.iter().enumerate();
    floors.filter(|(_index, floor)| floor.sway().is_some_and(|sway| sway.wanted)).map(|(index, _floor)| index)
}

fn units_of(column: &ArrayRef) -> Result<UInt32Array> {
    match column.as_primitive_opt::<UInt32Type>() {
        Some(units) if units.null_count() == 0 => Ok(units.clone()),
        Some(_) | None => Err(exec_datafusion_err!("a unit of the evidence is none")),
    }
}

/// NULL is 0: nothing was added up.
fn ticks(sums: Option<&Decimal128Array>, row: usize) -> i128 {
    sums.filter(|sums| sums.is_valid(row)).map_or(0, |sums| sums.value(row))
}

/// NULL is 0: no row was counted or added up.
fn number(array: &Int64Array, row: usize) -> i64 {
    if array.is_valid(row) { array.value(row) } else { 0 }
}

#[cfg(test)]
mod tests;
