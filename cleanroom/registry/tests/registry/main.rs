//! The registry as the vault and the doors use it, and what it is after a crash.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

mod budgets;
mod cells;
mod concurrency;
mod documents;
mod house;
mod killed;
mod ledger;
mod questions;
mod reading;
mod recovery;
mod replays;
mod templates;
mod tokens;
mod witnesses;
