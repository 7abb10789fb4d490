//! The visitor's own questions, and each with its answer.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::header::{ACCEPT, CONTENT_DISPOSITION, REFRESH};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use cleanroom_policy::Room;
use cleanroom_registry::QueryId;
use maud::{Markup, html};
use serde_json::Value;

use super::form::Sent;
use super::page::{Failed, Page, Tab, form_token, lines, may_ask, moment, room_path, text, wide};
use super::rooms::field;
use super::session::Visitor;
use super::statement::statement;
use super::{answer, ask, go_to, timeline};
use crate::http::asking::{Earlier, earlier};
use crate::http::{App, Problem, media, queries as rest};
use crate::listing;

/// The form in which rows are handed out here, as the log names it.
const FORM: &str = "html";
/// How long a page waits for a question before it says that it runs.
const WAIT: Duration = Duration::from_secs(5);
/// Seconds after which a page that says so looks again by itself.
const AGAIN: &str = "5";
/// Characters of a statement in the list.
const STATEMENT: usize = 120;
/// Questions in the list.
const LISTED: usize = 200;

/// The visitor's own questions, newest first.
pub(super) async fn list(
    State(app): State<App>,
    visitor: Visitor,
    Path(name): Path<String>,
) -> Result<Response, Failed> {
    let room = app.room(&visitor.caller, &name).await?;
    let listed = rest::list(State(app), visitor.caller.clone(), Path(name)).await?.0;
    let queries = listed.get("queries").and_then(Value::as_array).cloned().unwrap_or_default();
    let content = html! {
        p.lead { "The questions that your organisation asked in this room. Nobody else in it sees them." }
        @if may_ask(&visitor, &room) { p { a.button href=(room_path(&room, "/ask")) { "Ask a question" } } }
        @if queries.is_empty() { p { "None yet." } } @else {
            (wide("Your questions", &html! {
                table {
                    caption { span { @if queries.len() > LISTED { "The newest " (LISTED) } @else { "Newest first" } } }
                    thead { tr { th scope="col" { "Asked (UTC)" } th scope="col" { "Outcome" } th scope="col" { "Statement" } } }
                    tbody {
                        @for query in queries.iter().take(LISTED) {
                            tr {
                                th scope="row" {
                                    a href=(room_path(&room, &format!("/queries/{}", field(query, "query_id")))) { (moment(field(query, "created"))) }
                                }
                                td {
                                    (timeline::state(field(query, "status")))
                                    @if !field(query, "code").is_empty() { " " (field(query, "code")) }
                                }
                                td.statement { code { (short_statement(query)) } }
                            }
                        }
                    }
                }
            }))
        }
    };
    Ok(Page::new("Questions", &visitor).of(&room, Tab::Questions).show(&content))
}

fn short_statement(query: &Value) -> String {
    if let Some(template) = query.get("template").and_then(Value::as_str) {
        return format!("template {}", text(template.split('@').next().unwrap_or(template)));
    }
    let sql: String = field(query, "sql").split_whitespace().collect::<Vec<_>>().join(" ");
    let mut short: String = sql.chars().take(STATEMENT).collect();
    if short.len() < sql.len() {
        short.push('…');
    }
    text(&short)
}

/// One of them, and what became of it.
pub(super) async fn page(
    State(app): State<App>,
    visitor: Visitor,
    Path((name, query)): Path<(String, String)>,
) -> Result<Response, Failed> {
    let (room, partner) = app.member(&visitor.caller, &name).await?;
    let id = QueryId::parse(&query).ok_or_else(Problem::not_found)?;
    let found = earlier(&app, &room.name, &partner, &id, WAIT, FORM).await?.ok_or_else(Problem::not_found)?;
    let answer = match found {
        Earlier::Ended(answer) => answer,
        Earlier::AtWork => return Ok(at_work(&visitor, &room, &id)),
    };
    // It is the visitor's own: its end was found.
    let record = app.registry().query(&room.name, &id).await?.ok_or_else(Problem::not_found)?;
    let object = answer.to_json().map_err(Problem::from)?;
    let dry = object.get("dry_run").and_then(Value::as_bool) == Some(true);
    let error = object.get("error");
    let verdict = match (answer.outcome(), dry) {
        ("released", true) => "It would be answered",
        ("released", false) => "Answered",
        ("exhausted", _) => "The budget does not admit it",
        ("refused", _) => "Refused",
        _ => "Not finished",
    };
    let class = if answer.outcome() == "released" { "good" } else { "bad" };
    let content = html! {
        p #verdict class={ "notice " (class) } role="status" {
            strong { (verdict) }
            @if let Some(error) = error {
                ": " a href={ "/console/codes/" (field(error, "code")) } { (field(error, "code")) } " " (text(field(error, "title")))
            }
            @if dry { ". Nothing was read or charged." }
        }
        h2 { "Statement" }
        @if let Some(template) = &record.template { p { "Through template " code { (template.name) } "." } }
        (statement(&record.sql, error.and_then(|error| error.get("span"))))
        @if let Some(params) = &record.params { p { "With " code { (lines(params)) } } }
        @match (error, dry) {
            (Some(error), _) => { (answer::refused(error)) },
            (None, true) => { (answer::priced(&object)) },
            (None, false) => { (answer::released(&object)) },
        }
        (files(&room, &id, answer.batch().is_some()))
        @if record.template.is_none() {
            h2 { "Ask again" }
            (ask::editor(&visitor, &room, &ask::Draft::of(&record))?)
        }
        p.help {
            "Question " code.hash { (id) } ", asked " (moment(&listing::moment(record.created))) " UTC"
            @if let Some(sequence) = record.sequence {
                ", " a href=(room_path(&room, &format!("/log/{sequence}"))) { "entry " (sequence) " of the log" }
            }
        }
    };
    Ok(Page::new(format!("Question {}", id.as_str().get(..8).unwrap_or_default()), &visitor)
        .of(&room, Tab::Questions)
        .show(&content))
}

fn at_work(visitor: &Visitor, room: &Room, id: &QueryId) -> Response {
    let path = room_path(room, &format!("/queries/{id}"));
    let content = html! {
        p #verdict .notice role="status" { strong { "Running" } ". This page looks again every " (AGAIN) " seconds; you may leave it, the question goes on." }
        div.buttons {
            a.button href=(path) { "Look again" }
            form method="post" action={ (path) "/cancel" } {
                (form_token(visitor))
                button.quiet type="submit" { "Cancel the question" }
            }
        }
    };
    let mut response = Page::new(format!("Question {}", id.as_str().get(..8).unwrap_or_default()), visitor)
        .of(room, Tab::Questions)
        .show(&content);
    response.headers_mut().insert(REFRESH, HeaderValue::from_static(AGAIN));
    response
}

fn files(room: &Room, id: &QueryId, rows: bool) -> Markup {
    let path = |file: &str| room_path(room, &format!("/queries/{id}/{file}"));
    html! {
        h2 { "Files" }
        ul.files {
            li { a href=(path("receipt.txt")) download { "Receipt" } ": the proof that the log holds this end" }
            @if rows {
                li { a href=(path("answer.json")) download { "Answer (JSON)" } ": what the receipt is verified with" }
                li { a href=(path("answer.csv")) download { "Rows (CSV)" } }
                li { a href=(path("answer.parquet")) download { "Rows (Parquet)" } }
            }
        }
    }
}

/// A file of an answer, as REST hands it out.
pub(super) async fn file(
    State(app): State<App>,
    visitor: Visitor,
    Path((room, query, file)): Path<(String, String, String)>,
) -> Result<Response, Failed> {
    let (caller, at) = (visitor.caller, Path((room, query.clone())));
    let form = match file.as_str() {
        "receipt.txt" => None,
        "answer.json" => Some(media::JSON),
        "answer.csv" => Some(media::CSV),
        "answer.parquet" => Some(media::PARQUET),
        _ => return Err(Problem::not_found().into()),
    };
    let mut response = match form {
        None => rest::receipt(State(app), caller, at).await?,
        Some(form) => {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(form));
            rest::result(State(app), caller, at, headers).await?
        }
    };
    // The id was found, so it is hexadecimal digits and no more.
    let name = format!("attachment; filename=\"{}-{file}\"", query.get(..8).unwrap_or_default());
    if let Ok(name) = HeaderValue::from_str(&name) {
        response.headers_mut().insert(CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

/// Cancels one that runs.
pub(super) async fn cancel(
    State(app): State<App>,
    Path((room, query)): Path<(String, String)>,
    sent: Sent,
) -> Result<Response, Failed> {
    let path = format!("/console/rooms/{room}/queries/{query}");
    rest::cancel(State(app), sent.visitor.caller, Path((room, query))).await?;
    // Both names were found, so they are plain.
    Ok(go_to(&path))
}
