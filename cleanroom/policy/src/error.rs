//! What can be wrong with a document.

use std::fmt;

/// One thing that is wrong with a document: where, what, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct DocumentError {
    /// The document's name as the caller gave it; for messages only.
    pub file: String,
    /// Line, from 1; absent where the error is about the document as a whole.
    pub line: Option<usize>,
    /// Column in characters, from 1; absent where only the line is known.
    pub column: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it; may be empty.
    pub remedy: String,
}

impl DocumentError {
    /// The same error under another name of the document.
    #[must_use]
    pub fn in_file(self, file: &str) -> Self {
        Self { file: file.to_owned(), ..self }
    }
}

/// `policies/purchases.yaml:12:5: message; remedy`
impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
            if let Some(column) = self.column {
                write!(f, ":{column}")?;
            }
        }
        write!(f, ": {}", self.message)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, "; {}", self.remedy) }
    }
}
