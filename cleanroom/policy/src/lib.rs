//! Policy, room and template documents: text to checked values.
//!
//! A document is YAML of a fixed shape. [`parse_room`], [`parse_policy`], [`parse_template`] and [`parse_document`] turn its text into
//! values whose types already exclude most contradictions, or into every error that was found, each with its line and what to do about
//! it. Nothing here knows the engine or sees a row.

mod approval;
mod canonical;
mod check;
mod column;
mod document;
mod error;
mod fields;
mod model;
mod names;
mod number;
mod parameter;
mod policy;
mod release;
mod report;
mod room;
mod template;
mod words;
mod yaml;

pub use approval::{ApprovalError, TemplateApproval};
pub use check::check_policy_in_room;
pub use document::{Document, parse_document, parse_documents, parse_policy, parse_room, parse_template};
pub use error::DocumentError;
pub use model::*;
pub use names::{ColumnName, NameError, PartnerName, RoomName, SpaceName, TableName, TemplateName};
pub use parameter::ParameterValue;
