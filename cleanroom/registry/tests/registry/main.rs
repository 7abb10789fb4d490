//! The registry as the vault and the doors use it, and what it is after a crash.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod cells;
mod concurrency;
mod documents;
mod house;
mod killed;
mod questions;
mod recovery;
mod templates;
mod tokens;
