//! Noise, as whoever asks sees it: that it is enough, that it is what it is said to be, and that nothing else tells.

mod accuracy;
pub(crate) mod blocks;
mod canaries;
mod exact;
mod mutants;
mod quantiles;
pub(crate) mod statistics;
mod two_worlds;

pub(crate) use two_worlds::noisy;
