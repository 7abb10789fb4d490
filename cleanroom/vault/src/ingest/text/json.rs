//! JSON lines: one flat object a line.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::super::error::{IngestError, Place};
use super::super::layout::MAX_COLUMNS;
use super::super::source::SourceFile;
use super::cell::Cell;
use super::{MAX_RECORD, Records, Sink, bad_value};

/// The records of a file of JSON lines. Columns are numbered as they first appear.
pub(crate) struct JsonRecords {
    label: String,
    names: Vec<String>,
    positions: HashMap<String, usize>,
    reader: BufReader<File>,
    buffer: Vec<u8>,
    line: u64,
}

impl JsonRecords {
    /// Opens a file of which some columns may already be known.
    pub(crate) fn open(source: &SourceFile, names: Vec<String>) -> Result<Self, IngestError> {
        let positions = names.iter().cloned().zip(0..).collect();
        let reader = BufReader::with_capacity(1 << 18, source.rewound()?);
        Ok(Self { label: source.label.clone(), names, positions, reader, buffer: Vec::new(), line: 0 })
    }

    pub(crate) fn into_names(self) -> Vec<String> {
        self.names
    }

    /// The next line with something on it.
    fn read_line(&mut self) -> Result<bool, IngestError> {
        loop {
            self.buffer.clear();
            let read = self.reader.by_ref().take(MAX_RECORD + 1).read_until(b'\n', &mut self.buffer);
            let read = read.map_err(|_| {
                IngestError::source(&self.label, "the file cannot be read to its end", "check the disk and try again")
            })?;
            if read == 0 {
                return Ok(false);
            }
            self.line += 1;
            if read as u64 > MAX_RECORD {
                return Err(bad_line(&self.label, self.line, "the line is longer than 64 MiB"));
            }
            if self.line == 1 && self.buffer.starts_with(b"\xEF\xBB\xBF") {
                self.buffer.drain(..3);
            }
            if !self.buffer.trim_ascii().is_empty() {
                return Ok(true);
            }
        }
    }
}

impl Records for JsonRecords {
    fn names(&self) -> &[String] {
        &self.names
    }

    fn next(&mut self, sink: &mut Sink<'_>) -> Result<Option<u64>, IngestError> {
        if !self.read_line()? {
            return Ok(None);
        }
        let Self { label, names, positions, buffer, line, .. } = self;
        let text = str::from_utf8(buffer).map_err(|_| bad_line(label, *line, "the text is not UTF-8"))?;
        let object: Object<'_> =
            serde_json::from_str(text).map_err(|_| bad_line(label, *line, "the line is not one JSON object"))?;
        let mut seen = Vec::with_capacity(object.0.len());
        for (next, (name, value)) in object.0.into_iter().enumerate() {
            // Most objects hold the same keys in the same order.
            let column = if names.get(next).is_some_and(|known| *known == name) {
                next
            } else if let Some(column) = positions.get(&name) {
                *column
            } else if names.len() < MAX_COLUMNS {
                let column = names.len();
                positions.insert(name.clone(), column);
                names.push(name);
                column
            } else {
                return Err(bad_line(label, *line, "there are more than 4096 different keys up to this line"));
            };
            seen.push(column);
            let value = value.get();
            let unquoted;
            let cell = match value.as_bytes().first() {
                Some(b'n') => Cell::Null,
                Some(b't' | b'f') => Cell::Boolean(value),
                Some(b'[' | b'{') => Cell::Nested,
                Some(b'"') => {
                    unquoted = serde_json::from_str::<String>(value)
                        .map_err(|_| bad_value(label, *line, names.get(column), "the string is not valid"))?;
                    Cell::Text(&unquoted)
                }
                _ => Cell::Number(value),
            };
            let name = names.get(column).map_or("", String::as_str);
            sink(column, name, cell).map_err(|what| bad_value(label, *line, names.get(column), what))?;
        }
        seen.sort_unstable();
        match seen.windows(2).find_map(|pair| pair.first().filter(|first| pair.last() == Some(first))) {
            Some(twice) => Err(bad_value(label, *line, names.get(*twice), "the key stands twice in the object")),
            None => Ok(Some(*line)),
        }
    }
}

/// An object's keys and values in their order, none dropped.
struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Object(entries))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

fn bad_line(label: &str, line: u64, what: &str) -> IngestError {
    IngestError::Value {
        file: label.to_owned(),
        place: Place::Line(line),
        column: None,
        what: what.to_owned(),
        remedy: "write one flat JSON object a line",
    }
}
