//! A statement, with the part that is refused marked in it.

use maud::{Markup, html};
use serde_json::Value;

use super::page::lines;

/// The statement as text; what `span` names is marked.
pub(super) fn statement(sql: &str, span: Option<&Value>) -> Markup {
    let parts = span.and_then(|span| parts(sql, span));
    html! {
        pre.sql tabindex="0" {
            code {
                @match parts {
                    Some((before, marked, after)) => {
                        (lines(before))
                        mark { (lines(marked)) }
                        (lines(after))
                    },
                    None => { (lines(sql)) },
                }
            }
        }
    }
}

/// What stands before the span, in it and after it. A span over several lines is marked on its first.
fn parts<'a>(sql: &'a str, span: &Value) -> Option<(&'a str, &'a str, &'a str)> {
    let number = |key: &str| span.get(key).and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok());
    let (line, column, length) = (number("line")?, number("column")?, number("length")?);
    let mut start = 0;
    for text in sql.split('\n').take(line.checked_sub(1)?) {
        start += text.len() + 1;
    }
    let rest = sql.get(start..)?;
    let text = rest.split('\n').next()?;
    let place = |characters: usize| {
        let at = text.char_indices().nth(characters).map(|(at, _)| at);
        at.or_else(|| (text.chars().count() == characters).then_some(text.len()))
    };
    let from = place(column.checked_sub(1)?)?;
    let to = place((column - 1).saturating_add(length.max(1))).unwrap_or(text.len());
    let (before, rest) = sql.split_at_checked(start + from)?;
    let (marked, after) = rest.split_at_checked(to.checked_sub(from)?)?;
    Some((before, marked, after))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_refused_part_is_marked() {
        let sql = "SELECT é, card\nFROM <t>";
        let at = |line: u64, column: u64, length: u64| {
            statement(sql, Some(&json!({ "line": line, "column": column, "length": length }))).into_string()
        };
        assert!(at(1, 11, 4).contains("SELECT é, <mark>card</mark>\nFROM &lt;t&gt;"));
        assert!(at(2, 6, 3).contains("FROM <mark>&lt;t&gt;</mark>"));
        assert!(at(1, 11, 99).contains("<mark>card</mark>\nFROM"), "to the end of the line");
        for (line, column) in [(0, 1), (1, 0), (9, 1), (1, 99)] {
            assert!(!at(line, column, 1).contains("<mark>"), "{line}:{column}");
        }
    }
}
