//! The product from outside: every test here runs the `cleanroom` binary as its users do.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

mod asking;
mod attacks;
mod audit;
mod authoring;
mod budgets;
mod console;
mod examples;
mod fixture;
mod golden;
mod journey;
mod killed;
mod mutated;
mod noise;
mod policies;
mod questions;
mod random;
mod receipts;
mod replays;
mod server;
mod signatures;
mod splitmix;
mod strict;
mod support;
mod three;
mod witnesses;
mod worlds;
