//! Windows over protected rows: one for each unit, so that what they compute stays within it.

use std::collections::BTreeSet;

use cleanroom_policy::{MeasureFunction, Use};
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::expr::{Sort, WindowFunction};
use datafusion::logical_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, Window, WindowFrame, WindowFrameBound, WindowFrameUnits,
    WindowFunctionDefinition,
};

use super::expression::{self, Scope};
use super::label::{Kind, Label, Measure};
use super::rows::{Presence, Rows};
use super::told::Told;
use super::{Checker, Reference, Relation, flag, internal};
use crate::fixed;
use crate::refusal::{Code, Refusal};

/// Most rows that a frame or an offset looks away.
const MAX_OFFSET: u64 = 1_000;

impl Checker<'_> {
    pub(super) fn window(&mut self, window: &Window, plan: &LogicalPlan) -> Result<Relation, Refusal> {
        let rows = match self.node(&window.input)? {
            Relation::Rows(rows) => rows,
            Relation::Open(input) | Relation::Reference(Reference { plan: input, .. }) => {
                return self.open(plan, vec![input]).map(Relation::Open);
            }
        };
        if let Some(table) = &rows.fanned_out {
            return Err(super::aggregate::fan_out(table));
        }
        self.no_audience(&rows, "a window over what your own table was joined with")?;
        let inputs = window.input.schema().fields().len();
        let open = rows.open_among(&rows.places());
        // Where the rows that are there anyway are one a unit, a unit has a first row that holds the same of them, whatever
        // matches.
        let always = rows.always();
        let one_first = !always.is_empty() && rows.numbered_by.is_disjoint(&always);
        let calls = self.with_scope(window.input.schema(), &rows.labels, |scope| {
            window
                .window_expr
                .iter()
                .map(|expr| {
                    let mut call = self.window_call(expr, scope, &rows)?;
                    call.label.from.extend(flag::places_of(expr, scope));
                    // What a window makes of a row follows from what other rows its unit has.
                    call.label.from.extend(&open);
                    call.label.numbers &= one_first;
                    Ok(call)
                })
                .collect::<Result<Vec<_>, Refusal>>()
        })?;
        let mut labels = rows.labels.clone();
        let mut windows = Vec::with_capacity(calls.len());
        let visible = window.input.schema().iter();
        let mut exprs: Vec<Expr> =
            visible.map(|(qualifier, field)| Expr::Column(Column::new(qualifier.cloned(), field.name()))).collect();
        for (index, (call, (qualifier, field))) in calls.into_iter().zip(plan.schema().iter().skip(inputs)).enumerate()
        {
            let name = format!("__cr_w_{index}");
            windows.push(call.total.alias(&name));
            let value = Expr::Column(Column::new_unqualified(name));
            exprs.push(
                fixed::try_cast(value, field.data_type().clone()).alias_qualified(qualifier.cloned(), field.name()),
            );
            labels.push(call.label);
        }
        exprs.extend(rows.carried());
        let plan = LogicalPlanBuilder::from(rows.plan.clone())
            .window(windows)
            .and_then(|plan| plan.project(exprs))
            .and_then(LogicalPlanBuilder::build)
            .map_err(internal)?;
        let mut rows = rows.renamed(plan, |column| Column::new_unqualified(&column.name));
        // A window carries what one branch of a UNION holds of a unit into the rows of another: a group of the other's rows
        // is no longer one that does without this one's tables.
        for slot in &mut rows.slots {
            if let Presence::Branch { column: _, union } = &mut slot.presence {
                *union = None;
            }
        }
        for label in &mut labels {
            label.branch_of = None;
            if rows.split {
                // As little is a row one without a match where the window brings it what another of its unit's rows has.
                label.told = Told::any();
            }
        }
        Ok(Relation::Rows(Rows { labels, ..rows }))
    }

    fn window_call(&self, expr: &Expr, scope: &Scope<'_>, rows: &Rows) -> Result<Call, Refusal> {
        let Expr::WindowFunction(call) = expr.clone().unalias() else {
            return Err(Refusal::new(Code::Internal, "a window of the plan is none"));
        };
        let WindowFunction { fun, params } = *call;
        let name = fun.name().to_owned();
        if params.distinct || params.filter.is_some() {
            return Err(refused(&name, "takes neither DISTINCT nor FILTER"));
        }
        let mut partition = Vec::with_capacity(params.partition_by.len());
        let (mut by_unit, mut key_only) = (false, true);
        for expr in &params.partition_by {
            let (total, label) = expression::expression(expr, scope)?;
            // The key of an optional side is NULL for many units at once.
            by_unit |= label.is_key() && !label.optional;
            key_only &= label.is_key() && !label.optional;
            if !label.is_key()
                && label.kind != Kind::Constant
                && !label.allows(Use::Dimension)
                && !label.allows(Use::Filter)
            {
                return Err(expression::not_granted(expr, scope, Use::Dimension));
            }
            partition.push(total);
        }
        if !by_unit {
            return Err(Refusal::new(
                Code::Clause,
                "a window over protected rows looks at one unit's rows: PARTITION BY the key",
            )
            .about("OVER")
            .suggest("add the key to PARTITION BY, or aggregate first and put the window over the result"));
        }
        let mut order = Vec::with_capacity(params.order_by.len());
        for sort in &params.order_by {
            let (total, label) = expression::expression(&sort.expr, scope)?;
            if label.is_key() || !(label.kind == Kind::Constant || label.allows(Use::Filter)) {
                return Err(expression::not_granted(&sort.expr, scope, Use::Filter));
            }
            order.push(Sort { expr: total, ..sort.clone() });
        }
        check_frame(&params.window_frame, &name)?;
        let mut args = Vec::with_capacity(params.args.len());
        let mut arg_labels = Vec::with_capacity(params.args.len());
        for arg in &params.args {
            let (total, label) = expression::expression(arg, scope)?;
            args.push(total);
            arg_labels.push(label);
        }
        let label = self.window_label(&name, &fun, (&params.args, &arg_labels), scope, rows)?;
        let aggregates = matches!(fun, WindowFunctionDefinition::AggregateUDF(_));
        let in_ranges = params.window_frame.units != WindowFrameUnits::Rows;
        // What is equal in the order asked for would come as the engine finds it. Peers stay peers for those that treat
        // them alike.
        let peers_alike = matches!(name.as_str(), "rank" | "dense_rank") || (aggregates && in_ranges);
        if !peers_alike {
            // A row that stands in several branches of a UNION has one number; its markers tell those apart.
            order.extend(rows.hidden().into_iter().map(|column| Expr::Column(column.clone()).sort(true, true)));
        }
        let frame = if aggregates || in_frame(&name) { params.window_frame } else { WindowFrame::new(None) };
        if name == "sum"
            && let Some(arg) = args.first_mut()
        {
            let data_type = scope.data_type(params.args.first().ok_or_else(|| refused(&name, "takes an argument"))?)?;
            *arg = fixed::ticks(std::mem::take(arg), &data_type);
        }
        if name == "avg"
            && let Some(arg) = args.first_mut()
        {
            *arg = fixed::float(std::mem::take(arg));
        }
        let mut total = WindowFunction::new(fun, args);
        total.params.partition_by = partition;
        total.params.order_by = order;
        total.params.window_frame = frame;
        total.params.null_treatment = params.null_treatment;
        let numbers = name == "row_number" && key_only;
        Ok(Call { total: Expr::from(total), label: Label { numbers, ..label } })
    }

    /// What the result may be used for: what its order, its partition and its argument may all be used for.
    fn window_label(
        &self,
        name: &str,
        fun: &WindowFunctionDefinition,
        (args, labels): (&[Expr], &[Label]),
        scope: &Scope<'_>,
        rows: &Rows,
    ) -> Result<Label, Refusal> {
        let free = || Label::value(BTreeSet::from([Use::Dimension, Use::Filter]));
        let first = || match (args.first(), labels.first()) {
            (Some(arg), Some(label)) => Ok((arg, label)),
            _ => Err(refused(name, "takes an argument")),
        };
        let plain = |label: &Label| Label { measure: None, origin: None, branch_of: None, ..Label::computed([label]) };
        // Beside the analyst's own rows a unit has as many rows as the analyst gives it.
        let weighs = rows.repeated;
        let picked = |measure: &Measure| (!weighs).then(|| Measure { degree: 2, combined: true, ..measure.clone() });
        match fun {
            WindowFunctionDefinition::WindowUDF(_) => match name {
                "row_number" | "rank" | "dense_rank" => {
                    self.count_granted(rows)?;
                    Ok(free())
                }
                "lag" | "lead" | "nth_value" | "first_value" | "last_value" => {
                    let (arg, label) = first()?;
                    expression::refuse_key(arg, label, scope)?;
                    if args.iter().skip(1).any(|arg| !small_offset(arg)) {
                        return Err(refused(name, "takes a small literal as its offset, and no default value"));
                    }
                    let measure = label.measure.as_ref().and_then(picked);
                    Ok(Label { measure, ..plain(label) })
                }
                _ => Err(refused(name, "is not allowed")),
            },
            WindowFunctionDefinition::AggregateUDF(_) => {
                let (arg, label) = first()?;
                match name {
                    "count" => {
                        self.count_granted(rows)?;
                        if !(label.is_key() || label.kind == Kind::Constant || label.allows(Use::Filter)) {
                            return Err(expression::not_granted(arg, scope, Use::Filter));
                        }
                        Ok(free())
                    }
                    "sum" | "avg" => {
                        let Some(measure) = &label.measure else {
                            return Err(super::argument::not_a_measure(arg, scope));
                        };
                        let function = if name == "sum" { MeasureFunction::Sum } else { MeasureFunction::Avg };
                        self.measure_granted(measure, function, arg, label, scope)?;
                        if measure.zero_else {
                            return Err(super::argument::not_a_measure(arg, scope));
                        }
                        self.not_combined(measure, rows, arg, scope)?;
                        Ok(Label { measure: picked(measure), ..plain(label) })
                    }
                    "min" | "max" | "first_value" | "last_value" | "nth_value" => {
                        expression::refuse_key(arg, label, scope)?;
                        if !(label.allows(Use::Dimension) || label.allows(Use::Filter)) {
                            return Err(expression::not_granted(arg, scope, Use::Filter));
                        }
                        Ok(plain(label))
                    }
                    _ => Err(refused(name, "is not allowed")),
                }
            }
        }
    }
}

struct Call {
    total: Expr,
    label: Label,
}

fn in_frame(name: &str) -> bool {
    matches!(name, "first_value" | "last_value" | "nth_value")
}

fn refused(name: &str, what: &str) -> Refusal {
    Refusal::new(Code::Clause, format!("`{name}` as a window over protected rows {what}"))
        .about(name)
        .suggest("row_number, rank, dense_rank, lag, lead, first_value, last_value, count, sum, avg, min and max are allowed there")
}

/// A frame of whole partitions and rows: distances in values could overflow on some row.
fn check_frame(frame: &WindowFrame, name: &str) -> Result<(), Refusal> {
    if rank(&frame.start_bound) > rank(&frame.end_bound) {
        return Err(refused(name, "has a frame that ends before it starts"));
    }
    for bound in [&frame.start_bound, &frame.end_bound] {
        let fits = match bound {
            WindowFrameBound::CurrentRow => true,
            WindowFrameBound::Preceding(value) | WindowFrameBound::Following(value) => {
                value.is_null() || (frame.units == WindowFrameUnits::Rows && small(value))
            }
        };
        if !fits {
            return Err(refused(name, "has a frame of UNBOUNDED, CURRENT ROW and small numbers of ROWS"));
        }
    }
    Ok(())
}

/// Where a bound lies: rows before the current one are negative.
fn rank(bound: &WindowFrameBound) -> i128 {
    let distance = |value: &ScalarValue| match value {
        ScalarValue::UInt64(Some(value)) => i128::from(*value),
        ScalarValue::Int64(Some(value)) => i128::from(*value),
        // Unbounded; anything else is refused for what it is.
        _ => i128::from(u64::MAX) + 1,
    };
    match bound {
        WindowFrameBound::Preceding(value) => -distance(value),
        WindowFrameBound::CurrentRow => 0,
        WindowFrameBound::Following(value) => distance(value),
    }
}

fn small(value: &ScalarValue) -> bool {
    match value {
        ScalarValue::UInt64(Some(value)) => *value <= MAX_OFFSET,
        ScalarValue::Int64(Some(value)) => u64::try_from(*value).is_ok_and(|value| value <= MAX_OFFSET),
        _ => false,
    }
}

fn small_offset(arg: &Expr) -> bool {
    super::functions::literal(arg).is_some_and(small)
}
