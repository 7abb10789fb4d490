//! How a question ended, in words, as a table and as a chart.

use maud::{Markup, html};
use serde_json::Value;

use super::chart::{self, Subject};
use super::page::{sentence, text, wide};
use super::rooms::field;
use crate::render::short;

/// Rows of a result that a page shows; the files have all.
const ROWS: usize = 500;
/// Bars of a chart, and points of a line, at most.
const BARS: usize = 40;
const POINTS: usize = 400;
/// Charts of one result.
const CHARTS: usize = 3;

/// Members of an array.
fn list<'a>(object: &'a Value, key: &str) -> &'a [Value] {
    object.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// An answer: `object` is that of the contract, with outcome `released`.
pub(super) fn released(object: &Value) -> Markup {
    html! {
        (rows(object))
        (charts(object))
        (errors(object))
        (cost(object, "It cost"))
        (notes(object))
    }
}

/// What a dry run tells of a question that would be answered.
pub(super) fn priced(object: &Value) -> Markup {
    html! {
        (wide("Columns of the answer", &html! {
            table.snug {
                caption { span { "What the answer would have" } }
                thead { tr { th scope="col" { "Column" } th scope="col" { "Type" } th scope="col" { "Expected error" } } }
                tbody {
                    @for column in list(object, "columns") {
                        tr {
                            th scope="row" { (text(field(column, "name"))) }
                            td { (text(field(column, "type"))) }
                            td { (error_words(column).unwrap_or_else(|| "exact".to_owned())) }
                        }
                    }
                }
            }
        }))
        (cost(object, "It would cost"))
        (notes(object))
    }
}

/// Why there is no answer.
pub(super) fn refused(error: &Value) -> Markup {
    let policy = error.get("policy");
    html! {
        p.lead { (full(field(error, "detail"))) }
        @if let Some(policy) = policy {
            p {
                "By " code { (text(field(policy, "rule"))) } " of the policy of " code { (text(field(policy, "table"))) }
                ", owned by " (text(field(policy, "owner")))
                @if let Some(line) = policy.get("line").and_then(Value::as_u64) { ", line " (line) } "."
            }
        }
        @if !field(error, "suggestion").is_empty() {
            p { strong { "What to do: " } (full(field(error, "suggestion"))) }
        }
        @let code = field(error, "code");
        p { a href={ "/console/codes/" (code) } { "What " (code) " means" } }
    }
}

/// A sentence with its end.
fn full(text: &str) -> Markup {
    html! { (sentence(text)) @if !text.ends_with(['.', ';', '?', '!']) && !text.contains(": SELECT") { "." } }
}

fn is_number(column: &Value) -> bool {
    let kind = field(column, "type");
    ["Int", "UInt", "Float", "Decimal"].iter().any(|start| kind.starts_with(start))
}

/// Half the width of the interval of a column's number in a row.
fn off(column: &Value, row: usize) -> Option<f64> {
    let noise = column.get("noise")?;
    match noise.get("by_row").and_then(Value::as_array) {
        Some(by_row) => by_row.get(row).and_then(Value::as_f64),
        None => noise.get("ci95").and_then(Value::as_f64),
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::String(words) => text(words),
        other => other.to_string(),
    }
}

fn rows(object: &Value) -> Markup {
    let (columns, rows) = (list(object, "columns"), list(object, "rows"));
    html! {
        h2 { "Answer" }
        @if rows.is_empty() { p { "No group may be shown: none meets the floors of its policies." } } @else {
            (wide("Rows of the answer", &html! {
                table.answer {
                    caption { span {
                        @if rows.len() > ROWS { "The first " (ROWS) " of " (rows.len()) " rows; the files below hold all" }
                        @else if rows.len() == 1 { "1 row" } @else { (rows.len()) " rows" }
                    } }
                    thead { tr { @for column in columns { th.number[is_number(column)] scope="col" { (text(field(column, "name"))) } } } }
                    tbody {
                        @for (place, row) in rows.iter().take(ROWS).enumerate() {
                            tr {
                                @for (column, value) in columns.iter().zip(row.as_array().into_iter().flatten()) {
                                    td.number[is_number(column)] {
                                        @if value.is_null() { span.null { "NULL" } } @else { (cell(value)) }
                                        @if let Some(off) = off(column, place) { span.off { " ± " (short(off)) } }
                                    }
                                }
                            }
                        }
                    }
                }
            }))
        }
    }
}

/// A chart for each column of numbers, where there is one column to draw them over.
fn charts(object: &Value) -> Markup {
    let (columns, rows) = (list(object, "columns"), list(object, "rows"));
    let mut labels = columns.iter().enumerate().filter(|(_, column)| !is_number(column));
    let (Some((at, label)), None) = (labels.next(), labels.next()) else { return html! {} };
    let cells = |row: &Value, place: usize| row.get(place).cloned().unwrap_or(Value::Null);
    let named: Vec<String> = rows.iter().map(|row| cell(&cells(row, at))).collect();
    let days: Option<Vec<f64>> = named.iter().map(|name| chart::days_of(name)).collect();
    let numbers = columns.iter().enumerate().filter(|(_, column)| is_number(column)).take(CHARTS);
    let drawn: Vec<Markup> = numbers
        .filter_map(|(place, column)| {
            let value = |row: usize| {
                let at = rows.get(row).and_then(|row| row.get(place)).and_then(Value::as_f64)?;
                Some(chart::Value { at, off: off(column, row) })
            };
            let subject =
                |errors: bool| Subject { id: place + 1, name: field(column, "name"), by: field(label, "name"), errors };
            if let Some(days) = &days {
                let mut values: Vec<(f64, String, chart::Value)> = days
                    .iter()
                    .zip(&named)
                    .enumerate()
                    .filter_map(|(row, (day, name))| Some((*day, name.clone(), value(row)?)))
                    .collect();
                values.sort_by(|left, right| left.0.total_cmp(&right.0));
                let errors = values.iter().any(|(_, _, value)| value.off.is_some());
                return (2..=POINTS).contains(&values.len()).then(|| chart::line(&subject(errors), &values));
            }
            let values: Vec<(String, chart::Value)> =
                named.iter().enumerate().filter_map(|(row, name)| Some((name.clone(), value(row)?))).collect();
            let errors = values.iter().any(|(_, value)| value.off.is_some());
            (1..=BARS).contains(&values.len()).then(|| chart::bars(&subject(errors), &values))
        })
        .collect();
    html! {
        @if !drawn.is_empty() {
            h2 { @if drawn.len() == 1 { "Chart" } @else { "Charts" } }
            div.charts { @for chart in &drawn { (chart) } }
        }
    }
}

/// How far off a column's numbers are likely to be; `None` of one without noise.
fn error_words(column: &Value) -> Option<String> {
    let noise = column.get("noise")?;
    let number = |key: &str| noise.get(key).and_then(Value::as_f64).map(short);
    Some(match (field(noise, "mechanism"), number("ci95")) {
        ("derived", None) => "computed from noisy numbers".to_owned(),
        ("derived", Some(half)) => {
            format!("about ± {half} in 95 of 100 cases (computed from noisy numbers; of the median row)")
        }
        (mechanism, half) => format!(
            "± {} in 95 of 100 cases ({} noise of scale {})",
            half.unwrap_or_default(),
            text(mechanism),
            number("scale").unwrap_or_default()
        ),
    })
}

fn errors(object: &Value) -> Markup {
    let noisy: Vec<(&str, String)> = list(object, "columns")
        .iter()
        .filter_map(|column| Some((field(column, "name"), error_words(column)?)))
        .collect();
    html! {
        @if !noisy.is_empty() {
            h2 { "Expected error" }
            ul { @for (name, words) in &noisy { li { code { (text(name)) } ": " (words) } } }
        }
    }
}

fn cost(object: &Value, caption: &str) -> Markup {
    let costs = list(object, "cost");
    let number = |cost: &Value, key: &str| cost.get(key).and_then(Value::as_f64).map(short);
    html! {
        h2 { "Cost" }
        @if costs.is_empty() { p { "No privacy budget is charged." } } @else {
            (wide("Cost by table", &html! {
                table.snug {
                    caption { span { (caption) } }
                    thead { tr { th scope="col" { "Table" } th.number scope="col" { "Epsilon" } th.number scope="col" { "Delta" } th.number scope="col" { "Left for you" } } }
                    tbody {
                        @for cost in costs {
                            tr {
                                th scope="row" { (text(field(cost, "table"))) }
                                td.number { (number(cost, "epsilon").unwrap_or_default()) }
                                td.number { (number(cost, "delta").unwrap_or_default()) }
                                td.number { (number(cost, "remaining_epsilon").unwrap_or_else(|| "as before".to_owned())) }
                            }
                        }
                    }
                }
            }))
        }
    }
}

fn notes(object: &Value) -> Markup {
    let notes: Vec<&str> = list(object, "notes").iter().filter_map(Value::as_str).collect();
    html! {
        @if !notes.is_empty() {
            h2 { "Notes" }
            ul { @for note in notes { li { (sentence(note)) } } }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(label: &str, rows: &Value) -> Value {
        json!({ "outcome": "released", "notes": ["groups `below` the floor"], "cost": [],
            "columns": [{ "name": "label", "type": label },
                { "name": "n", "type": "Int64", "noise": { "mechanism": "laplace", "scale": 2.0, "ci95": 6.1 } }],
            "rows": rows })
    }

    #[test]
    fn an_answer_is_a_table_and_a_chart() {
        let page = released(&object("Utf8", &json!([["<b>", 12], ["b", null]]))).into_string();
        assert!(page.contains("&lt;b&gt;") && !page.contains("<b>"));
        assert!(page.contains("12<span class=\"off\"> ± 6.1</span>"), "{page}");
        assert_eq!(page.matches("class=\"bar\"").count(), 1, "a NULL has no bar");
        assert!(page.contains("± 6.1 in 95 of 100 cases (laplace noise of scale 2)"));
        assert!(page.contains("<code>below</code>"));
    }

    #[test]
    fn days_make_a_line() {
        let page = released(&object("Date32", &json!([["2026-05-02", 2], ["2026-05-01", 1]]))).into_string();
        assert!(page.contains("polyline") && !page.contains("class=\"bar\""));
        assert!(page.contains("2026-05-01: 1 ± 6.1; 2026-05-02: 2 ± 6.1"), "in their order");
    }

    #[test]
    fn an_empty_answer_says_why() {
        let page = released(&object("Utf8", &json!([]))).into_string();
        assert!(page.contains("none meets the floors") && !page.contains("<svg"));
    }
}
