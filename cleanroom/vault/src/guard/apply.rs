//! Decides on every number of released tables, and puts earlier ones in the place of those that come too close to them.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray as _, BooleanArray, RecordBatch};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, UInt64Type};
use arrow::row::{OwnedRow, RowConverter, SortField};
use cleanroom_registry::CellCap;
use datafusion::common::{DataFusionError, Result, exec_datafusion_err};

use super::audience;
use super::decide::{Border, Verdict};
use super::span::Span;
use super::vector::{Subject, Vector};
use crate::check::{Cell, CellKind, GuardRule, ReleasePoint};
use crate::compile;
use crate::evidence::{CellEvidence, Evidence};
use crate::execute::Behind;
use crate::release::{self, ReleasedTable};

/// A release point as all other rules leave it.
pub(crate) struct Held {
    pub(crate) release: ReleasePoint,
    pub(crate) table: ReleasedTable,
    pub(crate) behind: Behind,
}

impl Held {
    /// Whether any rule applies to it that looks further than its own numbers.
    pub(super) fn is_ruled(&self) -> bool {
        let release = &self.release;
        release.guard.is_some() || release.audience.is_some() || !release.caps.is_empty()
    }
}

/// What may be shown, and what of it was not shown before.
pub(super) struct Decided {
    pub(super) tables: Vec<ReleasedTable>,
    pub(super) new: Vec<Arc<Vector>>,
    pub(super) caps: Vec<CellCap>,
}

/// Decides on all cells in the order of the answer: of two that come too close to each other, the first is shown.
pub(super) fn apply(held: &[Held], span: &mut Span, mut caps: Vec<CellCap>, border: &Border) -> Result<Decided> {
    let released = span.len();
    let mut deciding = Deciding { span, border };
    let mut tables = Vec::with_capacity(held.len());
    for one in held {
        let batch = &audience::apply(one)?;
        let (batch, before) = match (&one.release.guard, &one.behind.evidence) {
            (Some(rule), Some(evidence)) => deciding.table(&one.release, rule, evidence, batch)?,
            (Some(_), None) => return Err(exec_datafusion_err!("a guarded number has no evidence")),
            (None, _) => (batch.clone(), Vec::new()),
        };
        let batch = capped(&one.release, batch, &mut caps)?;
        if let Some(cut) = before.get(batch.num_rows()) {
            deciding.span.truncate(*cut);
        }
        tables.push(ReleasedTable::of(batch));
    }
    Ok(Decided { tables, new: span.since(released), caps })
}

/// The rows up to the first that would bring a table's released cells above its cap. That follows from released cells alone.
fn capped(release: &ReleasePoint, batch: RecordBatch, caps: &mut [CellCap]) -> Result<RecordBatch> {
    let mut of: Vec<&mut CellCap> = caps
        .iter_mut()
        .filter(|cap| release.caps.iter().any(|(table, version, _cap)| (table, *version) == (&cap.table, cap.version)))
        .collect();
    if of.is_empty() {
        return Ok(batch);
    }
    let cells = batch.columns().iter().skip(groups_of(release)).collect::<Vec<_>>();
    let mut shown = 0;
    for row in 0..batch.num_rows() {
        let more = cells.iter().filter(|cell| cell.is_valid(row)).count() as u64;
        if of.iter().any(|cap| cap.seen.saturating_add(cap.adds).saturating_add(more) > cap.cap) {
            break;
        }
        for cap in &mut of {
            cap.adds = cap.adds.saturating_add(more);
        }
        shown = row + 1;
    }
    Ok(batch.slice(0, shown))
}

/// Columns before the cells.
fn groups_of(release: &ReleasePoint) -> usize {
    release.groups.len() + usize::from(release.sets.is_some())
}

/// What stands in the place of a number.
enum Shown {
    Own,
    /// The sum and the count that an average is of; a count of 1 for anything else.
    Earlier(i128, i64),
    /// The group is not shown.
    Nothing,
}

struct Deciding<'b> {
    span: &'b mut Span,
    border: &'b Border,
}

impl Deciding<'_> {
    /// The rows that may be shown, and for each how many numbers were released before it.
    fn table(
        &mut self,
        release: &ReleasePoint,
        rule: &GuardRule,
        evidence: &Evidence,
        batch: &RecordBatch,
    ) -> Result<(RecordBatch, Vec<usize>)> {
        let places = places(release, evidence, batch)?;
        let mut kept = vec![true; batch.num_rows()];
        let mut earlier: Vec<Vec<Option<(i128, i64)>>> =
            release.cells.iter().map(|_cell| vec![None; batch.num_rows()]).collect();
        let mut before = Vec::with_capacity(batch.num_rows());
        for (row, (place, kept)) in places.iter().zip(&mut kept).enumerate() {
            let mark = self.span.len();
            let group = place.and_then(|place| evidence.groups.get(place));
            for (index, (cell, earlier)) in release.cells.iter().zip(&mut earlier).enumerate() {
                if !batch.columns().get(groups_of(release) + index).is_some_and(|column| column.is_valid(row)) {
                    continue;
                }
                let shown = match group.and_then(|group| group.cells.get(index)) {
                    Some(behind) => self.cell(release, rule, cell, behind)?,
                    None => Shown::Nothing,
                };
                match shown {
                    Shown::Own => {}
                    Shown::Earlier(sum, count) => {
                        if let Some(earlier) = earlier.get_mut(row) {
                            *earlier = Some((sum, count));
                        }
                    }
                    Shown::Nothing => *kept = false,
                }
            }
            if *kept {
                before.push(mark);
            } else {
                // What is not shown bounds nothing.
                self.span.truncate(mark);
            }
        }
        let mut columns: Vec<ArrayRef> = batch.columns().iter().take(groups_of(release)).map(Arc::clone).collect();
        for ((cell, earlier), column) in
            release.cells.iter().zip(&earlier).zip(batch.columns().iter().skip(groups_of(release)))
        {
            if earlier.iter().all(Option::is_none) {
                columns.push(Arc::clone(column));
                continue;
            }
            let replaced: BooleanArray = earlier.iter().map(|earlier| Some(earlier.is_some())).collect();
            let values = release::values(earlier, cell, release)?;
            columns.push(zip(&replaced, &values, column)?);
        }
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let batch = RecordBatch::try_new_with_options(batch.schema(), columns, &options)?;
        Ok((filter_record_batch(&batch, &BooleanArray::from(kept))?, before))
    }

    /// One number. An average is two, a sum and a count, for whoever has one of them has the other.
    fn cell(&mut self, release: &ReleasePoint, rule: &GuardRule, cell: &Cell, behind: &CellEvidence) -> Result<Shown> {
        let shares = &behind.contributions;
        let floor = release.floor_of(cell);
        let counts = || shares.iter().map(|share| (share.unit, i128::from(share.count)));
        let sums = || shares.iter().map(|share| (share.unit, share.sum));
        // What others' rows add by themselves is added again.
        let (known_count, known_sum) = (i128::from(behind.known.0), behind.known.1);
        Ok(match cell.kind {
            CellKind::Units => {
                // Where others' rows are left out, somebody may be one less without being one more.
                let units = shares.iter().map(|share| {
                    let share_of_it = if release.guarded.is_some() { i128::from(share.count) } else { 1 };
                    (share.unit, share_of_it)
                });
                single(self.number(rule, units, 0, floor)?, known_count)
            }
            // There are none without noise.
            CellKind::Quantile(_) => Shown::Nothing,
            CellKind::Rows => single(self.number(rule, counts(), 0, floor)?, known_count),
            CellKind::Sum => single(self.number(rule, sums(), compile::scale(cell, release)?, floor)?, known_sum),
            CellKind::Average => {
                let sum = self.number(rule, sums(), compile::scale(cell, release)?, floor)?;
                let count = self.number(rule, counts(), 0, floor)?;
                match (sum, count) {
                    (Number::Own(_), Number::Own(_)) => Shown::Own,
                    (Number::Own(sum) | Number::Earlier(sum), Number::Own(count) | Number::Earlier(count)) => {
                        match (i64::try_from(count.saturating_add(known_count)), sum.checked_add(known_sum)) {
                            (Ok(count), Some(sum)) if count > 0 => Shown::Earlier(sum, count),
                            _ => Shown::Nothing,
                        }
                    }
                    (Number::Suppressed, _) | (_, Number::Suppressed) => Shown::Nothing,
                }
            }
        })
    }

    fn number(
        &mut self,
        rule: &GuardRule,
        shares: impl Iterator<Item = (u32, i128)>,
        scale: i8,
        floor: u64,
    ) -> Result<Number> {
        let owners = rule.owners.iter().map(ToString::to_string).collect();
        let subject = Subject { space: rule.space.as_str(), owners, difference: rule.difference };
        let new = Arc::new(Vector::of(subject, shares, scale));
        let own = new.facts.total.checked_mul(new.facts.factor).and_then(|own| at((own, 1), new.facts.scale, scale));
        Ok(match self.span.decide(&new, floor, self.border).map_err(unreadable)? {
            Verdict::Own => own.map_or(Number::Suppressed, Number::Own),
            Verdict::Follows { ticks, of, scale: from } => {
                at((ticks, of), from, scale).map_or(Number::Suppressed, Number::Earlier)
            }
            Verdict::Suppressed => Number::Suppressed,
        })
    }
}

/// A number in ticks of the cell's scale.
enum Number {
    Own(i128),
    Earlier(i128),
    Suppressed,
}

fn single(number: Number, known: i128) -> Shown {
    match number {
        Number::Own(_) => Shown::Own,
        Number::Earlier(ticks) => ticks.checked_add(known).map_or(Shown::Nothing, |ticks| Shown::Earlier(ticks, 1)),
        Number::Suppressed => Shown::Nothing,
    }
}

/// Ticks, divided by a number, of one scale in ticks of another: the nearest, half away from zero.
fn at((ticks, of): (i128, i128), from: i8, to: i8) -> Option<i128> {
    let power = 10_i128.checked_pow(u32::from(from.abs_diff(to)))?;
    let (ticks, of) = if to >= from { (ticks.checked_mul(power)?, of) } else { (ticks, of.checked_mul(power)?) };
    let half = of.checked_div(2)?;
    let moved = if ticks < 0 { ticks.checked_sub(half)? } else { ticks.checked_add(half)? };
    moved.checked_div(of)
}

/// The engine's error for a set that cannot be read; it holds nothing of it.
pub(super) fn unreadable(error: io::Error) -> DataFusionError {
    DataFusionError::IoError(error.kind().into())
}

/// The group of the evidence behind each row.
pub(super) fn places(release: &ReleasePoint, evidence: &Evidence, batch: &RecordBatch) -> Result<Vec<Option<usize>>> {
    if groups_of(release) == 0 {
        return Ok(vec![Some(0); batch.num_rows()]);
    }
    let groups: Vec<ArrayRef> = batch.columns().iter().take(release.groups.len()).map(Arc::clone).collect();
    let keys = evidence
        .keys
        .iter()
        .zip(&groups)
        .map(|(key, group)| Ok(cast(key, group.data_type())?))
        .collect::<Result<Vec<ArrayRef>>>()?;
    let converter = RowConverter::new(groups.iter().map(|group| SortField::new(group.data_type().clone())).collect())?;
    let rows_of = |columns: &[ArrayRef], rows: usize| -> Result<Vec<Option<OwnedRow>>> {
        if columns.is_empty() {
            return Ok(vec![None; rows]);
        }
        Ok(converter.convert_columns(columns)?.iter().map(|row| Some(row.owned())).collect())
    };
    let ids: Vec<u64> = match batch.columns().get(release.groups.len()).filter(|_| release.sets.is_some()) {
        Some(ids) => cast(ids, &DataType::UInt64)?.as_primitive::<UInt64Type>().values().to_vec(),
        None => vec![0; batch.num_rows()],
    };
    let id_of = |set: usize| {
        let set = release.sets.as_ref().and_then(|sets| sets.get(set));
        set.map_or(0, |set| compile::grouping_id_of(release, set))
    };
    let mut known: HashMap<(u64, Option<OwnedRow>), usize> = HashMap::new();
    for (place, (group, key)) in evidence.groups.iter().zip(rows_of(&keys, evidence.groups.len())?).enumerate() {
        known.insert((id_of(group.set), key), place);
    }
    let wanted = ids.into_iter().zip(rows_of(&groups, batch.num_rows())?);
    Ok(wanted.map(|key| known.get(&key).copied()).collect())
}
