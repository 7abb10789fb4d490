//! The rule of CASE: its conditions are filters, and its result is the value it lets through.
//!
//! A CASE tells rows apart by its conditions, so each must be granted as one. `CASE WHEN c THEN m [ELSE 0 | NULL] END` is the
//! measure `m` under a filter and stays one; any other CASE over a measure is none, or 1 200 zeros would hide one person's
//! amount.

use std::collections::BTreeSet;

use cleanroom_policy::Use;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::Case;

use super::condition::condition;
use super::keys::{refuse_compared_key, refuse_key};
use super::{Scope, expression, is_zero};
use crate::check::functions;
use crate::check::label::{Kind, Label, Measure};
use crate::refusal::Refusal;

pub(super) fn case_expression(case: &Case, scope: &Scope<'_>) -> Result<(Expr, Label), Refusal> {
    let mut conditions = Vec::new();
    let base = match &case.expr {
        Some(base) => {
            refuse_compared_key(base, scope)?;
            conditions.push(condition(base, scope)?);
            conditions.first().cloned().map(Box::new)
        }
        None => None,
    };
    let mut branches = Vec::with_capacity(case.when_then_expr.len());
    let mut results = Vec::with_capacity(case.when_then_expr.len() + 1);
    for (when, then) in &case.when_then_expr {
        let when = condition(when, scope)?;
        let (total, label) = expression(then, scope)?;
        results.push((then.as_ref(), label));
        branches.push((Box::new(when), Box::new(total)));
    }
    let mut otherwise = match &case.else_expr {
        Some(otherwise) => {
            let (total, label) = expression(otherwise, scope)?;
            results.push((otherwise.as_ref(), label));
            Some(Box::new(total))
        }
        None => None,
    };
    for (expr, label) in &results {
        refuse_key(expr, label, scope)?;
    }
    let mut label = Label::computed(results.iter().map(|(_expr, label)| label));
    // A CASE over constants still tells rows apart: as much as its conditions do, and those are granted as filters.
    if label.kind == Kind::Constant {
        label = Label::value(BTreeSet::from([Use::Dimension, Use::Filter]));
    }
    if let [(_then, only), rest @ ..] = results.as_slice()
        && let Some(measure) = &only.measure
        && case.when_then_expr.len() == 1
        && !measure.zero_else
    {
        let zero_else = match rest {
            [] => Some(false),
            [(otherwise, _label)] => match functions::literal(otherwise) {
                Some(value) if value.is_null() => Some(false),
                Some(value) if is_zero(value) => Some(true),
                _ => None,
            },
            _ => None,
        };
        if let Some(zero_else) = zero_else {
            // NULL instead of zero, so that those who add nothing do not count as those who contribute.
            // What is compared or grouped would be told NULL for zero then, so it is neither.
            otherwise = None;
            if zero_else {
                label.uses.clear();
            }
            label.measure = Some(Measure { zero_else, ..measure.clone() });
        }
    }
    Ok((Expr::Case(Case::new(base, branches, otherwise)), label))
}
