//! The rule of keys: a key stands alone or not at all.
//!
//! A key column is a person's identity. Compared with a value it would pick one person; inside a function, a cast or a
//! CASE it would become a value that can be compared or shown. So it is refused everywhere here, and what may be done with
//! it (equality in a join, `COUNT(DISTINCT key)`, GROUP BY below a further aggregate, IS NOT NULL) is decided elsewhere,
//! on the bare column.

use std::collections::BTreeSet;

use cleanroom_policy::Use;
use datafusion::logical_expr::Expr;

use super::Scope;
use crate::check::label::Label;
use crate::refusal::{Code, Refusal};

/// Whether an expression is a key column as it stands.
pub(super) fn is_key(expr: &Expr, scope: &Scope<'_>) -> bool {
    matches!(expr, Expr::Column(column) if scope.label(column).is_ok_and(Label::is_key))
}

/// Refuses an operand that is a key.
pub(crate) fn refuse_key(expr: &Expr, label: &Label, scope: &Scope<'_>) -> Result<(), Refusal> {
    if label.is_key() { Err(key_misused(expr, label, scope)) } else { Ok(()) }
}

/// The refusal for a key in a place that no key may stand in.
pub(super) fn key_misused(expr: &Expr, label: &Label, scope: &Scope<'_>) -> Refusal {
    let refusal = Refusal::new(
        Code::KeyMisused,
        "a key column stands only in a join of keys, in COUNT(DISTINCT key), and in GROUP BY below a further aggregate",
    );
    scope.about(refusal, expr, label, "use")
}

/// Refuses an operand of a comparison that is a key.
pub(super) fn refuse_compared_key(part: &Expr, scope: &Scope<'_>) -> Result<(), Refusal> {
    // The planner may have put a cast around the key to compare it with a text.
    let mut bare = part;
    loop {
        bare = match bare {
            Expr::Cast(cast) => &cast.expr,
            Expr::TryCast(cast) => &cast.expr,
            _ => break,
        };
    }
    if let Expr::Column(column) = bare {
        let label = scope.label(column)?;
        if label.is_key() {
            let refusal = Refusal::new(
                Code::KeyCompared,
                format!("`{}` is a key; a key is never compared with anything but a key in a join", column.name),
            );
            return Err(scope.about(refusal, bare, label, "use"));
        }
    }
    Ok(())
}

/// A bare key on the side of an outer join that need not match.
pub(super) fn optional_key<'s>(expr: &Expr, scope: &'s Scope<'_>) -> Option<&'s Label> {
    let Expr::Column(column) = expr else { return None };
    scope.label(column).ok().filter(|label| label.is_key() && label.optional)
}

/// Whether a row found a match: a dimension, and a condition.
pub(super) fn match_flag(expr: &Expr, key: &Expr, scope: &Scope<'_>) -> Result<(Expr, Label), Refusal> {
    let mut label = Label::value(BTreeSet::from([Use::Dimension, Use::Filter]));
    if let Some(key) = optional_key(key, scope) {
        label.from.clone_from(&key.from);
    }
    Ok((expr.clone(), label))
}
