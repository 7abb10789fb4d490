//! The file that rows come from, opened once.

use std::fs::{self, File, Metadata};
use std::io::{Read as _, Seek as _};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::error::IngestError;

/// What a source file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Apache Parquet.
    Parquet,
    /// RFC 4180, in UTF-8, with a header line.
    Csv,
    /// One flat JSON object a line.
    JsonLines,
    /// Arrow IPC, stream format.
    ArrowStream,
}

impl Format {
    /// The format a file's ending stands for.
    pub fn from_path(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "parquet" | "pq" => Some(Self::Parquet),
            "csv" => Some(Self::Csv),
            "jsonl" | "ndjson" | "json" => Some(Self::JsonLines),
            "arrows" | "arrow" => Some(Self::ArrowStream),
            _ => None,
        }
    }
}

/// What tells, without reading a file, that it is the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    path: String,
    size: u64,
    /// Absent where the file was written so recently that a further change could leave the same time.
    mtime_ns: Option<u64>,
}

impl Stamp {
    /// Whether both stand for the same content for sure.
    pub(crate) fn vouches_for(&self, other: &Self) -> bool {
        self.mtime_ns.is_some() && self == other
    }
}

/// A source file under the name its owner gave it.
pub(crate) struct SourceFile {
    pub(crate) label: String,
    pub(crate) format: Format,
    pub(crate) stamp: Stamp,
    file: File,
    written: (u64, Option<SystemTime>),
}

impl SourceFile {
    pub(crate) fn open(path: &Path, label: &str, format: Option<Format>) -> Result<Self, IngestError> {
        let unreadable = |error: std::io::Error| {
            let what = match error.kind() {
                std::io::ErrorKind::NotFound => "no such file",
                std::io::ErrorKind::PermissionDenied => "may not be read",
                _ => "cannot be read",
            };
            IngestError::source(label, what, "correct the path or the file's permissions")
        };
        let Some(format) = format.or_else(|| Format::from_path(path)) else {
            return Err(IngestError::source(
                label,
                "its ending names no known format",
                "use .parquet, .csv, .jsonl (or .ndjson, .json) or .arrows",
            ));
        };
        // Asked before opening: to open a pipe is to wait for its writer.
        if !fs::metadata(path).map_err(unreadable)?.is_file() {
            return Err(IngestError::source(label, "not a regular file", "name a file"));
        }
        let file = File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if metadata.len() == 0 {
            return Err(IngestError::source(
                label,
                "the file is empty, so its columns are unknown",
                "write at least the header (CSV) or the schema (Parquet, Arrow)",
            ));
        }
        let settled = metadata
            .modified()
            .ok()
            .filter(|time| SystemTime::now().duration_since(*time).is_ok_and(|age| age > Duration::from_secs(2)));
        let mtime_ns = settled
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
            .and_then(|since| u64::try_from(since.as_nanos()).ok());
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let stamp = Stamp { path: path.to_string_lossy().into_owned(), size: metadata.len(), mtime_ns };
        let written = written(&metadata);
        Ok(Self { label: label.to_owned(), format, stamp, file, written })
    }

    /// The file from its start. Only one reader may be in use at a time.
    pub(crate) fn rewound(&self) -> Result<File, IngestError> {
        let mut file = self.file.try_clone().map_err(|_| self.unreadable())?;
        file.rewind().map_err(|_| self.unreadable())?;
        Ok(file)
    }

    pub(crate) fn len(&self) -> u64 {
        self.stamp.size
    }

    /// BLAKE3 of the content.
    pub(crate) fn content(&self) -> Result<String, IngestError> {
        let mut file = self.rewound()?;
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0_u8; 1 << 20];
        loop {
            let read = file.read(&mut buffer).map_err(|_| self.unreadable())?;
            if read == 0 {
                return Ok(hasher.finalize().to_hex().to_string());
            }
            hasher.update_rayon(buffer.get(..read).unwrap_or_default());
        }
    }

    /// Fails where the file was written to since it was opened.
    pub(crate) fn still_the_same(&self) -> Result<(), IngestError> {
        let metadata = self.file.metadata().map_err(|_| self.unreadable())?;
        if written(&metadata) == self.written { Ok(()) } else { Err(self.changed()) }
    }

    pub(crate) fn changed(&self) -> IngestError {
        IngestError::source(&self.label, "the file changed while it was read", "try again once it is complete")
    }

    pub(crate) fn unreadable(&self) -> IngestError {
        IngestError::source(&self.label, "the file cannot be read to its end", "check the disk and try again")
    }
}

fn written(metadata: &Metadata) -> (u64, Option<SystemTime>) {
    (metadata.len(), metadata.modified().ok())
}
