//! Combinations near a new vector that one information set does not show, since units of the set itself are among the few in
//! which they differ.
//!
//! Where the few hold one or two units of the set, what is left of the vector is, but for the few, a combination of the one or
//! two reduced rows that belong to them (P. J. Lee and E. F. Brickell, "An observation on the security of McEliece's
//! public-key cryptosystem", 1988). In three units at once, two rows give what is left exactly where what both have beside it
//! is parallel, so pairs are found by sorting, and not by trying all.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::ops::ControlFlow;

use super::field::{Residue, add, dot};
use super::merge::merge;
use super::sets::{InformationSet, Residual};
use super::vector::Vector;

/// Units in which rows are compared with what is left; fewer where there are many vectors, as that is most of the work.
const COMPARED: usize = 12;
const COMPARED_OF_MANY: usize = 6;
const MANY: usize = 1000;
/// Combinations that are looked at in all units, of those that agree in most of the compared ones.
const LOOKED_AT: usize = 32;
/// Pairs compared for each three units.
const PAIRS: usize = 4096;
/// Products that trying all information sets of a small room may take.
const SMALL: u64 = 2_000_000;
/// Most entries of vectors that make a small room.
const SMALL_ENTRIES: u64 = 2048;

/// Rows with their factors, and in how many of the compared units they leave nothing.
type Found = (usize, Vec<(usize, Residue)>);

/// The factors of combinations that leave little of the vector, the likeliest first. `columns` are what the units of the
/// residual's sample add to the vectors; of combinations that differ in `limit` of these, none is given.
pub(super) fn candidates(
    set: &InformationSet,
    residual: &Residual,
    columns: &[Vec<Residue>],
    limit: u64,
) -> Vec<Vec<Residue>> {
    let most = if residual.factors.len() > MANY { COMPARED_OF_MANY } else { COMPARED };
    let step = residual.sample.len().div_ceil(most).max(1);
    let left: Vec<Residue> = residual.sample.iter().step_by(step).map(|(_key, left)| *left).collect();
    // For each row, what each of the compared units adds to it.
    let by_unit: Vec<Vec<Residue>> = columns.iter().step_by(step).map(|column| set.reduced(column)).collect();
    let rows: Vec<Vec<Residue>> = (0..residual.factors.len())
        .map(|row| by_unit.iter().map(|unit| unit.get(row).copied().unwrap_or_default()).collect())
        .collect();
    let mut found: Vec<Found> = Vec::new();
    let mut known = HashSet::new();
    let mut keep = |taken: Vec<(usize, Residue)>| {
        let agree = (0..left.len())
            .filter(|unit| {
                let at = |row: usize| rows.get(row).and_then(|row| row.get(*unit)).copied().unwrap_or_default();
                let sum = taken.iter().fold(Residue::ZERO, |sum, (row, factor)| sum + *factor * at(*row));
                left.get(*unit).is_some_and(|left| (*left - sum).is_zero())
            })
            .count();
        // With as many units as rows it always goes up.
        if agree > taken.len() && known.insert(taken.clone()) {
            found.push((agree, taken));
        }
    };
    for (place, row) in rows.iter().enumerate() {
        for (left, own) in left.iter().zip(row).filter(|(_left, own)| !own.is_zero()).take(4) {
            keep(vec![(place, *left * own.inverse())]);
        }
    }
    for three in 0..left.len() / 3 {
        pairs(&rows, &left, three * 3, &mut keep);
    }
    found.sort_by_key(|(agree, taken)| (std::cmp::Reverse(*agree), taken.len()));
    found
        .into_iter()
        .take(LOOKED_AT)
        .filter_map(|(_agree, taken)| {
            let mut given = vec![Residue::ZERO; residual.factors.len()];
            for (row, by) in taken {
                if let Some(given) = given.get_mut(row) {
                    *given = by;
                }
            }
            let mut more = set.combination(&given);
            let differ =
                residual.sample.iter().zip(columns).filter(|((_key, left), column)| *left != dot(&more, column));
            if differ.take(usize::try_from(limit).unwrap_or(usize::MAX)).count() as u64 >= limit {
                return None;
            }
            add(&mut more, Residue::ONE, &residual.factors);
            Some(more)
        })
        .collect()
}

/// Pairs of rows that give what is left in three units from `at` on.
fn pairs(rows: &[Vec<Residue>], left: &[Residue], at: usize, keep: &mut impl FnMut(Vec<(usize, Residue)>)) {
    let three = |row: &[Residue]| match row.get(at..at + 3) {
        Some([a, b, c]) => Some((*a, *b, *c)),
        _ => None,
    };
    let Some((a, b, c)) = three(left) else { return };
    let mut parallel: BTreeMap<Residue, Vec<usize>> = BTreeMap::new();
    for (place, row) in rows.iter().enumerate() {
        let Some((x, y, z)) = three(row) else { continue };
        // What the row has beside what is left.
        let (one, other) = (y * a - x * b, z * a - x * c);
        // Zero stands for no inverse: one of the two directions that share it is as good as any.
        if !(one.is_zero() && other.is_zero()) {
            parallel.entry(one * other.inverse()).or_default().push(place);
        }
    }
    let mut compared = 0;
    for rows_of in parallel.values() {
        for (index, one) in rows_of.iter().enumerate() {
            for other in rows_of.iter().skip(index + 1) {
                compared += 1;
                if compared > PAIRS {
                    return;
                }
                let (Some(first), Some(second)) =
                    (rows.get(*one).and_then(|row| three(row)), rows.get(*other).and_then(|row| three(row)))
                else {
                    continue;
                };
                let equations = [
                    ((first.0, second.0, a), (first.1, second.1, b)),
                    ((first.0, second.0, a), (first.2, second.2, c)),
                    ((first.1, second.1, b), (first.2, second.2, c)),
                ];
                for ((p, q, r), (s, t, u)) in equations {
                    let determinant = p * t - q * s;
                    if !determinant.is_zero() {
                        let inverse = determinant.inverse();
                        let (by, by_other) = ((r * t - q * u) * inverse, (p * u - r * s) * inverse);
                        keep(vec![(*one, by), (*other, by_other)]);
                        break;
                    }
                }
            }
        }
    }
}

/// Every combination that is like a vector in as many units as there are vectors, where they are few enough to try all; then
/// nothing that is near is missed.
///
/// # Errors
/// Where a vector cannot be read.
pub(super) fn all(new: &Vector, members: &[&Vector]) -> io::Result<Vec<Vec<Residue>>> {
    let count = members.len();
    let entries = members.iter().fold(new.facts.entries, |sum, member| sum.saturating_add(member.facts.entries));
    if count == 0 || entries > SMALL_ENTRIES {
        return Ok(Vec::new());
    }
    // One equation for each unit: the factors, and what they are to give. Those of like units are one.
    let vectors: Vec<&Vector> = members.iter().copied().chain([new]).collect();
    let mut equations: Vec<Vec<Residue>> = Vec::new();
    merge(&vectors, 0, |_key, shares| {
        let mut equation = vec![Residue::ZERO; count + 1];
        for (index, share) in shares {
            if let Some(place) = equation.get_mut(*index) {
                *place = Residue::of(*share);
            }
        }
        let first = equation.iter().find(|number| !number.is_zero()).map_or(Residue::ZERO, |first| first.inverse());
        equations.push(equation.into_iter().map(|number| number * first).collect());
        ControlFlow::Continue(())
    })?;
    equations.sort_unstable();
    equations.dedup();
    let sets = (0..count as u64).try_fold(1_u64, |sets, taken| {
        let left = (equations.len() as u64).saturating_sub(taken);
        sets.checked_mul(left).map(|sets| sets / (taken + 1)).filter(|sets| *sets <= SMALL)
    });
    let cube = (count as u64).saturating_pow(3);
    if sets.is_none_or(|sets| sets.saturating_mul(cube) > SMALL) {
        return Ok(Vec::new());
    }
    let mut found = HashSet::new();
    let mut ordered = Vec::new();
    extend(&equations, 0, &mut Vec::new(), count, &mut |factors| {
        if found.insert(factors.clone()) {
            ordered.push(factors);
        }
    });
    Ok(ordered)
}

/// Takes one equation more, from `next` on, where it does not follow from those before; `taken` are in echelon form.
fn extend(
    equations: &[Vec<Residue>],
    next: usize,
    taken: &mut Vec<(usize, Vec<Residue>)>,
    count: usize,
    solved: &mut impl FnMut(Vec<Residue>),
) {
    if taken.len() == count {
        let mut factors = vec![Residue::ZERO; count];
        for (pivot, equation) in taken.iter().rev() {
            let known = equation.iter().zip(&factors).fold(Residue::ZERO, |sum, (a, b)| sum + *a * *b);
            let gives = equation.last().copied().unwrap_or_default();
            if let Some(factor) = factors.get_mut(*pivot) {
                *factor = gives - known;
            }
        }
        return solved(factors);
    }
    for (index, equation) in equations.iter().enumerate().skip(next) {
        let mut equation = equation.clone();
        for (pivot, other) in taken.iter() {
            let by = equation.get(*pivot).copied().unwrap_or_default();
            if !by.is_zero() {
                add(&mut equation, -by, other);
            }
        }
        let Some(pivot) = equation.iter().take(count).position(|number| !number.is_zero()) else { continue };
        let inverse = equation.get(pivot).map_or(Residue::ZERO, |number| number.inverse());
        for number in &mut equation {
            *number = *number * inverse;
        }
        taken.push((pivot, equation));
        extend(equations, index + 1, taken, count, solved);
        taken.pop();
    }
}
