//! Expressions on protected rows: what they may name, and their total form.
//!
//! An error that depends on a row is a leak, so what comes out of here cannot raise: casts give NULL where they do not fit,
//! division gives NULL on zero, functions are listed one by one. Every variant of an expression is named here; an upgrade
//! of the engine that brings a new one does not compile until it is decided on.

use std::collections::BTreeSet;

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use cleanroom_policy::{Policy, Use};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::functions::core::expr_fn::nullif;
use datafusion::logical_expr::expr::{Alias, Between, BinaryExpr, Case, InList, Like, ScalarFunction, TryCast};
use datafusion::logical_expr::{Expr, ExprSchemable, Operator};

use super::functions;
use super::label::{Kind, Label, MatchFlag, Measure};
use crate::refusal::{Code, Refusal, Rule, Span};

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
    if let Expr::Column(column) = expr { Some(column) } else { expr.column_refs().into_iter().next() }
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
        Expr::IsNull(inner) if optional_key(inner, scope).is_some() => match_flag(expr, inner, false, scope),
        Expr::IsNotNull(inner) if optional_key(inner, scope).is_some() => match_flag(expr, inner, true, scope),
        Expr::IsNull(inner) => unary(inner, scope, |inner| Expr::IsNull(Box::new(inner))),
        // Rows without a unit are left out of every answer anyway; saying so is no test of anybody.
        Expr::IsNotNull(inner) if is_key(inner, scope) => {
            Ok((expr.clone(), Label::value(BTreeSet::from([Use::Filter]))))
        }
        Expr::IsNotNull(inner) => unary(inner, scope, |inner| Expr::IsNotNull(Box::new(inner))),
        Expr::IsTrue(inner) => unary(inner, scope, |inner| Expr::IsTrue(Box::new(inner))),
        Expr::IsFalse(inner) => unary(inner, scope, |inner| Expr::IsFalse(Box::new(inner))),
        Expr::IsUnknown(inner) => unary(inner, scope, |inner| Expr::IsUnknown(Box::new(inner))),
        Expr::IsNotTrue(inner) => unary(inner, scope, |inner| Expr::IsNotTrue(Box::new(inner))),
        Expr::IsNotFalse(inner) => unary(inner, scope, |inner| Expr::IsNotFalse(Box::new(inner))),
        Expr::IsNotUnknown(inner) => unary(inner, scope, |inner| Expr::IsNotUnknown(Box::new(inner))),
        Expr::Negative(inner) => {
            let (inner, label) = expression(inner, scope)?;
            refuse_key(&inner, &label, scope)?;
            let measure = label.measure.clone().filter(|measure| !measure.zero_else);
            let label = Label { measure, origin: None, ..label };
            Ok((Expr::Negative(Box::new(inner)), label))
        }
        Expr::Between(between) => {
            let parts = [between.expr.as_ref(), between.low.as_ref(), between.high.as_ref()];
            let (parts, label) = compared(parts, scope)?;
            let [expr, low, high] = parts;
            let between = Between::new(Box::new(expr), between.negated, Box::new(low), Box::new(high));
            Ok((Expr::Between(between), label))
        }
        Expr::Like(like) => {
            functions::check_pattern(&like.pattern)?;
            let ([inner], label) = compared([like.expr.as_ref()], scope)?;
            Ok((Expr::Like(Like { expr: Box::new(inner), ..like.clone() }), label))
        }
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

fn key_misused(expr: &Expr, label: &Label, scope: &Scope<'_>) -> Refusal {
    let refusal = Refusal::new(
        Code::KeyMisused,
        "a key column stands only in a join of keys, in COUNT(DISTINCT key), and in GROUP BY below a further aggregate",
    );
    scope.about(refusal, expr, label, "use")
}

fn is_key(expr: &Expr, scope: &Scope<'_>) -> bool {
    matches!(expr, Expr::Column(column) if scope.label(column).is_ok_and(Label::is_key))
}

/// A bare key on the side of an outer join that need not match.
fn optional_key<'s>(expr: &Expr, scope: &'s Scope<'_>) -> Option<&'s Label> {
    let Expr::Column(column) = expr else { return None };
    scope.label(column).ok().filter(|label| label.is_key() && label.optional)
}

/// Whether a row found a match: a dimension, and a condition.
fn match_flag(expr: &Expr, key: &Expr, when: bool, scope: &Scope<'_>) -> Result<(Expr, Label), Refusal> {
    let mut label = Label::value(BTreeSet::from([Use::Dimension, Use::Filter]));
    if let Some(key) = optional_key(key, scope) {
        label.from.clone_from(&key.from);
        label.matched = key.origin.as_ref().map(|origin| MatchFlag { place: origin.instance, when: Some(when) });
    }
    Ok((expr.clone(), label))
}

pub(crate) fn refuse_key(expr: &Expr, label: &Label, scope: &Scope<'_>) -> Result<(), Refusal> {
    if label.is_key() { Err(key_misused(expr, label, scope)) } else { Ok(()) }
}

fn unary(inner: &Expr, scope: &Scope<'_>, rebuild: impl FnOnce(Expr) -> Expr) -> Result<(Expr, Label), Refusal> {
    let (total, label) = expression(inner, scope)?;
    refuse_key(inner, &label, scope)?;
    Ok((rebuild(total), Label::computed([&label])))
}

/// Operands of a comparison: keys among them are refused as compared.
fn compared<const N: usize>(parts: [&Expr; N], scope: &Scope<'_>) -> Result<([Expr; N], Label), Refusal> {
    let mut totals = Vec::with_capacity(N);
    let mut labels = Vec::with_capacity(N);
    for part in parts {
        refuse_compared_key(part, scope)?;
        let (total, label) = expression(part, scope)?;
        totals.push(total);
        labels.push(label);
    }
    let label = Label::computed(&labels);
    let totals = totals.try_into().map_err(|_more| Refusal::new(Code::Internal, "an expression changed its arity"))?;
    Ok((totals, label))
}

fn refuse_compared_key(part: &Expr, scope: &Scope<'_>) -> Result<(), Refusal> {
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

fn try_cast(inner: &Expr, to: &DataType, scope: &Scope<'_>) -> Result<(Expr, Label), Refusal> {
    let (total, label) = expression(inner, scope)?;
    refuse_key(inner, &label, scope)?;
    let from = scope.data_type(inner)?;
    let text = |data_type: &DataType| matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let time = |data_type: &DataType| matches!(data_type, DataType::Date32 | DataType::Timestamp(_, None));
    let listed = match to {
        DataType::Boolean | DataType::Float64 | DataType::Float32 | DataType::Null | DataType::Decimal128(..) => true,
        // Unsigned numbers are the units' own: a column made one would pass for a key.
        to if to.is_signed_integer() || text(to) => true,
        // From a number a time could be one that no arithmetic holds; from data they lie in the years 1 to 9999.
        to if time(to) => text(&from) || time(&from) || from == DataType::Null,
        DataType::Interval(_) => functions::literal(inner).is_some(),
        _ => false,
    };
    if !listed {
        return Err(Refusal::new(Code::Function, "a cast to this type is not allowed on protected rows").about("CAST"));
    }
    // A cast that holds every value of the type it comes from keeps a measure one; any other would be a filter on it.
    let whole_digits = |data_type: &DataType| match data_type {
        DataType::Decimal128(precision, scale) => i32::from(*precision) - i32::from(*scale),
        data_type if data_type.is_integer() => 19,
        _ => i32::MAX,
    };
    let widens = match to {
        DataType::Float64 => true,
        DataType::Int64 => from == DataType::Int64,
        DataType::Decimal128(_, to_scale) => {
            let scale = match &from {
                DataType::Decimal128(_, scale) => *scale,
                _ => 0,
            };
            whole_digits(to) >= whole_digits(&from) && *to_scale >= scale
        }
        _ => false,
    };
    let measure = label.measure.clone().filter(|_measure| widens);
    let label = Label { measure, ..Label::computed([&label]) };
    let cast = Expr::TryCast(TryCast::new(Box::new(total), to.clone()));
    Ok((if time(to) && text(&from) { in_years(cast, to) } else { cast }, label))
}

/// A date or time that a text gave, if it lies in the years 1 to 9999, as those of data do; else NULL.
fn in_years(time: Expr, data_type: &DataType) -> Expr {
    const FIRST_DAY: i32 = -719_162;
    const LAST_DAY: i32 = 2_932_896;
    let day = |day: i32| Expr::Literal(ScalarValue::Date32(Some(day)), None);
    let date = match data_type {
        DataType::Date32 => time.clone(),
        _ => Expr::TryCast(TryCast::new(Box::new(time.clone()), DataType::Date32)),
    };
    let within = date.clone().gt_eq(day(FIRST_DAY)).and(date.lt_eq(day(LAST_DAY)));
    let null = ScalarValue::try_from(data_type).unwrap_or(ScalarValue::Null);
    datafusion::logical_expr::when(within, time)
        .otherwise(Expr::Literal(null.clone(), None))
        .unwrap_or(Expr::Literal(null, None))
}

fn binary_expression(binary: &BinaryExpr, scope: &Scope<'_>) -> Result<(Expr, Label), Refusal> {
    let BinaryExpr { left, op, right } = binary;
    match op {
        Operator::And | Operator::Or | Operator::StringConcat => {
            let (left_total, left_label) = expression(left, scope)?;
            refuse_key(left, &left_label, scope)?;
            let (right_total, right_label) = expression(right, scope)?;
            refuse_key(right, &right_label, scope)?;
            Ok((rebuilt(left_total, *op, right_total), Label::computed([&left_label, &right_label])))
        }
        Operator::Eq
        | Operator::NotEq
        | Operator::Lt
        | Operator::LtEq
        | Operator::Gt
        | Operator::GtEq
        | Operator::IsDistinctFrom
        | Operator::IsNotDistinctFrom => {
            let ([left, right], label) = compared([left.as_ref(), right.as_ref()], scope)?;
            Ok((rebuilt(left, *op, right), label))
        }
        Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo => {
            arithmetic(binary, scope)
        }
        Operator::RegexMatch
        | Operator::RegexIMatch
        | Operator::RegexNotMatch
        | Operator::RegexNotIMatch
        | Operator::LikeMatch
        | Operator::ILikeMatch
        | Operator::NotLikeMatch
        | Operator::NotILikeMatch
        | Operator::BitwiseAnd
        | Operator::BitwiseOr
        | Operator::BitwiseXor
        | Operator::BitwiseShiftRight
        | Operator::BitwiseShiftLeft
        | Operator::AtArrow
        | Operator::ArrowAt
        | Operator::Arrow
        | Operator::LongArrow
        | Operator::HashArrow
        | Operator::HashLongArrow
        | Operator::AtAt
        | Operator::IntegerDivide
        | Operator::HashMinus
        | Operator::AtQuestion
        | Operator::Question
        | Operator::QuestionAnd
        | Operator::QuestionPipe
        | Operator::Colon => {
            Err(Refusal::new(Code::Function, format!("the operator `{op}` is not allowed on protected rows"))
                .about(op.to_string()))
        }
    }
}

fn rebuilt(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

/// Arithmetic that cannot raise: integers wrap only outside any range the policies could give them, decimals go through
/// floating point, a zero divisor gives NULL, dates move by literal intervals of at most a century.
fn arithmetic(binary: &BinaryExpr, scope: &Scope<'_>) -> Result<(Expr, Label), Refusal> {
    let BinaryExpr { left, op, right } = binary;
    let (left_total, left_label) = expression(left, scope)?;
    refuse_key(left, &left_label, scope)?;
    let (right_total, right_label) = expression(right, scope)?;
    refuse_key(right, &right_label, scope)?;
    let (left_type, right_type) = (scope.data_type(left)?, scope.data_type(right)?);
    let result_type = scope.data_type(&Expr::BinaryExpr(binary.clone()))?;

    let mut label = Label::computed([&left_label, &right_label]);
    label.measure = combined_measure(*op, (left, &left_label, &left_type), (right, &right_label, &right_type));

    if !holds(*op, &left_type, &right_type, &result_type) {
        label.measure = None;
    }

    let number = |data_type: &DataType| data_type.is_numeric() || *data_type == DataType::Null;
    if number(&left_type) && number(&right_type) {
        let through_float = result_type.is_decimal()
            || (result_type.is_integer() && matches!(op, Operator::Divide | Operator::Modulo) && !safe_divisor(right))
            // Whole numbers wrap; a measure that does would tell one value's bits.
            || (result_type.is_integer() && label.measure.is_some());
        let total = if through_float {
            let float = |expr: Expr| Expr::TryCast(TryCast::new(Box::new(expr), DataType::Float64));
            let quotient = rebuilt(float(left_total), *op, guarded(float(right_total), *op, &DataType::Float64)?);
            let quotient = if result_type.is_integer() && *op == Operator::Divide {
                datafusion::functions::math::expr_fn::trunc(vec![quotient])
            } else {
                quotient
            };
            saturated(quotient, &result_type)
        } else {
            rebuilt(left_total, *op, guarded(right_total, *op, &right_type)?)
        };
        return Ok((total, label));
    }
    let temporal = |data_type: &DataType| matches!(data_type, DataType::Date32 | DataType::Timestamp(..));
    let moves = matches!(op, Operator::Plus | Operator::Minus);
    // In microseconds a hundred years from any year that data can hold is a time; in nanoseconds it need not be.
    let coarse = |expr: Expr, data_type: &DataType| match data_type {
        DataType::Timestamp(..) => {
            Expr::TryCast(TryCast::new(Box::new(expr), DataType::Timestamp(TimeUnit::Microsecond, None)))
        }
        _ => expr,
    };
    let moved =
        |left: Expr, right: Expr| Expr::TryCast(TryCast::new(Box::new(rebuilt(left, *op, right)), result_type.clone()));
    if moves && temporal(&left_type) && small_interval(right) {
        return Ok((moved(coarse(left_total, &left_type), right_total), label));
    }
    if *op == Operator::Plus && temporal(&right_type) && small_interval(left) {
        return Ok((moved(left_total, coarse(right_total, &right_type)), label));
    }
    let exact =
        |data_type: &DataType| matches!(data_type, DataType::Date32 | DataType::Timestamp(TimeUnit::Microsecond, None));
    if *op == Operator::Minus && left_type == right_type && exact(&left_type) {
        return Ok((rebuilt(left_total, *op, right_total), label));
    }
    Err(Refusal::new(
        Code::Function,
        format!("`{op}` on protected rows takes numbers, dates, and literal intervals of at most 100 years"),
    )
    .about(op.to_string()))
}

/// Whether a decimal type holds every result of an operation: one that is too narrow would cut a measure off at a value
/// that the question chooses.
fn holds(op: Operator, left: &DataType, right: &DataType, result: &DataType) -> bool {
    let digits = |data_type: &DataType| match data_type {
        DataType::Decimal128(precision, scale) => i32::from(*precision) - i32::from(*scale),
        _ => 19,
    };
    let DataType::Decimal128(..) = result else { return !result.is_decimal() };
    let needed = match op {
        Operator::Multiply => digits(left) + digits(right),
        _ => digits(left).max(digits(right)) + 1,
    };
    digits(result) >= needed
}

/// A floating point number as another numeric type, cut off at the type's ends instead of lost there: a NULL that depends
/// on a value would be a filter on it.
fn saturated(value: Expr, to: &DataType) -> Expr {
    let most = match to {
        DataType::Decimal128(precision, scale) => 10_f64.powi(i32::from(*precision) - i32::from(*scale)) * 0.999_999,
        _ => 9.2e18,
    };
    let cut = datafusion::logical_expr::when(
        value.clone().gt(datafusion::logical_expr::lit(most)),
        datafusion::logical_expr::lit(most),
    )
    .when(value.clone().lt(datafusion::logical_expr::lit(-most)), datafusion::logical_expr::lit(-most))
    .otherwise(value.clone())
    .unwrap_or(value);
    Expr::TryCast(TryCast::new(Box::new(cut), to.clone()))
}

/// A divisor that makes integer division raise for no value: a literal other than 0 and -1.
fn safe_divisor(expr: &Expr) -> bool {
    matches!(functions::literal(expr), Some(ScalarValue::Int64(Some(value))) if *value != 0 && *value != -1)
}

fn guarded(divisor: Expr, op: Operator, data_type: &DataType) -> Result<Expr, Refusal> {
    if !matches!(op, Operator::Divide | Operator::Modulo)
        || functions::literal(&divisor).is_some_and(|value| !zero(value))
    {
        return Ok(divisor);
    }
    let zero = ScalarValue::new_zero(data_type)
        .map_err(|_detail| Refusal::new(Code::Invalid, "the types of a division do not fit"))?;
    Ok(nullif(divisor, Expr::Literal(zero, None)))
}

fn zero(value: &ScalarValue) -> bool {
    ScalarValue::new_zero(&value.data_type()).is_ok_and(|zero| zero == *value) || value.is_null()
}

fn small_interval(expr: &Expr) -> bool {
    const MONTHS: i32 = 1_200;
    const DAYS: i32 = 36_600;
    const NANOS: i64 = 36_600 * 86_400 * 1_000_000_000;
    match functions::literal(expr) {
        Some(ScalarValue::IntervalMonthDayNano(Some(interval))) => {
            (-MONTHS..=MONTHS).contains(&interval.months)
                && (-DAYS..=DAYS).contains(&interval.days)
                && (-NANOS..=NANOS).contains(&interval.nanoseconds)
        }
        Some(value) => {
            matches!(value.data_type(), DataType::Interval(IntervalUnit::YearMonth)) && {
                matches!(value, ScalarValue::IntervalYearMonth(Some(months)) if (-MONTHS..=MONTHS).contains(months))
            }
        }
        None => false,
    }
}

/// Most that constants may multiply or divide a measure by.
const MAX_FACTOR: f64 = 1e6;

/// Arithmetic under which measures of one table stay one: sums and differences of them, a product of two columns, and
/// multiples by moderate constants. Anything else could turn a SUM into a test of one value: a power lets the largest
/// stand out, a remainder or an integer quotient is a step, a constant added hides who dominates, and one that is large
/// pushes values to where sums are cut off.
fn combined_measure(
    op: Operator,
    (left, left_label, left_type): (&Expr, &Label, &DataType),
    (right, right_label, right_type): (&Expr, &Label, &DataType),
) -> Option<Measure> {
    let both = |one: &Measure, other: &Measure, degree: u8| Measure {
        instance: one.instance,
        functions: one.functions.intersection(&other.functions).copied().collect(),
        zero_else: false,
        combined: true,
        degree,
        factors: if degree > one.degree.max(other.degree) {
            (one.factors.0 * other.factors.0, one.factors.1 * other.factors.1)
        } else {
            // A sum of a measure with itself is a multiple of it.
            (one.factors.0.min(other.factors.0), one.factors.1 + other.factors.1)
        },
        own: one.own || other.own,
    };
    let measure = match (&left_label.measure, &right_label.measure) {
        (Some(one), Some(other)) if one.instance == other.instance && !one.zero_else && !other.zero_else => match op {
            Operator::Plus | Operator::Minus => Some(both(one, other, one.degree.max(other.degree))),
            Operator::Multiply => {
                let columns = left_label.origin.is_some() && right_label.origin.is_some();
                (columns && left_label.origin != right_label.origin && one.degree == 1 && other.degree == 1)
                    .then(|| both(one, other, 2))
            }
            _ => None,
        },
        (Some(one), None) if !one.zero_else => match op {
            Operator::Multiply => scaled(one, right, false),
            Operator::Divide if left_type.is_floating() || right_type.is_floating() => scaled(one, right, true),
            _ => None,
        },
        (None, Some(other)) if !other.zero_else && op == Operator::Multiply => scaled(other, left, false),
        _ => None,
    };
    measure.filter(|measure| measure.factors.0 >= 1.0 / MAX_FACTOR && measure.factors.1 <= MAX_FACTOR)
}

/// A measure multiplied or divided by a literal.
fn scaled(measure: &Measure, constant: &Expr, divided: bool) -> Option<Measure> {
    let value = functions::literal(constant)?.cast_to(&DataType::Float64).ok()?;
    let ScalarValue::Float64(Some(value)) = value else { return None };
    if value == 0.0 || !value.is_finite() {
        return None;
    }
    let moderate = |factor: f64| (1.0 / MAX_FACTOR..=MAX_FACTOR).contains(&factor);
    let factor = if divided { 1.0 / value.abs() } else { value.abs() };
    let factors = (measure.factors.0 * factor, measure.factors.1 * factor);
    (moderate(factor) && moderate(factors.0) && moderate(factors.1)).then(|| Measure { factors, ..measure.clone() })
}

fn in_list(list: &InList, scope: &Scope<'_>) -> Result<(Expr, Label), Refusal> {
    refuse_compared_key(&list.expr, scope)?;
    let (inner, mut label) = expression(&list.expr, scope)?;
    let mut values = Vec::with_capacity(list.list.len());
    for value in &list.list {
        refuse_compared_key(value, scope)?;
        let (value, value_label) = expression(value, scope)?;
        label = Label::computed([&label, &value_label]);
        values.push(value);
    }
    Ok((Expr::InList(InList::new(Box::new(inner), values, list.negated)), Label::computed([&label])))
}

fn case_expression(case: &Case, scope: &Scope<'_>) -> Result<(Expr, Label), Refusal> {
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
                Some(value) if zero(value) => Some(true),
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

fn scalar_function(call: &ScalarFunction, scope: &Scope<'_>) -> Result<(Expr, Label), Refusal> {
    let mut args = Vec::with_capacity(call.args.len());
    let mut labels = Vec::with_capacity(call.args.len());
    for arg in &call.args {
        let (total, label) = expression(arg, scope)?;
        refuse_key(arg, &label, scope)?;
        args.push(total);
        labels.push(label);
    }
    let first_is_float = match call.args.first() {
        Some(first) => scope.data_type(first)?.is_floating(),
        None => false,
    };
    functions::check_protected(call.func.name(), &call.args, first_is_float)?;
    let label = Label::computed(&labels);
    if matches!(call.func.name(), "date_trunc" | "date_part")
        && let [_unit, moment] = args.as_mut_slice()
    {
        // In microseconds no year that data can hold overflows; in nanoseconds the first and last do.
        let from = scope.data_type(&Expr::ScalarFunction(call.clone()))?;
        let coarse = DataType::Timestamp(TimeUnit::Microsecond, None);
        let given = std::mem::take(moment);
        *moment = Expr::TryCast(TryCast::new(Box::new(given), coarse));
        let total = Expr::ScalarFunction(ScalarFunction::new_udf(call.func.clone(), args));
        return Ok((Expr::TryCast(TryCast::new(Box::new(total), from)), label));
    }
    // Without a column a function is as constant as its arguments: all listed functions are deterministic.
    Ok((Expr::ScalarFunction(ScalarFunction::new_udf(call.func.clone(), args)), label))
}
