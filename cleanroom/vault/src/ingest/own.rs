//! A file's rows in the types of the layout, for its owner's own look at them: nothing is stored.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::thread;

use arrow::array::RecordBatch;
use cleanroom_policy::Policy;

use super::arrays::LongTexts;
use super::error::IngestError;
use super::layout::{Chunks, Layout, Places};
use super::source::{Format, SourceFile};
use super::{binary, text};

/// A file that is being decoded; the identities still as text.
pub(crate) struct OwnRows {
    source: SourceFile,
    layout: Layout,
    chunks: Box<dyn Chunks>,
    long: LongTexts,
}

/// Opens a file as ingestion would under `policy`.
pub(crate) fn own_rows(
    path: &Path,
    label: &str,
    format: Option<Format>,
    policy: &Policy,
) -> Result<OwnRows, IngestError> {
    let source = SourceFile::open(path, label, format)?;
    let never = AtomicBool::new(false);
    // A decoder that panics on a damaged file is one that found it damaged.
    let opened = thread::scope(|scope| {
        let open = || match source.format {
            Format::Parquet => binary::parquet(&source, policy, &never),
            Format::ArrowStream => binary::arrow_stream(&source, policy),
            Format::Csv => text::csv(&source, policy, &never),
            Format::JsonLines => text::json_lines(&source, policy, &never),
        };
        scope.spawn(open).join()
    });
    let (layout, chunks) = opened.unwrap_or_else(|_panic| {
        Err(IngestError::source(
            label,
            "the file is damaged",
            "write the file again, and check that it was copied whole",
        ))
    })?;
    Ok(OwnRows { source, layout, chunks, long: LongTexts::default() })
}

impl OwnRows {
    /// What becomes of its columns.
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Sentences for the owner about what was read so far.
    pub(crate) fn notes(&self) -> Vec<String> {
        self.layout.notes.iter().cloned().chain(self.long.notes()).collect()
    }

    /// The next rows and where they stand; `None` at the end of a file that stayed the same.
    pub(crate) fn next(&mut self) -> Result<Option<(RecordBatch, Places)>, IngestError> {
        match self.chunks.next()? {
            Some(chunk) => {
                let batch = self.long.taken_out(&self.layout, &chunk.batch).map_err(|_| IngestError::Internal {
                    file: self.source.label.clone(),
                    what: "columns do not fit the layout",
                })?;
                Ok(Some((batch, chunk.places)))
            }
            None => self.source.still_the_same().map(|()| None),
        }
    }
}
