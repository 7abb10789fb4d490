//! What commands print on stdout.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::fault::{Fault, Result};
use crate::render;

/// The form of a command's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// One JSON value.
    Json,
    /// RFC 4180 with a header.
    Csv,
    /// An Arrow IPC stream.
    Arrow,
    /// A Parquet file.
    Parquet,
}

impl Format {
    /// Whether a terminal can show it.
    pub(crate) fn is_binary(self) -> bool {
        matches!(self, Self::Arrow | Self::Parquet)
    }
}

/// Where output goes.
#[derive(Debug, Clone)]
pub(crate) enum Sink {
    /// Standard output.
    Stdout,
    /// A file, written whole or not at all.
    File(PathBuf),
}

impl Sink {
    /// The sink of an optional `-o FILE`. `-` is standard output.
    pub(crate) fn new(path: Option<PathBuf>) -> Self {
        match path {
            Some(path) if path != Path::new("-") => Self::File(path),
            _ => Self::Stdout,
        }
    }

    /// Refuses what would only garble a terminal, before any work is done.
    pub(crate) fn check(&self, format: Format) -> Result<()> {
        if format.is_binary() && matches!(self, Self::Stdout) && io::stdout().is_terminal() {
            return Err(Fault::usage(
                "binary output is not written to a terminal",
                "add `-o FILE`, or pipe the output into a program",
            ));
        }
        Ok(())
    }

    /// Writes all of it.
    pub(crate) fn write(&self, content: &[u8]) -> Result<()> {
        match self {
            Self::Stdout => stdout(content),
            Self::File(path) => replace(path, content).map_err(|error| Fault::write(path, &error)),
        }
    }
}

/// Prints text and a line break. A reader that has gone away is no failure of ours.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut line = text.to_owned();
    if !line.ends_with('\n') {
        line.push('\n');
    }
    stdout(line.as_bytes())
}

/// Prints rows of text in the wanted form: JSON is `value`, the others are made of `header` and `rows`.
pub(crate) fn list(format: Format, header: &[&str], rows: &[Vec<String>], value: &Value) -> Result<()> {
    match format {
        Format::Json => print(&value.to_string()),
        Format::Table => print(&render::text_table(header, rows)),
        Format::Csv => stdout(&render::text_csv(header, rows)?),
        Format::Arrow | Format::Parquet => {
            Err(Fault::usage("this command has no binary output", "use `--format table`, `json` or `csv`"))
        }
    }
}

fn stdout(content: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(content).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Fault::failure(format!("cannot write to standard output: {error}"), ""))
        }
        _ => Ok(()),
    }
}

fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // A crash before the rename leaves the earlier file, and one of a temporary name that nothing reads.
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
