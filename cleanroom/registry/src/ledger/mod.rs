//! The budget ledger: what questions under noise have cost, and whether another one is admitted.
//!
//! The truth is single charges, which are only ever added, in the very transaction of the intent they belong to. A table is
//! charged by its name in whatever room it was asked of; its owner's account of an identity space is charged once a
//! question, across tables, rooms and analysts. Policies say what may be spent; what was spent never depends on them, so no
//! edit, new version, upload or restart gives anything back.

mod charge;
mod over_time;
mod period;
mod price;
mod replays;
mod shares;
mod spent;
mod view;

pub use over_time::{DaySpend, PeriodSpending};
pub use price::{Limit, Price, Remaining, ReplayKey};
pub use replays::Replay;
pub(crate) use replays::paid_for;
pub(crate) use shares::Share;
pub use view::{Amounts, AnalystSpend, TableBudget};
