//! CSV as of RFC 4180.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ::csv::{ErrorKind, Reader, ReaderBuilder, StringRecord};

use super::super::error::{IngestError, Place};
use super::super::source::SourceFile;
use super::cell::Cell;
use super::{MAX_RECORD, Records, Sink, bad_value};

/// The records of a CSV file.
pub(crate) struct CsvRecords {
    label: String,
    names: Vec<String>,
    reader: Reader<Metered>,
    record: StringRecord,
    meter: Arc<Meter>,
}

impl CsvRecords {
    pub(crate) fn open(source: &SourceFile) -> Result<Self, IngestError> {
        let meter = Arc::new(Meter::default());
        let file = Metered { file: source.rewound()?, meter: Arc::clone(&meter) };
        let mut reader = ReaderBuilder::new().buffer_capacity(1 << 18).from_reader(file);
        let label = source.label.clone();
        let names = match reader.headers() {
            Ok(header) => header.iter().map(str::to_owned).collect::<Vec<_>>(),
            Err(error) => return Err(broken(&label, 1, &error)),
        };
        if names.is_empty() {
            return Err(IngestError::source(&label, "no header line", "write the columns' names in the first line"));
        }
        Ok(Self { label, names, reader, record: StringRecord::new(), meter })
    }
}

impl Records for CsvRecords {
    fn names(&self) -> &[String] {
        &self.names
    }

    fn next(&mut self, sink: &mut Sink<'_>) -> Result<Option<u64>, IngestError> {
        self.meter.record.store(0, Ordering::Relaxed);
        let before = self.reader.position().line();
        match self.reader.read_record(&mut self.record) {
            Ok(true) => {}
            Ok(false) if self.meter.quotes.load(Ordering::Relaxed) % 2 == 0 => return Ok(None),
            Ok(false) => {
                let last = self.record.position().map_or(before, ::csv::Position::line);
                return Err(bad_record(&self.label, last, "a quoted field is not closed before the end of the file"));
            }
            Err(error) => return Err(broken(&self.label, before, &error)),
        }
        let line = self.record.position().map_or(before, ::csv::Position::line);
        for (column, (name, text)) in self.names.iter().zip(&self.record).enumerate() {
            let cell = if text.is_empty() { Cell::Null } else { Cell::Bare(text) };
            sink(column, name, cell).map_err(|what| bad_value(&self.label, line, Some(name), what))?;
        }
        Ok(Some(line))
    }
}

fn broken(label: &str, line: u64, error: &::csv::Error) -> IngestError {
    let line = error.position().map_or(line, ::csv::Position::line);
    match error.kind() {
        ErrorKind::UnequalLengths { .. } => {
            bad_record(label, line, "the row has more or fewer fields than the header")
        }
        ErrorKind::Utf8 { .. } => bad_record(label, line, "the text is not UTF-8"),
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
}

/// A file that ends a record which does not end.
struct Metered {
    file: File,
    meter: Arc<Meter>,
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        let quotes = buffer.iter().take(read).filter(|byte| **byte == b'"').count();
        self.meter.quotes.fetch_add(quotes as u64, Ordering::Relaxed);
        if self.meter.record.fetch_add(read as u64, Ordering::Relaxed) > MAX_RECORD {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(read)
    }
}
