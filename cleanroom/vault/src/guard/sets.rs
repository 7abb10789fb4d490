//! An information set: units, as many as there are independent vectors, at which the vectors tell every combination of them
//! apart.
//!
//! A new vector differs from exactly one combination in none of these units. If any combination comes near the new vector
//! without differing from it there, it is that one (E. Prange, "The use of information sets in decoding cyclic codes", 1962).
//! Kept is the inverse of the matrix of what these units add, so that a vector more costs the square of their number.

use std::io;
use std::ops::ControlFlow;

use super::field::{Residue, add, combined, dot};
use super::merge::merge;
use super::vector::Vector;

/// Units looked at of those in which a new vector differs from a combination.
pub(super) const SAMPLE: usize = 64;

/// The units, by where they stand, and what follows from them.
pub(super) struct InformationSet {
    /// Where reading begins: secret, so nobody knows whom it meets first.
    start: u32,
    /// For each vector, the unit that was taken for it, by where that stands; ascending, with the vector's place.
    pivots: Vec<(u32, usize)>,
    /// For each vector's unit, the factors of the combination to which that unit adds 1 and the other ones nothing.
    inverse: Vec<Vec<Residue>>,
}

/// What a new vector has beside the combination that is like it in the units of an information set.
pub(super) struct Residual {
    pub(super) factors: Vec<Residue>,
    /// In how many units they differ, counted up to a limit.
    pub(super) support: u64,
    /// Some of these units, ascending, and what is left there.
    pub(super) sample: Vec<(u32, Residue)>,
}

impl InformationSet {
    pub(super) fn new(start: u32) -> Self {
        Self { start, pivots: Vec::new(), inverse: Vec::new() }
    }

    /// What is left of a vector, counted up to `limit` units.
    ///
    /// # Errors
    /// Where a vector cannot be read.
    pub(super) fn residual(&self, new: &Vector, members: &[&Vector], limit: u64) -> io::Result<Residual> {
        let shares = new.shares_at(self.pivots.iter().map(|(key, _place)| *key))?;
        let rows = self.pivots.iter().zip(&shares).filter_map(|((_key, place), share)| {
            self.inverse.get(*place).map(|row| (Residue::of(*share), row.as_slice()))
        });
        let factors = combined(rows, members.len());
        let (mut vectors, mut by) = (vec![new], vec![Residue::ONE]);
        for (vector, factor) in members.iter().zip(&factors).filter(|(_vector, factor)| !factor.is_zero()) {
            vectors.push(vector);
            by.push(-*factor);
        }
        let (mut support, mut sample) = (0_u64, Vec::new());
        merge(&vectors, self.start, |key, shares| {
            let left = sum(shares, &by);
            if !left.is_zero() {
                support += 1;
                if sample.len() < SAMPLE {
                    sample.push((key, left));
                }
            }
            match support >= limit && sample.len() >= SAMPLE {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })?;
        sample.sort_unstable();
        Ok(Residual { factors, support, sample })
    }

    /// What a unit adds to the combinations that belong to the units here, of what it adds to the vectors.
    pub(super) fn reduced(&self, column: &[Residue]) -> Vec<Residue> {
        self.inverse.iter().map(|row| dot(row, column)).collect()
    }

    /// The factors of the combination that belongs to a unit here.
    pub(super) fn row(&self, place: usize) -> &[Residue] {
        self.inverse.get(place).map_or(&[], Vec::as_slice)
    }

    /// Takes a vector in, by a unit in which something is left of it; `column` is what that unit adds to the vectors before.
    pub(super) fn push(&mut self, factors: &[Residue], (key, left): (u32, Residue), column: &[Residue]) {
        let inverse = left.inverse();
        let reduced = self.reduced(column);
        for (row, by) in self.inverse.iter_mut().zip(reduced) {
            let by = by * inverse;
            if !by.is_zero() {
                add(row, by, factors);
            }
            row.push(-by);
        }
        let mut last: Vec<Residue> = factors.iter().map(|factor| -(*factor * inverse)).collect();
        last.push(inverse);
        let place = self.inverse.len();
        self.inverse.push(last);
        let at = self.pivots.partition_point(|(other, _place)| *other < key);
        self.pivots.insert(at, (key, place));
    }

    /// Takes the last vector out again.
    pub(super) fn pop(&mut self) {
        let Some(mut last) = self.inverse.pop() else { return };
        let inverse = last.pop().unwrap_or_default().inverse();
        for row in &mut self.inverse {
            let by = row.pop().unwrap_or_default() * inverse;
            if !by.is_zero() {
                add(row, -by, &last);
            }
        }
        let place = self.inverse.len();
        self.pivots.retain(|(_key, other)| *other != place);
    }
}

/// What a unit adds to a combination.
pub(super) fn sum(shares: &[(usize, i128)], by: &[Residue]) -> Residue {
    shares.iter().fold(Residue::ZERO, |sum, (index, share)| {
        sum + by.get(*index).copied().unwrap_or_default() * Residue::of(*share)
    })
}
