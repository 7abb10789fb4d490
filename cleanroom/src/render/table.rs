//! Tables for people.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use cleanroom_vault::CellColumn;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table};

use super::visible::visible;
use crate::fault::{Fault, Result};

/// A released table, numbers to the right.
pub(crate) fn batch_table(batch: &RecordBatch) -> Result<String, ArrowError> {
    let columns = batch.columns().iter().map(CellColumn::new).collect::<Result<Vec<_>, _>>()?;
    let mut table = empty();
    let schema = batch.schema_ref();
    table
        .set_header(schema.fields().iter().zip(&columns).map(|(field, column)| cell(field.name(), column.is_number())));
    for row in 0..batch.num_rows() {
        table.add_row(
            columns
                .iter()
                .map(|column| cell(&column.text(row).unwrap_or_else(|| "NULL".to_owned()), column.is_number())),
        );
    }
    Ok(table.to_string())
}

/// A table of texts.
pub(crate) fn text_table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = empty();
    table.set_header(header.iter().map(|text| cell(text, false)));
    for row in rows {
        table.add_row(row.iter().map(|text| {
            let number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            cell(text, number)
        }));
    }
    table.to_string()
}

/// The same as CSV.
pub(crate) fn text_csv(header: &[&str], rows: &[Vec<String>]) -> Result<Vec<u8>> {
    let failed = |error: csv::Error| Fault::failure(format!("cannot write CSV: {error}"), "");
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(header).map_err(failed)?;
    for row in rows {
        writer.write_record(row).map_err(failed)?;
    }
    writer.into_inner().map_err(|error| Fault::failure(format!("cannot write CSV: {error}"), ""))
}

fn empty() -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED.with_rounded_corners()).set_content_arrangement(ContentArrangement::Dynamic);
    table
}

fn cell(text: &str, number: bool) -> Cell {
    let cell = Cell::new(visible(text));
    if number { cell.set_alignment(CellAlignment::Right) } else { cell }
}
