//! Released tables as text, JSON, CSV, Arrow and Parquet.

mod cell;
mod columnar;
mod refusal;
mod table;

pub(crate) use cell::json_rows;
pub(crate) use columnar::{from_ipc, to_arrow, to_csv, to_parquet};
pub(crate) use refusal::refusal_text;
pub(crate) use table::{batch_table, text_csv, text_table};
