//! `cleanroom audit log`

use std::collections::VecDeque;

use clap::Args;
use serde_json::Value;

use super::{FilterArgs, entries, story};
use crate::exit::Exit;
use crate::fault::Result;
use crate::output::{Format, list};
use crate::target::TargetArgs;

pub(super) const HEADER: [&str; 5] = ["entry", "time", "type", "by", "about"];

#[derive(Debug, Args)]
pub(in crate::command) struct LogArgs {
    #[command(flatten)]
    filter: FilterArgs,

    /// Follows one question from its intent to its delivery; as JSON, one object
    #[arg(long, value_name = "ID", conflicts_with_all = ["kind", "partner", "table", "policy", "outcome", "since", "until"])]
    query: Option<String>,

    /// At most so many, the newest
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,

    #[command(flatten)]
    target: TargetArgs,
}

pub(super) fn run(args: &LogArgs, format: Format) -> Result<Exit> {
    if let Some(query) = &args.query {
        return story::run(query, &args.target, format);
    }
    let mut newest = VecDeque::new();
    entries::chosen(&args.target, &args.filter.filter(), |read, _about| {
        newest.push_back(read);
        if newest.len() > args.limit {
            newest.pop_front();
        }
        Ok(())
    })?;
    let values = newest.iter().map(entries::value).collect::<Result<Vec<_>>>()?;
    let rows: Vec<Vec<String>> = values.iter().map(row).collect();
    list(format, &HEADER, &rows, &Value::Array(values))?;
    Ok(Exit::Done)
}

/// An entry as a line of a list.
pub(super) fn row(entry: &Value) -> Vec<String> {
    let sequence = entry.get("seq").map(ToString::to_string).unwrap_or_default();
    vec![sequence, text(entry, "time"), text(entry, "type"), actor(entry), summary(entry)]
}

/// A text of an entry.
pub(in crate::command) fn text(entry: &Value, key: &str) -> String {
    entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Who caused an entry: a partner, or the way it came in.
pub(in crate::command) fn actor(entry: &Value) -> String {
    let actor = entry.get("actor");
    let part = |key: &str| actor.and_then(|actor| actor.get(key)).and_then(Value::as_str);
    part("partner").or_else(|| part("door")).unwrap_or_default().to_owned()
}

/// What an entry is about, in a few words.
pub(in crate::command) fn summary(entry: &Value) -> String {
    let Some(body) = entry.get("body").and_then(Value::as_object) else {
        return String::new();
    };
    let mut words: Vec<String> =
        ["name", "table", "version", "status", "code", "outcome", "to", "format", "partner", "role"]
            .iter()
            .filter_map(|key| {
                body.get(*key).map(|value| value.as_str().map_or_else(|| format!("{key} {value}"), str::to_owned))
            })
            .collect();
    match body.get("strict").and_then(Value::as_bool) {
        Some(true) => words.push("strict: answers wait for witnesses".to_owned()),
        Some(false) => words.push("not strict".to_owned()),
        None => {}
    }
    let name = |template: &Value| template.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(template) = body.get("template") {
        words.push(format!("through {}", name(template)));
    }
    if let Some(templates) = body.get("templates").and_then(Value::as_array) {
        words.push(format!("approves {}", templates.iter().map(name).collect::<Vec<_>>().join(", ")));
    }
    let request = text(entry, "request");
    if !request.is_empty() {
        words.push(format!("query {request}"));
    }
    words.join(", ")
}
