//! Expressions to terms.

use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::{AggregateFunction, Sort, WindowFunction};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, WindowFrameBound, WindowFunctionDefinition};

use super::EQUAL;
use super::term::{Term, Unlike};

/// The columns that an expression can name, and what they are.
pub(super) struct Names<'a> {
    pub(super) schema: &'a DFSchema,
    /// One for each field.
    pub(super) columns: &'a [Term],
}

impl Names<'_> {
    /// What an expression computes.
    ///
    /// # Errors
    /// For anything that is not known to be computed from what is written down here alone.
    pub(super) fn term(&self, expr: &Expr) -> Result<Term, Unlike> {
        let all = |exprs: &[Expr]| exprs.iter().map(|expr| self.term(expr)).collect::<Result<Vec<_>, _>>();
        let one = |tag, inner: &Expr| Term::list(tag, vec![self.term(inner)?]);
        match expr {
            Expr::Alias(alias) => self.term(&alias.expr),
            Expr::Column(column) => self
                .schema
                .maybe_index_of_column(column)
                .and_then(|place| self.columns.get(place))
                .cloned()
                .ok_or(Unlike),
            Expr::Literal(value, _metadata) => literal(value),
            Expr::BinaryExpr(binary) => self.binary(binary),
            Expr::Not(inner) => one("not", inner),
            Expr::IsNull(inner) => one("null", inner),
            Expr::IsNotNull(inner) => one("not-null", inner),
            Expr::IsTrue(inner) => one("true", inner),
            Expr::IsFalse(inner) => one("false", inner),
            Expr::IsUnknown(inner) => one("unknown", inner),
            Expr::IsNotTrue(inner) => one("not-true", inner),
            Expr::IsNotFalse(inner) => one("not-false", inner),
            Expr::IsNotUnknown(inner) => one("not-unknown", inner),
            Expr::Negative(inner) => one("negative", inner),
            Expr::Between(between) if !between.negated => {
                let (value, low, high) =
                    (self.term(&between.expr)?, self.term(&between.low)?, self.term(&between.high)?);
                let above = Term::list("<=", vec![low, value.clone()])?;
                Term::set("and", vec![above, Term::list("<=", vec![value, high])?])
            }
            Expr::Between(between) => Term::list(
                "not-between",
                vec![self.term(&between.expr)?, self.term(&between.low)?, self.term(&between.high)?],
            ),
            Expr::Like(like) => {
                let escape = like.escape_char.map(String::from).unwrap_or_default();
                let how = format!("{} {}", like.negated, like.case_insensitive);
                Term::list(
                    "like",
                    vec![self.term(&like.expr)?, self.term(&like.pattern)?, Term::text(escape), Term::text(how)],
                )
            }
            Expr::InList(list) => {
                let among = Term::set("list", all(&list.list)?)?;
                Term::list(if list.negated { "not-in" } else { "in" }, vec![self.term(&list.expr)?, among])
            }
            Expr::Case(case) => {
                let mut parts = vec![option(case.expr.as_deref().map(|expr| self.term(expr)).transpose()?)?];
                for (when, then) in &case.when_then_expr {
                    parts.push(Term::list("when", vec![self.term(when)?, self.term(then)?])?);
                }
                parts.push(option(case.else_expr.as_deref().map(|expr| self.term(expr)).transpose()?)?);
                Term::list("case", parts)
            }
            Expr::Cast(cast) => {
                Term::list("cast", vec![self.term(&cast.expr)?, Term::text(format!("{:?}", cast.field.data_type()))])
            }
            Expr::TryCast(cast) => Term::list(
                "try-cast",
                vec![self.term(&cast.expr)?, Term::text(format!("{:?}", cast.field.data_type()))],
            ),
            Expr::ScalarFunction(call) => {
                let mut parts = vec![Term::text(call.func.name())];
                parts.extend(all(&call.args)?);
                Term::list("call", parts)
            }
            Expr::AggregateFunction(call) => self.aggregate(call),
            Expr::WindowFunction(call) => self.window(call),
            _ => Err(Unlike),
        }
    }

    fn binary(&self, binary: &BinaryExpr) -> Result<Term, Unlike> {
        let (left, right) = (self.term(&binary.left)?, self.term(&binary.right)?);
        // What may be written in another order means the same, also of NULL: nothing on protected rows can raise.
        match binary.op {
            Operator::And => Term::set("and", vec![left, right]),
            Operator::Or => Term::set("or", vec![left, right]),
            Operator::Eq => Term::pair(EQUAL, left, right),
            Operator::NotEq => Term::pair("<>", left, right),
            Operator::IsDistinctFrom => Term::pair("distinct", left, right),
            Operator::IsNotDistinctFrom => Term::pair("same", left, right),
            Operator::Lt => Term::list("<", vec![left, right]),
            Operator::LtEq => Term::list("<=", vec![left, right]),
            Operator::Gt => Term::list("<", vec![right, left]),
            Operator::GtEq => Term::list("<=", vec![right, left]),
            other => Term::list("operator", vec![Term::text(format!("{other:?}")), left, right]),
        }
    }

    fn aggregate(&self, call: &AggregateFunction) -> Result<Term, Unlike> {
        let params = &call.params;
        let args = params.args.iter().map(|arg| self.term(arg)).collect::<Result<Vec<_>, _>>()?;
        Term::list(
            "aggregate",
            vec![
                Term::text(call.func.name()),
                Term::text(format!("{} {:?}", params.distinct, params.null_treatment)),
                Term::list("args", args)?,
                option(params.filter.as_deref().map(|filter| self.term(filter)).transpose()?)?,
                self.order(&params.order_by)?,
            ],
        )
    }

    fn window(&self, call: &WindowFunction) -> Result<Term, Unlike> {
        let params = &call.params;
        let kind = match &call.fun {
            WindowFunctionDefinition::AggregateUDF(_) => "aggregate",
            WindowFunctionDefinition::WindowUDF(_) => "window",
        };
        let args = params.args.iter().map(|arg| self.term(arg)).collect::<Result<Vec<_>, _>>()?;
        let partition = params.partition_by.iter().map(|by| self.term(by)).collect::<Result<Vec<_>, _>>()?;
        let frame = &params.window_frame;
        Term::list(
            "window",
            vec![
                Term::text(kind),
                Term::text(call.fun.name()),
                Term::text(format!("{} {:?}", params.distinct, params.null_treatment)),
                Term::list("args", args)?,
                option(params.filter.as_deref().map(|filter| self.term(filter)).transpose()?)?,
                Term::set("partition", partition)?,
                self.order(&params.order_by)?,
                Term::text(format!("{:?}", frame.units)),
                bound(&frame.start_bound)?,
                bound(&frame.end_bound)?,
            ],
        )
    }

    fn order(&self, by: &[Sort]) -> Result<Term, Unlike> {
        let sorts = by.iter().map(|sort| {
            Term::list("sort", vec![self.term(&sort.expr)?, Term::text(format!("{} {}", sort.asc, sort.nulls_first))])
        });
        Term::list("order", sorts.collect::<Result<Vec<_>, _>>()?)
    }
}

fn bound(bound: &WindowFrameBound) -> Result<Term, Unlike> {
    match bound {
        WindowFrameBound::Preceding(by) => Term::list("preceding", vec![literal(by)?]),
        WindowFrameBound::CurrentRow => Ok(Term::text("current")),
        WindowFrameBound::Following(by) => Term::list("following", vec![literal(by)?]),
    }
}

pub(super) fn option(term: Option<Term>) -> Result<Term, Unlike> {
    match term {
        Some(term) => Term::list("some", vec![term]),
        None => Term::list("none", Vec::new()),
    }
}

/// A value with its type.
pub(super) fn literal(value: &ScalarValue) -> Result<Term, Unlike> {
    let text = match value {
        value if value.is_null() => return Term::list("nothing", vec![Term::text(format!("{:?}", value.data_type()))]),
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
            text.clone()
        }
        ScalarValue::Float32(Some(number)) => format!("{:x}", number.to_bits()),
        ScalarValue::Float64(Some(number)) => format!("{:x}", number.to_bits()),
        ScalarValue::Boolean(Some(value)) => value.to_string(),
        ScalarValue::Int8(Some(number)) => number.to_string(),
        ScalarValue::Int16(Some(number)) => number.to_string(),
        ScalarValue::Int32(Some(number))
        | ScalarValue::Date32(Some(number))
        | ScalarValue::Time32Second(Some(number)) => number.to_string(),
        ScalarValue::Int64(Some(number))
        | ScalarValue::Date64(Some(number))
        | ScalarValue::TimestampSecond(Some(number), _)
        | ScalarValue::TimestampMillisecond(Some(number), _)
        | ScalarValue::TimestampMicrosecond(Some(number), _)
        | ScalarValue::TimestampNanosecond(Some(number), _)
        | ScalarValue::DurationSecond(Some(number))
        | ScalarValue::DurationMillisecond(Some(number))
        | ScalarValue::DurationMicrosecond(Some(number))
        | ScalarValue::DurationNanosecond(Some(number)) => number.to_string(),
        ScalarValue::UInt8(Some(number)) => number.to_string(),
        ScalarValue::UInt16(Some(number)) => number.to_string(),
        ScalarValue::UInt32(Some(number)) => number.to_string(),
        ScalarValue::UInt64(Some(number)) => number.to_string(),
        ScalarValue::Decimal128(Some(number), _, _) => number.to_string(),
        ScalarValue::IntervalYearMonth(Some(months)) => months.to_string(),
        ScalarValue::IntervalDayTime(Some(time)) => format!("{} {}", time.days, time.milliseconds),
        ScalarValue::IntervalMonthDayNano(Some(time)) => format!("{} {} {}", time.months, time.days, time.nanoseconds),
        _ => return Err(Unlike),
    };
    Term::list("literal", vec![Term::text(format!("{:?}", value.data_type())), Term::text(text)])
}
