//! Functions by name. What is not listed is refused.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;

use crate::refusal::{Code, Refusal};

/// What must hold of a function's arguments so that it cannot raise an error and its result stays small.
#[derive(Clone, Copy)]
enum Arguments {
    /// Nothing.
    Any,
    /// The first is a literal that names a unit of time, the second a time.
    Unit,
    /// All but the first are literals; integers among them in 0..=1000.
    RestSmallLiterals,
    /// All but the first are literals; integers among them in 1..=1000.
    RestPositiveLiterals,
    /// The first is a floating point number (integer forms raise on the least integer).
    Float,
}

/// Deterministic, total functions on values of protected rows.
const PROTECTED: &[(&str, Arguments)] = &[
    ("ascii", Arguments::Any),
    ("btrim", Arguments::Any),
    ("ceil", Arguments::Float),
    ("character_length", Arguments::Any),
    ("coalesce", Arguments::Any),
    ("concat", Arguments::Any),
    ("contains", Arguments::Any),
    ("date_part", Arguments::Unit),
    ("date_trunc", Arguments::Unit),
    ("ends_with", Arguments::Any),
    ("floor", Arguments::Float),
    ("greatest", Arguments::Any),
    ("initcap", Arguments::Any),
    ("least", Arguments::Any),
    ("left", Arguments::RestSmallLiterals),
    ("lower", Arguments::Any),
    ("ltrim", Arguments::Any),
    ("nullif", Arguments::Any),
    ("nvl", Arguments::Any),
    ("octet_length", Arguments::Any),
    ("right", Arguments::RestSmallLiterals),
    ("round", Arguments::Float),
    ("rtrim", Arguments::Any),
    ("starts_with", Arguments::Any),
    ("strpos", Arguments::Any),
    ("substr", Arguments::RestPositiveLiterals),
    ("trunc", Arguments::Float),
    ("upper", Arguments::Any),
];

/// Further functions above the release, where errors can depend on released values only. Nothing that grows its input
/// without bound, draws at random, tells the time, or reads files or settings.
const RELEASED: &[&str] = &[
    "abs",
    "acos",
    "asin",
    "atan",
    "atan2",
    "cbrt",
    "cos",
    "cot",
    "degrees",
    "exp",
    "gcd",
    "isnan",
    "iszero",
    "lcm",
    "ln",
    "log",
    "log10",
    "log2",
    "nanvl",
    "nvl2",
    "pi",
    "power",
    "radians",
    "reverse",
    "signum",
    "sin",
    "split_part",
    "sqrt",
    "tan",
    "to_char",
    "to_date",
];

/// Aggregates above the release.
const RELEASED_AGGREGATES: &[&str] = &[
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

fn refuse(name: &str, where_: &str) -> Refusal {
    Refusal::new(Code::Function, format!("the function `{name}` is not allowed {where_}")).about(name)
}

/// A call on values of protected rows; `types` are those of the arguments.
pub(crate) fn check_protected(name: &str, args: &[Expr], first_is_float: bool) -> Result<(), Refusal> {
    let Some((_name, rule)) = PROTECTED.iter().find(|(known, _rule)| *known == name) else {
        return Err(refuse(name, "on protected rows"));
    };
    let bounded = |range: std::ops::RangeInclusive<i64>| {
        // Bare: a cast around a text would give a number that was not looked at.
        args.iter()
            .skip(1)
            .all(|arg| matches!(arg, Expr::Literal(ScalarValue::Int64(Some(value)), _) if range.contains(value)))
    };
    let fits = match rule {
        Arguments::Any => true,
        Arguments::Unit => match args {
            [unit, _moment] => matches!(literal(unit), Some(ScalarValue::Utf8(Some(unit))) if is_unit(name, unit)),
            _ => false,
        },
        Arguments::RestSmallLiterals => bounded(0..=1000),
        Arguments::RestPositiveLiterals => bounded(1..=1000),
        Arguments::Float => first_is_float && bounded(-30..=30),
    };
    if fits {
        Ok(())
    } else {
        Err(Refusal::new(
            Code::Function,
            format!("`{name}` on protected rows takes small literals, and numbers with a fraction where it rounds"),
        )
        .about(name))
    }
}

/// Units of time that the function knows; another raises an error when the first row reaches it.
fn is_unit(function: &str, unit: &str) -> bool {
    let unit = unit.to_ascii_lowercase();
    let both = ["year", "quarter", "month", "week", "day", "hour", "minute", "second"];
    both.contains(&unit.as_str()) || (function == "date_part" && ["dow", "doy"].contains(&unit.as_str()))
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

pub(crate) fn check_released(name: &str) -> Result<(), Refusal> {
    if RELEASED.contains(&name) || PROTECTED.iter().any(|(known, _rule)| *known == name) {
        Ok(())
    } else {
        Err(refuse(name, "here"))
    }
}

pub(crate) fn check_released_aggregate(name: &str) -> Result<(), Refusal> {
    if RELEASED_AGGREGATES.contains(&name) { Ok(()) } else { Err(refuse(name, "here")) }
}

pub(crate) fn check_released_window(name: &str) -> Result<(), Refusal> {
    if RELEASED_WINDOWS.contains(&name) || RELEASED_AGGREGATES.contains(&name) {
        Ok(())
    } else {
        Err(refuse(name, "as a window here"))
    }
}
