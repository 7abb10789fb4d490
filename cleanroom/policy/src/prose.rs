//! Lists and numbers in sentences.

use std::fmt::Display;

/// `` `name` ``
pub(crate) fn code(name: impl Display) -> String {
    format!("`{name}`")
}

/// `a, b and c`
pub(crate) fn and(items: impl IntoIterator<Item = String>) -> String {
    joined(items, "and")
}

/// `a, b or c`
pub(crate) fn or(items: impl IntoIterator<Item = String>) -> String {
    joined(items, "or")
}

/// A number as a document could write it, without an exponent.
pub(crate) fn number(number: f64) -> String {
    number.to_string()
}

fn joined(items: impl IntoIterator<Item = String>, word: &str) -> String {
    let items: Vec<String> = items.into_iter().collect();
    match items.as_slice() {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} {word} {last}", first.join(", ")),
    }
}
