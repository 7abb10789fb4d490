//! The entry format as a table, and reading an entry by it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::finding::Code;
use crate::note::Key;
use cleanroom_format::{DIGEST_BLAKE3, DIGEST_SHA256, ENTRY_LIMIT, ENTRY_VERSION, INTEGER_LIMIT};

/// An entry that has its format.
pub(super) struct Entry {
    fields: Map<String, Value>,
    pub(super) time: OffsetDateTime,
    /// The blobs it names, in hexadecimal.
    pub(super) blobs: Vec<String>,
}

impl Entry {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, (Code, String)> {
        let wrong = |message: &str| (Code::Entry, message.to_owned());
        if bytes.len() > ENTRY_LIMIT {
            return Err(wrong("it is longer than 16 KiB"));
        }
        let value: Value = serde_json::from_slice(bytes).map_err(|_| wrong("it is not JSON"))?;
        // A name that occurs twice is lost in reading, so that such an entry is not canonical either.
        if serde_json_canonicalizer::to_vec(&value).ok().as_deref() != Some(bytes) {
            return Err((Code::NotCanonical, "it is not canonical JSON".to_owned()));
        }
        let Value::Object(fields) = value else {
            return Err(wrong("it is not a JSON object"));
        };
        let kind = fields.get("type").and_then(Value::as_str).unwrap_or_default();
        let Some((_, body)) = BODIES.iter().find(|(name, _)| *name == kind) else {
            return Err(wrong("its type is not known"));
        };
        let mut blobs = Vec::new();
        object(&fields, ENVELOPE, "", &mut blobs).map_err(|message| wrong(&message))?;
        let held = fields.get("body").and_then(Value::as_object).ok_or_else(|| wrong("it has no body"))?;
        object(held, body, "body.", &mut blobs).map_err(|message| wrong(&message))?;
        let time =
            fields.get("time").and_then(Value::as_str).and_then(moment).ok_or_else(|| wrong("it has no time"))?;
        Ok(Self { fields, time, blobs })
    }

    pub(super) fn kind(&self) -> &str {
        self.text(&["type"]).unwrap_or_default()
    }

    /// The text at a path of names.
    pub(super) fn text(&self, path: &[&str]) -> Option<&str> {
        self.value(path)?.as_str()
    }

    /// The integer at a path of names.
    pub(super) fn integer(&self, path: &[&str]) -> Option<u64> {
        self.value(path)?.as_u64()
    }

    /// The truth value at a path of names.
    pub(super) fn truth(&self, path: &[&str]) -> Option<bool> {
        self.value(path)?.as_bool()
    }

    /// The list at a path of names; empty where there is none.
    pub(super) fn list(&self, path: &[&str]) -> &[Value] {
        self.value(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    fn value(&self, path: &[&str]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.fields.get(*first)?, |value, name| value.get(name))
    }
}

enum Kind {
    Version,
    Integer,
    Bool,
    Name,
    Table,
    Identifier,
    Digest,
    /// A SHA-256 whose content is kept beside the log.
    Blob,
    Refusal,
    Time,
    /// Looked at with a table of its own.
    Body,
    OneOf(&'static [&'static str]),
    Object(&'static [Field]),
    Names,
    Objects(&'static [Field]),
    /// As [`Kind::Objects`], and not empty.
    SomeObjects(&'static [Field]),
    /// A verifier key.
    Key,
    /// Base64 of a key's identifier and an Ed25519 signature.
    Signature,
    /// A whole number from 0 to 2^63 - 1, in text.
    Amount,
}

struct Field {
    name: &'static str,
    kind: Kind,
    required: bool,
}

const fn must(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: true }
}

const fn may(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: false }
}

const ENVELOPE: &[Field] = &[
    must("v", Kind::Version),
    must("seq", Kind::Integer),
    must("type", Kind::Body),
    must("room", Kind::Name),
    must("time", Kind::Time),
    may("request", Kind::Identifier),
    must("actor", Kind::Object(ACTOR)),
    must("body", Kind::Body),
];
const ACTOR: &[Field] = &[
    may("partner", Kind::Name),
    must("door", Kind::OneOf(&["embedded", "rest", "operator"])),
    may("token", Kind::Identifier),
];
const BODIES: &[(&str, &[Field])] = &[
    ("room.put", &[must("digest", Kind::Digest), may("strict", Kind::Bool), must("members", Kind::Objects(MEMBER))]),
    (
        "policy.active",
        &[
            must("table", Kind::Table),
            must("version", Kind::Integer),
            must("digest", Kind::Blob),
            may("previous", Kind::Digest),
            may("templates", Kind::SomeObjects(TEMPLATE)),
            may("signature", Kind::Signature),
        ],
    ),
    ("template.put", &[must("name", Kind::Name), must("digest", Kind::Blob), may("previous", Kind::Digest)]),
    (
        "table.version",
        &[
            must("table", Kind::Table),
            must("version", Kind::Integer),
            must("schema", Kind::Blob),
            must("content", Kind::Digest),
        ],
    ),
    (
        "token.issued",
        &[may("partner", Kind::Name), must("role", Kind::OneOf(&["member", "admin"])), must("token", Kind::Identifier)],
    ),
    ("token.revoked", &[must("token", Kind::Identifier)]),
    (
        "query.intent",
        &[
            must("sql", Kind::Blob),
            must("plan", Kind::Blob),
            must("policies", Kind::Objects(&[must("table", Kind::Table), must("digest", Kind::Digest)])),
            must("tables", Kind::Objects(&[must("table", Kind::Table), must("version", Kind::Integer)])),
            must("charge", Kind::Objects(CHARGE)),
            may("replay", Kind::Identifier),
            may("template", Kind::Object(TEMPLATE)),
            may("params", Kind::Blob),
        ],
    ),
    (
        "query.priced",
        &[
            must("sql", Kind::Blob),
            must("outcome", Kind::OneOf(&["released", "refused"])),
            may("template", Kind::Object(TEMPLATE)),
            may("params", Kind::Blob),
        ],
    ),
    (
        "query.refused",
        &[
            must("sql", Kind::Blob),
            must("code", Kind::Refusal),
            may("template", Kind::Object(TEMPLATE)),
            may("params", Kind::Blob),
        ],
    ),
    (
        "query.outcome",
        &[
            must("status", Kind::OneOf(&["released", "failed", "cancelled"])),
            may("code", Kind::Refusal),
            may("result", Kind::Digest),
        ],
    ),
    ("result.delivered", &[must("query", Kind::Integer), must("to", Kind::Name), must("format", Kind::Name)]),
];
const TEMPLATE: &[Field] = &[must("name", Kind::Name), must("digest", Kind::Digest)];
const CHARGE: &[Field] = &[
    must("table", Kind::Table),
    must("space", Kind::Name),
    must("rho", Kind::Amount),
    must("delta", Kind::Amount),
    may("epsilon", Kind::Amount),
];
const MEMBER: &[Field] = &[
    must("partner", Kind::Name),
    must("abilities", Kind::Names),
    may("key", Kind::Key),
    may("signature", Kind::Signature),
    may("since", Kind::Time),
    may("rotation", Kind::Signature),
];

fn object(held: &Map<String, Value>, fields: &[Field], at: &str, blobs: &mut Vec<String>) -> Result<(), String> {
    if held.keys().any(|name| !fields.iter().any(|field| field.name == name)) {
        return Err(format!("`{at}` holds an unknown field").replace("`` holds", "it holds"));
    }
    for Field { name, kind, required } in fields {
        match held.get(*name) {
            Some(value) if fits(value, kind, blobs) => {}
            Some(_) => return Err(format!("`{at}{name}` is not what it should be")),
            None if *required => return Err(format!("`{at}{name}` is missing")),
            None => {}
        }
    }
    Ok(())
}

fn fits(value: &Value, kind: &Kind, blobs: &mut Vec<String>) -> bool {
    let text = value.as_str();
    match kind {
        Kind::Body => true,
        Kind::Version => value.as_u64() == Some(ENTRY_VERSION),
        Kind::Integer => value.as_u64().is_some_and(|value| value <= INTEGER_LIMIT),
        Kind::Bool => value.is_boolean(),
        Kind::Name => text.is_some_and(is_name),
        Kind::Table => text.and_then(|text| text.split_once('.')).is_some_and(|(a, b)| is_name(a) && is_name(b)),
        Kind::Identifier => {
            text.is_some_and(|text| is_made_of(text, 64, |c| c.is_ascii_alphanumeric() || c == '_' || c == '-'))
        }
        Kind::Digest => text.is_some_and(|text| sha256(text).or_else(|| digest(text, DIGEST_BLAKE3)).is_some()),
        Kind::Blob => {
            let hex = text.and_then(sha256);
            blobs.extend(hex.map(str::to_owned));
            hex.is_some()
        }
        Kind::Refusal => {
            let digits = text.and_then(|text| text.strip_prefix("CR"));
            digits.is_some_and(|digits| digits.len() == 4 && is_made_of(digits, 4, |c| c.is_ascii_digit()))
        }
        Kind::Time => text.is_some_and(|text| moment(text).is_some()),
        Kind::OneOf(values) => text.is_some_and(|text| values.contains(&text)),
        Kind::Object(fields) => value.as_object().is_some_and(|held| object(held, fields, "", blobs).is_ok()),
        Kind::Names => list(value, |value| value.as_str().is_some_and(is_name)),
        Kind::Objects(fields) => {
            list(value, |value| value.as_object().is_some_and(|held| object(held, fields, "", blobs).is_ok()))
        }
        Kind::SomeObjects(fields) => {
            value.as_array().is_some_and(|values| !values.is_empty()) && fits(value, &Kind::Objects(fields), blobs)
        }
        Kind::Key => text.is_some_and(|text| text.parse::<Key>().is_ok()),
        Kind::Signature => text.is_some_and(|text| STANDARD.decode(text).is_ok_and(|bytes| bytes.len() == 68)),
        Kind::Amount => text.is_some_and(is_amount),
    }
}

fn list(value: &Value, fits: impl FnMut(&Value) -> bool) -> bool {
    value.as_array().is_some_and(|values| values.iter().all(fits))
}

fn is_made_of(text: &str, most: usize, fits: impl FnMut(char) -> bool) -> bool {
    !text.is_empty() && text.len() <= most && text.chars().all(fits)
}

fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    text.starts_with(|c: char| c.is_ascii_lowercase()) && is_made_of(text, 63, fits)
}

fn is_amount(text: &str) -> bool {
    let digits = is_made_of(text, 19, |c| c.is_ascii_digit());
    digits && (text == "0" || !text.starts_with('0')) && text.parse::<i64>().is_ok()
}

fn sha256(text: &str) -> Option<&str> {
    digest(text, DIGEST_SHA256)
}

fn digest<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let hex = text.strip_prefix(prefix)?;
    let fits = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    (hex.len() == 64 && is_made_of(hex, 64, fits)).then_some(hex)
}

// `2026-05-04T13:14:15.123Z` and no other spelling.
fn moment(text: &str) -> Option<OffsetDateTime> {
    let pattern = "dddd-dd-ddTdd:dd:dd.dddZ";
    let fits = |(c, p): (char, char)| if p == 'd' { c.is_ascii_digit() } else { c == p };
    let spelled = text.len() == pattern.len() && text.chars().zip(pattern.chars()).all(fits);
    spelled.then(|| OffsetDateTime::parse(text, &Rfc3339).ok()).flatten()
}
