//! Chance that is the same each time.

pub(crate) use crate::splitmix::Random;

impl Random {
    /// From 0 to `end`, without it.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// A discrete Laplace variable of this scale: the difference of two geometric ones.
    pub(crate) fn laplace(&mut self, scale: f64) -> f64 {
        let mut geometric = || {
            let uniform = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
            ((1.0 - uniform).ln() * -scale).floor()
        };
        geometric() - geometric()
    }

    pub(crate) fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    pub(crate) fn of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }
}

/// A number from an environment variable.
pub(crate) fn from_env(name: &str, otherwise: usize) -> usize {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a whole number")))
}
