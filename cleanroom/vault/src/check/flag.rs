//! Match flags: groups and conditions that tell whether the optional side of an outer join found a match.
//!
//! A group or condition that is one makes rows matched or unmatched by the question's own structure. Without one, a group in
//! which nobody matches looks like any small group, since answering it at 0 and not at 1 would tell whether one unit matches.

use std::collections::{BTreeMap, BTreeSet};

use cleanroom_policy::PartnerName;
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, when};

use super::expression::Scope;
use super::label::Instance;
use super::point::{Floor, FloorKind};
use super::rows::{MatchCheck, Presence, Rows};
use super::told::{Settled, Told, told, told_apart, told_unmatched};
use super::{Checker, filtered, functions, internal};
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

/// Of the markers of places that groups do not tell apart as a whole, in which rows the groups say that they did not match.
pub(super) fn unmatched_groups(
    groups: &[(&Expr, Expr)],
    scope: &Scope<'_>,
    rows: &Rows,
    flagged: &BTreeSet<Column>,
) -> Result<BTreeMap<Column, Expr>, Refusal> {
    let can_be: Vec<Told> = groups.iter().map(|(group, _total)| told(group, scope)).collect();
    let mut conditions: BTreeMap<Column, Expr> = BTreeMap::new();
    for (place, position, values) in told_unmatched(&can_be, &|places, matched| possible(rows, places, matched)) {
        let Some(marker) = rows.marker(place).filter(|marker| !flagged.contains(marker)) else { continue };
        let Some((group, total)) = groups.get(position) else { continue };
        let data_type = scope.data_type(group)?;
        let total = total.clone().unalias();
        for value in values {
            let condition = if value.is_null() {
                total.clone().is_null()
            } else if value.data_type() == data_type {
                total.clone().eq(Expr::Literal(value, None))
            } else {
                continue;
            };
            let condition = match conditions.remove(marker) {
                Some(others) => others.or(condition),
                None => condition,
            };
            conditions.insert(marker.clone(), condition);
        }
    }
    Ok(conditions)
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

/// Places that are read together by one part of a condition, all of whose parts have to hold.
pub(super) fn read(condition: Option<&Expr>, scope: &Scope<'_>) -> Vec<BTreeSet<Instance>> {
    let parts = condition.map(split_conjunction).unwrap_or_default();
    parts.into_iter().map(|part| places_of(part, scope)).filter(|places| places.len() > 1).collect()
}

/// Whether a condition asks for the first of each unit's rows.
pub(super) fn is_first(condition: &Expr, scope: &Scope<'_>) -> bool {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else { return false };
    let numbers = |expr: &Expr| match expr {
        Expr::Column(column) => scope.label(column).is_ok_and(|label| label.numbers),
        Expr::Cast(cast) => {
            matches!(cast.expr.as_ref(), Expr::Column(column) if scope.label(column).is_ok_and(|label| label.numbers))
        }
        _ => false,
    };
    let one = |expr: &Expr| {
        functions::constant(expr)
            .is_some_and(|value| ScalarValue::new_one(&value.data_type()).is_ok_and(|one| one == value))
    };
    (numbers(left) && one(right)) || (one(left) && numbers(right))
}

/// What every row that meets a condition has: the place, and whether it matched.
pub(super) fn conditions(predicate: &Expr, scope: &Scope<'_>) -> Vec<(Instance, bool)> {
    split_conjunction(predicate).into_iter().flat_map(|part| told(part, scope).when_true()).collect()
}

/// What the groups of a release point tell of the rows in them.
#[derive(Default)]
pub(super) struct Flags {
    /// Markers of places that they tell apart: no group has both rows in which they matched and rows in which not.
    pub(super) flagged: BTreeSet<Column>,
    /// Of other markers, in which rows the group says that they did not match.
    pub(super) unmatched: BTreeMap<Column, Expr>,
    /// The UNIONs whose branches they tell apart.
    pub(super) tagged: BTreeSet<usize>,
    /// Places that one group expression reads together.
    pub(super) together: Vec<BTreeSet<Instance>>,
}

impl Checker<'_> {
    /// The floor of those who stand in every row or in none, and the others'.
    pub(super) fn floors(&self, rows: &Rows, flags: &Flags) -> Result<(u64, Vec<Floor>), Refusal> {
        // Who stands in some rows is told by these beside the others: those that match are people of every owner.
        let least = self.floor_of(&rows.places())?;
        let mut floor = 2;
        let mut floors: Vec<Floor> = Vec::new();
        let mut elsewhere: Vec<Floor> = Vec::new();
        for slot in &rows.slots {
            let (marker, kind) = match &slot.presence {
                Presence::Always | Presence::Never => {
                    floor = floor.max(self.floor_of(&slot.places)?);
                    continue;
                }
                Presence::Matched(marker) if flags.flagged.contains(marker) => {
                    (marker, FloorKind::Flagged(Box::new(match_check(rows, marker, least)?)))
                }
                Presence::Matched(marker) => match flags.unmatched.get(marker) {
                    Some(unmatched) => {
                        let units = when(unmatched.clone().is_not_true(), Expr::Column(rows.unit.clone())).end();
                        elsewhere.push(Floor {
                            marker: rows.unit.clone(),
                            least: 0,
                            kind: FloorKind::Elsewhere(Box::new(units.map_err(internal)?)),
                            places: BTreeSet::new(),
                        });
                        // Those come after all others.
                        let told = elsewhere.len() - 1;
                        (marker, FloorKind::Partly { check: Box::new(match_check(rows, marker, least)?), told })
                    }
                    None => (marker, FloorKind::Matched),
                },
                Presence::Branch { column, union: Some(union) } if flags.tagged.contains(union) => {
                    (column, FloorKind::Tagged)
                }
                Presence::Branch { column, union: _ } => (column, FloorKind::Branch),
            };
            floors.push(Floor { marker: marker.clone(), least, kind, places: slot.places.clone() });
        }
        let (meetings, sways) = (self.meetings(rows, &floors, flags, least)?, self.sways(rows, &floors, flags, least)?);
        floors.extend(meetings.into_iter().chain(sways));
        let before = floors.len();
        for floor in &mut floors {
            if let FloorKind::Partly { told, .. } = &mut floor.kind {
                *told += before;
            }
        }
        floors.extend(elsewhere);
        Ok((floor, floors))
    }

    /// Where rows of two owners stand beside each other, as in a UNION, or one or the other is asked for, how many units have
    /// both is told by the number of all: as by a join, which would need so many.
    fn meetings(&self, rows: &Rows, floors: &[Floor], flags: &Flags, least: u64) -> Result<Vec<Floor>, Refusal> {
        let mut meetings = Vec::new();
        let somebody = rows.slots.iter().any(|slot| matches!(slot.presence, Presence::Always | Presence::Never));
        let owners = |floor: &Floor| -> Result<BTreeSet<PartnerName>, Refusal> {
            floor.places.iter().map(|place| Ok(self.facts(*place)?.owner().clone())).collect()
        };
        for (one, of_one) in floors.iter().enumerate() {
            for (other, of_other) in floors.iter().enumerate().skip(one + 1) {
                if of_one.marker == of_other.marker || owners(of_one)? == owners(of_other)? {
                    continue;
                }
                let united =
                    [of_one, of_other].iter().any(|floor| matches!(floor.kind, FloorKind::Branch | FloorKind::Tagged));
                let both = |places: &BTreeSet<Instance>| {
                    [of_one, of_other].iter().all(|floor| !floor.places.is_disjoint(places))
                };
                let in_rows = !somebody || united || rows.together.iter().chain(&flags.together).any(both);
                meetings.push(Floor {
                    marker: rows.unit.clone(),
                    least,
                    kind: FloorKind::Meeting { one, other, in_rows },
                    places: BTreeSet::new(),
                });
            }
        }
        Ok(meetings)
    }

    /// The rows that are left once conditions on match flags are met.
    pub(super) fn matched(&self, rows: Rows, flags: &[(Instance, bool)]) -> Result<Rows, Refusal> {
        let mut rows = rows;
        for (place, matched) in flags {
            let Some(marker) = rows.marker(*place).cloned() else { continue };
            if !matched {
                let check = match_check(&rows, &marker, self.floor_of(&rows.places())?)?;
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

/// The rows in which the tables of a marker stand, and with them others that found them, of each kind: rows of theirs alone,
/// as a FULL join has them, match nobody.
pub(super) fn match_check(rows: &Rows, marker: &Column, least: u64) -> Result<MatchCheck, Refusal> {
    let matching = Expr::Column(marker.clone()).is_not_null();
    let among = rows.kinds(Some(marker));
    Ok(MatchCheck { plan: filtered(rows.plan.clone(), matching)?, unit: rows.unit.clone(), among, least })
}

fn marks(presence: &Presence, marker: &Column) -> bool {
    matches!(presence, Presence::Matched(column) if column == marker)
}
