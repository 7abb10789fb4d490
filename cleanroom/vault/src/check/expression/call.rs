//! The rule of functions: each is listed by name with what its arguments must be, and stands in its total form.

use datafusion::logical_expr::expr::{ScalarFunction, TryCast};
use datafusion::logical_expr::{Expr, ExprSchemable};

use super::cast::try_cast;
use super::keys::refuse_key;
use super::{Scope, expression};
use crate::check::functions::{self, Form};
use crate::check::label::Label;
use crate::refusal::{Code, Refusal};

/// The total form of a call. What its columns are granted for, its result is; a measure under a function is none, since a
/// function of an amount can be made a test of it.
pub(super) fn scalar_function(call: &ScalarFunction, scope: &Scope<'_>) -> Result<(Expr, Label), Refusal> {
    let name = call.func.name();
    let Some(function) = functions::protected(name) else {
        return Err(functions::refuse(name, "on protected rows"));
    };
    let whole = Expr::ScalarFunction(call.clone());
    let wanted = scope.data_type(&whole)?;
    if function.form == Form::Cast {
        return match call.args.as_slice() {
            [value] => {
                let (total, label) = try_cast(value, &wanted, scope)?;
                Ok((total, Label { measure: None, ..label }))
            }
            _ => {
                Err(Refusal::new(Code::Function, format!("`{name}` takes one argument: {}", function.usage))
                    .about(name))
            }
        };
    }
    let mut args = Vec::with_capacity(call.args.len());
    let mut labels = Vec::with_capacity(call.args.len());
    let mut types = Vec::with_capacity(call.args.len());
    for (arg, constant) in call.args.iter().zip(functions::folded(function, &call.args)?) {
        let (total, label) = expression(arg, scope)?;
        refuse_key(arg, &label, scope)?;
        types.push(scope.data_type(arg)?);
        args.push(if matches!(constant, Expr::Literal(..)) { constant } else { total });
        labels.push(label);
    }
    let total = functions::total(function.form, &call.func, args, &types, &wanted)?;
    // What stands around it was made to fit the type that the planner saw.
    let unfit = |_detail| Refusal::new(Code::Invalid, "the types of a function's arguments do not fit");
    let total = if total.get_type(scope.schema).map_err(unfit)? == wanted {
        total
    } else {
        Expr::TryCast(TryCast::new(Box::new(total), wanted))
    };
    // Without a column a function is as constant as its arguments: all listed functions are deterministic.
    Ok((total, Label::computed(&labels)))
}
