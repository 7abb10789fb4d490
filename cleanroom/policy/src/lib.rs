//! Policy, room and template documents: text to checked values.
//!
//! A document is YAML of a fixed shape. [`parse_room`], [`parse_policy`], [`parse_template`] and [`parse_document`] turn its text into
//! values whose types already exclude most contradictions, or into every error that was found, each with its line and what to do about
//! it. Nothing here knows the engine or sees a row.

mod approval;
mod canonical;
mod cases;
mod check;
mod column;
mod diff;
mod document;
mod error;
mod explain;
mod fields;
mod lint;
mod model;
mod names;
mod number;
#[cfg(test)]
mod page;
mod parameter;
mod policy;
mod prose;
mod release;
mod report;
mod room;
mod template;
mod words;
mod yaml;

pub use approval::{ApprovalError, TemplateApproval};
pub use cases::{Case, Cases, MadeColumn, MadeTable, parse_cases, parse_made_tables};
pub use check::check_policy_in_room;
pub use diff::{Effect, PolicyChange, diff_policies};
pub use document::{Document, parse_document, parse_documents, parse_policy, parse_room, parse_template};
pub use error::DocumentError;
pub use explain::{Explanation, Section};
pub use lint::{Warning, lint_policy, lint_policy_in_room};
pub use model::*;
pub use names::{ColumnName, NameError, PartnerName, RoomName, SpaceName, TableName, TemplateName};
pub use parameter::ParameterValue;
