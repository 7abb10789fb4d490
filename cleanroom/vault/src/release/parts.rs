//! Numbers of groups out of their evidence, for one group or several together.

use std::collections::BTreeMap;

use datafusion::common::Result;
use roaring::RoaringBitmap;

use super::complement::{Ground, Vector};
use super::rules::{CellTotals, Quantity, Rules, Totals, dominated};
use crate::check::{Cell, CellKind, Floor, ReleasePoint};
use crate::compile;
use crate::evidence::{CellEvidence, Contribution, GroupEvidence};

/// The parts that totals are sums of, as far as some numbers of them are concerned.
pub(super) struct Parts<'a> {
    rules: &'a Rules<'a>,
    groups: Vec<&'a GroupEvidence>,
    numbers: Vec<(usize, &'a Cell, Quantity)>,
    alone: Vec<bool>,
}

impl<'a> Parts<'a> {
    /// Each number is a cell's place among the evidence, the cell, and what of it.
    pub(super) fn of(
        rules: &'a Rules<'a>,
        groups: Vec<&'a GroupEvidence>,
        numbers: Vec<(usize, &'a Cell, Quantity)>,
    ) -> Self {
        let mut parts = Self { rules, groups, numbers, alone: Vec::new() };
        parts.alone = (0..parts.groups.len())
            .map(|atom| u32::try_from(atom).is_ok_and(|atom| parts.harmless(&[(atom, 1)])))
            .collect();
        parts
    }
}

impl Ground for Parts<'_> {
    fn harmless(&self, vector: &Vector) -> bool {
        let groups: Vec<(&GroupEvidence, i64)> =
            vector.iter().filter_map(|(atom, factor)| Some((*self.groups.get(*atom as usize)?, *factor))).collect();
        if groups.len() != vector.len() {
            return false;
        }
        let mut who = None;
        self.numbers.iter().all(|(index, cell, what)| {
            let cells: Vec<(&CellEvidence, i64)> =
                groups.iter().filter_map(|(group, factor)| Some((group.cells.get(*index)?, *factor))).collect();
            if cells.iter().all(|(cell, _factor)| cell.contributions.is_empty()) {
                return true;
            }
            let who = who.get_or_insert_with(|| {
                let release = self.rules.release;
                let of = |floor| union(groups.iter().filter_map(|(group, _factor)| group.present.get(floor)));
                let of = |floor| match groups.len() {
                    1 => of(floor),
                    _ => of(floor) - self.moved(&groups, floor),
                };
                Totals {
                    units: union(groups.iter().map(|(group, _factor)| &group.units)).len(),
                    present: (0..release.floors.len()).map(|floor| standing(release, floor, &of)).collect(),
                    cells: Vec::new(),
                }
            });
            let nowhere = self.groups.iter().filter(|group| group.units.is_empty());
            let of_cell = together(self.rules.release, &cells, nowhere.filter_map(|group| group.cells.get(*index)));
            self.rules.stands(who) && self.rules.tells(*what, cell, who, &of_cell)
        })
    }

    fn harmless_alone(&self, atom: u32) -> bool {
        self.alone.get(atom as usize) == Some(&true)
    }
}

impl Parts<'_> {
    /// Units that stand in one of some groups, and would without an owner's rows in one of them or in a group of nobody: of
    /// these together the owner's rows make no difference to them.
    fn moved(&self, groups: &[(&GroupEvidence, i64)], floor: usize) -> RoaringBitmap {
        let nowhere = self.groups.iter().filter(|group| group.units.is_empty()).copied();
        let staying = groups.iter().map(|(group, _factor)| *group).chain(nowhere);
        moved(groups.iter().map(|(group, _factor)| &group.units), staying.filter_map(|group| group.staying.get(floor)))
    }
}

/// Units that are among some now and would be among them without an owner's rows.
fn moved<'b>(
    now: impl Iterator<Item = &'b RoaringBitmap>,
    without: impl Iterator<Item = &'b RoaringBitmap>,
) -> RoaringBitmap {
    let without = union(without);
    if without.is_empty() { without } else { union(now) & without }
}

fn union<'b>(bitmaps: impl Iterator<Item = &'b RoaringBitmap>) -> RoaringBitmap {
    bitmaps.fold(RoaringBitmap::new(), |mut all, bitmap| {
        all |= bitmap;
        all
    })
}

/// How many units stand for a floor, of which those who do by one row are known.
fn standing(release: &ReleasePoint, floor: usize, of: &impl Fn(usize) -> RoaringBitmap) -> u64 {
    match release.floors.get(floor).and_then(Floor::meeting) {
        Some((one, other)) => of(one).intersection_len(&of(other)),
        None => of(floor).len(),
    }
}

/// The totals of one cell over several groups, each with a factor. In groups `nowhere` nobody stands, and somebody would without
/// some owner's rows.
fn together<'c>(
    release: &ReleasePoint,
    cells: &[(&CellEvidence, i64)],
    nowhere: impl Iterator<Item = &'c CellEvidence>,
) -> CellTotals {
    let nowhere: Vec<&CellEvidence> = nowhere.collect();
    let of = |floor| {
        let swayed = union(cells.iter().filter_map(|(cell, _factor)| cell.branches.get(floor)));
        if cells.len() == 1 {
            return swayed;
        }
        let staying = cells.iter().map(|(cell, _factor)| *cell).chain(nowhere.iter().copied());
        let staying = staying.filter_map(|cell| cell.staying.get(floor));
        swayed - moved(cells.iter().map(|(cell, _factor)| &cell.contributors), staying)
    };
    let branches = compile::branches(release).map(|floor| (floor, standing(release, floor, &of))).collect();
    let contributors = union(cells.iter().map(|(cell, _factor)| &cell.contributors)).len();
    let mut totals = CellTotals { contributors, branches, ..CellTotals::default() };
    if !release.dominance.is_empty() {
        let mut parts: BTreeMap<u32, (i128, i128)> = BTreeMap::new();
        for (cell, factor) in cells {
            for contribution in &cell.contributions {
                let (count, sum) = parts.entry(contribution.unit).or_default();
                let factor = i128::from(*factor);
                *count = count.saturating_add(i128::from(contribution.count).saturating_mul(factor));
                *sum = sum.saturating_add(contribution.sum.saturating_mul(factor));
            }
        }
        let mut counts: Vec<i128> = parts.values().map(|(count, _sum)| count.saturating_abs()).collect();
        let mut sums: Vec<i128> = parts.values().map(|(_count, sum)| sum.saturating_abs()).collect();
        totals.count_dominated = dominated(&mut counts, &release.dominance);
        totals.sum_dominated = dominated(&mut sums, &release.dominance);
    }
    totals
}

/// All rows of a cell.
pub(super) fn count_of(cell: &CellEvidence) -> i64 {
    cell.contributions.iter().fold(0, |count, one| count.saturating_add(one.count))
}

/// The totals of one group.
pub(super) fn totals(release: &ReleasePoint, group: &GroupEvidence) -> Totals {
    let cells = group
        .cells
        .iter()
        .zip(&release.cells)
        .map(|(evidence, cell)| CellTotals {
            count: count_of(evidence),
            sum: match cell.kind {
                CellKind::Rows | CellKind::Units | CellKind::Quantile(_) => None,
                CellKind::Sum | CellKind::Average => {
                    evidence.contributions.iter().try_fold(0_i128, |sum, one| sum.checked_add(one.sum))
                }
            },
            ..together(release, &[(evidence, 1)], std::iter::empty())
        })
        .collect();
    let of = |floor| group.present.get(floor).cloned().unwrap_or_default();
    let present = (0..release.floors.len()).map(|floor| standing(release, floor, &of)).collect();
    Totals { units: group.units.len(), present, cells }
}

/// Several groups of one set as one.
pub(super) fn merged(set: usize, groups: &[&GroupEvidence]) -> Result<GroupEvidence> {
    let count = |of: fn(&GroupEvidence) -> usize| groups.first().map_or(0, |group| of(group));
    let cells = (0..count(|group| group.cells.len()))
        .map(|index| {
            let cells: Vec<&CellEvidence> = groups.iter().filter_map(|group| group.cells.get(index)).collect();
            let staying: Vec<RoaringBitmap> = (0..cells.first().map_or(0, |cell| cell.staying.len()))
                .map(|place| union(cells.iter().filter_map(|cell| cell.staying.get(place))))
                .collect();
            let branches = (0..cells.first().map_or(0, |cell| cell.branches.len()))
                .map(|place| {
                    let there = groups.iter().zip(&cells).filter(|(group, _cell)| !group.units.is_empty());
                    let all = union(there.filter_map(|(_group, cell)| cell.branches.get(place)));
                    all - moved(cells.iter().map(|cell| &cell.contributors), staying.get(place).into_iter())
                })
                .collect();
            let mut parts: BTreeMap<u32, Contribution> = BTreeMap::new();
            for one in cells.iter().flat_map(|cell| &cell.contributions) {
                let all = parts.entry(one.unit).or_insert(Contribution::none(one.unit));
                all.add(one)?;
            }
            let contributors = union(cells.iter().map(|cell| &cell.contributors));
            Ok(CellEvidence {
                contributors,
                contributions: parts.into_values().collect(),
                branches,
                staying,
                known: (0, 0),
            })
        })
        .collect::<Result<_>>()?;
    let staying: Vec<RoaringBitmap> = (0..count(|group| group.staying.len()))
        .map(|floor| union(groups.iter().filter_map(|group| group.staying.get(floor))))
        .collect();
    let present = (0..count(|group| group.present.len()))
        .map(|floor| {
            let there = groups.iter().filter(|group| !group.units.is_empty());
            let all = union(there.filter_map(|group| group.present.get(floor)));
            all - moved(groups.iter().map(|group| &group.units), staying.get(floor).into_iter())
        })
        .collect();
    Ok(GroupEvidence { set, units: union(groups.iter().map(|group| &group.units)), present, staying, cells })
}
