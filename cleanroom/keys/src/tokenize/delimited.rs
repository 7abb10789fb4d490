//! CSV as of RFC 4180 in, every column as text.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arrow::array::{ArrayRef, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use csv::{ByteRecord, ErrorKind, Reader, ReaderBuilder, Terminator};

use super::error::{DAMAGED, Place, REMEDY, TokenizeError};
use super::source::{CHUNK_BYTES, Places};

/// Longest record, in bytes.
const MAX_RECORD: u64 = 64 << 20;

const CORRECT: &str = "correct or remove the row";
const NOT_UTF8: &str = "the text is not UTF-8";

/// The records of a CSV file.
pub(super) struct CsvSource {
    path: PathBuf,
    schema: SchemaRef,
    reader: Reader<Metered>,
    record: ByteRecord,
    meter: Arc<Meter>,
    length: u64,
    chunk_rows: usize,
}

/// Records as they stand in the file, their fields one after the other.
pub(super) struct CsvChunk {
    bytes: Vec<u8>,
    /// Where each field of each record ends.
    ends: Vec<usize>,
    lines: Vec<u64>,
}

impl CsvSource {
    pub(super) fn open(path: &Path, delimiter: u8, chunk_rows: usize) -> Result<Self, TokenizeError> {
        let unreadable = |error| TokenizeError::unreadable(path, &error);
        let file = File::open(path).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        let meter = Arc::new(Meter::default());
        // A line ends with its line feed alone: taking both ends of line for one, the reader would miscount lines.
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .terminator(Terminator::Any(b'\n'))
            .buffer_capacity(1 << 18)
            .from_reader(Metered { file, meter: Arc::clone(&meter) });
        let mut source = Self {
            path: path.to_owned(),
            schema: Arc::new(Schema::empty()),
            reader,
            record: ByteRecord::new(),
            meter,
            length,
            chunk_rows,
        };
        let Some(line) = source.read()? else {
            let remedy = "write the columns' names in the first line";
            return Err(TokenizeError::input(path, "the file is empty", remedy));
        };
        let fields: Vec<Field> = source
            .fields()
            .map(|name| str::from_utf8(name).map(|name| Field::new(name, DataType::Utf8, true)))
            .collect::<Result<_, _>>()
            .map_err(|_rejected| source.bad(line, NOT_UTF8))?;
        source.schema = Arc::new(Schema::new(fields));
        Ok(source)
    }

    pub(super) fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    pub(super) fn next(&mut self) -> Result<Option<CsvChunk>, TokenizeError> {
        let columns = self.schema.fields().len();
        let mut chunk = CsvChunk { bytes: Vec::with_capacity(CHUNK_BYTES), ends: Vec::new(), lines: Vec::new() };
        while chunk.lines.len() < self.chunk_rows && chunk.bytes.len() < CHUNK_BYTES {
            let Some(line) = self.read()? else {
                break;
            };
            if self.record.len() != columns {
                return Err(self.bad(line, "the row has more or fewer fields than the header"));
            }
            chunk.lines.push(line);
            let base = chunk.bytes.len();
            let text = self.record.as_slice();
            let text = if self.returned() { text.strip_suffix(b"\r").unwrap_or(text) } else { text };
            chunk.bytes.extend_from_slice(text);
            let ends = (0..columns).map(|column| self.record.range(column).map_or(0, |range| range.end));
            chunk.ends.extend(ends.map(|end| base + end.min(text.len())));
        }
        Ok((!chunk.lines.is_empty()).then_some(chunk))
    }

    pub(super) fn progress(&self) -> (u64, u64) {
        (self.reader.position().byte().min(self.length), self.length)
    }

    /// Reads a record that is no blank line; yields the line on which it starts.
    fn read(&mut self) -> Result<Option<u64>, TokenizeError> {
        loop {
            self.meter.record.store(0, Ordering::Relaxed);
            match self.reader.read_byte_record(&mut self.record) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(error) => return Err(self.broken(&error)),
            }
            let position = self.reader.position();
            let fed = position.byte() < self.length || self.meter.fed.load(Ordering::Relaxed);
            let inside = self.record.as_slice().iter().filter(|byte| **byte == b'\n').count();
            let line = position.line().saturating_sub(u64::from(fed) + inside as u64);
            if position.byte() >= self.length && !self.meter.quotes.load(Ordering::Relaxed).is_multiple_of(2) {
                // The last line feed, if any, is inside the field and ends no record.
                return Err(self.bad(line + u64::from(fed), "a quoted field is not closed before the end of the file"));
            }
            if self.record.as_slice() != b"\r" || self.record.len() > 1 {
                return Ok(Some(line));
            }
        }
    }

    /// Whether the record ends in a carriage return, which belongs to the end of its line.
    fn returned(&self) -> bool {
        self.record.get(self.record.len().saturating_sub(1)).is_some_and(|field| field.ends_with(b"\r"))
    }

    fn fields(&self) -> impl Iterator<Item = &[u8]> {
        let last = self.record.len().saturating_sub(1);
        self.record.iter().enumerate().map(move |(column, field)| match field.strip_suffix(b"\r") {
            Some(field) if column == last => field,
            _ => field,
        })
    }

    fn bad(&self, line: u64, what: &str) -> TokenizeError {
        TokenizeError::input_at(&self.path, Place::Line(line), what, CORRECT)
    }

    fn broken(&self, error: &csv::Error) -> TokenizeError {
        match error.kind() {
            ErrorKind::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                self.bad(self.reader.position().line(), "the row is longer than 64 MiB: is a quoted field not closed?")
            }
            ErrorKind::Io(error) => TokenizeError::unreadable(&self.path, error),
            _ => TokenizeError::input(&self.path, "cannot be read to its end", "check the disk and try again"),
        }
    }
}

impl CsvChunk {
    /// The records as columns of text; a field with nothing in it is NULL.
    pub(super) fn into_batch(self, path: &Path, schema: &SchemaRef) -> Result<(RecordBatch, Places), TokenizeError> {
        let columns = schema.fields().len();
        // Text that is UTF-8 as a whole is checked at once; a broken character is looked for only when there is one.
        let whole = str::from_utf8(&self.bytes).ok();
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns);
        for (column, field) in schema.fields().iter().enumerate() {
            let mut texts = StringBuilder::with_capacity(self.lines.len(), self.bytes.len() / columns.max(1));
            for (row, line) in self.lines.iter().enumerate() {
                let index = row * columns + column;
                let start = index.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
                let range = start..self.ends.get(index).copied().unwrap_or(start);
                let text = match whole {
                    Some(whole) => whole.get(range),
                    None => self.bytes.get(range).and_then(|bytes| str::from_utf8(bytes).ok()),
                };
                let text = text.ok_or_else(|| {
                    let place = Place::Column(Box::new(Place::Line(*line)), field.name().clone());
                    TokenizeError::input_at(path, place, NOT_UTF8, CORRECT)
                })?;
                texts.append_option((!text.is_empty()).then_some(text));
            }
            arrays.push(Arc::new(texts.finish()));
        }
        let batch = RecordBatch::try_new(schema.clone(), arrays)
            .map_err(|_detail| TokenizeError::input(path, DAMAGED, REMEDY))?;
        Ok((batch, Places::Lines(self.lines)))
    }
}

/// What was read.
#[derive(Default)]
struct Meter {
    /// Bytes since the last record began, more or less a buffer.
    record: AtomicU64,
    /// Quotes; even in a well-formed file.
    quotes: AtomicU64,
    /// Whether the last byte is a line feed.
    fed: AtomicBool,
}

/// A file that ends a record which does not end.
struct Metered {
    file: File,
    meter: Arc<Meter>,
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        if let Some(last) = read.checked_sub(1).and_then(|last| buffer.get(last)) {
            self.meter.fed.store(*last == b'\n', Ordering::Relaxed);
        }
        let quotes = buffer.iter().take(read).filter(|byte| **byte == b'"').count();
        self.meter.quotes.fetch_add(quotes as u64, Ordering::Relaxed);
        if self.meter.record.fetch_add(read as u64, Ordering::Relaxed) > MAX_RECORD {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(read)
    }
}
