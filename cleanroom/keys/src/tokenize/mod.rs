//! Identifiers become tokens before they leave their owner: CSV or Parquet in, Parquet out.
//!
//! One thread reads, as many as there are cores tokenise and encode, one writes; a chunk of some megabytes is the unit of
//! work and of the output's row groups. A reader that is ahead waits, so memory does not grow with the file.

mod columns;
mod delimited;
mod error;
mod output;
mod parquet_file;
mod pipeline;
mod source;
#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;
use std::time::Instant;

use crate::progress::Progress;
use crate::room_key::RoomKey;

pub use error::{Place, TokenizeError};

/// The metadata entry, key and value, of a Parquet file whose text columns are the fields of a CSV file.
pub const TEXT_OF_CSV: (&str, &str) = ("cleanroom.text", "csv");

/// What is to be tokenised.
#[derive(Debug)]
pub struct TokenizeOptions {
    /// A CSV (`.csv`, or `.tsv` with tabs) or Parquet file (`.parquet`). A CSV file's first line names the columns.
    pub input: PathBuf,
    /// The Parquet file to write.
    pub output: PathBuf,
    /// The room's key.
    pub key: RoomKey,
    /// The columns of identifiers, each with its identity space.
    pub columns: Vec<(String, String)>,
    /// The country of phone numbers without an international prefix, as two letters (`DE`).
    pub region: Option<String>,
    /// Makes identifiers that are not valid NULL, and counts them, instead of stopping at the first.
    pub skip_bad: bool,
    /// Replaces the output file.
    pub force: bool,
}

/// What was done.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenizeReport {
    /// Rows of the file.
    pub rows: u64,
    /// Identifiers that became tokens.
    pub tokenised: u64,
    /// Identifiers that were NULL, or had nothing in them.
    pub nulls: u64,
    /// Identifiers that were not valid and became NULL.
    pub bad: u64,
    /// Bytes of the input.
    pub bytes_in: u64,
    /// Time taken, in seconds.
    pub seconds: f64,
}

/// Writes the input anew, the named columns as tokens (`crt1_` and 64 hexadecimal digits).
///
/// The rows keep their order. Parquet's other columns keep their types. CSV's other columns become text, whose types are found
/// when the file is ingested, as [`TEXT_OF_CSV`] says in it; a field with nothing in it becomes NULL. The output appears
/// under its name when it is whole; a run that is killed leaves at most a hidden file beside it, which the next run removes.
///
/// # Errors
/// Where the options contradict each other or the files, the input is damaged, an identifier is not valid (unless skipped)
/// or is a token already, or the output exists (unless replaced) or cannot be written.
pub fn tokenize(options: &TokenizeOptions, progress: &dyn Progress) -> Result<TokenizeReport, TokenizeError> {
    let threads = available_parallelism().map_or(1, usize::from);
    tokenize_with(&Scale { threads, chunk_rows: 1 << 16 }, options, progress)
}

/// How much is done at once.
struct Scale {
    /// Threads that tokenise and encode.
    threads: usize,
    /// Rows of a chunk at most. A chunk becomes a row group of the output.
    chunk_rows: usize,
}

fn tokenize_with(
    scale: &Scale,
    options: &TokenizeOptions,
    progress: &dyn Progress,
) -> Result<TokenizeReport, TokenizeError> {
    let start = Instant::now();
    check_output(options)?;
    let source = source::Source::open(&options.input, scale.chunk_rows)?;
    let input_schema = source.schema();
    let columns = columns::columns(options, &input_schema)?;
    let output_schema = columns::output_schema(&input_schema, &columns);
    let tokens = columns.iter().map(|column| column.index).collect();
    let (mut output, encoder) = output::Output::create(&options.output, &output_schema, tokens, source.is_csv())?;
    let (_, bytes_in) = source.progress();
    let work = pipeline::Work { options, columns, input_schema, output_schema, encoder };
    let done = pipeline::run(scale.threads, source, &work, &mut output, progress);
    progress.finish();
    let (rows, counts) = done?;
    output.finish(options.force)?;
    Ok(TokenizeReport {
        rows,
        tokenised: counts.tokenised,
        nulls: counts.nulls,
        bad: counts.bad,
        bytes_in,
        seconds: start.elapsed().as_secs_f64(),
    })
}

fn check_output(options: &TokenizeOptions) -> Result<(), TokenizeError> {
    let output: &Path = &options.output;
    if !output.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("parquet")) {
        return Err(TokenizeError::output(output, "the output is Parquet", "give it a name that ends in `.parquet`"));
    }
    if matches!((fs::canonicalize(&options.input), fs::canonicalize(output)), (Ok(one), Ok(other)) if one == other) {
        return Err(TokenizeError::output(output, "it is the input as well", "write to another file"));
    }
    if !options.force && output.symlink_metadata().is_ok() {
        return Err(output::exists(output));
    }
    Ok(())
}
