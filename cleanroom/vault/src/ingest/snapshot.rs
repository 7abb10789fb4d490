//! The snapshot: one Parquet file, named by the hash of its bytes.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use arrow::array::{ArrayRef, AsArray as _, BooleanArray, RecordBatch};
use arrow::compute::kernels::cmp::eq;
use arrow::compute::{BatchCoalescer, filter_record_batch};
use arrow::datatypes::{SchemaRef, UInt32Type};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::arrow::arrow_writer::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use tempfile::NamedTempFile;

use super::error::IngestError;
use super::grid::UnitGrid;
use super::row_ids::ROW_ID;
use super::workspace::sync_dir;

/// Rows of a row group.
const ROW_GROUP: usize = 131_072;

/// Rows written at a time.
const BATCH: usize = 8192;

/// Most rows of one unit that a table holds: whoever has more would be seen in the time and memory that an answer takes.
pub(crate) const MAX_ROWS_PER_UNIT: u64 = 10_000;

/// A snapshot that is being written. Dropped unfinished, it leaves nothing.
pub(crate) struct SnapshotWriter {
    writer: ArrowWriter<Hashing>,
    /// Batches of one size: the bytes of the file depend on the rows alone, not on how they arrive.
    batches: BatchCoalescer,
    file: NamedTempFile,
    rows: u64,
    /// Where the unit stands.
    unit: Option<usize>,
    /// The unit of the last row, and how many of its rows came.
    last: Option<(u32, u64)>,
    cut: u64,
    /// Where the units lie.
    grid: UnitGrid,
}

impl SnapshotWriter {
    /// Writes into a file of `workspace`; the rows will come sorted by the column at `unit`, if any.
    pub(crate) fn create(workspace: &Path, schema: &SchemaRef, unit: Option<usize>) -> Result<Self, IngestError> {
        let failed = |error| IngestError::storage("write", workspace)(error);
        let file = NamedTempFile::new_in(workspace).map_err(failed)?;
        let hashing = Hashing { file: file.reopen().map_err(failed)?, hasher: blake3::Hasher::new() };
        let level = ZstdLevel::try_new(1).map_err(|error| failed(io::Error::other(error)))?;
        let mut properties = WriterProperties::builder()
            .set_created_by("cleanroom".to_owned())
            .set_compression(Compression::ZSTD(level))
            .set_statistics_enabled(EnabledStatistics::Page)
            .set_max_row_group_row_count(Some(ROW_GROUP));
        if let Some(field) = unit.and_then(|unit| schema.fields().get(unit)) {
            // Sorted numbers: their differences are next to nothing, while a dictionary would hold each of them.
            let path = || ColumnPath::new(vec![field.name().clone()]);
            let sorting = unit
                .and_then(|unit| i32::try_from(unit).ok())
                .map(|column_idx| vec![SortingColumn { column_idx, descending: false, nulls_first: true }]);
            properties = properties
                .set_column_dictionary_enabled(path(), false)
                .set_column_encoding(path(), Encoding::DELTA_BINARY_PACKED)
                .set_sorting_columns(sorting);
        }
        if schema.field_with_name(ROW_ID).is_ok() {
            // Random numbers: nothing makes them smaller, and no condition looks for one.
            let path = || ColumnPath::new(vec![ROW_ID.to_owned()]);
            properties = properties
                .set_column_dictionary_enabled(path(), false)
                .set_column_compression(path(), Compression::UNCOMPRESSED)
                .set_column_statistics_enabled(path(), EnabledStatistics::None);
        }
        let writer = ArrowWriter::try_new(hashing, schema.clone(), Some(properties.build()))
            .map_err(|error| failed(io::Error::other(error)))?;
        let batches = BatchCoalescer::new(schema.clone(), BATCH);
        Ok(Self { writer, batches, file, rows: 0, unit, last: None, cut: 0, grid: UnitGrid::default() })
    }

    /// The rows of a batch but for those that one unit has too many of: the first are kept.
    fn within_cap(&mut self, batch: &RecordBatch) -> Result<RecordBatch, ParquetError> {
        let units = self.unit.and_then(|unit| batch.columns().get(unit));
        let Some(units) = units.and_then(|units| units.as_primitive_opt::<UInt32Type>()) else {
            return Ok(batch.clone());
        };
        let (mut last, mut cut, grid) = (self.last, 0, &mut self.grid);
        let kept: BooleanArray = units
            .iter()
            .map(|unit| {
                // Rows of nobody are in no answer.
                let Some(unit) = unit else {
                    grid.see(None);
                    return Some(true);
                };
                let rows = match last {
                    Some((before, rows)) if before == unit => rows + 1,
                    Some(_) | None => 1,
                };
                last = Some((unit, rows));
                let kept = rows <= MAX_ROWS_PER_UNIT;
                if kept {
                    grid.see(Some(unit));
                }
                cut += u64::from(!kept);
                Some(kept)
            })
            .collect();
        (self.last, self.cut) = (last, self.cut + cut);
        if cut == 0 { Ok(batch.clone()) } else { Ok(filter_record_batch(batch, &kept)?) }
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), IngestError> {
        let mut write = || {
            let batch = self.within_cap(batch)?;
            self.rows += batch.num_rows() as u64;
            self.batches.push_batch(batch)?;
            while let Some(batch) = self.batches.next_completed_batch() {
                self.writer.write(&batch)?;
            }
            Ok::<_, ParquetError>(())
        };
        write().map_err(io::Error::other).map_err(IngestError::storage("write", self.file.path()))
    }

    /// The rest of the file, durable. Its name is still to come.
    pub(crate) fn finish(self) -> Result<Written, IngestError> {
        let Self { mut writer, mut batches, file, rows, unit, last: _, cut, grid } = self;
        let finish = move || {
            batches.finish_buffered_batch().map_err(io::Error::other)?;
            while let Some(batch) = batches.next_completed_batch() {
                writer.write(&batch)?;
            }
            let hashing = writer.into_inner().map_err(io::Error::other)?;
            hashing.file.sync_all()?;
            Ok(hashing.hasher.finalize().to_hex().to_string())
        };
        let digest = finish().map_err(IngestError::storage("write", file.path()))?;
        Ok(Written { digest, rows, cut, grid: unit.map(|_unit| grid), file })
    }
}

/// A snapshot without its name.
pub(crate) struct Written {
    /// BLAKE3 of the file, in hexadecimal.
    pub(crate) digest: String,
    pub(crate) rows: u64,
    /// Rows left out, of units that have too many.
    pub(crate) cut: u64,
    /// Where the units lie, of a table that has some.
    pub(crate) grid: Option<UnitGrid>,
    file: NamedTempFile,
}

impl Written {
    /// Gives it its name. A crash before leaves nothing; a crash after, a snapshot that no table version names.
    pub(crate) fn publish(self, path: &Path) -> Result<(), IngestError> {
        self.file.persist(path).map_err(|error| IngestError::storage("write", path)(error.error))?;
        path.parent().map_or(Ok(()), sync_dir)
    }

    /// The values of one column.
    pub(crate) fn column(&self, position: usize) -> Result<ParquetRecordBatchReader, IngestError> {
        let failed = || IngestError::storage("read", self.file.path());
        let file = self.file.reopen().map_err(failed())?;
        let builder =
            ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| failed()(io::Error::other(error)))?;
        let mask = ProjectionMask::roots(builder.parquet_schema(), [position]);
        builder.with_projection(mask).build().map_err(|error| failed()(io::Error::other(error)))
    }
}

/// Rows of a published snapshot.
pub(crate) fn rows(path: &Path) -> Result<u64, IngestError> {
    let failed = || IngestError::storage("read", path);
    let file = File::open(path).map_err(failed())?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| failed()(io::Error::other(error)))?;
    Ok(u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or_default())
}

/// Looks for a value that stands twice in sorted values.
#[derive(Default)]
pub(crate) struct Repeats {
    last: Option<ArrayRef>,
    found: bool,
}

impl Repeats {
    /// Takes the next values; NULL is no value.
    pub(crate) fn see(&mut self, values: &ArrayRef) {
        let Some(before_last) = values.len().checked_sub(1) else {
            return;
        };
        let first = values.slice(0, 1);
        let pairs = [(self.last.take(), first), (Some(values.slice(0, before_last)), values.slice(1, before_last))];
        for (left, right) in pairs {
            // Values that cannot be compared are taken for equal: the column then counts as not unique.
            self.found |= left.is_some_and(|left| eq(&left, &right).map_or(true, |same| same.true_count() > 0));
        }
        self.last = Some(values.slice(before_last, 1));
    }

    pub(crate) fn found(&self) -> bool {
        self.found
    }
}

/// Writes and hashes.
struct Hashing {
    file: File,
    hasher: blake3::Hasher,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(bytes.get(..written).unwrap_or(bytes));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
