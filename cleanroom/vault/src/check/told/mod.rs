//! What an expression can be, by which optional sides of the rows found a match.
//!
//! A group or condition tells matched rows from others by the question's own structure where none of its values can come of
//! both. That is found out without a row: the expression is evaluated once for each way in which the places can have matched,
//! over sets of constants; whatever is not known can be anything. Sets only ever hold too much, so what is found apart is.

mod expression;
#[cfg(test)]
mod tests;
mod values;

use datafusion::common::ScalarValue;

pub(crate) use expression::told;
use values::{Values, differ};

use super::label::Instance;

/// Most places that an expression is evaluated for.
const MAX_PLACES: usize = 4;

/// What a value can be, by which places matched.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    /// In ascending order.
    places: Vec<Instance>,
    /// For each set of places that matched: bit `i` of the position stands for `places[i]`.
    values: Vec<Values>,
}

impl Told {
    pub(crate) fn any() -> Self {
        Self { places: Vec::new(), values: vec![Values::Any] }
    }

    pub(crate) fn not_null() -> Self {
        Self { places: Vec::new(), values: vec![Values::NotNull] }
    }

    /// A count of rows that there are.
    pub(crate) fn at_least_one() -> Self {
        Self { places: Vec::new(), values: vec![Values::AtLeastOne] }
    }

    fn constant(value: &ScalarValue) -> Self {
        Self { places: Vec::new(), values: vec![Values::one(value)] }
    }

    /// Whether a place matched.
    pub(crate) fn flag(place: Instance) -> Self {
        Self { places: vec![place], values: vec![Values::truth(false), Values::truth(true)] }
    }

    fn at(&self, places: &[Instance], matched: usize) -> &Values {
        let bit = |(bit, place): (usize, &Instance)| {
            places.iter().position(|known| known == place).map_or(0, |known| (matched >> known & 1) << bit)
        };
        let position: usize = self.places.iter().enumerate().map(bit).sum();
        self.values.get(position).unwrap_or(&Values::Any)
    }

    /// What is computed of several values.
    fn computed(parts: &[&Self], result: impl Fn(&[&Values]) -> Values) -> Self {
        let mut places: Vec<Instance> = parts.iter().flat_map(|part| part.places.iter().copied()).collect();
        places.sort_unstable();
        places.dedup();
        if places.len() > MAX_PLACES {
            return Self::any();
        }
        let values = (0..1_usize << places.len())
            .map(|matched| result(&parts.iter().map(|part| part.at(&places, matched)).collect::<Vec<_>>()))
            .collect();
        Self { places, values }
    }

    fn map(&self, result: impl Fn(&Values) -> Values) -> Self {
        Self { places: self.places.clone(), values: self.values.iter().map(result).collect() }
    }

    /// The same once it is known of some places whether they matched: `None` where their rows are no side of an outer join.
    pub(crate) fn settled(&self, known: impl Fn(Instance) -> Option<Settled>) -> Self {
        let mut told = self.clone();
        for place in &self.places {
            let keep = match known(*place) {
                Some(Settled::Open) => continue,
                Some(Settled::Matched) => 1,
                Some(Settled::Unmatched) => 0,
                None => return Self::any(),
            };
            let Some(at) = told.places.iter().position(|known| known == place) else { continue };
            let values = told.values.iter().enumerate();
            let values = values.filter(|(matched, _values)| matched >> at & 1 == keep);
            told.values = values.map(|(_matched, values)| values.clone()).collect();
            told.places.remove(at);
        }
        told
    }

    /// On the side of an outer join that need not match, and that `place` stands in every row of: NULL where it does not.
    pub(crate) fn made_optional(&self, place: Option<Instance>) -> Self {
        let Some(place) = place else { return Self::any() };
        Self::computed(&[self, &Self::flag(place)], |parts| match parts {
            [value, flag] if flag.truths() == [true, false, false] => (*value).clone(),
            // The places within match with that one or not at all.
            _ => Values::null(),
        })
    }

    /// Of a group of rows of one unit, each of which has this value: a place matched where it did in one of them.
    pub(crate) fn in_each_row(&self) -> Self {
        self.over_rows(|sets| {
            sets.iter().skip(1).fold(sets.first().cloned().unwrap_or(Values::Any), |one, other| match (one, other) {
                (Values::Of(one), Values::Of(other)) => Values::Of(
                    one.into_iter().filter(|value| !other.iter().all(|other| differ(value, other))).collect(),
                ),
                (Values::Of(one), _) => Values::Of(one),
                (_, other) => other.clone(),
            })
        })
    }

    /// The greatest, or least, value of rows of one unit.
    pub(crate) fn extreme(&self, greatest: bool) -> Self {
        let beyond = |one: &ScalarValue, other: &ScalarValue| {
            let order = one.partial_cmp(other);
            if greatest {
                order.is_some_and(std::cmp::Ordering::is_lt)
            } else {
                order.is_some_and(std::cmp::Ordering::is_gt)
            }
        };
        let values = (0..self.values.len()).map(|matched| {
            let all = self.among(matched, None);
            let mut can = all.clone();
            for bit in (0..self.places.len()).filter(|bit| matched >> bit & 1 == 1) {
                // One row at least has one of these, and what is beyond all of them is not the greatest.
                let one_row = self.among(matched, Some(bit));
                can = match (can, &one_row) {
                    (Values::Of(can), Values::Of(one_row)) if !one_row.iter().any(ScalarValue::is_null) => Values::Of(
                        can.into_iter()
                            .filter(|value| !value.is_null() && !one_row.iter().all(|least| beyond(value, least)))
                            .collect(),
                    ),
                    (can, one_row) if !one_row.can_be_null() => can.not_null(),
                    (can, _one_row) => can,
                };
            }
            can
        });
        Self { places: self.places.clone(), values: values.collect() }
    }

    /// What rows can have of which together just these places matched, or those of them of which one did.
    fn among(&self, matched: usize, bit: Option<usize>) -> Values {
        let within = self
            .values
            .iter()
            .enumerate()
            .filter(|(row, _values)| row & !matched == 0 && bit.is_none_or(|bit| row >> bit & 1 == 1));
        within.fold(Values::no_value(), |all, (_row, values)| all.or(values))
    }

    fn over_rows(&self, result: impl Fn(&[Values]) -> Values) -> Self {
        let values = (0..self.values.len()).map(|matched| {
            let bits = (0..self.places.len()).filter(|bit| matched >> bit & 1 == 1);
            let sets: Vec<Values> = bits.map(|bit| self.among(matched, Some(bit))).collect();
            if sets.is_empty() { self.among(0, None) } else { result(&sets) }
        });
        Self { places: self.places.clone(), values: values.collect() }
    }

    /// Whether it is 1 or 0 in every row, or NULL.
    pub(super) fn is_flag(&self) -> bool {
        let flag = |value: &ScalarValue| {
            value.is_null()
                || ScalarValue::new_zero(&value.data_type()).is_ok_and(|zero| zero == *value)
                || ScalarValue::new_one(&value.data_type()).is_ok_and(|one| one == *value)
        };
        self.values.iter().all(|values| matches!(values, Values::Of(values) if values.iter().all(flag)))
    }

    /// Whether it is NULL in no row.
    pub(super) fn is_never_null(&self) -> bool {
        !self.values.iter().any(Values::can_be_null)
    }

    /// The places for which it being true tells whether they matched.
    pub(crate) fn when_true(&self) -> Vec<(Instance, bool)> {
        let can = |bit: usize, matched: usize| {
            self.values.iter().enumerate().any(|(row, values)| {
                let [yes, _no, _null] = values.truths();
                yes && row >> bit & 1 == matched
            })
        };
        let told = self.places.iter().enumerate().filter_map(|(bit, place)| match (can(bit, 0), can(bit, 1)) {
            (false, true) => Some((*place, true)),
            (true, false) => Some((*place, false)),
            (true, true) | (false, false) => None,
        });
        told.collect()
    }
}

/// What is known of a place in all rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    Open,
    Matched,
    Unmatched,
}

/// The places that groups tell apart: no group holds rows in which one matched and rows in which it did not. `possible` says
/// which of the places (bit `i` for the `i`-th of those it is given) can have matched together.
pub(crate) fn told_apart(groups: &[Told], possible: &dyn Fn(&[Instance], usize) -> bool) -> Vec<Instance> {
    let mut places: Vec<Instance> = groups.iter().flat_map(|group| group.places.iter().copied()).collect();
    places.sort_unstable();
    places.dedup();
    if places.len() > MAX_PLACES {
        // Too many to look at together: one by one tells less, and nothing wrong.
        let alone = groups.iter().filter(|group| group.places.len() <= MAX_PLACES);
        return alone.flat_map(|group| told_apart(std::slice::from_ref(group), possible)).collect();
    }
    let ways: Vec<usize> = (0..1_usize << places.len()).filter(|matched| possible(&places, *matched)).collect();
    let apart =
        |one: usize, other: usize| groups.iter().any(|group| group.at(&places, one).apart(group.at(&places, other)));
    let told = places.iter().enumerate().filter(|(bit, _place)| {
        let with = ways.iter().filter(|way| **way >> bit & 1 == 1);
        with.flat_map(|one| ways.iter().map(move |other| (*one, *other)))
            .filter(|(_one, other)| other >> bit & 1 == 0)
            .all(|(one, other)| apart(one, other))
    });
    told.map(|(_bit, place)| *place).collect()
}

/// Values that only rows without a match have, of groups that do not tell all of a place's matched rows from the others: the
/// place, the position of the group, and the values.
pub(crate) fn told_unmatched(
    groups: &[Told],
    possible: &dyn Fn(&[Instance], usize) -> bool,
) -> Vec<(Instance, usize, Vec<ScalarValue>)> {
    let mut told = Vec::new();
    for (position, group) in groups.iter().enumerate().filter(|(_position, group)| group.places.len() <= MAX_PLACES) {
        for (bit, place) in group.places.iter().enumerate() {
            let of = |matched: usize| {
                let ways = group.values.iter().enumerate();
                let ways = ways.filter(|(way, _values)| way >> bit & 1 == matched && possible(&group.places, *way));
                ways.fold(Values::no_value(), |all, (_way, values)| all.or(values))
            };
            let (unmatched, matched) = (of(0), of(1));
            let Values::Of(mut values) = unmatched else { continue };
            values.retain(|value| matched.apart(&Values::Of(vec![value.clone()])));
            if !values.is_empty() {
                told.push((*place, position, values));
            }
        }
    }
    told
}
