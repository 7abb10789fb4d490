//! Release points that are judged together: totals beside their parts, whose differences are cells that nobody asked for.

use std::collections::BTreeSet;

use datafusion::logical_expr::Expr;

use super::{Cell, CellKind, FloorKind, ReleasePoint, functions};
use crate::refusal::{Code, Refusal};

/// Most group columns, and most sets of them, of one family: the engine tells sets apart by the bits of a number, which it
/// also needs for the unit and rows.
const MAX_GROUPS: usize = 32;
const MAX_SETS: usize = 128;

/// Release points over the same rows, read as one.
pub(crate) struct Family {
    pub(crate) members: Vec<Member>,
    /// What is read: every group and cell of the members, in every set of theirs, and for a member with several sets also in
    /// the set of all its groups, whose groups are the parts of all others.
    pub(crate) combined: ReleasePoint,
}

/// A release point of a family.
pub(crate) struct Member {
    /// Its place among the query's release points.
    pub(crate) release: usize,
    /// For each of its groups, the place among the family's.
    pub(crate) groups: Vec<usize>,
    /// For each of its grouping sets (one, where it has none), the place among the family's.
    pub(crate) sets: Vec<usize>,
    /// For each of its cells, the place among the family's.
    pub(crate) cells: Vec<usize>,
}

impl Family {
    /// More than one table is shown.
    pub(crate) fn has_totals(&self) -> bool {
        self.members.iter().map(|member| member.sets.len()).sum::<usize>() > 1
    }

    /// The family's sets; one of all its groups where it has none.
    pub(crate) fn sets(&self) -> Vec<Vec<usize>> {
        self.combined.sets.clone().unwrap_or_else(|| vec![(0..self.combined.groups.len()).collect()])
    }
}

/// The families of a query's release points. One that stands alone, and for whose rules totals are enough, is in none.
///
/// # Errors
/// A refusal, where they have more columns or sets together than can be read at once.
pub(crate) fn families(releases: &mut [ReleasePoint]) -> Result<Vec<Family>, Refusal> {
    // Each release point beside those that were found to belong with it.
    let mut together: Vec<Vec<usize>> = Vec::new();
    for (index, release) in releases.iter().enumerate() {
        let of_it = |known: &Vec<usize>| {
            known.iter().filter_map(|known| releases.get(*known)).any(|known| belong_together(known, release))
        };
        let (mut joined, others): (Vec<Vec<usize>>, Vec<Vec<usize>>) = together.into_iter().partition(of_it);
        joined.push(vec![index]);
        let mut joined: Vec<usize> = joined.into_iter().flatten().collect();
        joined.sort_unstable();
        together = others;
        together.push(joined);
    }
    together.sort_unstable();
    for members in together.iter().filter(|members| members.len() > 1) {
        let of = members.iter().filter_map(|member| releases.get(*member));
        let meetings: BTreeSet<usize> = of.flat_map(ReleasePoint::meetings).collect();
        for member in members {
            if let Some(release) = releases.get_mut(*member) {
                release.without_partly();
                release.meet(&meetings);
            }
        }
    }
    let releases = &*releases;
    together
        .into_iter()
        .filter(|members| {
            members.len() > 1
                || members.iter().filter_map(|member| releases.get(*member)).any(ReleasePoint::needs_evidence)
        })
        .filter_map(|members| family(releases, &members))
        .map(|family| {
            let sets = family.combined.sets.as_ref().map_or(0, Vec::len);
            if sets > MAX_SETS || (sets > 0 && family.combined.groups.len() > MAX_GROUPS) {
                return Err(Refusal::new(
                    Code::TooLarge,
                    format!("totals and their parts stand for more than {MAX_SETS} tables or {MAX_GROUPS} columns"),
                )
                .about("GROUP"));
            }
            Ok(family)
        })
        .collect()
}

/// Whether one has totals of the other's parts: the same rows, the groups of one among those of the other, and a cell of the
/// same values.
fn belong_together(one: &ReleasePoint, other: &ReleasePoint) -> bool {
    let within = |few: &ReleasePoint, many: &ReleasePoint| few.groups.iter().all(|group| many.groups.contains(group));
    let same_values = |cell: &Cell| other.cells.iter().any(|other| may_be_same(cell, other));
    // Under a guard numbers of one statement are compared as those of several are: what is nearly a total is answered with
    // it, whether or not anybody is hidden beside it.
    let guarded = one.guard.is_some() || other.guard.is_some();
    !guarded
        && (within(one, other) || within(other, one))
        && one.cells.iter().any(same_values)
        && one.rows.row_ids.len() == other.rows.row_ids.len()
        && one.real_floors() == other.real_floors()
        && resolves(other, one)
        && match (one.input(), other.input()) {
            (Some(one), Some(other)) => one == other,
            _ => false,
        }
}

/// Numbers of one cell can be those of the other. Counts of units and of rows are the same where each unit has one row.
pub(crate) fn may_be_same(one: &Cell, other: &Cell) -> bool {
    one.filter == other.filter && (counts(one) && counts(other) || one.argument == other.argument)
}

/// It counts rows or units, be it as a sum of ones.
pub(crate) fn counts(cell: &Cell) -> bool {
    match cell.kind {
        CellKind::Rows | CellKind::Units => true,
        CellKind::Sum => functions::literal(&cell.argument).is_some(),
        CellKind::Average | CellKind::Quantile(_) => false,
    }
}

/// Whether what one computes can be computed of the other's rows.
fn resolves(one: &ReleasePoint, of: &ReleasePoint) -> bool {
    let schema = of.rows.plan.schema();
    let known = |expr: &Expr| expr.column_refs().into_iter().all(|column| schema.has_column(column));
    let filters = one.cells.iter().filter_map(|cell| cell.filter.as_ref());
    one.groups.iter().chain(one.cells.iter().map(|cell| &cell.argument)).chain(filters).all(known)
}

fn family(releases: &[ReleasePoint], members: &[usize]) -> Option<Family> {
    let first = releases.get(*members.first()?)?;
    let mut combined =
        ReleasePoint { groups: Vec::new(), sets: None, cells: Vec::new(), guarded: None, ..first.clone() };
    let mut sets: Vec<Vec<usize>> = Vec::new();
    let mut position_of = |set: Vec<usize>| {
        sets.iter().position(|known| *known == set).unwrap_or_else(|| {
            sets.push(set);
            sets.len() - 1
        })
    };
    let mut found = Vec::with_capacity(members.len());
    for index in members {
        let release = releases.get(*index)?;
        // What one of them needs is counted for all.
        for (floor, of_member) in combined.floors.iter_mut().zip(&release.floors) {
            if let (FloorKind::Swayed(sway), Some(of_member)) = (&mut floor.kind, of_member.sway()) {
                sway.wanted |= of_member.wanted;
            }
        }
        let groups: Vec<usize> = release.groups.iter().map(|group| position(&mut combined.groups, group)).collect();
        let mapped = |set: &[usize]| {
            let mut set: Vec<usize> = set.iter().filter_map(|group| groups.get(*group).copied()).collect();
            set.sort_unstable();
            set.dedup();
            set
        };
        let all = mapped(&(0..groups.len()).collect::<Vec<_>>());
        let of_member = match &release.sets {
            None => vec![position_of(all)],
            Some(sets) => {
                let shown = sets.iter().map(|set| position_of(mapped(set))).collect();
                position_of(all);
                shown
            }
        };
        let cells = release.cells.iter().map(|cell| place(&mut combined.cells, cell)).collect();
        found.push(Member { release: *index, groups, sets: of_member, cells });
    }
    let plain = matches!(sets.as_slice(), [set] if set.len() == combined.groups.len());
    combined.sets = (!plain).then_some(sets);
    Some(Family { members: found, combined })
}

fn position(known: &mut Vec<Expr>, expr: &Expr) -> usize {
    known.iter().position(|known| known == expr).unwrap_or_else(|| {
        known.push(expr.clone());
        known.len() - 1
    })
}

fn place(known: &mut Vec<Cell>, cell: &Cell) -> usize {
    let same = |known: &Cell| known.kind == cell.kind && known.argument == cell.argument && known.filter == cell.filter;
    known.iter().position(same).unwrap_or_else(|| {
        known.push(cell.clone());
        known.len() - 1
    })
}

#[cfg(test)]
impl ReleasePoint {
    /// A release point over the rows of a plan, whose columns `ids` hold the rows' numbers, the analyst's own or others'.
    pub(crate) fn over(
        plan: datafusion::logical_expr::LogicalPlan,
        unit: &str,
        ids: &[(&str, bool)],
        repeated: bool,
        groups: Vec<Expr>,
        cells: Vec<Cell>,
    ) -> Self {
        let column = |name: &str| datafusion::common::Column::from_name(name);
        let rows = super::Rows {
            plan: plan.clone(),
            labels: Vec::new(),
            unit: column(unit),
            slots: Vec::new(),
            row_ids: ids.iter().map(|(name, own)| super::RowId { column: column(name), own: *own }).collect(),
            checks: Vec::new(),
            together: Vec::new(),
            steering: BTreeSet::new(),
            fanned_out: None,
            per_unit: false,
            multiplying: Vec::new(),
            parted_by: BTreeSet::new(),
            numbered_by: BTreeSet::new(),
            single: false,
            split: false,
            repeated,
            audience: None,
        };
        Self {
            rows,
            groups,
            sets: None,
            cells,
            schema: std::sync::Arc::clone(plan.schema()),
            floor: 2,
            floors: Vec::new(),
            dominance: Vec::new(),
            merged: false,
            round_to: Vec::new(),
            checks: Vec::new(),
            guard: None,
            guarded: None,
            audience: None,
            caps: Vec::new(),
            domains: Vec::new(),
            most_rows: u32::MAX,
            original: plan,
        }
    }
}
