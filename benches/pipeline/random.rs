//! Random numbers that are the same on every machine and every run.

use std::f64::consts::TAU;

pub(crate) use crate::splitmix::Random;

impl Random {
    /// Above 0, at most 1: its logarithm is finite.
    pub(crate) fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// Normal, mean 0 and variance 1 (Box and Muller).
    pub(crate) fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (TAU * self.unit()).cos()
    }

    /// Every order is as likely (Fisher and Yates; the bias of the remainder is far below 2^-40 here).
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, (self.next() % (last as u64 + 1)) as usize);
        }
    }
}

/// A choice with given weights.
pub(crate) struct Choice {
    cumulated: Vec<f64>,
    total: f64,
}

impl Choice {
    pub(crate) fn new(weights: impl IntoIterator<Item = f64>) -> Self {
        let mut total = 0.0;
        let cumulated = weights
            .into_iter()
            .map(|weight| {
                total += weight;
                total
            })
            .collect();
        Self { cumulated, total }
    }

    /// The position of the one that is chosen.
    pub(crate) fn draw(&self, random: &mut Random) -> usize {
        let at = random.unit() * self.total;
        self.cumulated.partition_point(|sum| *sum < at).min(self.cumulated.len().saturating_sub(1))
    }
}

/// One of `count` people, some far more often than others: density of rank x proportional to (x + 100)^-0.8
/// (Zipf and Mandelbrot), drawn by its inverse.
pub(crate) struct Skew {
    count: u32,
    low: f64,
    range: f64,
}

impl Skew {
    const SHIFT: f64 = 100.0;
    const POWER: f64 = 0.2;
    /// A prime larger than any number of people here, so that it scatters ranks without a collision.
    const SCATTER: u64 = 7_368_787;

    pub(crate) fn new(count: u32) -> Self {
        let low = Self::SHIFT.powf(Self::POWER);
        Self { count, low, range: (f64::from(count) + Self::SHIFT).powf(Self::POWER) - low }
    }

    pub(crate) fn draw(&self, random: &mut Random) -> u32 {
        let rank = (self.low + random.unit() * self.range).powi(5) - Self::SHIFT;
        let rank = (rank.max(0.0) as u64).min(u64::from(self.count) - 1);
        (rank * Self::SCATTER % u64::from(self.count)) as u32
    }
}
