//! One entry of a room's log: one line of RFC 8785 canonical JSON.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

use crate::event::{Broken, Event, identifier, integer, name};
use crate::format::{ENTRY_LIMIT, ENTRY_VERSION};

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number in the log, from 0; its index in the tree.
    pub sequence: u64,
    /// The room's name.
    pub room: String,
    /// When it was written; never before the entry before it.
    pub time: EntryTime,
    /// The request that caused it; for a query its identifier, shared by all entries about it.
    pub request: Option<String>,
    /// Who caused it.
    pub actor: Actor,
    /// What happened.
    pub event: Event,
}

/// Who caused an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actor {
    /// The partner; absent for an operator.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub partner: Option<String>,
    /// Which way it came in.
    pub door: Door,
    /// The public identifier of the token it came with.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub token: Option<String>,
}

/// Which way a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Door {
    /// A command that opened the data directory itself.
    Embedded,
    /// The REST interface.
    Rest,
    /// The system itself or who runs it.
    Operator,
}

#[derive(Serialize)]
struct Written<'e> {
    v: u64,
    seq: u64,
    #[serde(rename = "type")]
    kind: &'static str,
    room: &'e str,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'e str>,
    actor: &'e Actor,
    body: &'e Event,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read<'l> {
    v: u64,
    seq: u64,
    #[serde(rename = "type")]
    kind: String,
    room: String,
    time: String,
    #[serde(default)]
    request: Option<String>,
    actor: Actor,
    #[serde(borrow)]
    body: &'l RawValue,
}

impl Entry {
    /// The canonical bytes, without a newline: what is hashed into the tree.
    ///
    /// # Errors
    /// Where a field breaks its rule, or the whole is longer than 16 KiB.
    pub fn to_line(&self) -> Result<Vec<u8>, EntryError> {
        self.check()?;
        let line = self.canonical()?;
        if line.len() <= ENTRY_LIMIT { Ok(line) } else { Err(EntryError::TooLong) }
    }

    /// Reads canonical bytes, and nothing but canonical bytes.
    ///
    /// # Errors
    /// Where they are not an entry, hold an unknown type or field, break a rule or are spelled in another way.
    pub fn parse(line: &[u8]) -> Result<Self, EntryError> {
        if line.len() > ENTRY_LIMIT {
            return Err(EntryError::TooLong);
        }
        let read: Read<'_> = serde_json::from_slice(line).map_err(EntryError::json)?;
        if read.v != ENTRY_VERSION {
            return Err(EntryError::Version);
        }
        let event = Event::parse(&read.kind, read.body.get()).ok_or(EntryError::Type)?.map_err(EntryError::json)?;
        let time = EntryTime::parse(&read.time).ok_or(EntryError::Time)?;
        let Read { seq: sequence, room, request, actor, .. } = read;
        let entry = Self { sequence, room, time, request, actor, event };
        entry.check()?;
        if entry.canonical()? == line { Ok(entry) } else { Err(EntryError::NotCanonical) }
    }

    fn check(&self) -> Result<(), EntryError> {
        let Actor { partner, door: _, token } = &self.actor;
        integer(self.sequence, "seq")?;
        name(&self.room, "room")?;
        self.request.as_deref().map_or(Ok(()), |request| identifier(request, "request"))?;
        partner.as_deref().map_or(Ok(()), |partner| name(partner, "actor.partner"))?;
        token.as_deref().map_or(Ok(()), |token| identifier(token, "actor.token"))?;
        Ok(self.event.check()?)
    }

    fn canonical(&self) -> Result<Vec<u8>, EntryError> {
        let written = Written {
            v: ENTRY_VERSION,
            seq: self.sequence,
            kind: self.event.kind(),
            room: &self.room,
            time: self.time.to_string(),
            request: self.request.as_deref(),
            actor: &self.actor,
            body: &self.event,
        };
        serde_json_canonicalizer::to_vec(&written).map_err(EntryError::json)
    }
}

/// A moment in UTC to the millisecond, in the years 0 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryTime(OffsetDateTime);

impl EntryTime {
    /// Takes a moment; what is finer than a millisecond is cut off.
    pub fn new(moment: OffsetDateTime) -> Self {
        let utc = moment.to_offset(UtcOffset::UTC);
        Self(utc.replace_nanosecond(utc.nanosecond() / 1_000_000 * 1_000_000).unwrap_or(utc))
    }

    /// Now, by the system's clock.
    pub fn now() -> Self {
        Self::new(OffsetDateTime::now_utc())
    }

    /// The moment.
    pub const fn moment(self) -> OffsetDateTime {
        self.0
    }

    /// Reads `2026-05-04T13:14:15.123Z`; `None` for any other spelling.
    pub fn parse(text: &str) -> Option<Self> {
        let time = Self::new(OffsetDateTime::parse(text, &Rfc3339).ok()?);
        (time.to_string() == text).then_some(time)
    }
}

impl fmt::Display for EntryTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (date, time) = (self.0.date(), self.0.time());
        write!(f, "{:04}-{:02}-{:02}T", date.year(), u8::from(date.month()), date.day())?;
        write!(f, "{:02}:{:02}:{:02}.{:03}Z", time.hour(), time.minute(), time.second(), time.millisecond())
    }
}

/// Why bytes are not an entry, or a value cannot become one. It never repeats what a field held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Longer than 16 KiB.
    #[error("an entry is at most 16 KiB; what is larger belongs into a blob")]
    TooLong,
    /// Not JSON, a field missing or unknown, or of the wrong kind.
    #[error("not an entry: a field is missing, unknown or of the wrong kind at column {column}")]
    Shape {
        /// Where in the line, or in its body, from 1.
        column: usize,
    },
    /// Another version of the format.
    #[error("the entry is of a format version that this program does not know; use a newer one")]
    Version,
    /// An unknown event type.
    #[error("the entry is of a type that this program does not know; use a newer one")]
    Type,
    /// A time in another spelling.
    #[error("an entry's time is RFC 3339 in UTC with milliseconds, as in `2026-05-04T13:14:15.123Z`")]
    Time,
    /// A field that breaks its rule.
    #[error("`{field}`: {rule}")]
    Rule {
        /// The field.
        field: &'static str,
        /// Its rule.
        rule: &'static str,
    },
    /// The right content, spelled in another way than RFC 8785 says.
    #[error("the entry is not spelled as canonical JSON (RFC 8785)")]
    NotCanonical,
}

impl EntryError {
    // The error's own text may hold a value.
    fn json(error: serde_json::Error) -> Self {
        Self::Shape { column: error.column() }
    }
}

impl From<Broken> for EntryError {
    fn from(Broken { field, rule }: Broken) -> Self {
        Self::Rule { field, rule }
    }
}

#[cfg(test)]
pub(crate) mod tests;
