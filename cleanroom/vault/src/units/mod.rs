//! What a release point needs most, in one pass: shares of each unit in each group, of each unit so many groups at most, and
//! the groups' numbers from them.
//!
//! The plan says the same with stock operators (an aggregate per group and unit, a window, an aggregate per group), and what
//! must hold of it is looked at there ([`crate::invariants`]). Where its rows come in order of their units and each unit's
//! into one partition, [`lowered`] puts [`exec::UnitTotalsExec`] in the place of these operators, up to the first step of the
//! last aggregate; everywhere else the plan runs as it is.

mod exec;
mod lower;
mod stream;

#[cfg(test)]
mod tests;

use datafusion::common::{DataFusionError, exec_datafusion_err};

pub(crate) use self::lower::lowered;
use crate::noise::Salt;

/// Of a unit's groups, which count: those that come first by a number of the unit's in each, under a salt.
#[derive(Clone)]
pub(crate) struct Choice {
    /// Groups of a unit that count.
    pub(crate) most: usize,
    /// The share that decides.
    pub(crate) number: &'static str,
    pub(crate) salt: Salt,
}

/// Something is not as the plan has it. It tells nothing of a row.
fn lost(what: &str) -> DataFusionError {
    exec_datafusion_err!("rows by unit: {what}")
}
