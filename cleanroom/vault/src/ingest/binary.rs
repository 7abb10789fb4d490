//! Parquet files and Arrow streams.

use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{ArrayRef, AsArray as _, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use cleanroom_keys::TEXT_OF_CSV;
use cleanroom_policy::Policy;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Type as PhysicalType;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetStatisticsPolicy};

use super::arrays::{convert, identities, source_column};
use super::error::IngestError;
use super::layout::{Chunk, Chunks, Layout, LayoutColumn, MAX_COLUMNS, Places, SourceColumn, Want};
use super::source::SourceFile;
use super::text::{TextColumn, typed};

/// Rows decoded at a time: so few that texts of the longest that a source may hold stay within what one array can.
const ROWS: usize = 1024;

/// The end marker of an Arrow stream.
const END_OF_STREAM: [u8; 8] = [0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0];

/// Opens a Parquet file. Its statistics are not read, nor its embedded metadata but for [`TEXT_OF_CSV`]; its row counts are
/// checked.
pub(crate) fn parquet(
    source: &SourceFile,
    policy: &Policy,
    stop: &AtomicBool,
) -> Result<(Layout, Box<dyn Chunks>), IngestError> {
    let label = &source.label;
    let damaged = |error: ParquetError| damaged_parquet(label, &error);
    let file = source.rewound()?;
    let options = || {
        ArrowReaderOptions::new()
            .with_skip_arrow_metadata(true)
            .with_column_stats_policy(ParquetStatisticsPolicy::SkipAll)
    };
    let mut metadata = ArrowReaderMetadata::load(&file, options()).map_err(damaged)?;
    if let Some(schema) = without_int96(&metadata) {
        metadata =
            ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options().with_schema(Arc::new(schema)))
                .map_err(damaged)?;
    }
    let Some(declared) = declared_rows(metadata.metadata()) else {
        return Err(IngestError::source(label, MISCOUNTED, REWRITE));
    };
    let text_of_csv = is_text_of_csv(metadata.metadata());
    let mut columns = source_columns(metadata.schema());
    if text_of_csv && columns.len() <= MAX_COLUMNS {
        survey(source, policy, &metadata, stop, &mut columns)?;
    }
    let layout = Layout::choose(label, policy, columns)?;
    let file = source.rewound()?;
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata).with_batch_size(ROWS);
    let roots = layout.columns.iter().map(|column| column.source);
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
    let reader = builder.with_projection(mask).build().map_err(damaged)?;
    let rows = Rows { label: label.clone(), layout: layout.clone(), text_of_csv, done: 0 };
    Ok((layout, Box::new(Parquet { rows, reader, declared })))
}

/// Opens an Arrow IPC stream.
pub(crate) fn arrow_stream(source: &SourceFile, policy: &Policy) -> Result<(Layout, Box<dyn Chunks>), IngestError> {
    let label = &source.label;
    let mut file = source.rewound()?;
    let mut magic = Vec::new();
    file.by_ref().take(6).read_to_end(&mut magic).map_err(|_| source.unreadable())?;
    if magic == b"ARROW1" {
        return Err(IngestError::source(
            label,
            "an Arrow file (random access format)",
            "write the Arrow stream format, or Parquet",
        ));
    }
    let mut end = Vec::new();
    let from = source.len().saturating_sub(END_OF_STREAM.len() as u64);
    file.seek(SeekFrom::Start(from)).and_then(|_| file.read_to_end(&mut end)).map_err(|_| source.unreadable())?;
    if end != END_OF_STREAM {
        return Err(IngestError::source(label, "the Arrow stream has no end marker", "send the stream again, whole"));
    }
    let file = source.rewound()?;
    let reader = StreamReader::try_new(BufReader::with_capacity(1 << 20, file), None)
        .map_err(|error| damaged_arrow(label, &error))?;
    let layout = Layout::choose(label, policy, source_columns(&reader.schema()))?;
    let rows = Rows { label: label.clone(), layout: layout.clone(), text_of_csv: false, done: 0 };
    Ok((layout, Box::new(ArrowStream { rows, reader, length: source.len() })))
}

fn source_columns(schema: &Schema) -> Vec<SourceColumn> {
    schema.fields().iter().map(|field| source_column(field.name(), field.data_type())).collect()
}

fn is_text_of_csv(metadata: &ParquetMetaData) -> bool {
    let (key, value) = TEXT_OF_CSV;
    let entries = metadata.file_metadata().key_value_metadata();
    entries.is_some_and(|entries| entries.iter().any(|entry| entry.key == key && entry.value.as_deref() == Some(value)))
}

/// Reads the columns of text, but for the unit, to give them the types that they would have in a CSV file.
fn survey(
    source: &SourceFile,
    policy: &Policy,
    metadata: &ArrowReaderMetadata,
    stop: &AtomicBool,
    columns: &mut [SourceColumn],
) -> Result<(), IngestError> {
    let label = &source.label;
    let mut texts: Vec<(&mut SourceColumn, TextColumn)> = Vec::new();
    let mut roots = Vec::new();
    for ((root, field), column) in metadata.schema().fields().iter().enumerate().zip(columns) {
        let want = Want::of(policy, field.name());
        if want != Want::Identity && is_text(field.data_type()) {
            texts.push((column, TextColumn::new(want)));
            roots.push(root);
        }
    }
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(source.rewound()?, metadata.clone());
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
    let reader = builder.with_batch_size(ROWS).with_projection(mask).build();
    let mut first = 1;
    for batch in reader.map_err(|error| damaged_parquet(label, &error))? {
        if stop.load(Ordering::Relaxed) {
            return Err(IngestError::Interrupted);
        }
        let batch = batch.map_err(|error| damaged_rows(label, &error))?;
        for ((column, text), fields) in texts.iter_mut().zip(batch.columns()) {
            text.observe(fields.as_string::<i32>()).map_err(|bad| IngestError::Value {
                file: label.clone(),
                place: Places::Rows(first).of(bad.row),
                column: Some(column.name.clone()),
                what: bad.what.to_owned(),
                remedy: "correct the row in the CSV file (the header is not counted) and tokenise it again",
            })?;
        }
        first += batch.num_rows() as u64;
    }
    for (column, text) in texts {
        *column = text.finish(&column.name);
    }
    Ok(())
}

/// The schema with microseconds for the old 96-bit timestamps, whose years would not fit into nanoseconds; `None` where
/// there are none.
fn without_int96(metadata: &ArrowReaderMetadata) -> Option<Schema> {
    let descriptor = metadata.parquet_schema();
    let old: Vec<usize> = (0..descriptor.num_columns())
        .filter(|leaf| descriptor.column(*leaf).physical_type() == PhysicalType::INT96)
        .map(|leaf| descriptor.get_column_root_idx(leaf))
        .collect();
    if old.is_empty() {
        return None;
    }
    let fields = metadata.schema().fields().iter().enumerate().map(|(root, field)| match field.data_type() {
        DataType::Timestamp(TimeUnit::Nanosecond, zone) if old.contains(&root) => {
            let data_type = DataType::Timestamp(TimeUnit::Microsecond, zone.clone());
            Arc::new(Field::new(field.name(), data_type, field.is_nullable()))
        }
        _ => Arc::clone(field),
    });
    Some(Schema::new(fields.collect::<Vec<_>>()))
}

/// The rows that the footer declares, where all its counts agree: a row group said to be empty would not even be opened.
fn declared_rows(metadata: &ParquetMetaData) -> Option<u64> {
    let mut sum = 0_i64;
    for group in metadata.row_groups() {
        let mut flat = group.columns().iter().filter(|column| column.column_descr().max_rep_level() == 0);
        if flat.any(|column| column.num_values() != group.num_rows()) {
            return None;
        }
        sum = sum.checked_add(group.num_rows()).filter(|_| group.num_rows() >= 0)?;
    }
    (sum == metadata.file_metadata().num_rows()).then(|| u64::try_from(sum).ok()).flatten()
}

/// The only type of text that a Parquet file has without its embedded metadata.
fn is_text(data_type: &DataType) -> bool {
    *data_type == DataType::Utf8
}

/// What both formats share: decoded rows to chunks.
struct Rows {
    label: String,
    layout: Layout,
    /// Whether columns of text hold the fields of a CSV file.
    text_of_csv: bool,
    done: u64,
}

impl Rows {
    /// Takes rows whose column for the layout's n-th is told by `column`.
    fn chunk(
        &mut self,
        batch: &RecordBatch,
        column: impl Fn(usize, &LayoutColumn) -> usize,
    ) -> Result<Chunk, IngestError> {
        let places = Places::Rows(self.done + 1);
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.layout.columns.len());
        for (position, wanted) in self.layout.columns.iter().enumerate() {
            let Some(array) = batch.columns().get(column(position, wanted)) else {
                return Err(self.internal());
            };
            let array = match wanted.want {
                Want::Identity => identities(array).map(|texts| Arc::new(texts) as ArrayRef),
                want if self.text_of_csv && is_text(array.data_type()) => {
                    typed(array.as_string::<i32>(), want, &wanted.data_type).ok_or_else(|| self.internal())?
                }
                Want::Number | Want::Time | Want::Any => convert(array, &wanted.data_type),
            };
            arrays.push(array.map_err(|bad| IngestError::Value {
                file: self.label.clone(),
                place: places.of(bad.row),
                column: Some(wanted.name.clone()),
                what: bad.what.to_owned(),
                remedy: "correct or remove the row",
            })?);
        }
        self.done += batch.num_rows() as u64;
        let batch = RecordBatch::try_new(self.layout.decoded_schema(), arrays).map_err(|_| self.internal())?;
        Ok(Chunk { batch, places })
    }

    fn internal(&self) -> IngestError {
        IngestError::Internal { file: self.label.clone(), what: "decoded columns do not fit the layout" }
    }
}

struct Parquet {
    rows: Rows,
    reader: ParquetRecordBatchReader,
    declared: u64,
}

impl Chunks for Parquet {
    fn next(&mut self) -> Result<Option<Chunk>, IngestError> {
        match self.reader.next() {
            Some(Ok(batch)) => self.rows.chunk(&batch, |position, _column| position).map(Some),
            Some(Err(error)) => Err(damaged_rows(&self.rows.label, &error)),
            None if self.rows.done == self.declared => Ok(None),
            None => Err(IngestError::source(&self.rows.label, MISCOUNTED, REWRITE)),
        }
    }
}

struct ArrowStream {
    rows: Rows,
    reader: StreamReader<BufReader<File>>,
    length: u64,
}

impl Chunks for ArrowStream {
    fn next(&mut self) -> Result<Option<Chunk>, IngestError> {
        match self.reader.next() {
            Some(Ok(batch)) => self.rows.chunk(&batch, |_position, column| column.source).map(Some),
            Some(Err(error)) => Err(damaged_arrow(&self.rows.label, &error)),
            None => match self.reader.get_mut().stream_position() {
                Ok(position) if position == self.length => Ok(None),
                _ => Err(IngestError::source(
                    &self.rows.label,
                    "the Arrow stream ends before the file does",
                    "write one stream a file",
                )),
            },
        }
    }
}

const MISCOUNTED: &str = "the Parquet file holds another number of rows than its footer says";
const REWRITE: &str = "write the file again, and check that it was copied whole";

/// What a decoder says may quote the data, so only its kind is told.
fn damaged_parquet(label: &str, error: &ParquetError) -> IngestError {
    let what = match error {
        ParquetError::NYI(_) => "the Parquet file uses a feature that cannot be read here",
        ParquetError::EOF(_) => "the Parquet file ends too early",
        _ => "not a Parquet file, or damaged",
    };
    IngestError::source(label, what, REWRITE)
}

fn damaged_rows(label: &str, error: &ArrowError) -> IngestError {
    match error {
        ArrowError::ParquetError(_) | ArrowError::ExternalError(_) => {
            IngestError::source(label, "a page of the Parquet file is damaged", REWRITE)
        }
        _ => damaged_arrow(label, error),
    }
}

fn damaged_arrow(label: &str, error: &ArrowError) -> IngestError {
    let what = match error {
        ArrowError::NotYetImplemented(_) => "the file uses a feature that cannot be read here",
        _ => "the data is damaged, or not what the file's format says",
    };
    IngestError::source(label, what, REWRITE)
}
