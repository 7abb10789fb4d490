//! What a partner may name in its questions.

use axum::extract::{Path, State};
use axum::response::Response;
use maud::{Markup, html};
use serde_json::Value;

use super::page::{Failed, Page, Tab, may_ask, moment, room_path, text, wide};
use super::rooms::field;
use super::session::Visitor;
use crate::http::{App, queries};

/// The catalog.
pub(super) async fn page(
    State(app): State<App>,
    visitor: Visitor,
    Path(name): Path<String>,
) -> Result<Response, Failed> {
    let room = app.room(&visitor.caller, &name).await?;
    let tables = of(&app, &visitor, &name).await?;
    let content = html! {
        p.lead { "The tables and columns that you may name. A column that is not here is not there." }
        @if may_ask(&visitor, &room) { p { a.button href=(room_path(&room, "/ask")) { "Ask a question" } } }
        @if tables.is_empty() { p { "No policy grants you a table yet." } }
        @for table in &tables {
            section {
                h2 { a href=(room_path(&room, &format!("/tables/{}", field(table, "name")))) { (field(table, "name")) } }
                @if !field(table, "description").is_empty() { p { (text(field(table, "description"))) } }
                (facts(table))
                (columns(table))
            }
        }
    };
    Ok(Page::new("Catalog", &visitor).of(&room, Tab::Catalog).show(&content))
}

/// The tables of the catalog, as REST gives them.
pub(super) async fn of(app: &App, visitor: &Visitor, room: &str) -> Result<Vec<Value>, Failed> {
    let catalog = queries::catalog(State(app.clone()), visitor.caller.clone(), Path(room.to_owned())).await?.0;
    Ok(catalog.get("tables").and_then(Value::as_array).cloned().unwrap_or_default())
}

fn facts(table: &Value) -> Markup {
    let templates = table.get("templates").and_then(Value::as_array);
    html! {
        dl.facts {
            @match (table.get("space").and_then(Value::as_str), table.get("min_units").and_then(Value::as_u64)) {
                (Some(space), Some(floor)) => {
                    dt { "Its units" } dd { "of the identity space " (space) "; at least " (floor) " in every group that is shown" }
                },
                _ => { dt { "Kind" } dd { "a reference table: its rows are about nobody" } },
            }
            dt { "Data" }
            dd {
                @match (table.get("data_version").and_then(Value::as_u64), table.get("updated").and_then(Value::as_str)) {
                    (Some(version), Some(at)) => { "version " (version) " of " (moment(at)) },
                    _ => { "none yet" },
                }
            }
            @if let Some(templates) = templates {
                dt { "Asked through" }
                dd {
                    @if templates.is_empty() { "approved templates, of which there are none yet" }
                    @else { "these templates only: " (names(templates)) }
                }
            }
        }
    }
}

fn names(templates: &[Value]) -> String {
    let names = templates.iter().filter_map(Value::as_str).map(|text| text.split('@').next().unwrap_or(text));
    names.collect::<Vec<_>>().join(", ")
}

/// The columns of a table.
pub(super) fn columns(table: &Value) -> Markup {
    let name = field(table, "name");
    wide(
        &format!("Columns of {name}"),
        &html! {
            table {
                caption { span { "Columns of " (name) } }
                thead { tr { th scope="col" { "Column" } th scope="col" { "Type" } th scope="col" { "Use" } th scope="col" { "Rules" } } }
                tbody {
                    @for column in table.get("columns").and_then(Value::as_array).into_iter().flatten() {
                        tr {
                            th scope="row" { code { (text(field(column, "name"))) } }
                            td { (text(field(column, "type"))) }
                            td { (words(column, "uses")) }
                            td.about { (rules(column)) }
                        }
                    }
                }
            }
        },
    )
}

fn words(value: &Value, key: &str) -> String {
    let list = value.get(key).and_then(Value::as_array);
    text(&list.into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(", "))
}

fn rules(column: &Value) -> String {
    let mut rules = Vec::new();
    if column.get("functions").is_some() {
        rules.push(format!("aggregates: {}", words(column, "functions")));
    }
    if let Some((low, high)) =
        column.get("bounds").and_then(Value::as_array).and_then(|bounds| bounds.first().zip(bounds.get(1)))
    {
        rules.push(format!("clamped to {low} to {high}"));
    }
    if column.get("values").is_some() {
        rules.push(format!("one of {}", words(column, "values")));
    }
    match column.get("literals").and_then(Value::as_array) {
        Some(literals) if literals.is_empty() => rules.push("compared with columns only".to_owned()),
        Some(_) => rules.push(format!("compared with {} only", words(column, "literals"))),
        None => {}
    }
    rules.join("; ")
}
