//! Functions by name. What is not listed is refused.

mod given;
mod table;
#[cfg(test)]
mod tests;
mod total;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;

use crate::refusal::{Code, Refusal};
pub(super) use given::folded;
#[cfg(test)]
use table::PROTECTED;
pub(super) use table::{Form, protected};
pub(super) use total::total;
pub(crate) use total::truncated;

/// Further functions above the release, where errors can depend on released values only. Nothing that grows its input
/// without bound, draws at random, tells the time, or reads files or settings.
const RELEASED: &[&str] = &["gcd", "lcm"];

/// Regular expressions above the release: the pattern is a short constant, and the engine's take time in proportion to it
/// and the text.
const REGULAR: &[&str] = &["regexp_count", "regexp_like", "regexp_replace"];

/// Aggregates above the release.
const RELEASED_AGGREGATES: &[&str] = &[
    "approx_median",
    "approx_percentile_cont",
    "avg",
    "bool_and",
    "bool_or",
    "corr",
    "count",
    "covar_pop",
    "covar_samp",
    "grouping",
    "max",
    "median",
    "min",
    "percentile_cont",
    "stddev",
    "stddev_pop",
    "sum",
    "var",
    "var_pop",
];

/// Window functions above the release, besides the aggregates.
const RELEASED_WINDOWS: &[&str] = &[
    "cume_dist",
    "dense_rank",
    "first_value",
    "lag",
    "last_value",
    "lead",
    "nth_value",
    "ntile",
    "percent_rank",
    "rank",
    "row_number",
];

pub(super) fn refuse(name: &str, where_: &str) -> Refusal {
    Refusal::new(Code::Function, format!("the function `{name}` is not allowed {where_}")).about(name)
}

/// Longest pattern of LIKE, and most wildcards in it: patterns are compiled when the first row reaches them.
const MAX_PATTERN: usize = 256;
const MAX_WILDCARDS: usize = 32;

/// The pattern of a LIKE is a short literal.
pub(crate) fn check_pattern(pattern: &Expr) -> Result<(), Refusal> {
    let fits = match literal(pattern) {
        Some(ScalarValue::Utf8(Some(text))) => {
            text.len() <= MAX_PATTERN && text.matches(['%', '_']).count() <= MAX_WILDCARDS
        }
        Some(value) => value.is_null(),
        None => false,
    };
    if fits {
        Ok(())
    } else {
        Err(Refusal::new(
            Code::Function,
            format!(
                "the pattern of LIKE is a literal of at most {MAX_PATTERN} bytes with at most {MAX_WILDCARDS} wildcards"
            ),
        )
        .about("LIKE"))
    }
}

/// A literal, also one the planner put a cast around.
pub(crate) fn literal(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _metadata) => Some(value),
        Expr::Cast(cast) => literal(&cast.expr),
        Expr::TryCast(cast) => literal(&cast.expr),
        Expr::Alias(alias) => literal(&alias.expr),
        _ => None,
    }
}

/// The value of a constant, casts around it done; `None` where it is none, or a cast of it fails.
pub(crate) fn constant(expr: &Expr) -> Option<ScalarValue> {
    match expr {
        Expr::Literal(value, _metadata) => Some(value.clone()),
        Expr::Cast(cast) => constant(&cast.expr)?.cast_to(cast.field.data_type()).ok(),
        Expr::TryCast(cast) => constant(&cast.expr)?.cast_to(cast.field.data_type()).ok(),
        Expr::Alias(alias) => constant(&alias.expr),
        _ => None,
    }
}

/// A call above the release: listed, and where it makes texts longer, by constants that are checked as on protected rows.
pub(crate) fn check_released(name: &str, args: &[Expr]) -> Result<(), Refusal> {
    match protected(name) {
        Some(function) if function.grows => folded(function, args).map(|_args| ()),
        Some(_function) => Ok(()),
        None if RELEASED.contains(&name) => Ok(()),
        None if REGULAR.contains(&name) => check_regular(name, args),
        None => Err(refuse_released(name)),
    }
}

/// The pattern, and what else stands beside the text, are short constants.
fn check_regular(name: &str, args: &[Expr]) -> Result<(), Refusal> {
    let short = |arg: &Expr| match constant(arg) {
        Some(
            ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)),
        ) => text.len() <= MAX_PATTERN,
        Some(ScalarValue::Int64(_)) => true,
        _ => false,
    };
    if args.iter().skip(1).all(short) {
        Ok(())
    } else {
        Err(Refusal::new(
            Code::Function,
            format!("the pattern and what else `{name}` takes are constants of at most {MAX_PATTERN} bytes"),
        )
        .about(name))
    }
}

/// The aggregate whose texts are put together to one.
pub(crate) const TOGETHER: &str = "string_agg";

pub(crate) fn check_released_aggregate(name: &str) -> Result<(), Refusal> {
    // As a window it would give each row the texts of all.
    if RELEASED_AGGREGATES.contains(&name) || name == TOGETHER { Ok(()) } else { Err(refuse_released(name)) }
}

/// A function that is not answered over released results or reference tables.
fn refuse_released(name: &str) -> Refusal {
    let refusal = refuse(name, "over released results and reference tables");
    if matches!(name, "now" | "current_date" | "current_time" | "today" | "random" | "uuid") {
        refusal.suggest(
            "its value is another each time, and the same question is to have the same answer: write the value",
        )
    } else {
        refusal
    }
}

pub(crate) fn check_released_window(name: &str) -> Result<(), Refusal> {
    if RELEASED_WINDOWS.contains(&name) || RELEASED_AGGREGATES.contains(&name) {
        Ok(())
    } else {
        Err(refuse(name, "as a window here"))
    }
}
