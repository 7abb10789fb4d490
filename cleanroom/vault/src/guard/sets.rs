//! An information set: units, as many as there are independent vectors, at which the vectors tell every combination of them
//! apart.
//!
//! A new vector differs from exactly one combination in none of these units. If any combination comes near the new vector
//! without differing from it there, it is that one (E. Prange, "The use of information sets in decoding cyclic codes", 1962).
//! Kept are the triangular factors of the matrix of what these units add (A. M. Turing, "Rounding-off errors in matrix
//! processes", 1948): a vector more adds a row to one and a column to the other and leaves what was there, so that it costs
//! the square of their number, can be taken out again, and can be kept in a file that only grows.

use std::io;
use std::ops::ControlFlow;

use super::field::{Residue, Sums, dot};
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
    /// For each vector what came with it.
    steps: Vec<Step>,
}

/// A vector of an information set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// Where its unit stands.
    pub(super) key: u32,
    /// The combination of the vectors before that is like it in their units.
    pub(super) factors: Vec<Residue>,
    /// What its unit adds to what is left of each vector before, and of itself: the last is not zero.
    pub(super) left: Vec<Residue>,
    inverse: Residue,
}

impl Step {
    /// `None` where nothing is left of the vector.
    pub(super) fn new(key: u32, factors: Vec<Residue>, left: Vec<Residue>) -> Option<Self> {
        let inverse = left.last()?.inverse();
        (left.len() == factors.len() + 1 && !inverse.is_zero()).then_some(Self { key, factors, left, inverse })
    }
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
        Self { start, pivots: Vec::new(), steps: Vec::new() }
    }

    /// What is left of a vector, counted up to `limit` units.
    ///
    /// # Errors
    /// Where a vector cannot be read.
    pub(super) fn residual(&self, new: &Vector, members: &[&Vector], limit: u64) -> io::Result<Residual> {
        let shares = new.shares_at(self.pivots.iter().map(|(key, _place)| *key))?;
        let mut given = vec![Residue::ZERO; self.steps.len()];
        for ((_key, place), share) in self.pivots.iter().zip(shares) {
            if let Some(given) = given.get_mut(*place) {
                *given = Residue::of(share);
            }
        }
        let factors = self.combination(&given);
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

    /// The factors of the combination to which each unit here adds what is given for it.
    pub(super) fn combination(&self, given: &[Residue]) -> Vec<Residue> {
        // By what is left of each vector first.
        let nothing = given.iter().take_while(|given| given.is_zero()).count();
        let mut by = vec![Residue::ZERO; nothing];
        for (given, step) in given.iter().zip(&self.steps).skip(nothing) {
            let known = dot(by.get(nothing..).unwrap_or_default(), step.left.get(nothing..).unwrap_or_default());
            by.push((*given - known) * step.inverse);
        }
        let mut factors = Sums::of(by.iter().copied());
        for (by, step) in by.iter().zip(&self.steps) {
            factors.add(-*by, &step.factors);
        }
        factors.into_sums()
    }

    /// What a unit adds to what is left of each vector, of what it adds to the vectors.
    fn left<'c>(&'c self, column: &'c [Residue]) -> impl Iterator<Item = Residue> + 'c {
        self.steps.iter().zip(column).map(|(step, own)| *own - dot(&step.factors, column))
    }

    /// What a unit adds to the combinations that belong to the units here, of what it adds to the vectors. To the combination
    /// that belongs to a unit, that unit adds 1 and the other ones nothing.
    pub(super) fn reduced(&self, column: &[Residue]) -> Vec<Residue> {
        let mut left = Sums::of(self.left(column));
        let mut reduced = Vec::with_capacity(self.steps.len());
        for step in self.steps.iter().rev() {
            let own = left.pop().unwrap_or_default() * step.inverse;
            left.add(-own, &step.left);
            reduced.push(own);
        }
        reduced.reverse();
        reduced
    }

    /// What came with a vector.
    pub(super) fn step(&self, place: usize) -> Option<&Step> {
        self.steps.get(place)
    }

    /// Takes a vector in, by a unit in which something is left of it; `column` is what that unit adds to the vectors before.
    pub(super) fn push(&mut self, factors: &[Residue], (key, left): (u32, Residue), column: &[Residue]) {
        let left = self.left(column).chain([left]).collect();
        if let Some(step) = Step::new(key, factors.to_vec(), left) {
            self.take(step);
        }
    }

    /// Takes in a vector of which all is known.
    pub(super) fn take(&mut self, step: Step) {
        let at = self.pivots.partition_point(|(other, _place)| *other < step.key);
        self.pivots.insert(at, (step.key, self.steps.len()));
        self.steps.push(step);
    }

    /// Takes the last vector out again.
    pub(super) fn pop(&mut self) {
        self.steps.pop();
        let place = self.steps.len();
        self.pivots.retain(|(_key, other)| *other != place);
    }
}

/// What a unit adds to a combination.
pub(super) fn sum(shares: &[(usize, i128)], by: &[Residue]) -> Residue {
    shares.iter().fold(Residue::ZERO, |sum, (index, share)| {
        sum + by.get(*index).copied().unwrap_or_default() * Residue::of(*share)
    })
}
