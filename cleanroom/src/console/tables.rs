//! The tables of a room: public facts.

use axum::extract::{Path, State};
use axum::response::Response;
use maud::{Markup, html};
use serde_json::Value;

use super::page::{Failed, Page, Tab, moment, room_path, text, wide};
use super::rooms::field;
use super::session::Visitor;
use crate::http::{App, tables};

/// All tables of a room.
pub(super) async fn page(
    State(app): State<App>,
    visitor: Visitor,
    Path(name): Path<String>,
) -> Result<Response, Failed> {
    let room = app.room(&visitor.caller, &name).await?;
    let listed = tables::list(State(app), visitor.caller.clone(), Path(name)).await?.0;
    let tables = listed.get("tables").and_then(Value::as_array).cloned().unwrap_or_default();
    let own = |table: &Value| {
        visitor.caller.partner().is_some_and(|partner| field(table, "name").split('.').next() == Some(partner.as_str()))
    };
    let content = html! {
        @if tables.is_empty() { p { "No partner has declared a table yet." } } @else {
            (wide("Tables of the room", &html! {
                table {
                    caption { span { "Every table of the room. What a policy says in full is its owner's own; the catalog tells what it grants you." } }
                    thead { tr {
                        th scope="col" { "Table" } th scope="col" { "Description" } th scope="col" { "Policy" }
                        th scope="col" { "Data" } th scope="col" { "Taken in (UTC)" }
                    } }
                    tbody {
                        @for table in &tables {
                            tr {
                                th scope="row" {
                                    a href=(room_path(&room, &format!("/tables/{}", field(table, "name")))) { (field(table, "name")) }
                                    @if own(table) { " (yours)" }
                                }
                                td { (text(field(table, "description"))) }
                                td { (version(table, "policy_version", "declared, no policy")) }
                                td { (version(table, "data_version", "no data")) }
                                td { (updated(table)) }
                            }
                        }
                    }
                }
            }))
        }
    };
    Ok(Page::new("Tables", &visitor).of(&room, Tab::Tables).show(&content))
}

/// `version 3`, or that there is none.
pub(super) fn version(table: &Value, key: &str, none: &str) -> Markup {
    html! {
        @match table.get(key).and_then(Value::as_u64) {
            Some(version) => { span.nowrap { "version " (version) } },
            None => { span.state.warn { (none) } },
        }
    }
}

/// When its rows were taken in.
pub(super) fn updated(table: &Value) -> Markup {
    html! {
        @match table.get("updated").and_then(Value::as_str) {
            Some(at) => { (moment(at)) },
            None => { "never" },
        }
    }
}
