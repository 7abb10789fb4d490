//! The log as a list: newest entries first, filtered and by pages.

use std::collections::{BTreeMap, HashMap};

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use cleanroom_log::Checkpoint;
use cleanroom_policy::{Room, TableName};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;
use url::form_urlencoded::Serializer;

use super::page::{Failed, Page, Tab, moment, room_path, text, wide};
use super::rooms::field;
use super::session::Visitor;
use crate::http::{App, Problem};

/// Entries on a page.
const PAGE: usize = 50;
/// Entries read at once.
const CHUNK: u64 = 1000;
/// Entries that one page looks at, whether they fit or not: a rare one may be some pages away, and no page reads a whole log.
const LOOKED_AT: u64 = 20_000;

/// Types of entries, as the log names them.
const TYPES: [&str; 11] = [
    "room.put",
    "policy.active",
    "template.put",
    "table.version",
    "token.issued",
    "token.revoked",
    "query.intent",
    "query.priced",
    "query.refused",
    "query.outcome",
    "result.delivered",
];
const OUTCOMES: [&str; 5] = ["released", "refused", "failed", "cancelled", "priced"];

/// Which entries to show. What is empty does not count.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Filter {
    #[serde(rename = "type")]
    kind: String,
    partner: String,
    table: String,
    outcome: String,
    /// The id of a question.
    request: String,
    /// A day, or a minute, in UTC; itself included.
    from: String,
    /// The same.
    to: String,
    /// Only entries before this one.
    before: String,
}

impl Filter {
    fn fits(&self, entry: &Value) -> bool {
        let time = field(entry, "time");
        let is = |wanted: &str, found: &str| wanted.is_empty() || wanted == found;
        is(&self.kind, field(entry, "type"))
            && is(&self.partner, by(entry))
            && (self.table.is_empty() || names_table(entry, &self.table))
            && is(&self.outcome, &outcome(entry))
            && is(&self.request, field(entry, "request"))
            && (self.from.is_empty() || time >= self.from.as_str())
            // A day includes all of its minutes: compared is as much as was given.
            && (self.to.is_empty() || time.get(..self.to.len()).unwrap_or(time) <= self.to.as_str())
    }

    /// The address of the same list before an entry.
    fn before(&self, room: &Room, before: u64) -> String {
        let mut query = Serializer::new(String::new());
        for (name, value) in [
            ("type", &self.kind),
            ("partner", &self.partner),
            ("table", &self.table),
            ("outcome", &self.outcome),
            ("request", &self.request),
            ("from", &self.from),
            ("to", &self.to),
        ] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        query.append_pair("before", &before.to_string());
        room_path(room, &format!("/log?{}", query.finish()))
    }
}

/// Entries that were found.
struct Found {
    entries: Vec<Value>,
    /// Where to go on; `None` at the beginning of the log.
    rest: Option<u64>,
}

/// How many entries a room's log has, and its newest checkpoint.
pub(super) async fn checkpoint(app: &App, room: &Room) -> Result<(Checkpoint, String), Failed> {
    let note = app.registry().checkpoint(&room.name).await?;
    let checkpoint = Checkpoint::unverified(&note).map_err(|error| Problem::internal(&error.to_string()))?;
    Ok((checkpoint, note))
}

/// Reads backwards from an entry. The caller has been let into the room.
async fn find(
    app: &App,
    room: &Room,
    before: u64,
    most: usize,
    mut fits: impl FnMut(&Value) -> bool,
) -> Result<Found, Failed> {
    let mut found = Found { entries: Vec::new(), rest: None };
    let (mut next, mut looked) = (before, 0);
    while next > 0 {
        if looked >= LOOKED_AT {
            found.rest = Some(next);
            break;
        }
        let from = next.saturating_sub(CHUNK);
        let chunk = app.registry().log_entries(&room.name, from, next - from).await?;
        for entry in chunk.iter().rev() {
            let sequence = entry.sequence;
            let entry = read(&entry.json)?;
            if fits(&entry) {
                found.entries.push(entry);
                if found.entries.len() == most {
                    found.rest = (sequence > 0).then_some(sequence);
                    return Ok(found);
                }
            }
        }
        looked += next - from;
        next = from;
    }
    Ok(found)
}

/// An entry as JSON.
pub(super) fn read(json: &str) -> Result<Value, Problem> {
    serde_json::from_str(json).map_err(|error| Problem::internal(&format!("an entry of the log: {error}")))
}

/// The page.
pub(super) async fn page(
    State(app): State<App>,
    visitor: Visitor,
    Path(name): Path<String>,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Result<Response, Failed> {
    let room = app.room(&visitor.caller, &name).await?;
    let Query(filter) = filter.map_err(|_| {
        Problem::bad_request("the filter is not readable", "use the fields of the page, each at most once")
    })?;
    let size = checkpoint(&app, &room).await?.0.size;
    let before = filter.before.parse().unwrap_or(size).min(size);
    let found = find(&app, &room, before, PAGE, |entry| filter.fits(entry)).await?;
    let content = html! {
        p.lead { "Everything that was decided in this room: " (size) " entries, signed." }
        p { a.button href=(room_path(&room, "/log/checkpoint")) { "Checkpoint, key and verification" } }
        (form(&room, &filter))
        (list(&room, &found.entries))
        nav.pages aria-label="Pages of the log" {
            @if before < size { a href=(room_path(&room, "/log")) { "Newest" } }
            @if let Some(rest) = found.rest {
                a rel="next" href=(filter.before(&room, rest)) {
                    @if found.entries.len() < PAGE { "Look further back" } @else { "Older" }
                }
            } @else { span { "The log begins here." } }
        }
    };
    Ok(Page::new("Log", &visitor).of(&room, Tab::Log).show(&content))
}

fn form(room: &Room, filter: &Filter) -> Markup {
    let tables: Vec<String> =
        room.partners.iter().flat_map(|partner| &partner.tables).map(|table| table.name.to_string()).collect();
    let partners: Vec<String> = room.partners.iter().map(|partner| partner.name.to_string()).collect();
    html! {
        form.filter method="get" action=(room_path(room, "/log")) aria-label="Filter the log" {
            (choice("type", "Type", &TYPES, &filter.kind))
            (choice("partner", "Partner", &partners, &filter.partner))
            (choice("table", "Table", &tables, &filter.table))
            (choice("outcome", "Outcome", &OUTCOMES, &filter.outcome))
            div.field { label for="from" { "From (UTC)" } input #from type="datetime-local" name="from" value=(filter.from); }
            div.field { label for="to" { "To (UTC)" } input #to type="datetime-local" name="to" value=(filter.to); }
            @if !filter.request.is_empty() { input type="hidden" name="request" value=(filter.request); }
            div.buttons {
                button type="submit" { "Filter" }
                a href=(room_path(room, "/log")) { "Clear" }
            }
        }
        @if !filter.request.is_empty() {
            p { "Only entries of question " code.hash { (text(&filter.request)) } "." }
        }
    }
}

fn choice(name: &str, label: &str, options: &[impl AsRef<str>], chosen: &str) -> Markup {
    html! {
        div.field {
            label for=(name) { (label) }
            select id=(name) name=(name) {
                option value="" { "any" }
                @for option in options {
                    @let option = option.as_ref();
                    option value=(option) selected[option == chosen] { (option) }
                }
            }
        }
    }
}

fn list(room: &Room, entries: &[Value]) -> Markup {
    if entries.is_empty() {
        return html! { p { "No entry fits." } };
    }
    wide(
        "Entries of the log",
        &html! {
            table {
                caption { span { "Entries, the newest first" } }
                thead { tr { th scope="col" { "Entry" } th scope="col" { "Time (UTC)" } th scope="col" { "Type" } th scope="col" { "By" } th scope="col" { "Outcome" } th scope="col" { "About" } } }
                tbody {
                    @for entry in entries {
                        @let sequence = entry.get("seq").and_then(Value::as_u64).unwrap_or_default();
                        tr {
                            th scope="row" { a href=(room_path(room, &format!("/log/{sequence}"))) { (sequence) } }
                            td { (moment(field(entry, "time"))) }
                            td { code { (text(field(entry, "type"))) } }
                            td { (text(by_words(entry))) }
                            td { (state(&outcome(entry))) }
                            td.about { (about(room, entry)) }
                        }
                    }
                }
            }
        },
    )
}

/// Who caused an entry: a partner, or the way it came in.
pub(super) fn by(entry: &Value) -> &str {
    let part = |key: &str| entry.get("actor").and_then(|actor| actor.get(key)).and_then(Value::as_str);
    part("partner").or_else(|| part("door")).unwrap_or_default()
}

/// The same for people.
pub(super) fn by_words(entry: &Value) -> &str {
    match by(entry) {
        // Of those that come over REST, administrators alone are no partner.
        "rest" => "administrator",
        by => by,
    }
}

/// How a question ended that an entry tells the end of; empty for all others.
fn outcome(entry: &Value) -> String {
    match field(entry, "type") {
        "query.refused" => "refused".to_owned(),
        "query.priced" => "priced".to_owned(),
        "query.outcome" => entry.get("body").map(|body| field(body, "status")).unwrap_or_default().to_owned(),
        _ => String::new(),
    }
}

/// A word for how a question ended.
pub(super) fn state(outcome: &str) -> Markup {
    let class = match outcome {
        "released" => "good",
        "refused" | "failed" | "exhausted" => "bad",
        _ => "warn",
    };
    html! { @if !outcome.is_empty() { span class={ "state " (class) } { (text(outcome)) } } }
}

fn tables_of(entry: &Value) -> Vec<&str> {
    let Some(body) = entry.get("body") else { return Vec::new() };
    let one = body.get("table").and_then(Value::as_str);
    let read = body.get("tables").and_then(Value::as_array).into_iter().flatten();
    one.into_iter().chain(read.filter_map(|read| read.get("table").and_then(Value::as_str))).collect()
}

fn names_table(entry: &Value, table: &str) -> bool {
    tables_of(entry).contains(&table)
}

fn about(room: &Room, entry: &Value) -> Markup {
    let empty = Value::Null;
    let body = entry.get("body").unwrap_or(&empty);
    let word = |key: &str| {
        body.get(key)
            .filter(|value| !value.is_null())
            .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    };
    let mut parts: Vec<String> = Vec::new();
    let tables = tables_of(entry);
    if !tables.is_empty() {
        parts.push(tables.join(", "));
    }
    if let Some(version) = word("version") {
        parts.push(format!("version {version}"));
    }
    for key in ["name", "code", "to", "format", "role"] {
        parts.extend(word(key));
    }
    let request = field(entry, "request");
    html! {
        (text(&parts.join(", ")))
        @if !request.is_empty() {
            @if !parts.is_empty() { "; " }
            a href=(room_path(room, &format!("/log?request={request}"))) { "question " (request.get(..8).unwrap_or(request)) }
        }
    }
}

/// Who asked of a table.
pub(super) struct Asked {
    pub(super) table: String,
    /// The newest questions that read it.
    pub(super) questions: Vec<Question>,
    /// By analyst, over the questions above.
    pub(super) analysts: BTreeMap<String, Counts>,
    /// Whether there may be older ones.
    pub(super) more: bool,
}

/// A question as the log tells of it.
pub(super) struct Question {
    pub(super) sequence: u64,
    pub(super) time: String,
    pub(super) analyst: String,
    pub(super) sql: String,
    pub(super) outcome: String,
}

#[derive(Default)]
pub(super) struct Counts {
    pub(super) questions: u64,
    pub(super) answered: u64,
}

/// The newest questions that read a table, with how they ended.
pub(super) async fn asked_of(app: &App, room: &Room, table: &TableName) -> Result<Asked, Failed> {
    const NEWEST: usize = 100;
    let table = table.to_string();
    let size = checkpoint(app, room).await?.0.size;
    // Of a question the end stands after its intent: read backwards, it comes first.
    let mut ends = HashMap::new();
    let found = find(app, room, size, NEWEST, |entry| {
        if field(entry, "type") == "query.outcome" {
            ends.insert(field(entry, "request").to_owned(), outcome(entry));
        }
        field(entry, "type") == "query.intent" && names_table(entry, &table)
    })
    .await?;
    let mut asked = Asked { table, questions: Vec::new(), analysts: BTreeMap::new(), more: found.rest.is_some() };
    for entry in &found.entries {
        let outcome = ends.get(field(entry, "request")).map_or("running", |end: &String| end.as_str());
        let counts = asked.analysts.entry(by(entry).to_owned()).or_default();
        counts.questions += 1;
        counts.answered += u64::from(outcome == "released");
        asked.questions.push(Question {
            sequence: entry.get("seq").and_then(Value::as_u64).unwrap_or_default(),
            time: field(entry, "time").to_owned(),
            analyst: by(entry).to_owned(),
            sql: entry.get("body").map(|body| field(body, "sql")).unwrap_or_default().to_owned(),
            outcome: outcome.to_owned(),
        });
    }
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filter(change: impl FnOnce(&mut Filter)) -> Filter {
        let mut filter = Filter::default();
        change(&mut filter);
        filter
    }

    #[test]
    fn entries_are_chosen_by_all_that_is_asked() {
        let intent = json!({ "seq": 7, "type": "query.intent", "time": "2026-05-04T13:14:15.123Z", "request": "q",
            "actor": { "partner": "agency", "door": "rest" }, "body": { "tables": [{ "table": "shop.sales", "version": 1 }] } });
        let end = json!({ "seq": 8, "type": "query.outcome", "time": "2026-05-04T13:14:16.000Z", "request": "q",
            "actor": { "door": "operator" }, "body": { "status": "released" } });
        let fits = |filter: &Filter| (filter.fits(&intent), filter.fits(&end));
        assert_eq!(fits(&Filter::default()), (true, true));
        assert_eq!(fits(&filter(|f| f.kind = "query.intent".to_owned())), (true, false));
        assert_eq!(fits(&filter(|f| f.partner = "agency".to_owned())), (true, false));
        assert_eq!(fits(&filter(|f| f.table = "shop.sales".to_owned())), (true, false));
        assert_eq!(fits(&filter(|f| f.outcome = "released".to_owned())), (false, true));
        assert_eq!(fits(&filter(|f| f.request = "r".to_owned())), (false, false));
        assert_eq!(fits(&filter(|f| f.from = "2026-05-04T13:15".to_owned())), (false, false));
        assert_eq!(fits(&filter(|f| f.to = "2026-05-04T13:14".to_owned())), (true, true), "the minute itself is in it");
        assert_eq!(fits(&filter(|f| f.to = "2026-05-04".to_owned())), (true, true), "the day itself is in it");
        assert_eq!(fits(&filter(|f| f.to = "2026-05-03".to_owned())), (false, false));
    }
}
