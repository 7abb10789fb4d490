//! Why a command did not do its work: what, where and what to do about it, for people and for programs.

use std::fmt::Display;
use std::io;
use std::path::Path;

use cleanroom_policy::DocumentError;
use cleanroom_registry::RegistryError;
use cleanroom_vault::{Code, IngestError, Unavailable, VaultError};
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::output::Format;

/// Why a command did not do its work.
#[derive(Debug)]
pub(crate) struct Fault {
    exit: Exit,
    code: String,
    title: String,
    troubles: Vec<Trouble>,
}

#[derive(Debug)]
struct Trouble {
    /// What and where.
    text: String,
    remedy: String,
    /// The parts a program may want apart.
    position: Option<Value>,
}

pub(crate) type Result<T, E = Fault> = std::result::Result<T, E>;

impl Fault {
    /// The command was called wrongly, or with a file that cannot be used.
    pub(crate) fn usage(what: impl Display, remedy: impl Display) -> Self {
        Self::new(Exit::Usage, Code::Malformed, what, remedy)
    }

    /// Something that this version does not do.
    pub(crate) fn not_available(what: impl Display, remedy: impl Display) -> Self {
        Self::new(Exit::Usage, Code::NotAvailable, what, remedy)
    }

    /// The caller may not.
    pub(crate) fn not_permitted(what: impl Display, remedy: impl Display) -> Self {
        Self::new(Exit::NotPermitted, Code::NotAMember, what, remedy)
    }

    /// Something failed that is not the caller's doing.
    pub(crate) fn failure(what: impl Display, remedy: impl Display) -> Self {
        Self::new(Exit::Failure, Code::Internal, what, remedy)
    }

    /// A file that was named cannot be read.
    pub(crate) fn read(path: &Path, error: &io::Error) -> Self {
        Self::usage(
            format!("cannot read `{}`: {}", path.display(), reason(error)),
            "check its name and that you may read it",
        )
    }

    /// A file that was named cannot be written.
    pub(crate) fn write(path: &Path, error: &io::Error) -> Self {
        Self::usage(
            format!("cannot write `{}`: {}", path.display(), reason(error)),
            "check that its folder exists, has space and that you may write there",
        )
    }

    /// Everything that is wrong with documents.
    pub(crate) fn documents(errors: Vec<DocumentError>) -> Self {
        let troubles = errors.into_iter().map(Trouble::from).collect();
        let (code, title) = names(Code::Malformed);
        Self { exit: Exit::Usage, code, title, troubles }
    }

    /// An error object as the server sends it.
    pub(crate) fn remote(exit: Exit, error: &Value) -> Self {
        let text = |key: &str| error.get(key).and_then(Value::as_str);
        let (code, title) = names(Code::Internal);
        let mut troubles = vec![Trouble {
            text: text("detail").or_else(|| text("title")).unwrap_or("the server gave no reason").to_owned(),
            remedy: text("suggestion").unwrap_or_default().to_owned(),
            position: None,
        }];
        if let Some(list) = error.get("errors").and_then(Value::as_array) {
            let more: Vec<Trouble> = list.iter().map(Trouble::of_json).collect();
            if !more.is_empty() {
                troubles = more;
            }
        }
        Self {
            exit,
            code: text("code").map_or(code, str::to_owned),
            title: text("title").map_or(title, str::to_owned),
            troubles,
        }
    }

    /// How the program ends.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// Prints it on stderr: one JSON object where the command's format is JSON, else lines for people.
    pub(crate) fn print(&self, format: Format) {
        if format == Format::Json {
            eprintln!("{}", json!({ "error": self.to_json() }));
            return;
        }
        for trouble in &self.troubles {
            eprintln!("error: {}", trouble.text);
            if !trouble.remedy.is_empty() {
                eprintln!("  help: {}", trouble.remedy);
            }
        }
    }

    fn to_json(&self) -> Value {
        let mut error = json!({ "code": self.code, "title": self.title });
        let Some(object) = error.as_object_mut() else {
            return error;
        };
        if let Some(first) = self.troubles.first() {
            object.insert("detail".to_owned(), json!(first.text));
            if !first.remedy.is_empty() {
                object.insert("suggestion".to_owned(), json!(first.remedy));
            }
        }
        let positions: Vec<&Value> = self.troubles.iter().filter_map(|t| t.position.as_ref()).collect();
        if !positions.is_empty() {
            object.insert("errors".to_owned(), json!(positions));
        }
        error
    }

    fn new(exit: Exit, code: Code, what: impl Display, remedy: impl Display) -> Self {
        let (code, title) = names(code);
        let trouble = Trouble { text: what.to_string(), remedy: remedy.to_string(), position: None };
        Self { exit, code, title, troubles: vec![trouble] }
    }
}

/// A document's error, for programs.
pub(crate) fn document_error_json(error: &DocumentError) -> Value {
    json!({
        "file": error.file, "line": error.line, "column": error.column,
        "message": error.message, "remedy": error.remedy,
    })
}

impl From<DocumentError> for Trouble {
    fn from(error: DocumentError) -> Self {
        let position = document_error_json(&error);
        let bare = DocumentError { remedy: String::new(), ..error.clone() };
        Self { text: bare.to_string(), remedy: error.remedy, position: Some(position) }
    }
}

impl Trouble {
    fn of_json(error: &Value) -> Self {
        let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default();
        let number = |key: &str| error.get(key).and_then(Value::as_u64);
        let at = match (number("line"), number("column")) {
            (Some(line), Some(column)) => format!(":{line}:{column}"),
            (Some(line), None) => format!(":{line}"),
            _ => String::new(),
        };
        Self {
            text: format!("{}{at}: {}", text("file"), text("message")),
            remedy: text("remedy").to_owned(),
            position: Some(error.clone()),
        }
    }
}

impl From<RegistryError> for Fault {
    fn from(error: RegistryError) -> Self {
        let remedy = error.remedy();
        if error.is_request() { Self::usage(error, remedy) } else { Self::failure(error, remedy) }
    }
}

impl From<VaultError> for Fault {
    fn from(error: VaultError) -> Self {
        Self::failure(error, "")
    }
}

impl From<Unavailable> for Fault {
    fn from(error: Unavailable) -> Self {
        Self::failure(error, "no decision was recorded, so none is shown; see the cause and ask again")
    }
}

impl From<IngestError> for Fault {
    fn from(error: IngestError) -> Self {
        if error.is_bad_source() { Self::usage(error, "") } else { Self::failure(error, "") }
    }
}

/// What the system said, without its number.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        _ => error.to_string(),
    }
}

fn names(code: Code) -> (String, String) {
    (code.as_str().to_owned(), code.title().to_owned())
}
