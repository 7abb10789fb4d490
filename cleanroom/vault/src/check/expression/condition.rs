//! The rule of conditions: every column of a condition is granted as a filter, and none is a key.
//!
//! What a condition looks at decides which rows count, so it is told by any answer under it.

use cleanroom_policy::Use;
use datafusion::logical_expr::Expr;

use super::keys::key_misused;
use super::{Scope, expression, not_granted, weighs};
use crate::check::label::Own;
use crate::refusal::Refusal;

/// A condition: every column of it is granted as a filter.
pub(crate) fn condition(expr: &Expr, scope: &Scope<'_>) -> Result<Expr, Refusal> {
    labelled_condition(expr, scope).map(|(total, _own)| total)
}

/// The same, and whether it looks at the analyst's own distinct rows.
pub(super) fn labelled_condition(expr: &Expr, scope: &Scope<'_>) -> Result<(Expr, Own), Refusal> {
    let (total, label) = expression(expr, scope)?;
    if label.is_key() {
        return Err(key_misused(expr, &label, scope));
    }
    if !label.allows(Use::Filter) {
        return Err(not_granted(expr, scope, Use::Filter));
    }
    Ok((total, label.own))
}

/// A condition inside an aggregate, which the analyst's own distinct rows have no part in.
pub(crate) fn aggregate_condition(expr: &Expr, scope: &Scope<'_>) -> Result<Expr, Refusal> {
    let (total, own) = labelled_condition(expr, scope)?;
    if own == Own::No { Ok(total) } else { Err(weighs(expr, scope)) }
}
