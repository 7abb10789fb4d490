//! YAML text to a tree that remembers where everything stands.
//!
//! Only the plain part of YAML is read: anchors, aliases, tags, directives and keys that are not text are refused, so that no document
//! can unfold into more than it shows, and none means something else to another reader.

use std::collections::HashMap;

use serde_saphyr::granit_parser::{Event, Marker, Parser, ScalarStyle, options};

use crate::error::DocumentError;

/// Policies are written by people; more than this is a mistake or an attack.
const MAX_BYTES: usize = 1 << 20;
/// The deepest document of the contract nests 6 levels.
const MAX_DEPTH: usize = 32;

/// A value and where it begins.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) at: Position,
    pub(crate) value: Value,
}

/// Line and column, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

#[derive(Debug)]
pub(crate) enum Value {
    /// `plain`: written without quotes, so it may be a number, a flag or nothing at all.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) at: Position,
    pub(crate) value: Node,
}

/// Reads all documents of a text. No two keys of one mapping are the same.
pub(crate) fn read(file: &str, text: &str) -> Result<Vec<Node>, DocumentError> {
    let fail = |at: Option<Position>, problem: Problem| DocumentError {
        file: file.to_owned(),
        line: at.map(|at| at.line),
        column: at.map(|at| at.column),
        message: problem.message,
        remedy: problem.remedy.to_owned(),
    };
    if text.len() > MAX_BYTES {
        let problem = Problem::new(
            format!("the document has {} bytes, more than {MAX_BYTES}", text.len()),
            "divide it, or take generated parts out",
        );
        return Err(fail(None, problem));
    }
    // A mapping written on one line (canonical JSON) has keys far from its beginning; the bound on the whole text is bound enough.
    let settings = options! {
        disallow_directives: true,
        emit_comments: false,
        simple_key_max_lookahead: MAX_BYTES,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut builder = Builder::default();
    for event in Parser::new_from_str_with_options(text, settings) {
        let (event, span) = event.map_err(|error| {
            let problem = Problem::new(format!("not valid YAML: {}", error.info()), "");
            fail(Some(position(error.marker())), problem)
        })?;
        let at = position(&span.start);
        builder.take(event, at).map_err(|problem| fail(Some(at), problem))?;
    }
    Ok(builder.documents)
}

fn position(marker: &Marker) -> Position {
    Position { line: marker.line().max(1), column: marker.col() + 1 }
}

struct Problem {
    message: String,
    remedy: &'static str,
}

impl Problem {
    fn new(message: impl Into<String>, remedy: &'static str) -> Self {
        Self { message: message.into(), remedy }
    }
}

/// The collections that are still open, and the documents that are complete.
#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    documents: Vec<Node>,
}

struct Open {
    at: Position,
    collection: Collection,
}

enum Collection {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, lines: HashMap<String, usize>, key: Option<(String, Position)> },
}

impl Builder {
    fn take(&mut self, event: Event<'_>, at: Position) -> Result<(), Problem> {
        if event.tag().is_some() {
            return Err(Problem::new("YAML tags are not read", "remove the tag"));
        }
        if event.anchor_id().is_some() || event.is_alias() {
            return Err(Problem::new("YAML anchors and aliases are not read", "write the value out"));
        }
        match event {
            Event::Scalar(text, style, ..) => self.scalar(text.into_owned(), style, at),
            Event::SequenceStart(..) => self.begin(Collection::List(Vec::new()), at),
            Event::MappingStart(..) => {
                let collection = Collection::Map { entries: Vec::new(), lines: HashMap::new(), key: None };
                self.begin(collection, at)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) | Event::DocumentEnd => Ok(()),
            _ => Err(Problem::new("this part of YAML is not read", "write the value out")),
        }
    }

    fn scalar(&mut self, text: String, style: ScalarStyle, at: Position) -> Result<(), Problem> {
        if let Some(Open { collection: Collection::Map { lines, key, .. }, .. }) = self.open.last_mut()
            && key.is_none()
        {
            if let Some(first) = lines.insert(text.clone(), at.line) {
                return Err(Problem::new(
                    format!("`{}` stands on line {first} already", shown(&text)),
                    "keep one of the two",
                ));
            }
            *key = Some((text, at));
            return Ok(());
        }
        let plain = style == ScalarStyle::Plain;
        self.add(Node { at, value: Value::Scalar { text, plain } });
        Ok(())
    }

    fn begin(&mut self, collection: Collection, at: Position) -> Result<(), Problem> {
        if let Some(Open { collection: Collection::Map { key: None, .. }, .. }) = self.open.last() {
            return Err(Problem::new("a key is not text", "write the key as one word"));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(Problem::new("nested too deep", "write it flatter"));
        }
        self.open.push(Open { at, collection });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Problem> {
        let Some(Open { at, collection }) = self.open.pop() else {
            return Err(Problem::new("a collection ends that did not begin", ""));
        };
        let value = match collection {
            Collection::List(items) => Value::List(items),
            Collection::Map { entries, .. } => Value::Map(entries),
        };
        self.add(Node { at, value });
        Ok(())
    }

    fn add(&mut self, node: Node) {
        match self.open.last_mut().map(|open| &mut open.collection) {
            Some(Collection::List(items)) => items.push(node),
            Some(Collection::Map { entries, key, .. }) => {
                if let Some((key, at)) = key.take() {
                    entries.push(Entry { key, at, value: node });
                }
            }
            None => self.documents.push(node),
        }
    }
}

/// The user's text as a message may repeat it: short and on one line.
pub(crate) fn shown(text: &str) -> String {
    const MOST: usize = 48;
    let mut short: String = text.chars().take(MOST).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(MOST).is_some() {
        short.push('…');
    }
    short
}
