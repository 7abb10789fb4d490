//! Documents that are taken and documents that are not, as their authors see them.

mod accepted;
mod canonical;
mod mutated;
mod refused;
mod samples;
mod shipped;
