//! Why a table's rows were not taken in.

use std::fmt;
use std::path::{Path, PathBuf};

use cleanroom_keys::KeyError;
use cleanroom_registry::RegistryError;

/// Why a table's rows were not taken in; nothing is registered then.
///
/// `Display` is one sentence, what, where and what to do, for the owner of the table. It never holds a value of the data.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IngestError {
    /// The source as a whole cannot be used.
    #[error("{file}: {what}; {remedy}")]
    Source {
        /// The file, as its owner calls it.
        file: String,
        /// What is wrong.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// One row, or one value of it, cannot be used.
    #[error("{file}{place}{}: {what}; {remedy}", InColumn(.column.as_deref()))]
    Value {
        /// The file, as its owner calls it.
        file: String,
        /// Where in the file.
        place: Place,
        /// The column; absent where the whole row is at fault.
        column: Option<String>,
        /// What is wrong.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The columns of the source do not fit the policy.
    #[error("{file}{}: {what}; {remedy}", InColumn(Some(column)))]
    Column {
        /// The file, as its owner calls it.
        file: String,
        /// The column.
        column: String,
        /// What is wrong, with the line of the policy.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A file of the data directory.
    #[error("cannot {doing} `{}`: {source}; see that the disk has space and the data directory belongs to this user", path.display())]
    Storage {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The key of the room.
    #[error("the key of the room: {0}")]
    Key(#[from] KeyError),
    /// The key of the room is gone, and identities were numbered under it.
    #[error("`{}`, the key of the room, is missing; restore it from its backup, since no other key matches the identities taken in before", path.display())]
    KeyMissing {
        /// Where it was.
        path: PathBuf,
    },
    /// The identity space holds as many identities as can be told apart.
    #[error("identity space `{space}` is full; start a new room")]
    SpaceFull {
        /// The identity space.
        space: String,
    },
    /// The table of the identities needed more memory than it was given.
    #[error(
        "identity space `{space}` has more identities than the memory limit allows (about 40 bytes each); raise the memory limit"
    )]
    SpaceMemory {
        /// The identity space.
        space: String,
    },
    /// Sorting the rows needed more memory or disk than it was given.
    #[error(
        "{file}: sorting the rows needs more memory or disk than allowed; raise the memory limit or free disk space"
    )]
    Resources {
        /// The file, as its owner calls it.
        file: String,
    },
    /// The registry did not record the new version.
    #[error("the new version is not registered: {what}; {remedy}", what = .source.public(), remedy = .source.remedy())]
    Registry {
        /// Why.
        #[from]
        source: RegistryError,
    },
    /// Whoever asked is gone.
    #[error("ingestion was interrupted; run it again")]
    Interrupted,
    /// A defect of the program.
    #[error("{file}: ingestion failed inside the program ({what}); report a defect")]
    Internal {
        /// The file, as its owner calls it.
        file: String,
        /// In which step.
        what: &'static str,
    },
}

/// Where in a source something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A line of a text file, from 1.
    Line(u64),
    /// A row of a binary file, from 1.
    Row(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Line(line) => write!(f, ":{line}"),
            Place::Row(row) => write!(f, ": row {row}"),
        }
    }
}

impl IngestError {
    /// Whether the source, and not this machine, is at fault.
    pub fn is_bad_source(&self) -> bool {
        matches!(self, Self::Source { .. } | Self::Value { .. } | Self::Column { .. })
    }

    /// Where in the source, if at one place.
    pub fn place(&self) -> Option<Place> {
        match self {
            Self::Value { place, .. } => Some(*place),
            _ => None,
        }
    }

    /// The column, if it is about one.
    pub fn column(&self) -> Option<&str> {
        match self {
            Self::Value { column, .. } => column.as_deref(),
            Self::Column { column, .. } => Some(column),
            _ => None,
        }
    }

    pub(crate) fn source(file: &str, what: impl Into<String>, remedy: &'static str) -> Self {
        Self::Source { file: file.to_owned(), what: what.into(), remedy }
    }

    pub(crate) fn storage(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Storage { doing, path, source }
    }
}

struct InColumn<'a>(Option<&'a str>);

impl fmt::Display for InColumn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(column) => write!(f, ": column `{column}`"),
            None => Ok(()),
        }
    }
}
