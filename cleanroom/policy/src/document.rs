//! From text to documents of every kind.

use crate::error::DocumentError;
use crate::fields::Fields;
use crate::model::{Policy, Room, Template};
use crate::report::Report;
use crate::yaml::{self, Node};
use crate::{policy, room, template};

const API_VERSION: &str = "cleanroom/v1";

/// A document of any kind.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "few exist at a time")]
pub enum Document {
    /// `kind: Room`
    Room(Room),
    /// `kind: Policy`
    Policy(Policy),
    /// `kind: Template`
    Template(Template),
}

/// Reads one room. `file` names the document in messages.
///
/// # Errors
/// Everything that is wrong with it, in the order of the text.
pub fn parse_room(file: &str, text: &str) -> Result<Room, Vec<DocumentError>> {
    let node = single(file, text)?;
    read(file, &node, Some(Kind::Room), room::read)
}

/// Reads one policy. `file` names the document in messages.
///
/// # Errors
/// Everything that is wrong with it, in the order of the text.
pub fn parse_policy(file: &str, text: &str) -> Result<Policy, Vec<DocumentError>> {
    let node = single(file, text)?;
    read(file, &node, Some(Kind::Policy), policy::read)
}

/// Reads one template. `file` names the document in messages.
///
/// # Errors
/// Everything that is wrong with it, in the order of the text.
pub fn parse_template(file: &str, text: &str) -> Result<Template, Vec<DocumentError>> {
    let node = single(file, text)?;
    read(file, &node, Some(Kind::Template), template::read)
}

/// Reads one document of any kind. `file` names it in messages.
///
/// # Errors
/// Everything that is wrong with it, in the order of the text; also where the text holds more than one document.
pub fn parse_document(file: &str, text: &str) -> Result<Document, Vec<DocumentError>> {
    any(file, &single(file, text)?)
}

/// Reads all documents of a text, divided by `---`. `file` names it in messages.
///
/// # Errors
/// Everything that is wrong with any of them, in the order of the text; also where there is none.
pub fn parse_documents(file: &str, text: &str) -> Result<Vec<Document>, Vec<DocumentError>> {
    let nodes = several(file, text)?;
    let mut documents = Vec::with_capacity(nodes.len());
    let mut errors = Vec::new();
    for node in &nodes {
        match any(file, node) {
            Ok(document) => documents.push(document),
            Err(mut found) => errors.append(&mut found),
        }
    }
    if errors.is_empty() { Ok(documents) } else { Err(errors) }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Room,
    Policy,
    Template,
}

impl Kind {
    const WORDS: &'static [(&'static str, Self)] =
        &[("Room", Self::Room), ("Policy", Self::Policy), ("Template", Self::Template)];
}

fn several(file: &str, text: &str) -> Result<Vec<Node>, Vec<DocumentError>> {
    let nodes = yaml::read(file, text).map_err(|error| vec![error])?;
    if nodes.is_empty() {
        return Err(vec![DocumentError {
            file: file.to_owned(),
            line: None,
            column: None,
            message: "there is no document".to_owned(),
            remedy: "begin with `apiVersion: cleanroom/v1` and `kind`".to_owned(),
        }]);
    }
    Ok(nodes)
}

pub(crate) fn single(file: &str, text: &str) -> Result<Node, Vec<DocumentError>> {
    let mut nodes = several(file, text)?.into_iter();
    match (nodes.next(), nodes.next()) {
        (Some(node), None) => Ok(node),
        (_, second) => Err(vec![DocumentError {
            file: file.to_owned(),
            line: second.map(|node| node.at.line),
            column: None,
            message: "a second document begins here, where one is expected".to_owned(),
            remedy: "give each document a file of its own".to_owned(),
        }]),
    }
}

fn any(file: &str, node: &Node) -> Result<Document, Vec<DocumentError>> {
    // The kind decides which keys are known, so it is read before anything is reported.
    let mut report = Report::new(file);
    let kind = Fields::open_any(&mut report, node, "").and_then(|fields| {
        let remedy = "write `kind: Room`, `kind: Policy` or `kind: Template`";
        let kind = fields.require(&mut report, "kind", remedy)?;
        report.word(kind, "a kind of document", Kind::WORDS)
    });
    match report.finish(kind)? {
        Kind::Room => read(file, node, None, room::read).map(Document::Room),
        Kind::Policy => read(file, node, None, policy::read).map(Document::Policy),
        Kind::Template => read(file, node, None, template::read).map(Document::Template),
    }
}

/// Reads the head every document has, then the rest. `expected` is the only kind that will do, where it is not known yet.
fn read<T>(
    file: &str,
    node: &Node,
    expected: Option<Kind>,
    body: impl Fn(&mut Report<'_>, &Node) -> Option<T>,
) -> Result<T, Vec<DocumentError>> {
    let mut report = Report::new(file);
    if let Some(head) = Fields::open_any(&mut report, node, "") {
        let remedy = "write `apiVersion: cleanroom/v1` as its first line";
        if let Some(version) = head.require(&mut report, "apiVersion", remedy) {
            report.word(version, "a version of the format", &[(API_VERSION, ())]);
        }
        if let Some(expected) = expected {
            let words: Vec<(&str, Kind)> = Kind::WORDS.iter().copied().filter(|(_, kind)| *kind == expected).collect();
            let word = words.first().map_or("", |(word, _)| word);
            let remedy = format!("write `kind: {word}`");
            if let Some(kind) = head.require(&mut report, "kind", &remedy)
                && report.word(kind, "the kind expected here", &words).is_none()
            {
                // Another kind has other keys: errors about them would be noise.
                return report.finish(None);
            }
        }
        let value = body(&mut report, node);
        return report.finish(value);
    }
    report.finish(None)
}
