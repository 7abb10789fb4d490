//! One question, from its intent to its delivery.

use std::fmt::Write as _;

use cleanroom_log::{Charge, Digest, Event};
use serde_json::{Map, Value, json};

use super::{columns, entries, log};
use crate::exit::Exit;
use crate::fault::{Fault, Result};
use crate::output::{Format, list, print};
use crate::render::visible;
use crate::target::TargetArgs;
use crate::trail::{Filter, Read, outcome};

pub(super) fn run(query: &str, target: &TargetArgs, format: Format) -> Result<Exit> {
    let filter = Filter { query: Some(query.to_owned()), ..Filter::default() };
    let mut found = Vec::new();
    entries::chosen(target, &filter, |read, _about| {
        found.push(read);
        Ok(())
    })?;
    if found.is_empty() {
        return Err(Fault::usage(
            format!("the log has no question `{}`", visible(query)),
            "see `cleanroom audit log --type query.intent` or `query.refused` for the identifiers of questions",
        ));
    }
    if !matches!(format, Format::Table | Format::Json) {
        let values = found.iter().map(entries::value).collect::<Result<Vec<_>>>()?;
        let rows: Vec<Vec<String>> = values.iter().map(log::row).collect();
        list(format, &log::HEADER, &rows, &Value::Null)?;
        return Ok(Exit::Done);
    }
    let sql = found.iter().find_map(|read| sql(&read.entry.event));
    let sql = match sql {
        Some(digest) => entries::document(target, digest)?,
        None => None,
    };
    if format == Format::Json {
        print(&document(query, sql.as_deref(), &found)?.to_string())?;
    } else {
        print(&for_people(query, sql.as_deref(), &found))?;
    }
    Ok(Exit::Done)
}

fn sql(event: &Event) -> Option<&Digest> {
    match event {
        Event::QueryIntent(intent) => Some(&intent.sql),
        Event::QueryPriced(priced) => Some(&priced.sql),
        Event::QueryRefused(refused) => Some(&refused.sql),
        _ => None,
    }
}

/// For programs; a receipt of the question proves the entry `receipt`.
fn document(query: &str, sql: Option<&str>, found: &[Read]) -> Result<Value> {
    let mut told = Map::new();
    told.insert("query".to_owned(), json!(query));
    told.insert("sql".to_owned(), json!(sql));
    let mut delivered = Vec::new();
    for Read { entry, .. } in found {
        let mut say = |key: &str, value: Value| {
            // The first counts: a second one is a lie that `audit verify` finds.
            told.entry(key.to_owned()).or_insert(value);
        };
        if is_question(&entry.event) {
            say("analyst", json!(entry.actor.partner));
            say("asked", json!(entry.time.to_string()));
        }
        if let Event::QueryIntent(intent) = &entry.event {
            say("intent", json!(entry.sequence));
            say("tables", json!(intent.tables));
            say("policies", json!(intent.policies));
            say("charge", Value::Array(intent.charge.iter().map(charge).collect()));
            say("replay", json!(intent.replay));
        }
        if let Some((word, code)) = outcome(&entry.event) {
            say("outcome", json!(word));
            say("code", json!(code));
            say("ended", json!(entry.time.to_string()));
            say("receipt", json!(entry.sequence));
        }
        if let Event::QueryOutcome(outcome) = &entry.event {
            say("result", json!(outcome.result));
        }
        if let Event::ResultDelivered(result) = &entry.event {
            delivered.push(json!({
                "entry": entry.sequence, "time": entry.time.to_string(), "to": result.to, "format": result.format,
            }));
        }
    }
    told.insert("delivered".to_owned(), Value::Array(delivered));
    let entries = found.iter().map(entries::value).collect::<Result<Vec<_>>>()?;
    told.insert("entries".to_owned(), Value::Array(entries));
    Ok(Value::Object(told))
}

/// Whether an entry is the question itself, and its actor the asker.
fn is_question(event: &Event) -> bool {
    sql(event).is_some()
}

fn charge(charge: &Charge) -> Value {
    json!({
        "table": charge.table, "space": charge.space, "rho": columns::rho(charge), "delta": columns::delta(charge),
        "epsilon": columns::epsilon(charge),
    })
}

fn for_people(query: &str, sql: Option<&str>, found: &[Read]) -> String {
    let mut out = format!("question {}\n", visible(query));
    // Writing to a string cannot fail.
    let mut line = |entry: &cleanroom_log::Entry, what: &str, text: &str| {
        let _ = writeln!(out, "  {:>7}  {}  {what:<9}  {text}", entry.sequence, entry.time);
    };
    let mut receipt = None;
    for Read { entry, .. } in found {
        let by = entry.actor.partner.as_deref().unwrap_or("the system");
        match &entry.event {
            Event::QueryIntent(intent) => {
                let tables: Vec<String> =
                    intent.tables.iter().map(|read| format!("{} version {}", read.table, read.version)).collect();
                line(entry, "asked", &format!("by {by}, of {}", tables.join(", ")));
                for policy in &intent.policies {
                    line(entry, "policy", &format!("{} {}", policy.table, policy.digest.hex()));
                }
                for charge in &intent.charge {
                    line(entry, "charge", &columns::charge_words(charge));
                }
                match (&intent.replay, intent.charge.is_empty()) {
                    (Some(replay), _) => line(entry, "charge", &format!("none: question {replay} paid for it")),
                    (None, true) => line(entry, "charge", "none"),
                    (None, false) => {}
                }
            }
            Event::ResultDelivered(result) => {
                line(entry, "delivered", &format!("to {} as {}", result.to, result.format));
            }
            event => {
                if let Some((word, code)) = outcome(event) {
                    let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
                    let by = if is_question(event) { format!("asked by {by}: ") } else { String::new() };
                    line(entry, "ended", &format!("{by}{word}{code}"));
                    receipt = receipt.or(Some(entry.sequence));
                }
            }
        }
    }
    let _ = match receipt {
        Some(sequence) => {
            writeln!(out, "  its receipt proves entry {sequence}, as does `cleanroom audit prove {sequence}`")
        }
        None => writeln!(out, "  it has not ended"),
    };
    for text in sql.into_iter().flat_map(str::lines) {
        let _ = writeln!(out, "    {}", visible(text));
    }
    out
}
