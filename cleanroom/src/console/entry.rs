//! One entry of the log, with the proof that it is in there.

use axum::extract::{Path, State};
use axum::response::Response;
use cleanroom_log::EntryHash;
use maud::{Markup, html};
use serde_json::Value;

use super::page::{Failed, Page, Tab, lines, moment, room_path, text, wide};
use super::rooms::field;
use super::session::Visitor;
use super::timeline;
use crate::http::{App, Problem};

/// The page of an entry.
pub(super) async fn page(
    State(app): State<App>,
    visitor: Visitor,
    Path((name, entry)): Path<(String, String)>,
) -> Result<Response, Failed> {
    let room = app.room(&visitor.caller, &name).await?;
    let sequence: u64 = entry.parse().map_err(|_| Problem::not_found())?;
    let found = app.registry().log_entries(&room.name, sequence, 1).await?;
    let found = found.first().ok_or_else(Problem::not_found)?;
    let proof = app.registry().proof(&room.name, sequence).await?;
    let size = timeline::checkpoint(&app, &room).await?.0.size;
    let entry = timeline::read(&found.json)?;
    let request = field(&entry, "request");
    let mut fields = Vec::new();
    flatten("", &entry, &mut fields);
    let content = html! {
        nav.pages aria-label="Entries beside" {
            @if let Some(before) = sequence.checked_sub(1) { a rel="prev" href=(room_path(&room, &format!("/log/{before}"))) { "Entry " (before) } }
            a href=(room_path(&room, "/log")) { "All entries" }
            @if sequence + 1 < size { a rel="next" href=(room_path(&room, &format!("/log/{}", sequence + 1))) { "Entry " (sequence + 1) } }
        }
        p.lead {
            code { (text(field(&entry, "type"))) } " by " (text(timeline::by_words(&entry))) " at " (moment(field(&entry, "time"))) " UTC"
        }
        @if !request.is_empty() {
            p { a href=(room_path(&room, &format!("/log?query={request}"))) { "All entries of this question" } }
        }
        (wide("Fields of the entry", &html! {
            table {
                caption { span { "Fields" } }
                thead { tr { th scope="col" { "Field" } th scope="col" { "Value" } } }
                tbody { @for (path, value) in &fields { tr { th scope="row" { code { (text(path)) } } td { code.hash { (text(value)) } } } } }
            }
        }))
        h2 { "The entry as it is signed" }
        p.help { "Canonical JSON (RFC 8785). Its leaf in the tree is " code.hash { (EntryHash::of_entry(found.json.as_bytes()).to_base64()) } "." }
        pre.sql tabindex="0" { code { (lines(&found.json)) } }
        h2 { "Proof that it is in the log" }
        p.help { "A C2SP tlog-proof: the path from this leaf to the root, and the checkpoint that signs the root." }
        (as_text(&proof))
    };
    Ok(Page::new(format!("Entry {sequence}"), &visitor).of(&room, Tab::Log).show(&content))
}

/// A text to be copied.
pub(super) fn as_text(proof: &str) -> Markup {
    html! { pre tabindex="0" { code { (lines(proof)) } } }
}

/// Fields by their paths.
fn flatten(path: &str, value: &Value, out: &mut Vec<(String, String)>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(members) => members.iter().for_each(|(name, member)| flatten(&below(name), member, out)),
        Value::Array(items) if items.is_empty() => out.push((path.to_owned(), "none".to_owned())),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(place, item)| flatten(&format!("{path}[{place}]"), item, out));
        }
        Value::String(text) => out.push((path.to_owned(), text.clone())),
        other => out.push((path.to_owned(), other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_field_has_a_line() {
        let mut out = Vec::new();
        flatten("", &json!({ "v": 1, "body": { "tables": [{ "table": "a.b" }], "charge": [] } }), &mut out);
        let lines: Vec<String> = out.iter().map(|(path, value)| format!("{path}={value}")).collect();
        assert_eq!(lines, ["v=1", "body.tables[0].table=a.b", "body.charge=none"]);
    }
}
