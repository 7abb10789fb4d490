//! The numbers of groups, from rows in order of units: one pass, a few thousand pairs of unit and group in memory.
//!
//! As a unit's rows come one after the other, a pair is found without a hash table of pairs: of each group it is known at
//! which pair the present unit has its share. When enough pairs are complete, the groups of a unit that has too many are
//! chosen, and the shares go into the groups' numbers, by the engine's own accumulators in both places.

use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, AsArray as _, BooleanArray, RecordBatch, UInt32Array, UInt64Array, new_null_array,
};
use arrow::compute::{FilterBuilder, take};
use arrow::datatypes::{Int64Type, UInt32Type};
use arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::Result;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;

use super::exec::{Call, Steps};
use super::{Choice, lost};

/// Pairs that are worked on together.
const PAIRS: usize = 8192;

/// What is known of a group.
#[derive(Clone, Copy, Default)]
struct Seen {
    /// The last unit with a share in it, by its number among those seen, from 1.
    unit: u64,
    /// The place of that unit's pair.
    pair: usize,
    /// Its place among the groups with numbers: those with a pair that counts.
    counted: Option<usize>,
}

/// One partition's work.
pub(super) struct Totals {
    steps: Arc<Steps>,
    /// `None` where there is one group only.
    groups: Option<Box<dyn GroupValues>>,
    /// What each group is, where a unit's may have to be told apart.
    names: Option<Names>,
    seen: Vec<Seen>,
    /// Groups with numbers, in the order of the numbers.
    counted: Vec<usize>,
    shares: Vec<Box<dyn GroupsAccumulator>>,
    totals: Vec<Box<dyn GroupsAccumulator>>,
    pairs: Vec<Pair>,
    /// The first pair of the present unit.
    present: usize,
    /// The present unit, and how many there were with it.
    unit: Option<u32>,
    units: u64,
    reservation: MemoryReservation,
    scratch: Vec<usize>,
}

/// What groups are, as rows that can be put in order.
struct Names {
    converter: RowConverter,
    rows: Vec<OwnedRow>,
    /// Of `rows`.
    bytes: usize,
}

#[derive(Clone, Copy)]
struct Pair {
    unit: u32,
    group: usize,
}

impl Totals {
    pub(super) fn new(steps: Arc<Steps>, reservation: MemoryReservation) -> Result<Self> {
        let schema = &steps.group_schema;
        let groups = match schema.fields().len() {
            0 => None,
            _ => Some(new_group_values(Arc::clone(schema), &GroupOrdering::None)?),
        };
        let names = match (&steps.choice, &groups) {
            (Some(_), Some(_)) => {
                let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone()));
                Some(Names { converter: RowConverter::new(fields.collect())?, rows: Vec::new(), bytes: 0 })
            }
            _ => None,
        };
        let accumulators = |calls: &[Call]| calls.iter().map(Call::accumulator).collect::<Result<Vec<_>>>();
        let (shares, totals) = (accumulators(&steps.shares)?, accumulators(&steps.totals)?);
        let seen = if groups.is_none() { vec![Seen::default()] } else { Vec::new() };
        Ok(Self {
            steps,
            groups,
            names,
            seen,
            counted: Vec::new(),
            shares,
            totals,
            pairs: Vec::new(),
            present: 0,
            unit: None,
            units: 0,
            reservation,
            scratch: Vec::new(),
        })
    }

    /// Takes the next rows. What it gives are numbers of groups that have to leave because memory is short.
    pub(super) fn take(&mut self, batch: &RecordBatch) -> Result<Option<RecordBatch>> {
        let steps = Arc::clone(&self.steps);
        let units = steps.unit.evaluate(batch)?.into_array(batch.num_rows())?;
        let units = units.as_primitive_opt::<UInt32Type>().filter(|units| units.null_count() == 0);
        let units = units.ok_or_else(|| lost("a unit is no number"))?;
        let mut of_rows = std::mem::take(&mut self.scratch);
        self.intern(&steps.group_arrays(batch)?, batch.num_rows(), &mut of_rows)?;
        for (unit, of_row) in units.values().iter().zip(&mut of_rows) {
            *of_row = self.pair(*unit, *of_row)?;
        }
        for (call, share) in steps.shares.iter().zip(&mut self.shares) {
            let filter = call.filter(batch)?;
            share.update_batch(&call.values(batch)?, &of_rows, filter.as_ref(), self.pairs.len())?;
        }
        self.scratch = of_rows;
        if self.present >= PAIRS {
            self.finish(self.present)?;
        }
        self.fit()
    }

    /// The rest.
    pub(super) fn end(&mut self) -> Result<RecordBatch> {
        self.finish(self.pairs.len())?;
        self.emit()
    }

    /// The group of each row.
    fn intern(&mut self, columns: &[ArrayRef], rows: usize, of_rows: &mut Vec<usize>) -> Result<()> {
        let Some(groups) = &mut self.groups else {
            of_rows.clear();
            of_rows.resize(rows, 0);
            return Ok(());
        };
        let before = groups.len();
        groups.intern(columns, of_rows)?;
        let after = groups.len();
        self.seen.resize(after, Seen::default());
        if let Some(names) = &mut self.names
            && after > before
        {
            let mut row_of = vec![0; after - before];
            for (row, group) in of_rows.iter().enumerate() {
                if let Some(of_group) = group.checked_sub(before).and_then(|group| row_of.get_mut(group)) {
                    *of_group = row;
                }
            }
            let rows = names.converter.convert_columns(&rows_of(columns, row_of.into_iter())?)?;
            names.bytes += rows.size() + rows.num_rows() * size_of::<OwnedRow>();
            names.rows.extend(rows.iter().map(|row| row.owned()));
        }
        Ok(())
    }

    /// The place of the pair that a row of this unit and group belongs to.
    fn pair(&mut self, unit: u32, group: usize) -> Result<usize> {
        if self.unit != Some(unit) {
            // Numbers would be wrong without a word: a unit that came twice would count twice.
            if self.unit.is_some_and(|before| before > unit) {
                return Err(lost("units are out of order"));
            }
            self.unit = Some(unit);
            self.units += 1;
            self.present = self.pairs.len();
        }
        let seen = self.seen.get_mut(group).ok_or_else(|| lost("a group has no number"))?;
        if seen.unit != self.units {
            (seen.unit, seen.pair) = (self.units, self.pairs.len());
            self.pairs.push(Pair { unit, group });
        }
        Ok(seen.pair)
    }

    /// Puts the shares of the first `pairs` pairs, all of some units, into their groups' numbers.
    fn finish(&mut self, pairs: usize) -> Result<()> {
        if pairs == 0 {
            return Ok(());
        }
        let steps = Arc::clone(&self.steps);
        let emit = if pairs == self.pairs.len() { EmitTo::All } else { EmitTo::First(pairs) };
        let mut shares = self.shares.iter_mut().map(|share| share.evaluate(emit)).collect::<Result<Vec<_>>>()?;
        let mut done: Vec<Pair> = self.pairs.drain(..pairs).collect();
        self.present = 0;
        for (place, pair) in self.pairs.iter().enumerate() {
            if let Some(seen) = self.seen.get_mut(pair.group) {
                seen.pair = place;
            }
        }
        if let Some(choice) = &steps.choice
            && let Some(chosen) = self.chosen(choice, &done, steps.share(choice.number, &shares)?)?
        {
            let filter = FilterBuilder::new(&chosen).optimize().build();
            shares = shares.iter().map(|share| filter.filter(share)).collect::<std::result::Result<_, _>>()?;
            let mut chosen = chosen.values().iter();
            done.retain(|_pair| chosen.next().unwrap_or_default());
        }
        let units = Arc::new(UInt32Array::from_iter_values(done.iter().map(|pair| pair.unit))) as ArrayRef;
        let batch = steps.pairs(units, &shares)?;
        let mut groups: Vec<usize> = done.iter().map(|pair| pair.group).collect();
        for group in &mut groups {
            let seen = self.seen.get_mut(*group).ok_or_else(|| lost("a group has no number"))?;
            let counted = *seen.counted.get_or_insert_with(|| {
                self.counted.push(*group);
                self.counted.len() - 1
            });
            *group = counted;
        }
        if groups.is_empty() {
            return Ok(());
        }
        let number = self.counted.len();
        for (call, total) in steps.totals.iter().zip(&mut self.totals) {
            let filter = call.filter(&batch)?;
            total.update_batch(&call.values(&batch)?, &groups, filter.as_ref(), number)?;
        }
        Ok(())
    }

    /// Which pairs count, by a number that each has; `None` where all do.
    fn chosen(&self, choice: &Choice, pairs: &[Pair], numbers: &ArrayRef) -> Result<Option<BooleanArray>> {
        if pairs.chunk_by(|one, next| one.unit == next.unit).all(|of_unit| of_unit.len() <= choice.most) {
            return Ok(None);
        }
        let numbers = numbers.as_primitive_opt::<Int64Type>().ok_or_else(|| lost("there is nothing to choose by"))?;
        let name = |place: usize| self.names.as_ref()?.rows.get(pairs.get(place)?.group);
        let mut kept = vec![true; pairs.len()];
        // Of each group of a unit its number, nothing last, and its place.
        let mut order: Vec<(bool, i64, usize)> = Vec::new();
        let mut from = 0;
        for of_unit in pairs.chunk_by(|one, next| one.unit == next.unit) {
            let places = from..from + of_unit.len();
            from = places.end;
            if of_unit.len() <= choice.most {
                continue;
            }
            order.clear();
            order.extend(places.map(|place| match numbers.is_valid(place) {
                true => (false, choice.salt.of(numbers.value(place)), place),
                false => (true, 0, place),
            }));
            // Groups of the same number are told apart by what they are.
            order.select_nth_unstable_by(
                choice.most,
                |(nothing, number, place), (other_nothing, other, other_place)| {
                    (nothing, number).cmp(&(other_nothing, other)).then_with(|| name(*place).cmp(&name(*other_place)))
                },
            );
            for (_nothing, _number, place) in order.iter().skip(choice.most) {
                if let Some(kept) = kept.get_mut(*place) {
                    *kept = false;
                }
            }
        }
        Ok(Some(BooleanArray::from(kept)))
    }

    /// All groups so far with the state of their numbers, as the next step of the aggregate takes it; they are forgotten.
    fn emit(&mut self) -> Result<RecordBatch> {
        let Some(groups) = &mut self.groups else {
            let states = match self.counted.is_empty() {
                // Numbers of nothing, which the one group has nevertheless.
                true => self.steps.totals.iter().map(Call::empty).collect::<Result<Vec<_>>>()?,
                false => self.totals.iter_mut().map(|total| total.state(EmitTo::All)).collect::<Result<Vec<_>>>()?,
            };
            return self.steps.emitted(&[], states.concat());
        };
        let columns = groups.emit(EmitTo::All)?;
        *groups = new_group_values(Arc::clone(&self.steps.group_schema), &GroupOrdering::None)?;
        let mut states = Vec::new();
        for total in &mut self.totals {
            states.extend(total.state(EmitTo::All)?);
        }
        let emitted = self.steps.emitted(&rows_of(&columns, self.counted.iter().copied())?, states)?;
        let pending = rows_of(&columns, self.pairs.iter().map(|pair| pair.group))?;
        (self.seen, self.counted) = (Vec::new(), Vec::new());
        if let Some(names) = &mut self.names {
            (names.rows, names.bytes) = (Vec::new(), 0);
        }
        self.again(&pending)?;
        Ok(emitted)
    }

    /// Groups of the present unit, which are not done with, as new ones.
    fn again(&mut self, pending: &[ArrayRef]) -> Result<()> {
        let mut groups = Vec::new();
        self.intern(pending, self.pairs.len(), &mut groups)?;
        for (place, (pair, group)) in self.pairs.iter_mut().zip(groups).enumerate() {
            pair.group = group;
            if let Some(seen) = self.seen.get_mut(group) {
                (seen.unit, seen.pair) = (self.units, place);
            }
        }
        Ok(())
    }

    /// Keeps to the memory that there is.
    fn fit(&mut self) -> Result<Option<RecordBatch>> {
        if self.reservation.try_resize(self.size()).is_ok() {
            return Ok(None);
        }
        self.finish(self.present)?;
        if self.groups.is_none() {
            self.reservation.try_resize(self.size())?;
            return Ok(None);
        }
        let emitted = self.emit()?;
        self.reservation.try_resize(self.size())?;
        Ok(Some(emitted))
    }

    fn size(&self) -> usize {
        let accumulators = self.shares.iter().chain(&self.totals).map(|numbers| numbers.size()).sum::<usize>();
        let names = self.names.as_ref().map_or(0, |names| names.converter.size() + names.bytes);
        accumulators
            + names
            + self.groups.as_ref().map_or(0, |groups| groups.size())
            + self.seen.capacity() * size_of::<Seen>()
            + self.counted.capacity() * size_of::<usize>()
            + self.pairs.capacity() * size_of::<Pair>()
            + self.scratch.capacity() * size_of::<usize>()
    }
}

impl Steps {
    fn group_arrays(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
        self.groups.iter().map(|group| group.evaluate(batch)?.into_array(batch.num_rows())).collect()
    }

    /// One of the shares, by its name.
    fn share<'s>(&self, name: &str, shares: &'s [ArrayRef]) -> Result<&'s ArrayRef> {
        let place = self.pair_schema.index_of(name)?.checked_sub(1 + self.groups.len());
        place.and_then(|place| shares.get(place)).ok_or_else(|| lost("a share is missing"))
    }

    /// Pairs as rows: their unit, their shares, and nothing in the place of groups, which no number is made of.
    fn pairs(&self, units: ArrayRef, shares: &[ArrayRef]) -> Result<RecordBatch> {
        let rows = units.len();
        let mut shares = shares.iter();
        let columns = self.pair_schema.fields().iter().enumerate().map(|(position, field)| {
            if position == self.unit_position {
                Ok(Arc::clone(&units))
            } else if position <= self.groups.len() {
                Ok(new_null_array(field.data_type(), rows))
            } else {
                shares.next().cloned().ok_or_else(|| lost("a share is missing"))
            }
        });
        Ok(RecordBatch::try_new(Arc::clone(&self.pair_schema), columns.collect::<Result<Vec<_>>>()?)?)
    }

    /// Groups and the states of their numbers, as rows of the aggregate in whose place this stands.
    fn emitted(&self, groups: &[ArrayRef], states: Vec<ArrayRef>) -> Result<RecordBatch> {
        let groups = self.output_groups.iter().map(|group| groups.get(*group).cloned());
        let columns = groups.chain(states.into_iter().map(Some));
        let columns = columns.collect::<Option<Vec<_>>>().ok_or_else(|| lost("a group is missing"))?;
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

fn rows_of(columns: &[ArrayRef], rows: impl Iterator<Item = usize>) -> Result<Vec<ArrayRef>> {
    let rows =
        rows.map(u64::try_from).collect::<std::result::Result<Vec<_>, _>>().map_err(|_| lost("too many rows"))?;
    let rows = UInt64Array::from(rows);
    columns.iter().map(|column| Ok(take(column, &rows, None)?)).collect()
}
