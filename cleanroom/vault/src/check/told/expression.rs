//! An expression over sets of constants.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Case, Expr, Operator};

use super::Told;
use super::values::{Values, beyond, binary, cast_to};
use crate::check::expression::Scope;

/// What an expression can be.
pub(crate) fn told(expr: &Expr, scope: &Scope<'_>) -> Told {
    match expr {
        Expr::Column(column) => scope.label(column).map_or_else(|_none| Told::any(), |label| label.told.clone()),
        Expr::Literal(value, _metadata) => Told::constant(value),
        Expr::Alias(alias) => told(&alias.expr, scope),
        Expr::Cast(cast) => in_type(&cast.expr, scope).map(|value| cast_to(value, cast.field.data_type())),
        Expr::TryCast(cast) => in_type(&cast.expr, scope).map(|value| cast_to(value, cast.field.data_type())),
        Expr::Not(inner) => truth(inner, scope, |[yes, no, null]| [no, yes, null]),
        Expr::IsTrue(inner) => truth(inner, scope, |[yes, no, null]| [yes, no || null, false]),
        Expr::IsNotTrue(inner) => truth(inner, scope, |[yes, no, null]| [no || null, yes, false]),
        Expr::IsFalse(inner) => truth(inner, scope, |[yes, no, null]| [no, yes || null, false]),
        Expr::IsNotFalse(inner) => truth(inner, scope, |[yes, no, null]| [yes || null, no, false]),
        Expr::IsUnknown(inner) | Expr::IsNull(inner) => told(inner, scope)
            .map(|value| Values::of_truths([value.can_be_null(), value.can_be_more_than_null(), false])),
        Expr::IsNotUnknown(inner) | Expr::IsNotNull(inner) => told(inner, scope)
            .map(|value| Values::of_truths([value.can_be_more_than_null(), value.can_be_null(), false])),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (left, right) = (told(left, scope), told(right, scope));
            Told::computed(&[&left, &right], |parts| match parts {
                [left, right] => binary(left, *op, right),
                _ => Values::Any,
            })
        }
        Expr::InList(InList { expr, list, negated }) => {
            let parts: Vec<Told> = std::iter::once(expr.as_ref()).chain(list).map(|part| told(part, scope)).collect();
            Told::computed(&parts.iter().collect::<Vec<_>>(), |parts| {
                let Some((value, list)) = parts.split_first() else { return Values::Any };
                let equal = list.iter().map(|item| binary(value, Operator::Eq, item));
                let within = equal.fold(Values::truth(false), |one, other| binary(&one, Operator::Or, &other));
                let [yes, no, null] = within.truths();
                if *negated { Values::of_truths([no, yes, null]) } else { within }
            })
        }
        Expr::Case(case) => of_case(case, scope),
        Expr::ScalarFunction(call) if matches!(call.func.name(), "coalesce" | "nvl" | "ifnull") => {
            let parts: Vec<Told> = call.args.iter().map(|part| told(part, scope)).collect();
            Told::computed(&parts.iter().collect::<Vec<_>>(), |parts| {
                let mut can = Values::no_value();
                for part in parts {
                    can = can.or(&part.not_null());
                    if !part.can_be_null() {
                        return can;
                    }
                }
                can.or(&Values::null())
            })
        }
        Expr::ScalarFunction(call) if matches!(call.func.name(), "least" | "greatest") => {
            let parts: Vec<Told> = call.args.iter().map(|part| told(part, scope)).collect();
            let greatest = call.func.name() == "greatest";
            Told::computed(&parts.iter().collect::<Vec<_>>(), |parts| match parts.split_first() {
                Some((first, others)) => {
                    others.iter().fold((*first).clone(), |one, other| beyond(&one, other, greatest))
                }
                None => Values::Any,
            })
        }
        // Anything else can be anything.
        _ => Told::any(),
    }
}

/// What an expression can be; of one that is true or false, no more than that.
fn in_type(expr: &Expr, scope: &Scope<'_>) -> Told {
    let told = told(expr, scope);
    if scope.data_type(expr).is_ok_and(|data_type| data_type == DataType::Boolean) {
        told.map(|value| Values::of_truths(value.truths()))
    } else {
        told
    }
}

fn truth(inner: &Expr, scope: &Scope<'_>, result: impl Fn([bool; 3]) -> [bool; 3]) -> Told {
    told(inner, scope).map(|value| Values::of_truths(result(value.truths())))
}

fn of_case(case: &Case, scope: &Scope<'_>) -> Told {
    let mut parts: Vec<Told> = case.expr.iter().map(|base| told(base, scope)).collect();
    for (when, then) in &case.when_then_expr {
        parts.push(told(when, scope));
        parts.push(told(then, scope));
    }
    parts
        .push(case.else_expr.as_deref().map_or_else(|| Told::constant(&ScalarValue::Null), |other| told(other, scope)));
    let has_base = case.expr.is_some();
    Told::computed(&parts.iter().collect::<Vec<_>>(), |parts| {
        let (base, parts) = match parts.split_first() {
            Some((base, parts)) if has_base => (Some(*base), parts),
            _ => (None, parts),
        };
        let Some((otherwise, branches)) = parts.split_last() else { return Values::Any };
        let mut can = Values::no_value();
        for branch in branches.chunks_exact(2) {
            let [when, then] = branch else { return Values::Any };
            let [yes, no, null] = match base {
                Some(base) => binary(base, Operator::Eq, when).truths(),
                None => when.truths(),
            };
            if yes {
                can = can.or(then);
            }
            if !no && !null {
                return can;
            }
        }
        can.or(otherwise)
    })
}
