//! Release with noise: differential privacy of units.
//!
//! **What holds.** Two sets of data are neighbours where one holds all rows of one unit, in all tables of its identity space
//! of all owners, and the other none of them. Everything that is answered differs between neighbours by what the question is
//! charged, and no more: as zCDP or pure epsilon, but for the chance delta that a group of few units shows.
//!
//! **Why.** Protected rows meet by their unit alone, so a row below a release point is a function of one unit's rows and of
//! public tables; a neighbour adds or takes away rows of one unit. [`bound`] clamps what a unit adds to a group and keeps at
//! most so many of its groups, chosen by a fresh secret salt that no other unit has a part in: the sensitivity. [`mechanism`]
//! adds noise to that; of the values of a measure [`quantile`] chooses one. A group shows where a noisy count of its units reaches a threshold, or always, where its owner
//! declared the values there are. Nothing else looks at an exact number: no floor, dominance rule, guard or remainder.
//! What stands above a release point is computed from noisy numbers alone.
//!
//! **What it costs** follows from the statement, the policies and what the analyst asks for: never from rows.

mod bound;
mod canonical;
mod draw;
mod interval;
mod kept;
mod lineage;
mod mechanism;
mod plan;
mod quantile;

#[cfg(test)]
pub(crate) use bound::tests as testing;
pub(crate) use bound::{Salt, bounded_plan, bounding, choice};
pub(crate) use canonical::Canonical;
pub(crate) use draw::{draw, released};
pub use interval::ColumnNoise;
pub(crate) use interval::Simulation;
pub(crate) use kept::{Shape, read, written};
pub(crate) use plan::{QueryNoise, plan};
pub(crate) use quantile::{histogram_bounding, histogram_plan};

use std::collections::BTreeMap;

/// What an analyst asks for beside the statement.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Spending {
    /// The epsilon to spend: above 0 and at most what each policy allows for one question, which it is where nothing is said.
    pub epsilon: Option<f64>,
    /// By the name of a column of the answer, how much of it to spend on that column: above 0, at most 1000; 1 where nothing
    /// is said.
    pub weights: BTreeMap<String, f64>,
}

/// The range of a value times a constant.
pub(crate) fn scaled((low, high): (f64, f64), factor: f64) -> (f64, f64) {
    ((low * factor).min(high * factor), (low * factor).max(high * factor))
}

/// The range of the sum of at least one and at most so many values.
pub(crate) fn total((low, high): (f64, f64), most: u32) -> (f64, f64) {
    (low.min(low * f64::from(most)), high.max(high * f64::from(most)))
}
