//! The file that is written: encoded by many, put together by one, and under its name only when it is whole.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use arrow::array::{ArrayRef, AsArray as _};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;
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
    /// The positions of the columns of tokens.
    tokens: Vec<usize>,
    plain: ArrowRowGroupWriterFactory,
    /// For columns of tokens that stand in many rows each.
    repeating: ArrowRowGroupWriterFactory,
}

/// An encoded row group.
pub(super) struct RowGroup(Vec<ArrowColumnChunk>);

impl Output {
    /// Begins the file; `tokens` are the positions of the columns of tokens.
    pub(super) fn create(
        path: &Path,
        schema: &SchemaRef,
        tokens: Vec<usize>,
        text_of_csv: bool,
    ) -> Result<(Self, Encoder), TokenizeError> {
        let failed = |error| TokenizeError::unwritable(path, &error);
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
        let temporary = temporary(&folder).map_err(failed)?;
        let file = BufWriter::with_capacity(1 << 20, temporary.reopen().map_err(failed)?);
        let unwritable = |_detail| {
            let what = "it cannot be begun, or a column has a type that Parquet has not";
            TokenizeError::output(path, what, "leave such columns out of the input, or check the disk")
        };
        let (writer, plain) =
            begin(file, schema, properties(schema, &tokens, text_of_csv, false)).map_err(unwritable)?;
        // A file's columns each have one way to be encoded: the other comes from a file that is never written.
        let other = properties(schema, &tokens, text_of_csv, true);
        let (_, repeating) = begin(io::sink(), schema, other).map_err(unwritable)?;
        let output = Self { path: path.to_owned(), folder, temporary, writer };
        Ok((output, Encoder { schema: schema.clone(), tokens, plain, repeating }))
    }

    pub(super) fn append(&mut self, group: RowGroup) -> Result<(), TokenizeError> {
        append(&mut self.writer, group).map_err(|error| failed(&self.path, error))
    }

    /// A crash in here leaves the file whole under its name, or not at all, and perhaps a hidden file beside it, which the
    /// next run in the same folder removes.
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
        let mut plain = self.plain.create_column_writers(0)?.into_iter();
        let mut repeating = self.repeating.create_column_writers(0)?.into_iter();
        let mut chunks = Vec::new();
        for (position, (field, column)) in self.schema.fields().iter().zip(batch.columns()).enumerate() {
            let repeats = self.tokens.contains(&position) && repeats(column);
            for leaf in compute_leaves(field, column)? {
                let missing = || ParquetError::General("more columns than writers".to_owned());
                let (one, other) = (plain.next(), repeating.next());
                let mut writer = if repeats { other } else { one }.ok_or_else(missing)?;
                writer.write(&leaf)?;
                chunks.push(writer.close()?);
            }
        }
        Ok(RowGroup(chunks))
    }
}

/// How the columns are encoded.
///
/// Tokens look random: nothing but repetition can be compressed in them cheaply, and no smallest or largest one tells
/// anything. An entropy coder would halve their hexadecimal digits, but take about as long as all else together.
fn properties(schema: &SchemaRef, tokens: &[usize], text_of_csv: bool, dictionary: bool) -> WriterProperties {
    let (key, value) = TEXT_OF_CSV;
    let properties = WriterProperties::builder()
        .set_key_value_metadata(text_of_csv.then(|| vec![KeyValue::new(key.to_owned(), value.to_owned())]))
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        // Of single pages they would have to be held until the end of the file, however long.
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true);
    let fields = tokens.iter().filter_map(|position| schema.fields().get(*position));
    let of_tokens = fields.fold(properties, |properties, field| {
        let path = ColumnPath::new(vec![field.name().clone()]);
        properties
            .set_column_compression(path.clone(), Compression::UNCOMPRESSED)
            .set_column_statistics_enabled(path.clone(), EnabledStatistics::None)
            .set_column_dictionary_enabled(path, dictionary)
    });
    of_tokens.build()
}

fn begin<W: Write + Send>(
    to: W,
    schema: &SchemaRef,
    properties: WriterProperties,
) -> ParquetResult<(SerializedFileWriter<W>, ArrowRowGroupWriterFactory)> {
    ArrowWriter::try_new(to, schema.clone(), Some(properties)).and_then(ArrowWriter::into_serialized_writer)
}

/// Whether the same tokens come so often that a dictionary of them pays: where of a thousand rows one in 32 repeats another,
/// there are some 16 thousand tokens, as many as a dictionary holds.
fn repeats(tokens: &ArrayRef) -> bool {
    const SAMPLE: usize = 1024;
    let Some(tokens) = tokens.as_string_opt::<i32>() else {
        return false;
    };
    let sample = || tokens.iter().flatten().take(SAMPLE);
    let different: HashSet<&str> = sample().collect();
    (sample().count() - different.len()) * 32 >= SAMPLE
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

const PREFIX: &str = ".tokenize-";
const SUFFIX: &str = ".tmp";

/// A file beside the output, locked as long as its process lives.
fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    clean(folder);
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).suffix(SUFFIX);
    // Tokens are handed on: as with any file that a program writes, the umask says who may read it.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    loop {
        let file = builder.tempfile_in(folder)?;
        // Some file systems know no locks; nothing is cleaned there.
        let _unlocked = file.as_file().lock();
        // Between its creation and its locking, another process could take it for left over.
        if file.path().exists() {
            return Ok(file);
        }
    }
}

/// Removes what killed processes left in a folder, as far as may be.
fn clean(folder: &Path) {
    let ours = |name: &str| name.starts_with(PREFIX) && name.ends_with(SUFFIX);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_name().to_str().is_some_and(ours) || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        if let Ok(file) = File::open(entry.path())
            && file.try_lock().is_ok()
        {
            let _still_there = fs::remove_file(entry.path());
        }
    }
}
