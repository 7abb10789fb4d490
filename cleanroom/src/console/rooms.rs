//! The rooms that a token opens, and one of them.

use axum::extract::{Path, State};
use axum::response::Response;
use cleanroom_policy::{Ability, Partner};
use maud::{Markup, html};
use serde_json::Value;

use super::page::{Failed, Page, Tab, may_ask, room_path, text};
use super::session::Visitor;
use crate::http::{App, rooms};
use crate::listing::ability_word;

/// All of them.
pub(super) async fn list(State(app): State<App>, visitor: Visitor) -> Result<Response, Failed> {
    let listed = rooms::list(State(app), visitor.caller.clone()).await?.0;
    let rooms = listed.get("rooms").and_then(Value::as_array).cloned().unwrap_or_default();
    let content = html! {
        @if rooms.is_empty() {
            p { "This token opens no room yet. The administrator puts partners into rooms." }
        }
        ul.cards {
            @for room in &rooms {
                @let name = field(room, "name");
                li.card {
                    h2 { a href={ "/console/rooms/" (name) } { (name) } }
                    p { (text(field(room, "description"))) }
                    p.help { (partners(room)) }
                }
            }
        }
    };
    Ok(Page::new("Rooms", &visitor).show(&content))
}

/// One of them: who is in it, and what there is to do.
pub(super) async fn page(
    State(app): State<App>,
    visitor: Visitor,
    Path(name): Path<String>,
) -> Result<Response, Failed> {
    let room = app.room(&visitor.caller, &name).await?;
    let own = visitor.caller.partner().and_then(|partner| room.partner(partner));
    let content = html! {
        @if !room.description.is_empty() { p.lead { (text(&room.description)) } }
        (to_do(&visitor, &room))
        h2 { "Partners" }
        (super::page::wide("Partners of the room", &html! {
            table {
                caption { span { "Who is in the room, and what each may do in it" } }
                thead { tr { th scope="col" { "Partner" } th scope="col" { "May" } th scope="col" { "Tables" } } }
                tbody {
                    @for partner in &room.partners {
                        tr {
                            th scope="row" { (partner.name) @if own.is_some_and(|own| own.name == partner.name) { " (you)" } }
                            td { (abilities(partner)) }
                            td {
                                @if partner.tables.is_empty() { "none" }
                                @for (place, table) in partner.tables.iter().enumerate() {
                                    @if place > 0 { ", " }
                                    a href=(room_path(&room, &format!("/tables/{}", table.name))) { (table.name.table()) }
                                }
                            }
                        }
                    }
                }
            }
        }))
    };
    Ok(Page::new(room.name.as_str(), &visitor).of(&room, Tab::Overview).show(&content))
}

fn to_do(visitor: &Visitor, room: &cleanroom_policy::Room) -> Markup {
    let audits = visitor.caller.partner().and_then(|partner| room.partner(partner));
    let audits = audits.is_some_and(|partner| partner.abilities.contains(&Ability::Audit));
    html! {
        ul.cards {
            @if may_ask(visitor, room) {
                li.card {
                    h2 { a href=(room_path(room, "/ask")) { "Ask a question" } }
                    p { "Write SQL, see whether it is answered and what it costs, and ask." }
                }
            }
            li.card {
                h2 { a href=(room_path(room, "/tables")) { "Tables" } }
                p { "What is in the room, how fresh it is, and under which policy. Of your own: who asked what." }
            }
            li.card {
                h2 { a href=(room_path(room, "/log")) { "Log" } }
                p {
                    @if audits { "Follow every question from its asking to its delivery, with proofs." }
                    @else { "Everything that was decided, signed. Check that nothing was changed." }
                }
            }
        }
    }
}

fn abilities(partner: &Partner) -> String {
    let words: Vec<&str> = partner.abilities.iter().map(|ability| ability_word(*ability)).collect();
    words.join(", ")
}

fn partners(room: &Value) -> String {
    let partners = room.get("partners").and_then(Value::as_array).into_iter().flatten();
    let names: Vec<&str> = partners.map(|partner| field(partner, "name")).collect();
    format!("Partners: {}", names.join(", "))
}

/// A member that is text; empty where it is not there.
pub(super) fn field<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}
