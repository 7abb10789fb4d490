//! One table. Its owner sees what its policy says, what it said before, who asked, and what it cost.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use cleanroom_policy::{Policy, Room, TableName, diff_policies, parse_policy};
use cleanroom_registry::PolicyVersion;
use maud::{Markup, html};
use serde_json::Value;

use super::page::{Failed, Page, Tab, lines, moment, room_path, sentence, text, wide};
use super::rooms::field;
use super::session::Visitor;
use super::timeline::{self, Asked};
use super::{catalog, spending, tables};
use crate::http::{App, Problem, tables as rest};
use crate::listing;

/// Versions of a policy that are shown, the newest; each is compared with the one before it.
const VERSIONS: u32 = 20;

/// The page of a table.
pub(super) async fn page(
    State(app): State<App>,
    visitor: Visitor,
    Path((name, table)): Path<(String, String)>,
) -> Result<Response, Failed> {
    let room = app.room(&visitor.caller, &name).await?;
    let at = || Path((name.clone(), table.clone()));
    let shown = rest::get(State(app.clone()), visitor.caller.clone(), at()).await?.0;
    let table_name = TableName::parse(&table).map_err(|_| Problem::not_found())?;
    // Whoever may not read the policy sees public facts and what the catalog grants it.
    let policy = match rest::get_policy(State(app.clone()), visitor.caller.clone(), at()).await {
        Ok(policy) => Some(Some(policy.0)),
        Err(problem) if problem.status() == StatusCode::NOT_FOUND => Some(None),
        Err(problem) if problem.status() == StatusCode::FORBIDDEN => None,
        Err(problem) => return Err(problem.into()),
    };
    let inner = match &policy {
        Some(policy) => owners(&app, &visitor, &room, &table_name, policy.as_ref()).await?,
        None => others(&app, &visitor, &room, &table).await?,
    };
    let content = html! {
        @if !field(&shown, "description").is_empty() { p.lead { (text(field(&shown, "description"))) } }
        dl.facts {
            dt { "Owner" } dd { (table_name.owner()) }
            dt { "Policy" } dd { (tables::version(&shown, "policy_version", "none yet: nothing of the table is answered")) }
            dt { "Data" } dd { (tables::version(&shown, "data_version", "none yet")) }
            dt { "Taken in (UTC)" } dd { (tables::updated(&shown)) }
        }
        (inner)
    };
    Ok(Page::new(table_name.to_string(), &visitor).of(&room, Tab::Tables).show(&content))
}

async fn others(app: &App, visitor: &Visitor, room: &Room, table: &str) -> Result<Markup, Failed> {
    let granted = catalog::of(app, visitor, room.name.as_str()).await?;
    let granted = granted.iter().find(|known| field(known, "name") == table);
    Ok(html! {
        h2 { "What you may ask of it" }
        @match granted {
            Some(table) => { (catalog::columns(table)) },
            None => { p { "Its policy grants you nothing." } },
        }
    })
}

/// For the table's owner and the administrator alone: [`rest::get_policy`] has let them in.
async fn owners(
    app: &App,
    visitor: &Visitor,
    room: &Room,
    table: &TableName,
    policy: Option<&Value>,
) -> Result<Markup, Failed> {
    let versions = app.registry().policy_versions(&room.name, table, VERSIONS + 1).await?;
    let budgets = spending::of(app, visitor, room.name.as_str()).await?;
    let budget = budgets.iter().find(|budget| field(budget, "table") == table.to_string());
    let asked = timeline::asked_of(app, room, table).await?;
    let over_time = match budget {
        Some(_) => spending::over_time(app, &room.name, table).await?,
        None => html! {},
    };
    let parsed = policy.and_then(|policy| parse_policy("policy", field(policy, "text")).ok());
    Ok(html! {
        nav.contents aria-label="On this page" {
            ul {
                li { a href="#policy" { "Policy" } }
                li { a href="#history" { "History" } }
                li { a href="#asked" { "Who asked" } }
                li { a href="#budget" { "Budget" } }
            }
        }
        h2 #policy { "The policy in force" }
        @match (policy, &parsed) {
            (Some(shown), Some(parsed)) => { (in_words(parsed)) (as_text(shown)) },
            _ => { p { "There is none, so nothing of this table is answered. Its owner puts one with " code { "cleanroom apply" } "." } },
        }
        h2 #history { "History of the policy" }
        (history(room, &versions))
        h2 #asked { "Who asked of this table" }
        (who_asked(room, &asked))
        h2 #budget { "Budget" }
        @match budget {
            Some(budget) => { (spending::summary(budget)) (over_time) (spending::analysts(budget)) },
            None => { p { "The policy asks for no noise, so there is no budget: figures are exact, under floors." } },
        }
    })
}

fn in_words(policy: &Policy) -> Markup {
    let explanation = policy.explain();
    html! {
        p.lead { (sentence(&explanation.in_short)) }
        div.columns {
            @for section in explanation.sections.iter().filter(|section| !section.sentences.is_empty()) {
                section {
                    h3 { (section.title) }
                    ul { @for line in &section.sentences { li { (sentence(line)) } } }
                }
            }
        }
    }
}

fn as_text(shown: &Value) -> Markup {
    html! {
        details {
            summary { "The document as it was put" }
            p.help { "SHA-256 of what it says: " code.hash { (field(shown, "digest")) } }
            pre tabindex="0" { code { (lines(field(shown, "text"))) } }
        }
    }
}

fn history(room: &Room, versions: &[PolicyVersion]) -> Markup {
    html! {
        @if versions.is_empty() { p { "No version was ever put." } }
        ol.history reversed {
            @for (place, version) in versions.iter().take(VERSIONS as usize).enumerate() {
                li {
                    h3 { "Version " (version.version) }
                    p.help {
                        "In force from " (moment(&listing::moment(version.at))) ", by "
                        a href=(room_path(room, &format!("/log/{}", version.sequence))) { "entry " (version.sequence) }
                        @if version.signed { ", signed by its owner" } @else { ", not signed: its owner had no key in the room" }
                        "."
                    }
                    (difference(version, versions.get(place + 1)))
                }
            }
        }
    }
}

fn difference(version: &PolicyVersion, before: Option<&PolicyVersion>) -> Markup {
    let (Some(new), Some(old)) = (&version.policy, before.and_then(|before| before.policy.as_ref())) else {
        return html! {
            p {
                @match before {
                    Some(_) => { "The two texts no longer read as they did, so they are not compared." },
                    None => { "The first version." },
                }
            }
        };
    };
    let changes: Vec<_> = diff_policies(old, new).into_iter().filter(|change| change.rule != "version").collect();
    html! {
        @if changes.is_empty() { p { "It says the same as the version before." } } @else {
            ul.changes {
                @for change in &changes {
                    li {
                        span class={ "state " (change.effect.word()) } { (change.effect.word()) } " "
                        code { (text(&change.rule)) } ": " (sentence(&change.text))
                    }
                }
            }
        }
    }
}

fn who_asked(room: &Room, asked: &Asked) -> Markup {
    html! {
        p {
            "Questions that were admitted and read this table, from the log. Of a statement the log holds the SHA-256 only, and the "
            "server does not show one partner's statements to another. Questions that were refused read nothing and name no table."
        }
        @if asked.questions.is_empty() { p { "None so far." } } @else {
            (wide("Analysts", &html! {
                table.snug {
                    caption { span { "By analyst" } }
                    thead { tr { th scope="col" { "Analyst" } th.number scope="col" { "Questions" } th.number scope="col" { "Answered" } th.number scope="col" { "Not finished" } } }
                    tbody {
                        @for (analyst, counts) in &asked.analysts {
                            tr { th scope="row" { (text(analyst)) } td.number { (counts.questions) } td.number { (counts.answered) } td.number { (counts.questions - counts.answered) } }
                        }
                    }
                }
            }))
            (wide("Questions", &html! {
                table {
                    caption { span { "The newest " (asked.questions.len()) " questions" } }
                    thead { tr { th scope="col" { "Asked (UTC)" } th scope="col" { "Analyst" } th scope="col" { "Outcome" } th scope="col" { "Statement (SHA-256)" } th scope="col" { "Entry" } } }
                    tbody {
                        @for question in &asked.questions {
                            tr {
                                th scope="row" { (moment(&question.time)) }
                                td { (text(&question.analyst)) }
                                td { (timeline::state(&question.outcome)) }
                                td { code.hash { (question.sql) } }
                                td { a href=(room_path(room, &format!("/log/{}", question.sequence))) { (question.sequence) } }
                            }
                        }
                    }
                }
            }))
        }
        @if asked.more {
            p.help { "Older ones are not counted here. " a href=(room_path(room, &format!("/log?type=query.intent&table={}", asked.table))) { "All of them, in the log" } }
        }
    }
}
