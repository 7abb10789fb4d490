//! Text files, read twice: once for the type of every column over all rows, once for the rows.

mod arrays;
mod cell;
mod delimited;
mod json;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::timezone::Tz;
use arrow::array::{
    ArrayBuilder as _, ArrayRef, BooleanBuilder, Date32Builder, Float64Builder, Int64Builder, RecordBatch,
    StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::DataType;
use cleanroom_policy::Policy;

pub(crate) use self::arrays::{TextColumn, typed};
use self::cell::{Cell, Seen};
use self::delimited::CsvRecords;
use self::json::JsonRecords;
use super::arrays::finite;
use super::error::{IngestError, Place};
use super::layout::{Chunk, Chunks, Layout, Places, Want};
use super::source::SourceFile;

/// Most rows of a chunk.
const ROWS: usize = 8192;

/// A chunk is full, too, with texts of this size.
const BYTES: usize = 1 << 20;

/// Longest record of a text file, in bytes.
const MAX_RECORD: u64 = 64 << 20;

/// Opens a CSV file.
pub(crate) fn csv(
    source: &SourceFile,
    policy: &Policy,
    stop: &AtomicBool,
) -> Result<(Layout, Box<dyn Chunks>), IngestError> {
    let mut records = CsvRecords::open(source)?;
    let layout = survey(&mut records, source, policy, stop)?;
    let records = CsvRecords::open(source)?;
    Ok((layout.clone(), Box::new(TextChunks::new(records, source, layout)?)))
}

/// Opens a file of JSON lines.
pub(crate) fn json_lines(
    source: &SourceFile,
    policy: &Policy,
    stop: &AtomicBool,
) -> Result<(Layout, Box<dyn Chunks>), IngestError> {
    let mut records = JsonRecords::open(source, Vec::new())?;
    let layout = survey(&mut records, source, policy, stop)?;
    let records = JsonRecords::open(source, records.into_names())?;
    Ok((layout.clone(), Box::new(TextChunks::new(records, source, layout)?)))
}

/// Takes one value of a record by its column's position and name. A column that is new follows the last one known.
type Sink<'s> = dyn FnMut(usize, &str, Cell<'_>) -> Result<(), &'static str> + 's;

/// A text file, record by record.
trait Records: Send {
    /// The columns' names as far as they are known.
    fn names(&self) -> &[String];

    /// Gives the next record's values to `sink`; yields the line on which it starts, or `None` at the end.
    fn next(&mut self, sink: &mut Sink<'_>) -> Result<Option<u64>, IngestError>;
}

/// The first reading.
fn survey(
    records: &mut impl Records,
    source: &SourceFile,
    policy: &Policy,
    stop: &AtomicBool,
) -> Result<Layout, IngestError> {
    let mut columns: Vec<(Want, Seen)> =
        records.names().iter().map(|name| (Want::of(policy, name), Seen::Nothing)).collect();
    let mut observe = |column: usize, name: &str, cell: Cell<'_>| {
        if column >= columns.len() {
            columns.push((Want::of(policy, name), Seen::Nothing));
        }
        if let Some((want, seen)) = columns.get_mut(column) {
            *seen = seen.observe(*want, cell)?;
        }
        Ok(())
    };
    while records.next(&mut observe)?.is_some() {
        if stop.load(Ordering::Relaxed) {
            return Err(IngestError::Interrupted);
        }
    }
    let columns = records.names().iter().zip(columns).map(|(name, (want, seen))| seen.column(name, want));
    Layout::choose(&source.label, policy, columns.collect())
}

/// The second reading.
struct TextChunks<R> {
    records: R,
    label: String,
    layout: Layout,
    /// By position in the source; `None` for columns left out.
    builders: Vec<Option<Column>>,
    utc: Tz,
}

impl<R: Records> TextChunks<R> {
    fn new(records: R, source: &SourceFile, layout: Layout) -> Result<Self, IngestError> {
        let label = source.label.clone();
        let internal = |what| IngestError::Internal { file: label.clone(), what };
        let mut builders: Vec<Option<Column>> = records.names().iter().map(|_| None).collect();
        for column in &layout.columns {
            let builder = Column::new(column.want, &column.data_type).ok_or_else(|| internal("column type"))?;
            *builders.get_mut(column.source).ok_or_else(|| internal("column position"))? = Some(builder);
        }
        let utc = cell::utc().ok_or_else(|| internal("time zone"))?;
        Ok(Self { records, label, layout, builders, utc })
    }
}

impl<R: Records> Chunks for TextChunks<R> {
    fn next(&mut self) -> Result<Option<Chunk>, IngestError> {
        let Self { records, builders, utc, .. } = self;
        let mut lines = Vec::new();
        let mut bytes = 0;
        while lines.len() < ROWS && bytes < BYTES {
            let line = records.next(&mut |column, _name, cell| match builders.get_mut(column) {
                Some(Some(builder)) => {
                    bytes += cell.size();
                    builder.push(cell, utc)
                }
                Some(None) => Ok(()),
                None => Err(CHANGED),
            })?;
            let Some(line) = line else {
                break;
            };
            lines.push(line);
            builders.iter_mut().flatten().for_each(|builder| builder.fill(lines.len()));
        }
        if lines.is_empty() {
            return Ok(None);
        }
        let layout = &self.layout;
        let arrays =
            layout.columns.iter().filter_map(|column| builders.get_mut(column.source)?.as_mut().map(Column::finish));
        let batch = RecordBatch::try_new(layout.decoded_schema(), arrays.collect())
            .map_err(|_| IngestError::Internal { file: self.label.clone(), what: "columns do not fit the layout" })?;
        Ok(Some(Chunk { batch, places: Places::Lines(lines) }))
    }
}

const CHANGED: &str = "the value was another one before: the file changed while it was read";

/// A column under construction.
enum Column {
    Identity(StringBuilder),
    Text(StringBuilder),
    Integer(Int64Builder),
    Float(Float64Builder),
    Boolean(BooleanBuilder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
}

/// The same expression on the builder of every kind of column.
macro_rules! on_builder {
    ($column:expr, $builder:ident => $expression:expr) => {
        match $column {
            Column::Identity($builder) | Column::Text($builder) => $expression,
            Column::Integer($builder) => $expression,
            Column::Float($builder) => $expression,
            Column::Boolean($builder) => $expression,
            Column::Date($builder) => $expression,
            Column::Timestamp($builder) => $expression,
        }
    };
}

impl Column {
    fn new(want: Want, data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            _ if want == Want::Identity => Self::Identity(StringBuilder::new()),
            DataType::Utf8 => Self::Text(StringBuilder::new()),
            DataType::Int64 => Self::Integer(Int64Builder::new()),
            DataType::Float64 => Self::Float(Float64Builder::new()),
            DataType::Boolean => Self::Boolean(BooleanBuilder::new()),
            DataType::Date32 => Self::Date(Date32Builder::new()),
            DataType::Timestamp(_, _) => Self::Timestamp(TimestampMicrosecondBuilder::new()),
            _ => return None,
        })
    }

    fn push(&mut self, cell: Cell<'_>, utc: &Tz) -> Result<(), &'static str> {
        if let Self::Identity(builder) = self {
            builder.append_option(cell::identity(cell)?);
            return Ok(());
        }
        let text = match cell {
            Cell::Null => {
                on_builder!(self, builder => builder.append_null());
                return Ok(());
            }
            Cell::Bare(text) | Cell::Number(text) | Cell::Boolean(text) | Cell::Text(text) => text,
            Cell::Nested => return Err(CHANGED),
        };
        match self {
            Self::Identity(builder) | Self::Text(builder) => builder.append_value(text),
            Self::Integer(builder) => builder.append_value(text.parse().map_err(|_| CHANGED)?),
            Self::Float(builder) => builder.append_value(finite(text.parse().map_err(|_| CHANGED)?)?),
            Self::Boolean(builder) => builder.append_value(text.eq_ignore_ascii_case("true")),
            Self::Date(builder) => builder.append_value(cell::date(text).ok_or(CHANGED)?),
            Self::Timestamp(builder) => {
                let midnight = || cell::date(text).map(|days| i64::from(days) * 86_400_000_000);
                builder.append_value(cell::timestamp(text, utc).or_else(midnight).ok_or(CHANGED)?);
            }
        }
        Ok(())
    }

    /// NULL for a value that the last record did not have.
    fn fill(&mut self, rows: usize) {
        on_builder!(self, builder => if builder.len() < rows { builder.append_null() });
    }

    fn finish(&mut self) -> ArrayRef {
        on_builder!(self, builder => Arc::new(builder.finish()))
    }
}

impl Cell<'_> {
    fn size(&self) -> usize {
        match self {
            Cell::Bare(text) | Cell::Number(text) | Cell::Boolean(text) | Cell::Text(text) => text.len(),
            Cell::Null | Cell::Nested => 0,
        }
    }
}

/// An error about one value of a record.
fn bad_value(label: &str, line: u64, column: Option<&String>, what: &'static str) -> IngestError {
    IngestError::Value {
        file: label.to_owned(),
        place: Place::Line(line),
        column: column.cloned(),
        what: what.to_owned(),
        remedy: "correct or remove the row, or leave the value empty",
    }
}
