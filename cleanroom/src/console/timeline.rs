//! The log as a list: newest entries first, filtered and by pages.

use std::collections::{BTreeMap, HashMap};

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use cleanroom_log::{Checkpoint, Event};
use cleanroom_policy::{Room, TableName};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;
use url::form_urlencoded::Serializer;

use super::page::{Failed, Page, Tab, moment, room_path, text, wide};
use super::rooms::field;
use super::session::Visitor;
use crate::http::search::Search;
use crate::http::{App, Problem};
use crate::trail::{self, About, Choice, EXHAUSTED, Filter, OUTCOMES, Read, Trail};

/// Entries on a page.
const PAGE: usize = 50;

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

/// Which entries to show. What is empty does not count.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Chosen {
    #[serde(rename = "type")]
    kind: String,
    partner: String,
    table: String,
    /// `owner.table@version`, or a digest.
    policy: String,
    outcome: String,
    /// The id of a question.
    query: String,
    /// A day or minute in UTC; itself included.
    since: String,
    /// The same.
    until: String,
    /// Only entries before this one.
    before: String,
}

impl Chosen {
    fn choice(&self) -> Choice<'_> {
        Choice {
            kind: &self.kind,
            partner: &self.partner,
            table: &self.table,
            policy: &self.policy,
            outcome: &self.outcome,
            query: &self.query,
            since: &self.since,
            until: &self.until,
        }
    }

    /// The address of the same list before an entry.
    fn before(&self, room: &Room, before: u64) -> String {
        let mut query = Serializer::new(String::new());
        for (name, value) in [
            ("type", &self.kind),
            ("partner", &self.partner),
            ("table", &self.table),
            ("policy", &self.policy),
            ("outcome", &self.outcome),
            ("query", &self.query),
            ("since", &self.since),
            ("until", &self.until),
        ] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        query.append_pair("before", &before.to_string());
        room_path(room, &format!("/log?{}", query.finish()))
    }
}

/// How many entries a room's log has, and its newest checkpoint.
pub(super) async fn checkpoint(app: &App, room: &Room) -> Result<(Checkpoint, String), Failed> {
    let note = app.registry().checkpoint(&room.name).await?;
    let checkpoint = Checkpoint::unverified(&note).map_err(|error| Problem::internal(&error.to_string()))?;
    Ok((checkpoint, note))
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
    chosen: Result<Query<Chosen>, QueryRejection>,
) -> Result<Response, Failed> {
    let room = app.room(&visitor.caller, &name).await?;
    let Query(chosen) = chosen.map_err(|_| {
        Problem::bad_request("the filter is not readable", "use the fields of the page, each at most once")
    })?;
    let filter = chosen.choice().filter().map_err(|error| Problem::bad_request(error, "correct the filter"))?;
    let size = checkpoint(&app, &room).await?.0.size;
    let before = chosen.before.parse().unwrap_or(size).min(size);
    let mut search = Search::new(&app, &room, &filter).await?;
    let fits = |read: &Read, about: &About, trail: &Trail| filter.fits(&read.entry, about, trail);
    let found = search.backwards(before, PAGE, fits).await?;
    let entries = found.entries.iter().map(|held| read(&held.line)).collect::<Result<Vec<_>, _>>()?;
    let policies = policies(&app, &room).await?;
    let content = html! {
        p.lead { "Everything that was decided in this room: " (size) " entries, signed." }
        p { a.button href=(room_path(&room, "/log/checkpoint")) { "Checkpoint, key and verification" } }
        (form(&room, &chosen, &policies))
        (list(&room, &entries))
        nav.pages aria-label="Pages of the log" {
            @if before < size { a href=(room_path(&room, "/log")) { "Newest" } }
            @if let Some(rest) = found.rest {
                a rel="next" href=(chosen.before(&room, rest)) {
                    @if found.entries.len() < PAGE { "Look further back" } @else { "Older" }
                }
            } @else { span { "The log begins here." } }
        }
    };
    Ok(Page::new("Log", &visitor).of(&room, Tab::Log).show(&content))
}

/// The policies that were in force, newest first; of each table no more than anybody looks for in a list.
async fn policies(app: &App, room: &Room) -> Result<Vec<String>, Problem> {
    const OF_A_TABLE: u32 = 20;
    let mut named = Vec::new();
    for table in room.partners.iter().flat_map(|partner| &partner.tables) {
        let versions = app.registry().policy_versions(&room.name, &table.name, OF_A_TABLE).await?;
        named.extend(versions.iter().map(|one| format!("{}@{}", table.name, one.version)));
    }
    Ok(named)
}

fn form(room: &Room, filter: &Chosen, policies: &[String]) -> Markup {
    let tables: Vec<String> =
        room.partners.iter().flat_map(|partner| &partner.tables).map(|table| table.name.to_string()).collect();
    let partners: Vec<String> = room.partners.iter().map(|partner| partner.name.to_string()).collect();
    html! {
        form.filter method="get" action=(room_path(room, "/log")) aria-label="Filter the log" {
            (choice("type", "Type", &TYPES, &filter.kind))
            (choice("partner", "Partner", &partners, &filter.partner))
            (choice("table", "Table", &tables, &filter.table))
            (choice("outcome", "Outcome", &OUTCOMES, &filter.outcome))
            div.field {
                label for="policy" { "Policy" }
                input #policy name="policy" list="policies" placeholder="owner.table@3" value=(filter.policy);
                datalist #policies { @for policy in policies { option value=(policy) {} } }
            }
            div.field { label for="since" { "From (UTC)" } input #since type="datetime-local" name="since" value=(minute(&filter.since)); }
            div.field { label for="until" { "To (UTC)" } input #until type="datetime-local" name="until" value=(minute(&filter.until)); }
            @if !filter.query.is_empty() { input type="hidden" name="query" value=(filter.query); }
            div.buttons {
                button type="submit" { "Filter" }
                a href=(room_path(room, "/log")) { "Clear" }
            }
        }
        @if !filter.query.is_empty() {
            p { "Only entries of question " code.hash { (text(&filter.query)) } "." }
        }
    }
}

/// A moment as the browser's field has it: a day becomes its first minute, and of finer ones the minute stays.
fn minute(text: &str) -> String {
    match text.len() {
        10 => format!("{text}T00:00"),
        _ => text.get(..16).unwrap_or(text).to_owned(),
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
        "query.refused" if entry.get("body").is_some_and(|body| field(body, "code") == EXHAUSTED) => {
            "exhausted".to_owned()
        }
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
    match body.get("strict").and_then(Value::as_bool) {
        Some(true) => parts.push("strict: answers wait for witnesses".to_owned()),
        Some(false) => parts.push("not strict".to_owned()),
        None => {}
    }
    let request = field(entry, "request");
    html! {
        (text(&parts.join(", ")))
        @if !request.is_empty() {
            @if !parts.is_empty() { "; " }
            a href=(room_path(room, &format!("/log?query={request}"))) { "question " (request.get(..8).unwrap_or(request)) }
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
    let fits = |read: &Read, about: &About, _: &Trail| {
        if let (Event::QueryOutcome(_), Some(request), Some((word, _))) =
            (&read.entry.event, &read.entry.request, trail::outcome(&read.entry.event))
        {
            ends.insert(request.clone(), word);
        }
        matches!(read.entry.event, Event::QueryIntent(_)) && about.tables.contains(&table)
    };
    let found = Search::new(app, room, &Filter::default()).await?.backwards(size, NEWEST, fits).await?;
    let mut asked = Asked { table, questions: Vec::new(), analysts: BTreeMap::new(), more: found.rest.is_some() };
    for held in &found.entries {
        let entry = &read(&held.line)?;
        let outcome = ends.get(field(entry, "request")).copied().unwrap_or("running");
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

    #[test]
    fn the_end_of_a_question_has_a_word() {
        let refused = |code: &str| outcome(&json!({ "type": "query.refused", "body": { "code": code } }));
        assert_eq!([refused("CR2104"), refused(EXHAUSTED)], ["refused", "exhausted"]);
        assert_eq!(outcome(&json!({ "type": "query.outcome", "body": { "status": "failed" } })), "failed");
        assert_eq!(outcome(&json!({ "type": "query.intent", "body": {} })), "");
    }

    #[test]
    fn a_moment_is_shown_as_the_field_has_it() {
        assert_eq!(minute("2026-05-04"), "2026-05-04T00:00");
        assert_eq!(minute("2026-05-04T13:14:15Z"), "2026-05-04T13:14");
        assert_eq!(minute(""), "");
    }
}
