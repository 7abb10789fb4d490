//! Whole numbers modulo the prime 2^61 - 1, in which combinations of released numbers are looked for.
//!
//! What holds of rational numbers holds modulo the prime, so no combination is missed for it. What holds modulo the prime
//! alone is a coincidence of one in 2^61, and is told apart when a combination that was found is worked out exactly.

use std::ops::{Add, Mul, Neg, Sub};

const P: u64 = (1 << 61) - 1;
/// Products that are added up before they are reduced: 2^5 of less than 2^122 each.
const TOGETHER: usize = 32;
/// Largest numerator and denominator of a factor that is taken for a rational number: of all numbers modulo the prime, one
/// in a million is one.
const LARGEST: u64 = 1 << 20;

/// A number modulo the prime, below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct Residue(u64);

impl Residue {
    pub(super) const ZERO: Self = Self(0);
    pub(super) const ONE: Self = Self(1);

    pub(super) fn of(number: i128) -> Self {
        Self(u64::try_from(number.rem_euclid(i128::from(P))).unwrap_or(0))
    }

    /// A number below the prime, from any bits.
    pub(super) fn of_bits(bits: u64) -> Self {
        Self(bits % P)
    }

    pub(super) fn to_bits(self) -> u64 {
        self.0
    }

    pub(super) fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Its inverse; that of zero is zero.
    pub(super) fn inverse(self) -> Self {
        let (mut power, mut result, mut exponent) = (self, Self::ONE, P - 2);
        while exponent > 0 {
            if exponent & 1 == 1 {
                result = result * power;
            }
            power = power * power;
            exponent >>= 1;
        }
        result
    }

    /// The numerator and the positive denominator of the small fraction that it is, where it is one (P. S. Wang, 1981: the
    /// fraction is the first step of Euclid's algorithm with a small remainder).
    pub(super) fn fraction(self) -> Option<(i128, i128)> {
        let (mut large, mut small) = (i128::from(P), i128::from(self.0));
        let (mut before, mut factor) = (0_i128, 1_i128);
        while small.unsigned_abs() > u128::from(LARGEST) {
            let times = large.checked_div(small)?;
            (large, small) = (small, large - times * small);
            (before, factor) = (factor, before - times * factor);
        }
        if factor == 0 || factor.unsigned_abs() > u128::from(LARGEST) {
            return None;
        }
        Some((small * factor.signum(), factor.abs()))
    }
}

impl Add for Residue {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let sum = self.0 + other.0;
        Self(if sum >= P { sum - P } else { sum })
    }
}

impl Neg for Residue {
    type Output = Self;

    fn neg(self) -> Self {
        Self(if self.0 == 0 { 0 } else { P - self.0 })
    }
}

impl Sub for Residue {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Mul for Residue {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        reduced(u128::from(self.0) * u128::from(other.0))
    }
}

fn reduced(number: u128) -> Residue {
    let folded = (number & u128::from(P)) + (number >> 61);
    let folded = (folded & u128::from(P)) + (folded >> 61);
    let number = u64::try_from(folded).unwrap_or(0);
    Residue(if number >= P { number - P } else { number })
}

/// The sum of the products of numbers in the same place.
pub(super) fn dot(one: &[Residue], other: &[Residue]) -> Residue {
    let mut sum = Residue::ZERO;
    for (one, other) in one.chunks(TOGETHER).zip(other.chunks(TOGETHER)) {
        let products = one.iter().zip(other).map(|(one, other)| u128::from(one.0) * u128::from(other.0));
        sum = sum + reduced(products.sum());
    }
    sum
}

/// Sums of multiples of rows, reduced as seldom as can be.
pub(super) struct Sums {
    sums: Vec<u128>,
    /// Products in each sum since they were reduced.
    together: usize,
}

impl Sums {
    pub(super) fn of(start: impl Iterator<Item = Residue>) -> Self {
        Self { sums: start.map(|number| u128::from(number.0)).collect(), together: 0 }
    }

    /// Adds a multiple of a row to the first sums; what is left out by a factor of zero costs nothing.
    pub(super) fn add(&mut self, factor: Residue, row: &[Residue]) {
        if factor.is_zero() {
            return;
        }
        if self.together == TOGETHER - 1 {
            for sum in &mut self.sums {
                *sum = u128::from(reduced(*sum).0);
            }
            self.together = 0;
        }
        for (sum, number) in self.sums.iter_mut().zip(row) {
            *sum += u128::from(factor.0) * u128::from(number.0);
        }
        self.together += 1;
    }

    /// Takes the last sum out.
    pub(super) fn pop(&mut self) -> Option<Residue> {
        self.sums.pop().map(reduced)
    }

    pub(super) fn into_sums(self) -> Vec<Residue> {
        self.sums.into_iter().map(reduced).collect()
    }
}

/// Adds a multiple of a row to another.
pub(super) fn add(to: &mut [Residue], factor: Residue, row: &[Residue]) {
    for (to, number) in to.iter_mut().zip(row) {
        if !number.is_zero() {
            *to = *to + factor * *number;
        }
    }
}
