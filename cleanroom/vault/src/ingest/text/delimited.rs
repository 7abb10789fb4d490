//! CSV as of RFC 4180.

use std::fs::File;
use std::io::{self, Read};
use std::str::Utf8Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ::csv::{ByteRecord, ErrorKind, Reader, ReaderBuilder, Terminator};

use super::super::error::{IngestError, Place};
use super::super::source::SourceFile;
use super::cell::Cell;
use super::{MAX_RECORD, Records, Sink, bad_value};

/// The records of a CSV file.
pub(crate) struct CsvRecords {
    label: String,
    names: Vec<String>,
    reader: Reader<Metered>,
    record: ByteRecord,
    meter: Arc<Meter>,
    length: u64,
}

impl CsvRecords {
    pub(crate) fn open(source: &SourceFile) -> Result<Self, IngestError> {
        let meter = Arc::new(Meter::default());
        let file = Metered { file: source.rewound()?, meter: Arc::clone(&meter) };
        // A line ends with its line feed alone: taking both ends of line for one, the reader would miscount lines.
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .terminator(Terminator::Any(b'\n'))
            .buffer_capacity(1 << 18)
            .from_reader(file);
        let label = source.label.clone();
        let (names, record, length) = (Vec::new(), ByteRecord::new(), source.len());
        let mut records = Self { label, names, reader, record, meter, length };
        let Some(line) = records.read()? else {
            let remedy = "write the columns' names in the first line";
            return Err(IngestError::source(&records.label, "no header line", remedy));
        };
        records.names = (0..records.record.len())
            .map(|column| records.field(column).map(str::to_owned))
            .collect::<Result<_, _>>()
            .map_err(|_| bad_record(&records.label, line, NOT_UTF8))?;
        Ok(records)
    }

    /// Reads a record that is no blank line; yields the line on which it starts.
    fn read(&mut self) -> Result<Option<u64>, IngestError> {
        loop {
            self.meter.record.store(0, Ordering::Relaxed);
            match self.reader.read_byte_record(&mut self.record) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(error) => return Err(broken(&self.label, self.reader.position().line(), &error)),
            }
            let position = self.reader.position();
            let fed = position.byte() < self.length || self.meter.fed.load(Ordering::Relaxed);
            let inside = self.record.as_slice().iter().filter(|byte| **byte == b'\n').count();
            let line = position.line() - u64::from(fed) - inside as u64;
            if !self.meter.quotes.load(Ordering::Relaxed).is_multiple_of(2) && position.byte() >= self.length {
                // The last line feed, if any, is inside the field and ends no record.
                let line = line + u64::from(fed);
                return Err(bad_record(&self.label, line, "a quoted field is not closed before the end of the file"));
            }
            if self.record.len() > 1 || self.record.get(0) != Some(b"\r") {
                return Ok(Some(line));
            }
        }
    }

    fn field(&self, column: usize) -> Result<&str, Utf8Error> {
        let field = self.record.get(column).unwrap_or_default();
        let last = column + 1 == self.record.len();
        str::from_utf8(if last { field.strip_suffix(b"\r").unwrap_or(field) } else { field })
    }
}

impl Records for CsvRecords {
    fn names(&self) -> &[String] {
        &self.names
    }

    fn next(&mut self, sink: &mut Sink<'_>) -> Result<Option<u64>, IngestError> {
        let Some(line) = self.read()? else {
            return Ok(None);
        };
        if self.record.len() != self.names.len() {
            return Err(bad_record(&self.label, line, "the row has more or fewer fields than the header"));
        }
        for (column, name) in self.names.iter().enumerate() {
            let text = self.field(column).map_err(|_| bad_record(&self.label, line, NOT_UTF8))?;
            let cell = if text.is_empty() { Cell::Null } else { Cell::Bare(text) };
            sink(column, name, cell).map_err(|what| bad_value(&self.label, line, Some(name), what))?;
        }
        Ok(Some(line))
    }
}

const NOT_UTF8: &str = "the text is not UTF-8";

fn broken(label: &str, line: u64, error: &::csv::Error) -> IngestError {
    match error.kind() {
        ErrorKind::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
            bad_record(label, line, "the row is longer than 64 MiB: is a quoted field not closed?")
        }
        _ => IngestError::source(label, "the file cannot be read to its end", "check the disk and try again"),
    }
}

fn bad_record(label: &str, line: u64, what: &str) -> IngestError {
    IngestError::Value {
        file: label.to_owned(),
        place: Place::Line(line),
        column: None,
        what: what.to_owned(),
        remedy: "correct or remove the row",
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
