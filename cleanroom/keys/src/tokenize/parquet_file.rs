//! Parquet in.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::datatypes::SchemaRef;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::error::{DAMAGED, REMEDY, TokenizeError};
use super::source::{CHUNK_BYTES, Chunk};

/// The rows of a Parquet file.
pub(super) struct ParquetSource {
    path: PathBuf,
    schema: SchemaRef,
    reader: ParquetRecordBatchReader,
    row: u64,
    rows: u64,
    length: u64,
}

impl ParquetSource {
    pub(super) fn open(path: &Path, chunk_rows: usize) -> Result<Self, TokenizeError> {
        let unreadable = |error| TokenizeError::unreadable(path, &error);
        let damaged = |_detail| TokenizeError::input(path, DAMAGED, REMEDY);
        let file = File::open(path).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(damaged)?;
        let rows = u64::try_from(builder.metadata().file_metadata().num_rows())
            .map_err(|_negative| TokenizeError::input(path, DAMAGED, REMEDY))?;
        let bytes: i64 = builder
            .metadata()
            .row_groups()
            .iter()
            .map(|group| group.total_byte_size().max(0))
            .fold(0, i64::saturating_add);
        let bytes_per_row = bytes.unsigned_abs() / rows.max(1);
        let fitting = usize::try_from(CHUNK_BYTES as u64 / bytes_per_row.max(1)).unwrap_or(chunk_rows);
        let schema = builder.schema().clone();
        let reader = builder.with_batch_size(fitting.clamp(1, chunk_rows)).build().map_err(damaged)?;
        Ok(Self { path: path.to_owned(), schema, reader, row: 0, rows, length })
    }

    pub(super) fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    pub(super) fn next(&mut self) -> Result<Option<Chunk>, TokenizeError> {
        let Some(batch) = self.reader.next() else {
            return if self.row == self.rows {
                Ok(None)
            } else {
                Err(TokenizeError::input(&self.path, DAMAGED, REMEDY))
            };
        };
        let batch = batch.map_err(|_detail| TokenizeError::input(&self.path, DAMAGED, REMEDY))?;
        let first_row = self.row;
        self.row += batch.num_rows() as u64;
        Ok(Some(Chunk::Batch { batch, first_row }))
    }

    pub(super) fn progress(&self) -> (u64, u64) {
        let done = u128::from(self.length) * u128::from(self.row) / u128::from(self.rows.max(1));
        (u64::try_from(done).unwrap_or(self.length).min(self.length), self.length)
    }
}
