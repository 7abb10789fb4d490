//! The file that is written: encoded by many, put together by one, and under its name only when it is whole.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use tempfile::NamedTempFile;

use super::TEXT_OF_CSV;
use super::error::TokenizeError;

/// A Parquet file in the making. Dropped before [`Output::finish`], it leaves nothing.
pub(super) struct Output {
    path: PathBuf,
    folder: PathBuf,
    temporary: NamedTempFile,
    writer: SerializedFileWriter<BufWriter<File>>,
}

/// Encodes row groups.
pub(super) struct Encoder {
    schema: SchemaRef,
    factory: ArrowRowGroupWriterFactory,
}

/// An encoded row group.
pub(super) struct RowGroup(Vec<ArrowColumnChunk>);

impl Output {
    pub(super) fn create(path: &Path, schema: &SchemaRef, text_of_csv: bool) -> Result<(Self, Encoder), TokenizeError> {
        let failed = |error| TokenizeError::unwritable(path, &error);
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
        let temporary = temporary(&folder).map_err(failed)?;
        let file = BufWriter::with_capacity(1 << 20, temporary.reopen().map_err(failed)?);
        let (key, value) = TEXT_OF_CSV;
        let properties = WriterProperties::builder()
            .set_key_value_metadata(text_of_csv.then(|| vec![KeyValue::new(key.to_owned(), value.to_owned())]))
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            // Of single pages they would have to be held until the end of the file, however long.
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .build();
        let writer = ArrowWriter::try_new(file, schema.clone(), Some(properties));
        let (writer, factory) = writer.and_then(ArrowWriter::into_serialized_writer).map_err(|_detail| {
            let what = "it cannot be begun, or a column has a type that Parquet has not";
            TokenizeError::output(path, what, "leave such columns out of the input, or check the disk")
        })?;
        let output = Self { path: path.to_owned(), folder, temporary, writer };
        Ok((output, Encoder { schema: schema.clone(), factory }))
    }

    pub(super) fn append(&mut self, group: RowGroup) -> Result<(), TokenizeError> {
        append(&mut self.writer, group).map_err(|error| failed(&self.path, error))
    }

    /// A crash in here leaves the file whole under its name, or not at all, and perhaps a hidden file beside it.
    pub(super) fn finish(self, force: bool) -> Result<(), TokenizeError> {
        let Self { path, folder, temporary, writer } = self;
        let file = writer.into_inner().map_err(|error| failed(&path, error))?;
        let io = |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => exists(&path),
            _ => TokenizeError::unwritable(&path, &error),
        };
        let file = file.into_inner().map_err(|error| io(error.into_error()))?;
        file.sync_all().map_err(io)?;
        let persisted = if force { temporary.persist(&path) } else { temporary.persist_noclobber(&path) };
        persisted.map_err(|error| io(error.error))?;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)
    }
}

impl Encoder {
    pub(super) fn encode(&self, batch: &RecordBatch) -> ParquetResult<RowGroup> {
        let mut writers = self.factory.create_column_writers(0)?.into_iter();
        let mut chunks = Vec::new();
        for (field, column) in self.schema.fields().iter().zip(batch.columns()) {
            for leaf in compute_leaves(field, column)? {
                let missing = || ParquetError::General("more columns than writers".to_owned());
                let mut writer = writers.next().ok_or_else(missing)?;
                writer.write(&leaf)?;
                chunks.push(writer.close()?);
            }
        }
        Ok(RowGroup(chunks))
    }
}

pub(super) fn exists(path: &Path) -> TokenizeError {
    TokenizeError::output(path, "there is such a file already", "choose another name, or replace it with `--force`")
}

fn append(writer: &mut SerializedFileWriter<BufWriter<File>>, group: RowGroup) -> ParquetResult<()> {
    let mut out = writer.next_row_group()?;
    for chunk in group.0 {
        chunk.append_to_row_group(&mut out)?;
    }
    out.close().map(drop)
}

fn failed(path: &Path, error: ParquetError) -> TokenizeError {
    let other = || io::ErrorKind::Other.into();
    let error = match error {
        ParquetError::External(error) => error.downcast::<io::Error>().map_or_else(|_other| other(), |error| *error),
        _ => other(),
    };
    TokenizeError::unwritable(path, &error)
}

fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".tokenize-").suffix(".tmp");
    // Tokens are handed on: as with any file that a program writes, the umask says who may read it.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}
