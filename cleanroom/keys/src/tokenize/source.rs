//! The file that is read, in chunks.

use std::path::Path;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use super::delimited::{CsvChunk, CsvSource};
use super::error::{Place, TokenizeError};
use super::parquet_file::ParquetSource;

/// Bytes of a chunk, more or less.
pub(super) const CHUNK_BYTES: usize = 8 << 20;

/// A file that is read.
pub(super) enum Source {
    Csv(Box<CsvSource>),
    Parquet(Box<ParquetSource>),
}

/// Some rows, as cheap to read as can be: what is left to do about them is done by many at once.
pub(super) enum Chunk {
    Csv(CsvChunk),
    Batch { batch: RecordBatch, first_row: u64 },
}

/// Where a chunk's rows stand in the file.
pub(super) enum Places {
    Lines(Vec<u64>),
    From(u64),
}

impl Source {
    pub(super) fn open(path: &Path, chunk_rows: usize) -> Result<Self, TokenizeError> {
        match path.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase).as_deref() {
            Some("csv") => CsvSource::open(path, b',', chunk_rows).map(Box::new).map(Self::Csv),
            Some("tsv") => CsvSource::open(path, b'\t', chunk_rows).map(Box::new).map(Self::Csv),
            Some("parquet") => ParquetSource::open(path, chunk_rows).map(Box::new).map(Self::Parquet),
            _ => Err(TokenizeError::input(
                path,
                "the kind of file is not known by its name",
                "give a file whose name ends in `.csv`, `.tsv` or `.parquet`",
            )),
        }
    }

    pub(super) fn schema(&self) -> SchemaRef {
        match self {
            Self::Csv(source) => source.schema(),
            Self::Parquet(source) => source.schema(),
        }
    }

    pub(super) fn is_csv(&self) -> bool {
        matches!(self, Self::Csv(_))
    }

    /// The next rows; `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<Chunk>, TokenizeError> {
        match self {
            Self::Csv(source) => Ok(source.next()?.map(Chunk::Csv)),
            Self::Parquet(source) => source.next(),
        }
    }

    /// The bytes read and all bytes.
    pub(super) fn progress(&self) -> (u64, u64) {
        match self {
            Self::Csv(source) => source.progress(),
            Self::Parquet(source) => source.progress(),
        }
    }
}

impl Chunk {
    pub(super) fn into_batch(self, path: &Path, schema: &SchemaRef) -> Result<(RecordBatch, Places), TokenizeError> {
        match self {
            Self::Csv(chunk) => chunk.into_batch(path, schema),
            Self::Batch { batch, first_row } => Ok((batch, Places::From(first_row))),
        }
    }
}

impl Places {
    /// Where a row of the chunk stands, which is counted from 0.
    pub(super) fn of(&self, row: usize) -> Place {
        match self {
            Self::Lines(lines) => lines.get(row).map_or(Place::File, |line| Place::Line(*line)),
            Self::From(first) => Place::Row(first + row as u64 + 1),
        }
    }
}
