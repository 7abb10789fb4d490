//! Rooms, policies, table versions, tokens and questions, and the log of each room: one SQLite database a data directory.
//!
//! What a question leads to is seen by nobody before it is recorded. [`Registry::reserve`] makes the intent durable,
//! [`Registry::record`] the outcome; only here can the values be made that stand for it, [`Reservation`], [`Pending`] and
//! [`Recorded`].
//!
//! Questions under noise are charged in the very transaction of their intent, or not admitted: see [`Registry::reserve_at`].

mod actor;
mod cells;
mod ending;
mod error;
mod files;
mod history;
mod ledger;
mod logs;
mod numbers;
mod outcome;
mod policies;
mod policy_history;
mod publish;
mod queries;
mod query_id;
mod random;
mod registry;
mod rooms;
mod run;
mod sealed;
mod signatures;
mod standing_tokens;
mod tables;
mod templates;
mod tokens;
mod witnesses;
mod write;

pub use actor::{Actor, Door, Role};
pub use cells::{CellCap, CellClaim};
pub use error::RegistryError;
pub use history::{IdempotencyState, QueryRecord};
pub use ledger::{
    Amounts, AnalystSpend, DaySpend, Limit, PeriodSpending, Price, Remaining, Replay, ReplayKey, TableBudget,
};
pub use logs::{LogEntry, NamedText, Receipt};
pub use outcome::{Attempt, Intent, Outcome, Pending, ReceiptRef, Recorded, Reservation, Status};
pub use policies::PolicyRecord;
pub use policy_history::PolicyVersion;
pub use query_id::QueryId;
pub use registry::{OpenOptions, Registry};
pub use rooms::Change;
pub use signatures::{membership_statement, policy_statement};
pub use tables::{NewTableVersion, TableVersion};
pub use templates::{Replace, TemplateRecord, TemplateUse};
pub use tokens::{Identity, IssuedToken};
pub use witnesses::{Asked, Doubt, Witnesses};
