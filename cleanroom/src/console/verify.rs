//! The checkpoint of a log, its key, and a verification.

use axum::extract::{Path, State};
use axum::response::Response;
use cleanroom_policy::Room;
use cleanroom_verify::{Key, Report, verify_directory};
use maud::{Markup, html};
use serde_json::Value;

use super::entry::as_text;
use super::form::Sent;
use super::page::{Failed, Page, Tab, form_token, room_path, sentence, text, wide};
use super::session::Visitor;
use super::timeline;
use crate::http::{App, Problem};
use crate::listing;

/// Checkpoints of the history that are shown.
const CHECKPOINTS: usize = 50;
/// Findings that are shown; a broken log can have very many.
const FINDINGS: usize = 200;

/// The page.
pub(super) async fn page(
    State(app): State<App>,
    visitor: Visitor,
    Path(name): Path<String>,
) -> Result<Response, Failed> {
    let room = app.room(&visitor.caller, &name).await?;
    shown(&app, &visitor, &room, None).await
}

/// Verifies the log as it lies on the server's disk.
pub(super) async fn now(State(app): State<App>, Path(name): Path<String>, sent: Sent) -> Result<Response, Failed> {
    let room = app.room(&sent.visitor.caller, &name).await?;
    let Ok(turn) = app.console().verifying.clone().try_acquire_owned() else {
        return Err(Problem::busy().into());
    };
    // All that was decided is on disk from here on.
    app.registry().checkpoint(&room.name).await?;
    let key = app.registry().log_vkey(&room.name).await?;
    let directory = app.registry().log_directory(&room.name);
    let broken = |error: String| Problem::internal(&format!("verification of a log: {error}"));
    let report = tokio::task::spawn_blocking(move || {
        // Until it has ended, whether anybody still waits for it or not.
        let _turn = turn;
        let key: Key = key.parse().map_err(|_| "the log's own key does not read back".to_owned())?;
        verify_directory(&directory, &[key]).map_err(|error| error.to_string())
    })
    .await
    .map_err(|error| broken(error.to_string()))?
    .map_err(broken)?;
    shown(&app, &sent.visitor, &room, Some(&report)).await
}

async fn shown(app: &App, visitor: &Visitor, room: &Room, report: Option<&Report>) -> Result<Response, Failed> {
    let (checkpoint, note) = timeline::checkpoint(app, room).await?;
    let key = app.registry().log_vkey(&room.name).await?;
    let earlier = app.registry().checkpoints(&room.name, CHECKPOINTS).await?;
    let content = html! {
        @if let Some(report) = report { (findings(room, report)) }
        h2 { "Checkpoint" }
        dl.facts {
            dt { "Log" } dd { code { (checkpoint.origin) } }
            dt { "Entries" } dd { (checkpoint.size) }
            dt { "Root" } dd { code.hash { (checkpoint.root.to_base64()) } }
        }
        p.help { "A signed note (C2SP tlog-checkpoint). Keep a copy: a later log that is not grown from this one contradicts it." }
        (as_text(&note))
        h2 { "Public key" }
        p.help { "Compare it with the one that you were given by another way. A key that only this server shows proves nothing about this server." }
        (as_text(&key))
        h2 { "Verification" }
        p {
            "This server can verify the log on its own disk. That finds damage. It proves little about the server: whoever could change "
            "the log could change this page. Verify a copy yourself, with the program and a key of your own:"
        }
        p.help { "The whole log: every signature, tile and hash, and whether the entries tell a story that can be true." }
        pre.sql tabindex="0" { code { "cleanroom audit verify DIRECTORY --key '" (key) "'" } }
        p.help { "One answer, with the two files that its page offers:" }
        pre.sql tabindex="0" { code { "cleanroom audit receipt verify RECEIPT --result ANSWER.json --key '" (key) "'" } }
        form method="post" action=(room_path(room, "/log/verify")) {
            (form_token(visitor))
            button type="submit" { "Verify now, on the server" }
        }
        h2 { "Earlier checkpoints" }
        (history(room, &earlier))
    };
    Ok(Page::new("Checkpoint and verification", visitor).of(room, Tab::Log).show(&content))
}

/// What was signed, newest first, by whom as the notes say it.
fn history(room: &Room, notes: &[String]) -> Markup {
    let word = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    html! {
        (wide("Checkpoints that were signed", &html! {
            table {
                caption { span { "Signed checkpoints, the newest first" @if notes.len() == CHECKPOINTS { ": the last " (CHECKPOINTS) } } }
                thead { tr { th scope="col" { "Entries" } th scope="col" { "Last entry" } th scope="col" { "Root" } th scope="col" { "Signed by" } } }
                tbody {
                    @for signed in notes.iter().map(|note| listing::checkpoint(note)) {
                        @let size = signed.get("size").and_then(Value::as_u64).unwrap_or_default();
                        @let names = signed.get("signed_by").and_then(Value::as_array).into_iter().flatten();
                        tr {
                            th scope="row" { (size) }
                            td { @if let Some(last) = size.checked_sub(1) { a href=(room_path(room, &format!("/log/{last}"))) { (last) } } }
                            td { code.hash { (text(&word(&signed, "root"))) } }
                            td { (text(&names.filter_map(Value::as_str).collect::<Vec<_>>().join(", "))) }
                        }
                    }
                }
            }
        }))
        p.help { "The notes themselves, with every signature: " code { "cleanroom audit checkpoints --format json" } "." }
    }
}

fn findings(room: &Room, report: &Report) -> Markup {
    let passed = report.passed();
    html! {
        section aria-labelledby="verdict" {
            h2 #verdict { @if passed { "Verified by the server" } @else { "Not verified" } }
            p.notice.good[passed].bad[!passed] role="status" {
                @if passed { "All " (report.size) " entries are as they were signed, and tell a story that can be true." }
                @else { "The log on the server's disk is not as it should be." }
                " Root " code.hash { (report.root.to_base64()) }
            }
            @match report.strict {
                Some(true) => { p { "By its last entry about that, the room is strict: its answers wait for witnesses." } },
                Some(false) => { p { "The room is not strict: its answers wait for no witness." } },
                None => {},
            }
            @if !report.findings.is_empty() {
                (wide("Findings", &html! {
                    table {
                        caption { span { "Findings" @if report.findings.len() > FINDINGS { ": the first " (FINDINGS) " of " (report.findings.len()) } } }
                        thead { tr { th scope="col" { "Entry" } th scope="col" { "Code" } th scope="col" { "Finding" } } }
                        tbody {
                            @for finding in report.findings.iter().take(FINDINGS) {
                                tr {
                                    th scope="row" {
                                        @match finding.index {
                                            Some(index) => { a href=(room_path(room, &format!("/log/{index}"))) { (index) } },
                                            None => { "all" },
                                        }
                                    }
                                    td { span.state.bad[finding.is_failure()].warn[!finding.is_failure()] { (finding.code.as_str()) } }
                                    td { (sentence(&finding.message)) }
                                }
                            }
                        }
                    }
                }))
            }
        }
    }
}
