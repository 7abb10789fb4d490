//! The rule of conditions: every column of a condition is granted as a filter, and none is a key.
//!
//! What a condition looks at decides which rows count, so it is told by any answer under it.

use cleanroom_policy::Use;
use datafusion::logical_expr::Expr;

use super::keys::key_misused;
use super::{Scope, expression, not_granted};
use crate::refusal::Refusal;

/// A condition: every column of it is granted as a filter.
pub(crate) fn condition(expr: &Expr, scope: &Scope<'_>) -> Result<Expr, Refusal> {
    let (total, label) = expression(expr, scope)?;
    if label.is_key() {
        return Err(key_misused(expr, &label, scope));
    }
    if !label.allows(Use::Filter) {
        return Err(not_granted(expr, scope, Use::Filter));
    }
    Ok(total)
}
