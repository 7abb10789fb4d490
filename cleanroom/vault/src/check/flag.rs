//! Match flags: groups and conditions that tell whether the optional side of an outer join found a match.
//!
//! A group or condition that is one makes rows matched or unmatched by the question's own structure. Without one, a group in
//! which nobody matches looks like any small group, since answering it at 0 and not at 1 would tell whether one unit matches.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::common::Column;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::split_conjunction;

use super::expression::Scope;
use super::label::Instance;
use super::rows::{MatchCheck, Presence, Rows};
use super::told::{Settled, Told, told, told_apart};
use super::{Checker, filtered};
use crate::refusal::Refusal;

/// Stands under an answer whose groups do not tell matched rows from others.
pub(super) const NOTE: &str =
    "rows without a match are shown only where the statement groups by `key IS NULL`, or by what tells as much";

/// The markers of the places that groups tell apart: no group has both rows in which they matched and rows in which not.
pub(super) fn flagged(groups: &[&Expr], scope: &Scope<'_>, rows: &Rows) -> BTreeSet<Column> {
    let groups: Vec<Told> = groups.iter().map(|group| told(group, scope)).collect();
    let places = told_apart(&groups, &|places, matched| possible(rows, places, matched));
    places.into_iter().filter_map(|place| rows.marker(place)).cloned().collect()
}

/// Whether just these of some places can have matched in one row (bit `i` stands for the `i`-th).
fn possible(rows: &Rows, places: &[Instance], matched: usize) -> bool {
    let mut markers: BTreeMap<&Column, bool> = BTreeMap::new();
    for (bit, place) in places.iter().enumerate() {
        let has = matched >> bit & 1 == 1;
        let fits = match rows.settled(*place) {
            Some(Settled::Matched) => has,
            Some(Settled::Unmatched) => !has,
            // Tables that came by one optional side match together.
            Some(Settled::Open) => {
                rows.marker(*place).is_none_or(|marker| *markers.entry(marker).or_insert(has) == has)
            }
            None => true,
        };
        if !fits {
            return false;
        }
    }
    // Of a FULL join one side at least stands in every row.
    let all_known = rows.slots.iter().all(|slot| match &slot.presence {
        Presence::Matched(marker) => markers.contains_key(marker),
        Presence::Always | Presence::Never | Presence::Branch { .. } => false,
    });
    !all_known || markers.values().any(|matched| *matched)
}

/// Places that an expression is computed from, in its conditions too.
pub(super) fn places_of(expr: &Expr, scope: &Scope<'_>) -> BTreeSet<Instance> {
    expr.column_refs()
        .into_iter()
        .filter_map(|column| scope.label(column).ok())
        .flat_map(|label| label.from.iter().copied())
        .collect()
}

/// What every row that meets a condition has: the place, and whether it matched.
pub(super) fn conditions(predicate: &Expr, scope: &Scope<'_>) -> Vec<(Instance, bool)> {
    split_conjunction(predicate).into_iter().flat_map(|part| told(part, scope).when_true()).collect()
}

impl Checker<'_> {
    /// The rows that are left once conditions on match flags are met.
    pub(super) fn matched(&self, rows: Rows, flags: &[(Instance, bool)]) -> Result<Rows, Refusal> {
        let mut rows = rows;
        for (place, matched) in flags {
            let Some(marker) = rows.marker(*place).cloned() else { continue };
            if !matched {
                let marked = rows.slots.iter().filter(|slot| marks(&slot.presence, &marker));
                let least = self.floor_of(&marked.flat_map(|slot| slot.places.iter().copied()).collect())?;
                let check = match_check(&rows, &marker, least)?;
                rows.checks.push(check);
            }
            for slot in rows.slots.iter_mut().filter(|slot| marks(&slot.presence, &marker)) {
                slot.presence = if *matched { Presence::Always } else { Presence::Never };
            }
        }
        Ok(rows)
    }

    /// The greatest floor of the tables at some places.
    pub(super) fn floor_of(&self, places: &BTreeSet<Instance>) -> Result<u64, Refusal> {
        places.iter().try_fold(2, |floor: u64, place| Ok(floor.max(self.facts(*place)?.policy.release.min_units)))
    }
}

/// The rows in which the tables of a marker stand, and with them others that found them: rows of theirs alone, as a FULL
/// join has them, match nobody.
pub(super) fn match_check(rows: &Rows, marker: &Column, least: u64) -> Result<MatchCheck, Refusal> {
    let mut matching = Expr::Column(marker.clone()).is_not_null();
    if !rows.slots.iter().any(|slot| matches!(slot.presence, Presence::Always | Presence::Never)) {
        let others = rows.slots.iter().filter_map(|slot| match &slot.presence {
            Presence::Matched(column) | Presence::Branch { column, union: _ } if column != marker => {
                Some(Expr::Column(column.clone()).is_not_null())
            }
            Presence::Matched(_) | Presence::Branch { .. } | Presence::Always | Presence::Never => None,
        });
        if let Some(others) = others.reduce(Expr::or) {
            matching = matching.and(others);
        }
    }
    Ok(MatchCheck { plan: filtered(rows.plan.clone(), matching)?, unit: rows.unit.clone(), least })
}

fn marks(presence: &Presence, marker: &Column) -> bool {
    matches!(presence, Presence::Matched(column) if column == marker)
}
