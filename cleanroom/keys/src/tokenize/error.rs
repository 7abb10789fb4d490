//! Why a file was not tokenised.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::normalise::NormaliseError;

pub(super) const DAMAGED: &str = "the file is damaged, or cut off, or not of the kind that its name says";
pub(super) const REMEDY: &str = "write or copy it anew";

/// Why a file was not tokenised. There is no output then. No value of the file is part of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizeError {
    /// What was asked for cannot be done with any file.
    #[error("{what}; {remedy}")]
    Options {
        /// What is wrong.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The input cannot be used.
    #[error("`{file}`{place}: {what}; {remedy}")]
    Input {
        /// Which.
        file: PathBuf,
        /// Where in it.
        place: Place,
        /// What is wrong.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The output cannot be written.
    #[error("`{file}`: {what}; {remedy}")]
    Output {
        /// Which.
        file: PathBuf,
        /// What is wrong.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
}

/// Where in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// The file as a whole.
    File,
    /// The record that starts on this line, from 1.
    Line(u64),
    /// This row, from 1.
    Row(u64),
    /// A column of such a record or row.
    Column(Box<Place>, String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => Ok(()),
            Self::Line(line) => write!(f, ", line {line}"),
            Self::Row(row) => write!(f, ", row {row}"),
            Self::Column(place, column) => write!(f, "{place}, column `{column}`"),
        }
    }
}

/// Why a value is no identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error(transparent)]
    Normalise(#[from] NormaliseError),
    #[error("the number is not whole, or too large to be exact")]
    NotWhole,
}

impl TokenizeError {
    pub(super) fn options(what: impl Into<String>, remedy: &'static str) -> Self {
        Self::Options { what: what.into(), remedy }
    }

    pub(super) fn input(file: &Path, what: impl Into<String>, remedy: &'static str) -> Self {
        Self::input_at(file, Place::File, what, remedy)
    }

    pub(super) fn input_at(file: &Path, place: Place, what: impl Into<String>, remedy: &'static str) -> Self {
        Self::Input { file: file.to_owned(), place, what: what.into(), remedy }
    }

    pub(super) fn unreadable(file: &Path, error: &io::Error) -> Self {
        Self::input(file, format!("cannot be read ({})", error.kind()), "check its name and that you may read it")
    }

    pub(super) fn output(file: &Path, what: impl Into<String>, remedy: &'static str) -> Self {
        Self::Output { file: file.to_owned(), what: what.into(), remedy }
    }

    pub(super) fn unwritable(file: &Path, error: &io::Error) -> Self {
        let remedy = "check that its folder exists, has space and that you may write there";
        Self::output(file, format!("cannot be written ({})", error.kind()), remedy)
    }
}
