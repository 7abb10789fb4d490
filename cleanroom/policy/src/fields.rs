//! Mappings, key by key.

use crate::report::{Report, is_null, suggestion};
use crate::yaml::{Entry, Node, Position, Value, shown};

/// The entries of one mapping, all of whose keys are known.
pub(crate) struct Fields<'n> {
    /// Where the mapping begins.
    pub(crate) at: Position,
    path: String,
    entries: &'n [Entry],
}

impl<'n> Fields<'n> {
    /// Opens a mapping that may hold the `known` keys only. `path` is empty for the document itself.
    pub(crate) fn open(report: &mut Report<'_>, node: &'n Node, path: &str, known: &[&str]) -> Option<Self> {
        let fields = Self::open_any(report, node, path)?;
        for entry in fields.entries {
            if known.contains(&entry.key.as_str()) {
                continue;
            }
            let message = format!("unknown key `{}`", shown(&entry.key));
            let remedy = if report.is_full() { String::new() } else { suggestion(&entry.key, known) };
            report.error(entry.at, message, remedy);
        }
        Some(fields)
    }

    /// Opens a mapping whose keys are names.
    pub(crate) fn open_any(report: &mut Report<'_>, node: &'n Node, path: &str) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            let what = if path.is_empty() { "a document".to_owned() } else { format!("`{}`", shown(path)) };
            report.error(node.at, format!("{what} is a mapping"), "write `key: value` lines, or `{key: value}`");
            return None;
        };
        let fields = Self { at: node.at, path: path.to_owned(), entries };
        for entry in entries {
            let path = fields.path_of(&entry.key);
            report.rule(path, entry.at.line);
        }
        Some(fields)
    }

    /// The value of a key, and an error where the key has none.
    pub(crate) fn get(&self, report: &mut Report<'_>, key: &str) -> Option<&'n Node> {
        let entry = self.entry(key)?;
        if let Value::Scalar { text, plain } = &entry.value.value
            && is_null(text, *plain)
        {
            report.error(entry.at, format!("`{key}` has no value"), "write one, or leave the key out");
            return None;
        }
        Some(&entry.value)
    }

    /// The value of a key that must be there.
    pub(crate) fn require(&self, report: &mut Report<'_>, key: &str, remedy: &str) -> Option<&'n Node> {
        if self.has(key) {
            return self.get(report, key);
        }
        let message = if self.path.is_empty() {
            format!("`{key}` is missing")
        } else {
            format!("`{key}` is missing in `{}`", shown(&self.path))
        };
        report.error(self.at, message, remedy);
        None
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    /// Where a key stands; where the mapping begins if it is not there.
    pub(crate) fn at_key(&self, key: &str) -> Position {
        self.entry(key).map_or(self.at, |entry| entry.at)
    }

    pub(crate) fn entries(&self) -> &'n [Entry] {
        self.entries
    }

    /// The dotted path of one of its keys.
    pub(crate) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn entry(&self, key: &str) -> Option<&'n Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }
}
