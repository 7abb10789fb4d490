//! Match flags: what tells, and does nothing but tell, whether the optional side of an outer join found a match.
//!
//! A group or condition that is one makes rows matched or unmatched by the question's own structure. Without one, a group in
//! which nobody matches looks like any small group, since answering it at 0 and not at 1 would tell whether one unit matches.

use std::collections::BTreeSet;

use datafusion::common::Column;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Case, Expr};

use super::expression::Scope;
use super::label::{Instance, MatchFlag};
use super::rows::{MatchCheck, Presence, Rows};
use super::union::tells_apart;
use super::{Checker, filtered};
use crate::refusal::Refusal;

/// The flag that an expression is, if it is one.
pub(super) fn match_flag(expr: &Expr, scope: &Scope<'_>) -> Option<MatchFlag> {
    match expr {
        Expr::Column(column) => scope.label(column).ok()?.matched,
        Expr::Alias(alias) => match_flag(&alias.expr, scope),
        Expr::IsNull(key) => of_key(key, false, scope),
        Expr::IsNotNull(key) => of_key(key, true, scope),
        Expr::Not(inner) => {
            let flag = match_flag(inner, scope)?;
            Some(MatchFlag { when: Some(!flag.when?), ..flag })
        }
        Expr::IsTrue(inner) => match_flag(inner, scope).filter(|flag| flag.when.is_some()),
        Expr::Case(Case { expr: None, when_then_expr, else_expr }) => {
            let [(when, then)] = when_then_expr.as_slice() else { return None };
            let flag = match_flag(when, scope)?;
            flag.when?;
            let Expr::Literal(then, _metadata) = then.as_ref() else { return None };
            let tells = tells_apart(then)
                && match else_expr.as_deref() {
                    None => true,
                    Some(Expr::Literal(otherwise, _metadata)) => {
                        otherwise.is_null()
                            || (tells_apart(otherwise)
                                && otherwise.data_type() == then.data_type()
                                && otherwise != then)
                    }
                    Some(_) => false,
                };
            tells.then_some(MatchFlag { when: None, ..flag })
        }
        // Anything else may tell more, or less.
        _ => None,
    }
}

fn of_key(key: &Expr, when: bool, scope: &Scope<'_>) -> Option<MatchFlag> {
    let Expr::Column(column) = key else { return None };
    let label = scope.label(column).ok()?;
    if !label.is_key() || !label.optional {
        return None;
    }
    label.origin.as_ref().map(|origin| MatchFlag { place: origin.instance, when: Some(when) })
}

/// Places that an expression is computed from, in its conditions too.
pub(super) fn places_of(expr: &Expr, scope: &Scope<'_>) -> BTreeSet<Instance> {
    expr.column_refs()
        .into_iter()
        .filter_map(|column| scope.label(column).ok())
        .flat_map(|label| label.from.iter().copied())
        .collect()
}

/// The flags that every row which meets a condition has: the place, and whether it matched.
pub(super) fn conditions(predicate: &Expr, scope: &Scope<'_>) -> Vec<(Instance, bool)> {
    split_conjunction(predicate)
        .into_iter()
        .filter_map(|part| {
            let flag = match_flag(part, scope)?;
            Some((flag.place, flag.when?))
        })
        .collect()
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
