//! The distance of two moments where it stands beside an interval, or its days are asked for.
//!
//! To the planner the difference of two dates is a number of days, which it compares with no interval and has no parts of.
//! In these places both operands of the minus become arguments of a function that no statement can name. It is gone once
//! the types are known: of moments it is their distance in microseconds, of anything else the difference that was written.

use arrow::datatypes::{DataType, IntervalMonthDayNano, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::expr::{Between, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility, cast,
};
use datafusion::sql::sqlparser::ast::{self, BinaryOperator, DateTimeField};

/// The function's name; a statement cannot write it.
const NAME: &str = "__cr_apart";
const MICROSECONDS: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);
const DISTANCE: DataType = DataType::Duration(TimeUnit::Microsecond);

/// Marks the differences in one expression of a statement.
pub(crate) fn marked(expr: &mut ast::Expr) {
    match expr {
        ast::Expr::Extract { field: DateTimeField::Day, expr: of, .. } => mark(of),
        ast::Expr::Function(call) if call.name.to_string().eq_ignore_ascii_case("date_part") => {
            let ast::FunctionArguments::List(list) = &mut call.args else { return };
            if let [unit, ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(of))] = list.args.as_mut_slice()
                && unit.to_string().trim_matches('\'').eq_ignore_ascii_case("day")
            {
                mark(of);
            }
        }
        ast::Expr::BinaryOp { left, op, right } if compares(op) => match (is_interval(left), is_interval(right)) {
            (false, true) => mark(left),
            (true, false) => mark(right),
            _ => {}
        },
        ast::Expr::Between { expr, low, high, negated: _ } if is_interval(low) && is_interval(high) => mark(expr),
        _ => {}
    }
}

fn compares(op: &BinaryOperator) -> bool {
    matches!(
        op,
        BinaryOperator::Eq
            | BinaryOperator::NotEq
            | BinaryOperator::Lt
            | BinaryOperator::LtEq
            | BinaryOperator::Gt
            | BinaryOperator::GtEq
    )
}

fn is_interval(expr: &ast::Expr) -> bool {
    match expr {
        ast::Expr::Nested(inner) => is_interval(inner),
        ast::Expr::Interval(_) => true,
        _ => false,
    }
}

fn mark(expr: &mut ast::Expr) {
    match expr {
        ast::Expr::Nested(inner) => mark(inner),
        ast::Expr::BinaryOp { left, op: BinaryOperator::Minus, right } => {
            let of =
                [left, right].map(|side| ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(side.as_ref().clone())));
            *expr = ast::Expr::Function(ast::Function {
                name: ast::ObjectName::from(vec![ast::Ident::new(NAME)]),
                uses_odbc_syntax: false,
                parameters: ast::FunctionArguments::None,
                args: ast::FunctionArguments::List(ast::FunctionArgumentList {
                    duplicate_treatment: None,
                    args: of.into(),
                    clauses: Vec::new(),
                }),
                filter: None,
                null_treatment: None,
                over: None,
                within_group: Vec::new(),
            });
        }
        _ => {}
    }
}

/// The function that the planner knows the marked differences by.
pub(crate) fn function() -> ScalarUDF {
    ScalarUDF::new_from_impl(Apart { signature: Signature::user_defined(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Apart {
    signature: Signature,
}

impl ScalarUDFImpl for Apart {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [one, other] if is_moment(one) && is_moment(other) => Ok(DISTANCE),
            [one, other] => BinaryTypeCoercer::new(one, &Operator::Minus, other).get_result_type(),
            _ => plan_err!("a difference is one of two values"),
        }
    }

    /// As the difference is called that was written.
    fn display_name(&self, args: &[Expr]) -> Result<String> {
        self.schema_name(args)
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(args.iter().map(|arg| arg.schema_name().to_string()).collect::<Vec<_>>().join(" - "))
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("a distance was not written out")
    }
}

fn is_moment(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Timestamp(_, None))
}

/// The plan with the marked differences written out. Before the engine makes types fit.
pub(crate) fn written_out(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        let names = NamePreserver::new(&node);
        let mut changed = false;
        let node = node
            .map_expressions(|expr| {
                let name = names.save(&expr);
                let written = expr.transform_up(|expr| distance(expr, &schema))?;
                changed |= written.transformed;
                Ok(written.update_data(|expr| name.restore(expr)))
            })?
            .data;
        Ok(if changed { Transformed::yes(node.recompute_schema()?) } else { Transformed::no(node) })
    })
    .map(|transformed| transformed.data)
}

fn distance(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    Ok(match expr {
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == NAME => {
            let Ok([one, other]) = <[Expr; 2]>::try_from(args) else {
                return plan_err!("a difference is one of two values");
            };
            let moments = is_moment(&one.get_type(schema)?) && is_moment(&other.get_type(schema)?);
            let moment = |expr: Expr| if moments { cast(expr, MICROSECONDS) } else { expr };
            Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(
                Box::new(moment(one)),
                Operator::Minus,
                Box::new(moment(other)),
            )))
        }
        Expr::BinaryExpr(BinaryExpr {
            mut left,
            op: op @ (Operator::Eq | Operator::NotEq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq),
            mut right,
        }) if apart(&left) || apart(&right) => {
            for side in [&mut left, &mut right] {
                if is_literal_interval(side) {
                    **side = length(side)?;
                }
            }
            Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right }))
        }
        Expr::Between(Between { expr, negated, mut low, mut high }) if apart(&expr) => {
            for side in [&mut low, &mut high] {
                if is_literal_interval(side) {
                    **side = length(side)?;
                }
            }
            Transformed::yes(Expr::Between(Between { expr, negated, low, high }))
        }
        other => Transformed::no(other),
    })
}

/// A distance of two moments as it was written out just now.
fn apart(expr: &Expr) -> bool {
    let moment = |expr: &Expr| matches!(expr, Expr::Cast(cast) if *cast.field.data_type() == MICROSECONDS);
    matches!(expr, Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, right }) if moment(left) && moment(right))
}

fn is_literal_interval(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(ScalarValue::IntervalMonthDayNano(_), _metadata))
}

/// A literal interval as a distance: the engine would compare months, days and what is left one after the other, and a
/// distance has no days. One of months is of no one length, and is refused.
fn length(expr: &Expr) -> Result<Expr> {
    const DAY: i64 = 86_400_000_000;
    let whole = match expr {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), _metadata) => {
            let IntervalMonthDayNano { months, days, nanoseconds } = *interval;
            let microseconds = i64::from(days).checked_mul(DAY).and_then(|days| days.checked_add(nanoseconds / 1_000));
            microseconds.filter(|_whole| months == 0 && nanoseconds % 1_000 == 0)
        }
        _ => None,
    };
    match whole {
        Some(microseconds) => Ok(Expr::Literal(ScalarValue::DurationMicrosecond(Some(microseconds)), None)),
        None => plan_err!("a distance is compared with days and what is shorter"),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn marks(sql: &str) -> String {
        let mut expr =
            Parser::new(&GenericDialect {}).try_with_sql(sql).and_then(|mut parser| parser.parse_expr()).unwrap();
        marked(&mut expr);
        expr.to_string()
    }

    #[test]
    fn differences_are_marked_beside_intervals_and_where_their_days_are_asked_for() {
        for (sql, marked) in [
            ("a - b < INTERVAL '7 days'", "__cr_apart(a, b) < INTERVAL '7 days'"),
            ("INTERVAL '7 days' >= (a - b)", "INTERVAL '7 days' >= (__cr_apart(a, b))"),
            (
                "a - b BETWEEN INTERVAL '0 days' AND INTERVAL '7 days'",
                "__cr_apart(a, b) BETWEEN INTERVAL '0 days' AND INTERVAL '7 days'",
            ),
            ("EXTRACT(DAY FROM a - b)", "EXTRACT(DAY FROM __cr_apart(a, b))"),
            ("date_part('day', a - b)", "date_part('day', __cr_apart(a, b))"),
        ] {
            assert_eq!(marks(sql), marked);
        }
        for sql in ["a - b < 7", "a - b", "EXTRACT(MONTH FROM a - b)", "a < INTERVAL '7 days'", "a - b BETWEEN 1 AND 7"]
        {
            assert_eq!(marks(sql), sql);
        }
    }

    #[test]
    fn an_interval_is_a_length_where_it_has_one() {
        let interval = |months, days, nanoseconds| {
            length(&Expr::Literal(
                ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano { months, days, nanoseconds })),
                None,
            ))
            .ok()
        };
        let distance = |microseconds| Some(Expr::Literal(ScalarValue::DurationMicrosecond(Some(microseconds)), None));
        assert_eq!(interval(0, 2, 5_000), distance(2 * 86_400_000_000 + 5));
        assert_eq!(interval(0, -1, 0), distance(-86_400_000_000));
        assert_eq!(interval(1, 0, 0), None);
        assert_eq!(interval(0, 0, 1), None);
    }
}
