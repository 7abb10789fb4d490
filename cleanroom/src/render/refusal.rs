//! Refusals for people, in the way compilers show errors.

use std::fmt::Write as _;

use serde_json::Value;

use super::visible::visible;

/// The `error` object of the contract as lines of text. `sql` is what was asked.
pub(crate) fn refusal_text(error: &Value, sql: &str) -> String {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    // Codes of limits and internal failures are of questions that were admitted.
    let code = text(error, "code");
    let verdict = if code.starts_with("CR42") || code.starts_with("CR5") { "failed" } else { "refused" };
    let mut out = format!("{verdict}[{}]: {}\n", code, text(error, "title"));
    let mut gutter = 0;
    if let Some(excerpt) = error.get("span").and_then(|span| Excerpt::new(span, sql)) {
        gutter = excerpt.gutter();
        out.push_str(&excerpt.to_string());
    }
    let mut note = |label: &str, what: &str| {
        if !what.is_empty() {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{:gutter$} = {label}: {}", "", visible(what));
        }
    };
    note("reason", &text(error, "detail"));
    if let Some(policy) = error.get("policy") {
        let line = policy
            .get("line")
            .and_then(Value::as_u64)
            .map(|line| format!(", line {line} of the policy"))
            .unwrap_or_default();
        note(
            "policy",
            &format!(
                "`{}` of `{}`, owned by {}{line}",
                text(policy, "rule"),
                text(policy, "table"),
                text(policy, "owner")
            ),
        );
    }
    note("help", &text(error, "suggestion"));
    out
}

/// A line of the query with its refused part underlined.
struct Excerpt<'a> {
    number: usize,
    line: &'a str,
    before: usize,
    length: usize,
}

impl<'a> Excerpt<'a> {
    fn new(span: &Value, sql: &'a str) -> Option<Self> {
        let number = |key: &str| span.get(key).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
        let (number, column, length) = (number("line")?, number("column")?, number("length")?);
        let line = sql.lines().nth(number.checked_sub(1)?)?;
        let before = column.checked_sub(1)?;
        let rest = line.chars().count().checked_sub(before)?;
        Some(Self {
            number,
            line,
            before,
            // A span over several lines is underlined on its first.
            length: length.clamp(1, rest.max(1)),
        })
    }

    fn gutter(&self) -> usize {
        self.number.to_string().len()
    }
}

impl std::fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let gutter = self.gutter();
        // One character is one column here, so that the marks stand under what they mean.
        let line: String = self.line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        writeln!(f, "{:gutter$} |", "")?;
        writeln!(f, "{} | {line}", self.number)?;
        writeln!(f, "{:gutter$} | {}{}", "", " ".repeat(self.before), "^".repeat(self.length))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_refused_part_is_underlined() {
        let error = json!({
            "code": "CR2104", "title": "key column compared with a literal", "detail": "`household_id` is a key.",
            "span": {"line": 2, "column": 7, "length": 18},
            "policy": {"table": "retailer.purchases", "owner": "retailer", "rule": "columns.household_id.use", "line": 7},
            "suggestion": "group by a dimension",
        });
        assert_eq!(
            refusal_text(&error, "SELECT COUNT(*)\nWHERE household_id = '1'"),
            "refused[CR2104]: key column compared with a literal\n  |\n2 | WHERE household_id = '1'\n  |       ^^^^^^^^^^^^^^^^^^\n  \
             = reason: `household_id` is a key.\n  = policy: `columns.household_id.use` of `retailer.purchases`, owned by \
             retailer, line 7 of the policy\n  = help: group by a dimension\n"
        );
    }

    #[test]
    fn a_span_outside_the_text_is_left_out() {
        for span in [
            json!({"line": 9, "column": 1, "length": 1}),
            json!({"line": 1, "column": 99, "length": 1}),
            json!({"line": 0, "column": 0, "length": 1}),
        ] {
            let error = json!({"code": "CR1001", "title": "not valid SQL", "span": span});
            assert_eq!(refusal_text(&error, "SELECT"), "refused[CR1001]: not valid SQL\n");
        }
    }
}
