//! Privacy loss: its units, its bounds, and what a budget admits.
//!
//! A question under noise has a *loss*: how much more likely its answer can make it that a unit's rows were there. It is kept
//! in whole numbers of a small unit, each rounded up, so that sums are exact whatever their order and never come out too low.
//!
//! | | meaning | unit | source |
//! |---|---|---|---|
//! | [`Rho`] | zero-concentrated differential privacy | 1e-12 | Bun and Steinke 2016 |
//! | [`PureEpsilon`] | pure differential privacy | 1e-12 | Dwork, McSherry, Nissim and Smith 2006 |
//! | [`Delta`] | chance that the rest does not hold | 1e-18 | Dwork et al. 2006 |
//!
//! Losses add up, also of questions that are chosen by earlier answers: an [`Allowance`] that is looked at before each
//! question is a privacy filter (Rogers, Roth, Ullman and Vadhan 2016; for zCDP Feldman and Zrnic 2021).

mod allowance;
mod convert;
mod loss;

pub use allowance::Allowance;
pub use convert::{epsilon_of, rho_of};
pub use loss::{Delta, Loss, PureEpsilon, Rho};
