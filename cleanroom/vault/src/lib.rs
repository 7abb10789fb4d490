//! The only crate that can see a row: ingest, check, execute, release.
//!
//! One direction, from the question to the recorded answer; each stage consumes one type and yields a stronger one.
//! [`Vault::answer`] is the one door: nothing else in this crate hands out anything computed from a row.

#[cfg(doctest)]
mod forgeries;

mod answer;
mod check;
mod compile;
mod deep;
mod evidence;
mod execute;
mod facts;
mod fixed;
mod guard;
mod ingest;
mod parse;
mod plan;
mod post;
mod refusal;
mod release;
mod released;
mod snapshot;
mod source;
mod vault;

pub use cleanroom_registry::QueryId;
pub use deep::WORKER_STACK;
pub use ingest::{Format, IngestError, IngestRequest, IngestSource, Ingested, Place};
pub use refusal::{Code, Failure, Refusal, Rule, Span};
pub use released::{Decision, OutputColumn, Priced, Released};
pub use vault::{Catalog, CatalogColumn, CatalogTable, Request, Unavailable, Vault, VaultError, VaultOptions};
