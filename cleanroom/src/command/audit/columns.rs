//! Entries as flat columns, for spreadsheets and data frames.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMillisecondArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::error::ArrowError;
use cleanroom_log::{Charge, Digest, Event, TemplateReference};

use crate::trail::{About, Read, outcome};

/// Names of the columns after `sequence` and `time`, all of text; a column that says nothing of an entry is NULL there.
///
/// Lists are separated by blanks, and those of charges stand in the same order. `analyst`, `tables` and `policies` of an
/// outcome or delivery are those of its question's intent. Amounts are decimal numbers without unit: `rho` of zero-concentrated
/// privacy, `epsilon` where the noise has a pure bound (`none` where not).
pub(super) const TEXTS: [&str; 28] = [
    "type",
    "room",
    "actor",
    "door",
    "token",
    "query",
    "analyst",
    "tables",
    "table_versions",
    "policies",
    "charged",
    "rho",
    "delta",
    "epsilon",
    "replay",
    "outcome",
    "code",
    "result",
    "delivered_to",
    "format",
    "template",
    "name",
    "version",
    "digest",
    "strict",
    "sql",
    "params",
    "plan",
];

/// One entry, as columns have it.
#[derive(Debug, Default)]
pub(super) struct Row {
    pub(super) sequence: u64,
    pub(super) milliseconds: i64,
    pub(super) time: String,
    pub(super) texts: [Option<String>; TEXTS.len()],
}

impl Row {
    pub(super) fn of(read: &Read, about: &About) -> Self {
        let entry = &read.entry;
        let mut row = Self {
            sequence: entry.sequence,
            milliseconds: i64::try_from(entry.time.moment().unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX),
            time: entry.time.to_string(),
            texts: Default::default(),
        };
        row.set("type", entry.event.kind());
        row.set("room", &entry.room);
        row.may("actor", entry.actor.partner.as_deref());
        row.set(
            "door",
            match entry.actor.door {
                cleanroom_log::Door::Embedded => "embedded",
                cleanroom_log::Door::Rest => "rest",
                cleanroom_log::Door::Operator => "operator",
            },
        );
        row.may("token", entry.actor.token.as_deref());
        row.may("query", entry.request.as_deref());
        row.may("analyst", about.analyst.as_deref());
        row.list("tables", about.tables.iter().cloned());
        row.list("policies", about.policies.iter().map(|(table, digest)| format!("{table}@{digest}")));
        if let Some((word, code)) = outcome(&entry.event) {
            row.set("outcome", word);
            row.may("code", code);
        }
        row.event(&entry.event);
        row
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::RoomPut(room) => {
                self.digest("digest", &room.digest);
                self.may("strict", room.strict.map(|strict| if strict { "true" } else { "false" }));
            }
            Event::PolicyActive(policy) => {
                self.set("version", &policy.version.to_string());
                self.digest("digest", &policy.digest);
            }
            Event::TemplatePut(template) => {
                self.set("name", &template.name);
                self.digest("digest", &template.digest);
            }
            Event::TableVersion(version) => {
                self.set("version", &version.version.to_string());
                self.digest("digest", &version.content);
            }
            Event::TokenIssued(issued) => self.set("name", &issued.token),
            Event::TokenRevoked(revoked) => self.set("name", &revoked.token),
            Event::QueryIntent(intent) => {
                self.list(
                    "table_versions",
                    intent.tables.iter().map(|read| format!("{}@{}", read.table, read.version)),
                );
                self.list("charged", intent.charge.iter().map(|charge| charge.table.clone()));
                self.list("rho", intent.charge.iter().map(rho));
                self.list("delta", intent.charge.iter().map(delta));
                self.list("epsilon", intent.charge.iter().map(|one| epsilon(one).unwrap_or_else(|| "none".to_owned())));
                self.may("replay", intent.replay.as_deref());
                self.question(&intent.sql, intent.params.as_ref(), intent.template.as_ref());
                self.digest("plan", &intent.plan);
            }
            Event::QueryPriced(priced) => {
                self.question(&priced.sql, priced.params.as_ref(), priced.template.as_ref());
            }
            Event::QueryRefused(refused) => {
                self.question(&refused.sql, refused.params.as_ref(), refused.template.as_ref());
            }
            Event::QueryOutcome(outcome) => {
                if let Some(result) = &outcome.result {
                    self.digest("result", result);
                }
            }
            Event::ResultDelivered(result) => {
                self.set("delivered_to", &result.to);
                self.set("format", &result.format);
            }
        }
    }

    fn question(&mut self, sql: &Digest, params: Option<&Digest>, template: Option<&TemplateReference>) {
        self.digest("sql", sql);
        if let Some(params) = params {
            self.digest("params", params);
        }
        if let Some(template) = template {
            self.set("template", &format!("{}@{}", template.name, template.digest.hex()));
        }
    }

    fn set(&mut self, column: &str, text: &str) {
        let cell = TEXTS.iter().zip(&mut self.texts).find(|(name, _)| **name == column);
        if let Some((_, cell)) = cell {
            *cell = Some(text.to_owned());
        }
    }

    fn may(&mut self, column: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.set(column, text);
        }
    }

    fn digest(&mut self, column: &str, digest: &Digest) {
        self.set(column, &digest.to_string());
    }

    fn list(&mut self, column: &str, items: impl Iterator<Item = String>) {
        let items: Vec<String> = items.collect();
        if !items.is_empty() {
            self.set(column, &items.join(" "));
        }
    }
}

/// The columns of a table of entries.
pub(super) fn schema() -> Schema {
    let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let mut fields = vec![Field::new("sequence", DataType::UInt64, false), Field::new("time", time, false)];
    fields.extend(TEXTS.iter().map(|name| Field::new(*name, DataType::Utf8, true)));
    Schema::new(fields)
}

/// Rows as a table.
pub(super) fn batch(rows: &[Row]) -> Result<RecordBatch, ArrowError> {
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.sequence))),
        Arc::new(
            TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.milliseconds)).with_timezone("UTC"),
        ),
    ];
    for at in 0..TEXTS.len() {
        let texts = rows.iter().map(|row| row.texts.get(at).and_then(Option::as_deref));
        columns.push(Arc::new(texts.collect::<StringArray>()));
    }
    RecordBatch::try_new(Arc::new(schema()), columns)
}

/// Text for a spreadsheet, which would run as a formula what begins like one (CWE-1236).
pub(super) fn plain(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() }
}

/// Zero-concentrated loss.
pub(super) fn rho(charge: &Charge) -> String {
    decimal(&charge.rho, 12)
}

/// The chance that no bound holds.
pub(super) fn delta(charge: &Charge) -> String {
    decimal(&charge.delta, 18)
}

/// Pure loss, where there is such a bound.
pub(super) fn epsilon(charge: &Charge) -> Option<String> {
    charge.epsilon.as_deref().map(|units| decimal(units, 12))
}

/// A charge for people.
pub(super) fn charge_words(charge: &Charge) -> String {
    let epsilon = epsilon(charge).map(|epsilon| format!("epsilon {epsilon}, ")).unwrap_or_default();
    format!("{}: {epsilon}rho {}, delta {}", charge.table, rho(charge), delta(charge))
}

/// Whole units of `10^-places` as a decimal number; `unlimited` for what stands for "without limit" in a charge.
pub(super) fn decimal(units: &str, places: usize) -> String {
    if units.parse() == Ok(i64::MAX) {
        return "unlimited".to_owned();
    }
    let padded = format!("{units:0>width$}", width = places + 1);
    let (whole, fraction) = padded.split_at(padded.len().saturating_sub(places));
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact() {
        assert_eq!(decimal("0", 12), "0");
        assert_eq!(decimal("500000000000", 12), "0.5");
        assert_eq!(decimal("1", 18), "0.000000000000000001");
        assert_eq!(decimal("20000000000000", 12), "20");
        assert_eq!(decimal("9223372036854775806", 12), "9223372.036854775806");
        assert_eq!(decimal("9223372036854775807", 12), "unlimited");
    }

    #[test]
    fn nothing_runs_in_a_spreadsheet() {
        for text in ["=1+1", "+1", "-1", "@a", "\t=1", "\r=1"] {
            assert_eq!(plain(text), format!("'{text}"));
        }
        assert_eq!(plain("a=1"), "a=1");
    }
}
