//! The only crate that can see a row: ingest, check, execute, release.
//!
//! One direction, from the question to the recorded answer; each stage consumes one type and yields a stronger one.
//! [`Vault::answer`] is the one door: nothing else in this crate hands out anything computed from a room's row. [`OwnFile`] is no
//! door to a room: it reads a file that its caller holds in plain.

#[cfg(doctest)]
mod forgeries;

mod answer;
mod apart;
mod cells;
mod check;
mod compile;
mod deep;
mod evidence;
mod execute;
mod facts;
mod firsts;
mod fixed;
mod guard;
mod guide;
mod ingest;
mod invariants;
mod marks;
mod noise;
mod own;
#[cfg(test)]
mod pages;
mod parameters;
mod parse;
mod pay;
mod plan;
#[cfg(test)]
mod plans;
mod post;
mod pushdown;
mod question;
mod ranges;
mod refusal;
mod release;
mod released;
mod respell;
mod scans;
mod shares;
mod signed;
mod snapshot;
mod source;
mod suggest;
#[cfg(test)]
mod testing;
#[cfg(test)]
#[path = "../../../tests/three.rs"]
mod three;
mod units;
mod using;
mod vault;
mod without;

pub use cells::{CellColumn, json_rows};
pub use cleanroom_registry::QueryId;
pub use deep::WORKER_STACK;
pub use guide::Guide;
pub use ingest::{Format, IngestError, IngestRequest, IngestSource, Ingested, Place};
pub use noise::{ColumnNoise, Spending};
pub use own::{OwnFile, OwnFileError};
pub use parameters::check_template;
pub use question::Question;
pub use refusal::{Code, Failure, Refusal, Rule, Span};
pub use released::{Cost, Decision, OutputColumn, Priced, Released};
pub use vault::{Catalog, CatalogColumn, CatalogTable, Request, Unavailable, Vault, VaultError, VaultOptions};
