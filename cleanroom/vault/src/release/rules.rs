//! The rules of one release point, as they are applied to the numbers of one group: floors per group and cell, dominance.

use cleanroom_policy::Dominance;
use datafusion::common::{Result, exec_datafusion_err};

use crate::check::{self, Cell, CellKind, FloorKind, ReleasePoint, Sway};

/// How many units stand in some rows, and what they add up to.
pub(super) struct Totals {
    pub(super) units: u64,
    /// Units of each floor's tables.
    pub(super) present: Vec<u64>,
    pub(super) cells: Vec<CellTotals>,
}

impl Totals {
    /// Whether the group itself says that none of its rows has a match: nobody stands for the floor that other groups' units
    /// stand for.
    fn says_unmatched(&self, elsewhere: usize) -> bool {
        self.present.get(elsewhere) == Some(&0)
    }
}

/// One cell of some rows.
#[derive(Default)]
pub(super) struct CellTotals {
    pub(super) contributors: u64,
    /// Contributors from each floor that a cell meets by itself: the floor and how many.
    pub(super) branches: Vec<(usize, u64)>,
    pub(super) count: i64,
    /// In ticks; `None` where the cell adds nothing up.
    pub(super) sum: Option<i128>,
    /// A few units hold too much of the count.
    pub(super) count_dominated: bool,
    /// A few units hold too much of the sum, in absolute value.
    pub(super) sum_dominated: bool,
}

/// A number that a cell tells, or of which it is made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantity {
    Units,
    Count,
    Sum,
}

/// What a kind of cell tells.
pub(super) fn quantities(kind: CellKind) -> &'static [Quantity] {
    match kind {
        CellKind::Units => &[Quantity::Units],
        CellKind::Rows => &[Quantity::Count],
        CellKind::Sum => &[Quantity::Sum],
        // There are none without noise.
        CellKind::Quantile(_) => &[],
        // Beside a sum it is a count, beside a count a sum.
        CellKind::Average => &[Quantity::Sum, Quantity::Count],
    }
}

/// A release point's rules, and what was found of those whom they need to match.
pub(super) struct Rules<'r> {
    pub(super) release: &'r ReleasePoint,
    /// Enough units match, or do not need to.
    matched: bool,
    /// The same for each floor.
    floors_matched: Vec<bool>,
}

impl<'r> Rules<'r> {
    /// `matching` holds the units that match, for each check of the release point and then of its floors.
    pub(super) fn of(release: &'r ReleasePoint, matching: &[u64]) -> Result<Self> {
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
                FloorKind::Flagged(check) | FloorKind::Partly { check, told: _ } => met(check.least)?,
                FloorKind::Matched
                | FloorKind::Branch
                | FloorKind::Tagged
                | FloorKind::Meeting { .. }
                | FloorKind::Swayed(_)
                | FloorKind::Elsewhere(_) => true,
            });
        }
        Ok(Self { release, matched, floors_matched })
    }

    /// Every owner's floor is met in the group: by units that stand in it or, where the question itself asks for unmatched
    /// rows, by those that have no match.
    pub(super) fn stands(&self, totals: &Totals) -> bool {
        if !self.matched || totals.units < self.release.floor || totals.present.len() != self.release.floors.len() {
            return false;
        }
        self.release.floors.iter().zip(&totals.present).zip(&self.floors_matched).all(|((floor, present), matched)| {
            *present >= floor.least
                || match &floor.kind {
                    FloorKind::Matched | FloorKind::Branch => false,
                    FloorKind::Flagged(_) => *present == 0 && *matched && totals.units >= floor.least,
                    FloorKind::Partly { check: _, told } => {
                        totals.says_unmatched(*told) && *present == 0 && *matched && totals.units >= floor.least
                    }
                    FloorKind::Tagged => *present == 0,
                    FloorKind::Meeting { one, other, in_rows } => {
                        !in_rows || [one, other].into_iter().any(|floor| self.says_none(*floor, totals))
                    }
                    FloorKind::Swayed(sway) => !sway.in_groups || is_of_others(sway, totals),
                    FloorKind::Elsewhere(_) => true,
                }
        })
    }

    /// Whether the group itself says that nobody stands for a floor.
    fn says_none(&self, floor: usize, totals: &Totals) -> bool {
        match self.release.floors.get(floor).map(|floor| &floor.kind) {
            Some(FloorKind::Partly { check: _, told }) => totals.says_unmatched(*told),
            Some(FloorKind::Flagged(_) | FloorKind::Tagged) => totals.present.get(floor) == Some(&0),
            Some(
                FloorKind::Matched
                | FloorKind::Branch
                | FloorKind::Meeting { .. }
                | FloorKind::Swayed(_)
                | FloorKind::Elsewhere(_),
            )
            | None => false,
        }
    }

    /// As [`Rules::stands`], of a remainder. What is in it is of no one label, and one person more can be what its rows have
    /// a match by: those who match must be enough, whatever single groups say of themselves.
    pub(super) fn remains(&self, totals: &Totals) -> bool {
        let matches = |kind: &FloorKind| {
            matches!(kind, FloorKind::Flagged(_) | FloorKind::Partly { .. } | FloorKind::Meeting { in_rows: true, .. })
        };
        let mut floors = self.release.floors.iter().zip(&totals.present);
        self.stands(totals) && floors.all(|(floor, present)| !matches(&floor.kind) || *present >= floor.least)
    }

    /// Every owner's floor is met by those who contribute to the cell: of owners whose units stand in some rows only, by
    /// those who contribute such rows. The others could be there for the sake of one of them.
    pub(super) fn meets_floors(&self, cell: &Cell, totals: &Totals, of_cell: &CellTotals) -> bool {
        let release = self.release;
        of_cell.contributors >= release.floor
            && of_cell.branches.len() == release.real_floors()
            && of_cell.branches.iter().all(|(index, contributors)| {
                let Some(floor) = release.floors.get(*index) else { return false };
                let absent = totals.present.get(*index) == Some(&0);
                *contributors >= floor.least
                    || match &floor.kind {
                        // The cell itself asks for those without a match; the group says that enough others have one.
                        FloorKind::Partly { check: _, told } if totals.says_unmatched(*told) => {
                            absent && of_cell.contributors >= floor.least
                        }
                        FloorKind::Matched | FloorKind::Partly { .. } => {
                            cell.unmatched.contains(index) && *contributors == 0 && of_cell.contributors >= floor.least
                        }
                        FloorKind::Flagged(_) => absent && of_cell.contributors >= floor.least,
                        FloorKind::Tagged => absent,
                        FloorKind::Meeting { in_rows: false, .. } if !cell.meets.contains(index) => true,
                        FloorKind::Meeting { one, other, in_rows: _ } => [one, other].into_iter().any(|floor| {
                            self.says_none(*floor, totals) || (cell.unmatched.contains(floor) && *contributors == 0)
                        }),
                        FloorKind::Swayed(sway) => {
                            !(sway.in_groups || cell.swayed.contains(index)) || is_of_others(sway, totals)
                        }
                        FloorKind::Elsewhere(_) => true,
                        FloorKind::Branch => false,
                    }
            })
            && (!(check::counts(cell) || cell.matches)
                || cell.floors.iter().all(|floor| self.hides_unmatched(totals, *floor)))
    }

    /// Whether units without a match, who are told by a count of all beside a count of those that match, are none or enough.
    fn hides_unmatched(&self, totals: &Totals, floor: usize) -> bool {
        let (Some(floor), Some(present)) = (self.release.floors.get(floor), totals.present.get(floor)) else {
            return false;
        };
        match floor.kind {
            FloorKind::Partly { check: _, told } if totals.says_unmatched(told) => true,
            FloorKind::Matched | FloorKind::Partly { .. } => {
                totals.units.checked_sub(*present).is_some_and(|unmatched| {
                    // Where differences count, none must not be told from one.
                    (unmatched == 0 && self.release.guard.is_none()) || unmatched >= floor.least
                })
            }
            FloorKind::Flagged(_)
            | FloorKind::Branch
            | FloorKind::Tagged
            | FloorKind::Meeting { .. }
            | FloorKind::Swayed(_)
            | FloorKind::Elsewhere(_) => true,
        }
    }

    /// A number of a cell can be told of rows of which the group can be.
    pub(super) fn tells(&self, quantity: Quantity, cell: &Cell, totals: &Totals, of_cell: &CellTotals) -> bool {
        self.meets_floors(cell, totals, of_cell)
            && match quantity {
                Quantity::Units => true,
                Quantity::Count => !of_cell.count_dominated,
                Quantity::Sum => !of_cell.sum_dominated,
            }
    }
}

/// Whether a group says of itself that it is of another branch of a UNION than an owner's.
fn is_of_others(sway: &Sway, totals: &Totals) -> bool {
    !sway.tagged.is_empty() && sway.tagged.iter().all(|floor| totals.present.get(*floor) == Some(&0))
}

/// Whether under some rule the largest of `parts`, which are not negative, hold more of their total than its share.
pub(super) fn dominated(parts: &mut [i128], rules: &[Dominance]) -> bool {
    if rules.is_empty() {
        return false;
    }
    parts.sort_unstable_by(|one, other| other.cmp(one));
    let mass = parts.iter().fold(0_i128, |sum, part| sum.saturating_add(*part));
    rules.iter().any(|rule| {
        let top = usize::try_from(rule.top).unwrap_or(usize::MAX);
        let largest = parts.iter().take(top).fold(0_i128, |sum, part| sum.saturating_add(*part));
        exceeds(largest, mass, rule.max_share)
    })
}

/// Whether the largest contributors hold more of the mass than the share.
pub(super) fn exceeds(largest: i128, mass: i128, share: f64) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "a share is no finer than floating point")]
    let (largest, mass) = (largest as f64, mass as f64);
    largest > share * mass
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(top: u64, max_share: f64) -> Dominance {
        Dominance { top, max_share }
    }

    #[test]
    fn the_largest_together_hold_no_more_than_the_share() {
        let parts = || vec![10, 40, 10, 40];
        assert!(!dominated(&mut parts(), &[]));
        assert!(!dominated(&mut parts(), &[rule(1, 0.4)]));
        assert!(dominated(&mut parts(), &[rule(1, 0.39)]));
        assert!(dominated(&mut parts(), &[rule(2, 0.79)]));
        assert!(!dominated(&mut parts(), &[rule(2, 0.8)]));
        // Each owner's rule holds, whichever comes first.
        assert!(dominated(&mut parts(), &[rule(1, 0.9), rule(2, 0.5)]));
        assert!(dominated(&mut parts(), &[rule(2, 0.5), rule(1, 0.9)]));
        // As many as there are hold everything.
        assert!(dominated(&mut parts(), &[rule(9, 0.99)]));
        assert!(!dominated(&mut [0, 0], &[rule(1, 0.5)]));
    }
}
