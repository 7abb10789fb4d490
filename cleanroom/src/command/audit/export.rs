//! `cleanroom audit export`

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use tempfile::NamedTempFile;

use super::columns::{self, Row};
use super::{FilterArgs, entries};
use crate::exit::Exit;
use crate::fault::{Fault, Result};
use crate::output::Format;
use crate::target::TargetArgs;
use crate::trail::Read;

/// Entries that are made into columns at once.
const BATCH: usize = 4096;

#[derive(Debug, Args)]
pub(in crate::command) struct ExportArgs {
    /// The file to write, whole or not at all; `-` is standard output, in the form of `--format`
    #[arg(long, value_name = "FILE.jsonl|FILE.csv|FILE.parquet|-")]
    to: PathBuf,

    /// Only entries of this question
    #[arg(long, value_name = "ID")]
    query: Option<String>,

    #[command(flatten)]
    filter: FilterArgs,

    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The canonical bytes of each entry and a line break: what leaves of the tree are the hashes of.
    JsonLines,
    Csv,
    Parquet,
}

impl Form {
    fn of(to: &Path, format: Format) -> Result<Self> {
        let ending = to.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
        match (to == Path::new("-"), ending.as_deref(), format) {
            (true, _, Format::Json) | (false, Some("jsonl" | "ndjson"), _) => Ok(Self::JsonLines),
            (true, _, Format::Csv) | (false, Some("csv"), _) => Ok(Self::Csv),
            (true, _, Format::Parquet) | (false, Some("parquet"), _) => Ok(Self::Parquet),
            (true, _, _) => Err(Fault::usage(
                "entries are written to standard output as JSON lines, CSV or Parquet",
                "add `--format json`, `csv` or `parquet`",
            )),
            (false, _, _) => Err(Fault::usage(
                format!("`{}` has no ending that names a form", to.display()),
                "write to a file that ends in `.jsonl`, `.csv` or `.parquet`",
            )),
        }
    }
}

pub(super) fn run(args: &ExportArgs, format: Format) -> Result<Exit> {
    let form = Form::of(&args.to, format)?;
    if args.to == Path::new("-") {
        if form == Form::Parquet && io::stdout().is_terminal() {
            return Err(Fault::usage("binary output is not written to a terminal", "name a file, or pipe the output"));
        }
        return match write(args, form, io::stdout(), "standard output") {
            // A reader that has gone away is no failure of ours.
            Err(Wrong::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Done),
            other => other.map(|()| Exit::Done).map_err(|wrong| wrong.fault("standard output")),
        };
    }
    let name = args.to.display().to_string();
    let failed = |error: &io::Error| Fault::write(&args.to, error);
    let folder = args.to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A crash before the rename leaves the earlier file, and one of a temporary name that nothing reads.
    let staged = NamedTempFile::new_in(folder).map_err(|error| failed(&error))?;
    let file: File = staged.as_file().try_clone().map_err(|error| failed(&error))?;
    write(args, form, file, &name).map_err(|wrong| wrong.fault(&name))?;
    staged.as_file().sync_all().map_err(|error| failed(&error))?;
    staged.persist(&args.to).map_err(|error| failed(&error.error))?;
    Ok(Exit::Done)
}

/// Why an export stopped.
enum Wrong {
    Fault(Fault),
    Io(io::Error),
}

impl Wrong {
    fn fault(self, name: &str) -> Fault {
        match self {
            Self::Fault(fault) => fault,
            Self::Io(error) => Fault::write(Path::new(name), &error),
        }
    }
}

fn write(args: &ExportArgs, form: Form, out: impl Write + Send, name: &str) -> Result<(), Wrong> {
    let mut filter = args.filter.filter();
    filter.query.clone_from(&args.query);
    let mut writer = Writer::new(form, out).map_err(Wrong::Io)?;
    let mut broken = None;
    let read = entries::chosen(&args.target, &filter, |read, about| {
        writer.entry(&read, &about).map_err(|error| {
            let fault = Fault::write(Path::new(name), &error);
            broken = Some(error);
            fault
        })
    });
    match (read, broken) {
        (Err(_), Some(error)) => Err(Wrong::Io(error)),
        (Err(fault), None) => Err(Wrong::Fault(fault)),
        (Ok(()), _) => writer.finish().map_err(Wrong::Io),
    }
}

/// Entries on their way out.
enum Writer<W: Write + Send> {
    JsonLines(BufWriter<W>),
    Csv(Box<csv::Writer<W>>),
    Parquet(Box<ArrowWriter<W>>, Vec<Row>),
}

impl<W: Write + Send> Writer<W> {
    fn new(form: Form, out: W) -> io::Result<Self> {
        match form {
            Form::JsonLines => Ok(Self::JsonLines(BufWriter::new(out))),
            Form::Csv => {
                let mut writer = csv::Writer::from_writer(out);
                writer.write_record(["sequence", "time"].iter().chain(&columns::TEXTS)).map_err(unwrapped)?;
                Ok(Self::Csv(Box::new(writer)))
            }
            Form::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::default()))
                    .set_created_by("cleanroom".to_owned())
                    .build();
                let writer = ArrowWriter::try_new(out, Arc::new(columns::schema()), Some(properties));
                Ok(Self::Parquet(Box::new(writer.map_err(io::Error::other)?), Vec::new()))
            }
        }
    }

    fn entry(&mut self, read: &Read, about: &crate::trail::About) -> io::Result<()> {
        match self {
            Self::JsonLines(out) => {
                out.write_all(read.line.as_bytes())?;
                out.write_all(b"\n")
            }
            Self::Csv(writer) => {
                let row = Row::of(read, about);
                let texts = row.texts.iter().map(|text| columns::plain(text.as_deref().unwrap_or_default()));
                let cells = [row.sequence.to_string(), row.time.clone()].into_iter().chain(texts);
                writer.write_record(cells).map_err(unwrapped)
            }
            Self::Parquet(writer, rows) => {
                rows.push(Row::of(read, about));
                if rows.len() >= BATCH { flush(writer, rows) } else { Ok(()) }
            }
        }
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Self::JsonLines(mut out) => out.flush(),
            Self::Csv(mut writer) => writer.flush(),
            Self::Parquet(mut writer, mut rows) => {
                flush(&mut writer, &mut rows)?;
                writer.close().map(drop).map_err(io::Error::other)
            }
        }
    }
}

/// What the system said, where it was the system.
fn unwrapped(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

fn flush<W: Write + Send>(writer: &mut ArrowWriter<W>, rows: &mut Vec<Row>) -> io::Result<()> {
    let batch = columns::batch(rows).map_err(io::Error::other)?;
    writer.write(&batch).map_err(io::Error::other)?;
    rows.clear();
    Ok(())
}
