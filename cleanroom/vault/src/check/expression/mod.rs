//! Expressions on protected rows: what they may name, and their total form.
//!
//! An error that depends on a row is a leak, so what comes out of here cannot raise: casts give NULL where they do not fit,
//! division gives NULL on zero, functions are listed one by one. Every variant of an expression is named here; an upgrade
//! of the engine that brings a new one does not compile until it is decided on. Each rule has a file of its own.

mod arithmetic;
mod call;
mod case;
mod cast;
mod comparison;
mod condition;
mod keys;
mod measure;
mod operator;
mod temporal;
#[cfg(test)]
pub(super) mod tests;

use std::collections::BTreeSet;

use arrow::datatypes::DataType;
use cleanroom_policy::{Policy, Use};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::logical_expr::expr::Alias;
use datafusion::logical_expr::{Expr, ExprSchemable, lit};

use super::label::{Label, Measure};
use crate::noise;
use crate::refusal::{Code, Refusal, Rule, Span};
pub(super) use arithmetic::saturated;
use call::scalar_function;
use case::case_expression;
pub(super) use cast::in_years;
use cast::try_cast;
use comparison::{between, in_list, like};
pub(crate) use condition::condition;
pub(crate) use keys::refuse_key;
use keys::{is_key, match_flag, optional_key};
use operator::binary_expression;

/// The columns an expression can name.
pub(crate) struct Scope<'a> {
    /// As the planner's plan has them.
    pub(crate) schema: &'a DFSchema,
    /// One for each field of `schema`.
    pub(crate) labels: &'a [Label],
    /// The policy behind an origin, for messages.
    pub(crate) policies: &'a dyn Fn(&Label) -> Option<&'a Policy>,
}

impl Scope<'_> {
    pub(crate) fn label(&self, column: &Column) -> Result<&Label, Refusal> {
        self.schema
            .maybe_index_of_column(column)
            .and_then(|index| self.labels.get(index))
            .ok_or_else(|| Refusal::new(Code::Internal, "a column of the plan has no label"))
    }

    /// A refusal about a column: its place in the text and the rule of its policy.
    pub(crate) fn about(&self, refusal: Refusal, expr: &Expr, label: &Label, rule: &str) -> Refusal {
        let mut refusal = refusal;
        if let Some(column) = first_column(expr) {
            refusal = refusal.span(span_of(column)).about(column.name.clone());
        }
        if let (Some(policy), Some(origin)) = ((self.policies)(label), &label.origin) {
            refusal = refusal.rule(Rule::of(policy, &format!("columns.{}.{rule}", origin.column)));
        }
        refusal
    }

    pub(crate) fn data_type(&self, expr: &Expr) -> Result<DataType, Refusal> {
        expr.get_type(self.schema)
            .map_err(|_detail| Refusal::new(Code::Invalid, "the types of an expression do not fit"))
    }
}

/// Where a column stands in the text.
pub(crate) fn span_of(column: &Column) -> Option<Span> {
    let span = column.spans.first()?;
    (span.start.line > 0).then(|| Span {
        line: span.start.line,
        column: span.start.column,
        length: span.end.column.saturating_sub(span.start.column).max(1),
    })
}

fn first_column(expr: &Expr) -> Option<&Column> {
    // In the order of the text: the set has none.
    let place = |column: &&Column| {
        let at = column.spans.first().map(|span| (span.start.line, span.start.column));
        (at.is_none(), at, column.flat_name())
    };
    if let Expr::Column(column) = expr { Some(column) } else { expr.column_refs().into_iter().min_by_key(place) }
}

/// The total form of `expr`, and what it is. A bare key passes; a key inside anything else is refused.
pub(crate) fn expression(expr: &Expr, scope: &Scope<'_>) -> Result<(Expr, Label), Refusal> {
    match expr {
        Expr::Column(column) => Ok((expr.clone(), scope.label(column)?.clone())),
        Expr::Literal(..) => Ok((expr.clone(), Label::constant())),
        Expr::Alias(alias) => {
            let (inner, label) = expression(&alias.expr, scope)?;
            let alias = Alias { expr: Box::new(inner), ..alias.clone() };
            Ok((Expr::Alias(alias), label))
        }
        Expr::Cast(cast) => try_cast(&cast.expr, cast.field.data_type(), scope),
        Expr::TryCast(cast) => try_cast(&cast.expr, cast.field.data_type(), scope),
        Expr::BinaryExpr(binary) => binary_expression(binary, scope),
        Expr::Not(inner) => unary(inner, scope, |inner| Expr::Not(Box::new(inner))),
        Expr::IsNull(inner) if optional_key(inner, scope).is_some() => match_flag(expr, inner, scope),
        Expr::IsNotNull(inner) if optional_key(inner, scope).is_some() => match_flag(expr, inner, scope),
        Expr::IsNull(inner) => unary(inner, scope, |inner| Expr::IsNull(Box::new(inner))),
        // Rows without a unit are left out of every answer anyway; saying so is no test of anybody.
        Expr::IsNotNull(inner) if is_key(inner, scope) => {
            Ok((expr.clone(), Label::value(BTreeSet::from([Use::Filter]))))
        }
        Expr::IsNotNull(inner) => unary(inner, scope, |inner| Expr::IsNotNull(Box::new(inner))),
        // In words that the engine plans as a group, too: it fails on its own for these.
        Expr::IsTrue(inner) => unary(inner, scope, |inner| or(inner, false)),
        Expr::IsFalse(inner) => unary(inner, scope, |inner| or(Expr::Not(Box::new(inner)), false)),
        Expr::IsUnknown(inner) => unary(inner, scope, |inner| Expr::IsNull(Box::new(inner))),
        Expr::IsNotTrue(inner) => unary(inner, scope, |inner| or(Expr::Not(Box::new(inner)), true)),
        Expr::IsNotFalse(inner) => unary(inner, scope, |inner| or(inner, true)),
        Expr::IsNotUnknown(inner) => unary(inner, scope, |inner| Expr::IsNotNull(Box::new(inner))),
        Expr::Negative(inner) => {
            let (inner, label) = expression(inner, scope)?;
            refuse_key(&inner, &label, scope)?;
            // The least integer stays what it is: the engine wraps.
            let measure = label.measure.clone().filter(|measure| !measure.zero_else);
            let measure = measure.map(|measure| Measure {
                range: noise::scaled(measure.range, -1.0),
                unit_range: measure.unit_range.map(|range| noise::scaled(range, -1.0)),
                ..measure
            });
            let label = Label { measure, ..Label::computed([&label]) };
            Ok((Expr::Negative(Box::new(inner)), label))
        }
        Expr::Between(inner) => between(inner, scope),
        Expr::Like(inner) => like(inner, scope),
        Expr::InList(list) => in_list(list, scope),
        Expr::Case(case) => case_expression(case, scope),
        Expr::ScalarFunction(call) => scalar_function(call, scope),
        Expr::SimilarTo(_) => {
            Err(Refusal::new(Code::Function, "SIMILAR TO is not allowed on protected rows").about("SIMILAR"))
        }
        Expr::AggregateFunction(call) => {
            Err(Refusal::new(Code::Aggregate, "an aggregate stands where none can").about(call.func.name()))
        }
        Expr::WindowFunction(call) => {
            Err(Refusal::new(Code::Clause, "a window over protected rows is not answered").about(call.fun.name()))
        }
        Expr::ScalarSubquery(subquery) if subquery.outer_ref_columns.is_empty() => Err(Refusal::new(
            Code::ReleasedSteers,
            "a value computed by a subquery may not choose or change protected rows",
        )
        .about("SELECT")
        .suggest("aggregate first and compare the released results")),
        Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_) | Expr::ScalarSubquery(_) => {
            Err(Refusal::new(Code::Subquery, "this subquery cannot be put among protected rows")
                .suggest("use it as a condition of its own (AND), or join the table"))
        }
        Expr::OuterReferenceColumn(_, column) => {
            Err(Refusal::new(Code::Subquery, "this correlated subquery cannot be put among protected rows")
                .span(span_of(column)))
        }
        Expr::GroupingSet(_) => Err(Refusal::new(
            Code::NotAvailable,
            "ROLLUP, CUBE and GROUPING SETS over protected rows are not available in this version",
        )),
        Expr::Placeholder(_) => {
            Err(Refusal::new(Code::NotAvailable, "parameters are not available in this version").about("$"))
        }
        Expr::ScalarVariable(..) => Err(Refusal::new(Code::Syntax, "variables are not supported").about("@")),
        Expr::Unnest(_) | Expr::HigherOrderFunction(_) | Expr::Lambda(_) | Expr::LambdaVariable(_) => {
            Err(Refusal::new(Code::Syntax, "arrays and lambdas are not supported"))
        }
        #[expect(deprecated, reason = "the variant still exists; the planner resolves it")]
        Expr::Wildcard { .. } => Err(Refusal::new(Code::Invalid, "`*` stands where it cannot")),
    }
}

/// The refusal for an expression that lacks a use: about the first column that lacks it.
pub(crate) fn not_granted(expr: &Expr, scope: &Scope<'_>, what: Use) -> Refusal {
    let mut columns: Vec<&Column> = expr.column_refs().into_iter().collect();
    columns.sort_by_key(|column| column.spans.first().map(|span| (span.start.line, span.start.column)));
    let lacking = columns
        .into_iter()
        .filter_map(|column| scope.label(column).ok().map(|label| (column, label)))
        .find(|(_column, label)| !label.allows(what));
    let (code, word) = match what {
        Use::Filter => (Code::NotAFilter, "filter"),
        Use::Dimension | Use::Join | Use::Count | Use::Measure => (Code::NotADimension, "dimension"),
    };
    match lacking {
        Some((column, label)) => {
            let detail = match &label.origin {
                Some(_) => format!("`{}` is not granted as a {word}", column.name),
                None => format!("`{}` is computed from a column that is not granted as a {word}", column.name),
            };
            scope.about(Refusal::new(code, detail), &Expr::Column(column.clone()), label, "use")
        }
        None => Refusal::new(code, format!("the expression is not granted as a {word}")),
    }
}

/// A truth value, or another where it is not known.
fn or(truth: Expr, unknown: bool) -> Expr {
    coalesce(vec![truth, lit(unknown)])
}

fn unary(inner: &Expr, scope: &Scope<'_>, rebuild: impl FnOnce(Expr) -> Expr) -> Result<(Expr, Label), Refusal> {
    let (total, label) = expression(inner, scope)?;
    refuse_key(inner, &label, scope)?;
    Ok((rebuild(total), Label::computed([&label])))
}

/// Whether a constant is zero, or nothing.
fn is_zero(value: &ScalarValue) -> bool {
    ScalarValue::new_zero(&value.data_type()).is_ok_and(|zero| zero == *value) || value.is_null()
}
