//! What is found while a document is read: every error on the way, and scalars and lists by type.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::DocumentError;
use crate::model::Step;
use crate::number;
use crate::yaml::{Node, Position, Value, shown};

/// Beyond so many errors a document is not worth reading on.
const MAX_ERRORS: usize = 50;

/// What is found while one document is read: its errors, and the line of every rule.
pub(crate) struct Report<'t> {
    file: &'t str,
    errors: Vec<DocumentError>,
    /// Errors beyond [`MAX_ERRORS`], which are only counted.
    left: usize,
    lines: BTreeMap<String, usize>,
}

impl<'t> Report<'t> {
    pub(crate) fn new(file: &'t str) -> Self {
        Self { file, errors: Vec::new(), left: 0, lines: BTreeMap::new() }
    }

    /// Notes an error.
    pub(crate) fn error(&mut self, at: Position, message: impl Into<String>, remedy: impl Into<String>) {
        if self.is_full() {
            self.left += 1;
            return;
        }
        self.errors.push(DocumentError {
            file: self.file.to_owned(),
            line: Some(at.line),
            column: Some(at.column),
            message: message.into(),
            remedy: remedy.into(),
        });
    }

    /// Whether further errors are only counted, so that their words need no care.
    pub(crate) fn is_full(&self) -> bool {
        self.errors.len() == MAX_ERRORS
    }

    /// Notes where a rule stands. The first time counts.
    pub(crate) fn rule(&mut self, path: String, line: usize) {
        self.lines.entry(path).or_insert(line);
    }

    /// The lines of all rules read so far, by dotted path.
    pub(crate) fn lines(&self) -> BTreeMap<String, usize> {
        self.lines.clone()
    }

    /// The value, if nothing was wrong; else the errors in the order of the text.
    pub(crate) fn finish<T>(mut self, value: Option<T>) -> Result<T, Vec<DocumentError>> {
        match value {
            Some(value) if self.errors.is_empty() => Ok(value),
            _ => {
                self.errors.sort_by_key(|error| (error.line, error.column));
                if self.left > 0 {
                    self.errors.push(DocumentError {
                        file: self.file.to_owned(),
                        line: None,
                        column: None,
                        message: format!("{} more errors are not shown", self.left),
                        remedy: "mend these first".to_owned(),
                    });
                }
                Err(self.errors)
            }
        }
    }

    /// A text, maybe empty, on one line or several.
    pub(crate) fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        let text = match &node.value {
            Value::Scalar { text, plain } if !is_null(text, *plain) => text.as_str(),
            _ => {
                self.error(node.at, format!("{what} is a text"), "write it in quotes");
                return None;
            }
        };
        let strange =
            |c: char| (c.is_control() && c != '\n' && c != '\t') || matches!(c, '\u{feff}' | '\u{fffe}' | '\u{ffff}');
        if text.chars().any(strange) {
            self.error(node.at, format!("{what} holds a character that cannot be shown"), "remove it");
            return None;
        }
        Some(text)
    }

    /// A text that is more than white space.
    pub(crate) fn filled_text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        let text = self.text(node, what)?;
        if text.trim().is_empty() {
            self.error(node.at, format!("{what} is empty"), "write it, or leave the key out");
            return None;
        }
        Some(text)
    }

    /// A name, by the constructor that knows its rule.
    pub(crate) fn name<T, E: std::fmt::Display>(
        &mut self,
        node: &Node,
        what: &str,
        new: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(node, what)?;
        match new(text) {
            Ok(name) => Some(name),
            Err(rule) => {
                let message = format!("`{}` is not {what}", shown(text));
                self.error(node.at, message, rule.to_string());
                None
            }
        }
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, node: &Node, what: &str) -> Option<bool> {
        match plain(node) {
            Some("true") => Some(true),
            Some("false") => Some(false),
            _ => {
                let message = format!("{what} is `true` or `false`");
                self.error(node.at, message, "write one of the two, without quotes");
                None
            }
        }
    }

    /// A whole number of at least `least`.
    pub(crate) fn integer(&mut self, node: &Node, what: &str, least: u64) -> Option<u64> {
        let number = plain(node).and_then(number::integer);
        let found = number.filter(|number| *number >= least);
        if found.is_none() {
            let message = format!("{what} is a whole number of at least {least}");
            self.error(node.at, message, "write such a number, without quotes");
        }
        found
    }

    /// A finite number for which `fits` holds; `range` says that in words.
    pub(crate) fn number(&mut self, node: &Node, what: &str, range: &str, fits: impl Fn(f64) -> bool) -> Option<f64> {
        let found = plain(node).and_then(number::decimal).filter(|n| fits(*n));
        if found.is_none() {
            let message = format!("{what} is a number {range}");
            self.error(node.at, message, "write such a number, without quotes");
        }
        found
    }

    /// `[low, high]`, finite, low below high.
    pub(crate) fn range(&mut self, node: &Node, what: &str) -> Option<(f64, f64)> {
        let pair = match &node.value {
            Value::List(items) => match items.as_slice() {
                [low, high] => plain(low).and_then(number::decimal).zip(plain(high).and_then(number::decimal)),
                _ => None,
            },
            Value::Scalar { .. } | Value::Map(_) => None,
        };
        match pair {
            None => {
                let message = format!("{what} is two finite numbers");
                self.error(node.at, message, "write `[low, high]`");
                None
            }
            Some((low, high)) if low >= high => {
                let message = format!("{what} holds nothing: low is not below high");
                self.error(node.at, message, "write `[low, high]` with low below high");
                None
            }
            some => some,
        }
    }

    /// An exact decimal greater than zero.
    pub(crate) fn step(&mut self, node: &Node, what: &str) -> Option<Step> {
        match number::step(plain(node).unwrap_or_default()) {
            Ok(step) => Some(step),
            Err(rule) => {
                let message = format!("{what} is an exact decimal number greater than zero");
                self.error(node.at, message, rule);
                None
            }
        }
    }

    /// A list, maybe empty.
    pub(crate) fn list<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Node]> {
        if let Value::List(items) = &node.value {
            return Some(items);
        }
        self.error(node.at, format!("{what} is a list"), "write `[one, other]`");
        None
    }

    /// A list with something in it.
    pub(crate) fn filled_list<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Node]> {
        let items = self.list(node, what)?;
        if items.is_empty() {
            self.error(node.at, format!("{what} is empty"), "name at least one, or leave the key out");
            return None;
        }
        Some(items)
    }

    /// A set of things, each read by `read` and none given twice.
    pub(crate) fn set<T: Ord>(
        &mut self,
        node: &Node,
        what: &str,
        mut read: impl FnMut(&mut Self, &Node) -> Option<T>,
    ) -> Option<BTreeSet<T>> {
        let items = self.filled_list(node, what)?;
        let mut set = BTreeSet::new();
        for item in items {
            let value = read(self, item)?;
            if !set.insert(value) {
                self.error(item.at, format!("{what} names this twice"), "keep one of the two");
                return None;
            }
        }
        Some(set)
    }

    /// One word out of a table.
    pub(crate) fn word<T: Clone>(&mut self, node: &Node, what: &str, words: &[(&'static str, T)]) -> Option<T> {
        let text = plain_or_quoted(node).unwrap_or_default();
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(value.clone());
        }
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let message = format!("`{}` is not known as {what}", shown(text));
        self.error(node.at, message, suggestion(text, &known));
        None
    }

    /// A list of different words out of a table.
    pub(crate) fn word_set<T: Copy + Ord>(
        &mut self,
        node: &Node,
        what: &str,
        words: &[(&'static str, T)],
    ) -> Option<BTreeSet<T>> {
        self.set(node, what, |report, item| report.word(item, what, words))
    }
}

/// Whether a scalar stands for nothing.
pub(crate) fn is_null(text: &str, plain: bool) -> bool {
    plain && matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

fn plain(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Scalar { text, plain: true } => Some(text),
        Value::Scalar { .. } | Value::List(_) | Value::Map(_) => None,
    }
}

fn plain_or_quoted(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Scalar { text, .. } => Some(text),
        Value::List(_) | Value::Map(_) => None,
    }
}

/// The nearest known word, or all of them where none is near.
pub(crate) fn suggestion(text: &str, known: &[&str]) -> String {
    // The distance of long texts takes long to find, and none of them is near.
    let near = known
        .iter()
        .filter(|word| text.len() <= 2 * word.len())
        .map(|word| (strsim::damerau_levenshtein(text, word), word))
        .min()
        .filter(|(distance, word)| *distance <= 2.min(word.len() / 2));
    match (near, known) {
        (Some((_, word)), _) => return format!("did you mean `{word}`?"),
        (None, [only]) => return format!("write `{only}`"),
        (None, _) => {}
    }
    let words: Vec<String> = known.iter().map(|word| format!("`{word}`")).collect();
    format!("known here: {}", words.join(", "))
}
