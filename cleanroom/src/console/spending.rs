//! Budgets: what may be spent, what was, and what is left.

use axum::extract::{Path, State};
use axum::response::Response;
use cleanroom_policy::{RoomName, TableName};
use cleanroom_registry::PeriodSpending;
use maud::{Markup, html};
use serde_json::Value;
use time::Date;

use super::chart;
use super::page::{Failed, Page, Tab, moment, room_path, wide};
use super::rooms::field;
use super::session::Visitor;
use crate::http::{App, queries};
use crate::render::short;

/// The budgets of a room, as far as the visitor may see them.
pub(super) async fn page(
    State(app): State<App>,
    visitor: Visitor,
    Path(name): Path<String>,
) -> Result<Response, Failed> {
    let room = app.room(&visitor.caller, &name).await?;
    let budgets = of(&app, &visitor, &name).await?;
    let content = html! {
        @if budgets.is_empty() {
            p { "No table that you may see has a privacy budget; figures of the others are exact, under floors alone." }
        } @else {
            p.lead { "Every answer under noise spends epsilon of the tables it reads. What is spent does not come back before the next period." }
        }
        @for budget in &budgets {
            section {
                h2 { a href=(room_path(&room, &format!("/tables/{}", field(budget, "table")))) { (field(budget, "table")) } }
                (summary(budget))
                (analysts(budget))
            }
        }
    };
    Ok(Page::new("Budgets", &visitor).of(&room, Tab::Budgets).show(&content))
}

/// The budgets, as REST gives them.
pub(super) async fn of(app: &App, visitor: &Visitor, room: &str) -> Result<Vec<Value>, Failed> {
    let budgets = queries::budgets(State(app.clone()), visitor.caller.clone(), Path(room.to_owned())).await?.0;
    Ok(budgets.get("budgets").and_then(Value::as_array).cloned().unwrap_or_default())
}

fn number(value: &Value, key: &str) -> Option<f64> {
    value.get(key).and_then(Value::as_f64)
}

fn epsilon(value: Option<f64>) -> String {
    value.map_or_else(|| "without limit".to_owned(), short)
}

/// A budget in a few lines, with a meter.
pub(super) fn summary(budget: &Value) -> Markup {
    let (limit, spent) = (number(budget, "epsilon"), number(budget, "spent_epsilon"));
    let period = match field(budget, "refresh") {
        "daily" => "a day",
        "weekly" => "a week",
        "monthly" => "a month",
        _ => "once",
    };
    html! {
        @if let (Some(limit), Some(spent)) = (limit, spent) { (chart::meter(field(budget, "table"), spent, limit)) }
        dl.facts {
            dt { "Budget" } dd { "epsilon " (epsilon(limit)) " " (period) ", delta " (epsilon(number(budget, "delta"))) }
            dt { "Spent" } dd { "epsilon " (epsilon(spent)) }
            dt { "Left" } dd { "epsilon " (epsilon(number(budget, "remaining_epsilon"))) }
            @if let Some(lifetime) = budget.get("lifetime").filter(|lifetime| !lifetime.is_null()) {
                dt { "Over all periods" }
                dd { "epsilon " (epsilon(number(lifetime, "epsilon"))) ", of which " (epsilon(number(lifetime, "remaining_epsilon"))) " is left" }
            }
            @if let Some(share) = number(budget, "per_analyst") { dt { "Most for one analyst" } dd { "epsilon " (short(share)) } }
            @if let Some(ends) = budget.get("period_ends").and_then(Value::as_str) { dt { "Next period" } dd { (moment(ends)) } }
            dt { "Projected end" }
            dd {
                @match budget.get("runs_out").and_then(Value::as_str) {
                    Some(at) => { (moment(at)) ", should every day cost what the last seven did" },
                    None => { "not within ten years at the pace of the last seven days" },
                }
            }
        }
    }
}

/// What each analyst's answers add up to.
pub(super) fn analysts(budget: &Value) -> Markup {
    let analysts = budget.get("analysts").and_then(Value::as_array).cloned().unwrap_or_default();
    if analysts.is_empty() {
        return html! {};
    }
    let table = field(budget, "table");
    wide(
        &format!("Analysts of {table}"),
        &html! {
            table.snug {
                caption { span { "What the answers of each analyst add up to in this period" } }
                thead { tr { th scope="col" { "Analyst" } th.number scope="col" { "Questions charged" } th.number scope="col" { "Epsilon spent" } th.number scope="col" { "Left" } } }
                tbody {
                    @for analyst in &analysts {
                        tr {
                            th scope="row" { (field(analyst, "analyst")) }
                            td.number { (analyst.get("questions").and_then(Value::as_u64).unwrap_or_default()) }
                            td.number { (epsilon(number(analyst, "spent_epsilon"))) }
                            td.number { (number(analyst, "remaining_epsilon").map_or_else(|| "no share of its own".to_owned(), short)) }
                        }
                    }
                }
            }
        },
    )
}

/// A table's budget over the days of its period, for its owner.
pub(super) async fn over_time(app: &App, room: &RoomName, table: &TableName) -> Result<Markup, Failed> {
    let Some(spending) = app.registry().spending(room, table).await? else { return Ok(html! {}) };
    Ok(html! {
        h3 { "Over time" }
        @if spending.days.is_empty() { p { "Nothing was spent in this period." } } @else {
            (chart::budget(&spending))
            (days(&spending))
        }
    })
}

fn days(spending: &PeriodSpending) -> Markup {
    html! {
        details {
            summary { "The same in numbers" }
            (wide("Spending by day", &html! {
                table.snug {
                    caption { span { "Spent on each day (UTC), in all rooms. Under noise, questions together lose less than the sum of their epsilons." } }
                    thead { tr { th scope="col" { "Day" } th.number scope="col" { "Questions" } th.number scope="col" { "Epsilon of the day" } th.number scope="col" { "Epsilon so far" } } }
                    tbody {
                        @for day in &spending.days {
                            tr {
                                th scope="row" { (day_word(day.day)) }
                                td.number { (day.questions) }
                                td.number { (short(day.spent)) }
                                td.number { (short(day.so_far)) }
                            }
                        }
                    }
                }
            }))
        }
    }
}

/// `2026-05-04`
pub(super) fn day_word(day: Date) -> String {
    format!("{:04}-{:02}-{:02}", day.year(), u8::from(day.month()), day.day())
}
