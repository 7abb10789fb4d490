//! Aggregates over protected rows: per unit, or a release point.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use cleanroom_policy::{AnalystTables, MeasureFunction, Step, Use};
use datafusion::common::{Column, DFSchemaRef};
use datafusion::functions_aggregate::expr_fn::{count, count_distinct, max, min, sum};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Aggregate, Case, Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, lit};

use super::expression::{self, Scope};
use super::label::{Kind, Label, Measure, Own};
use super::{Checker, Reference, Relation, Rows, functions, internal, under_name};
use crate::fixed;
use crate::refusal::{Code, Refusal, Rule};
use crate::source::ReleasedScan;

/// An aggregate over protected rows whose result is released.
pub(crate) struct ReleasePoint {
    pub(crate) rows: Rows,
    /// Total forms of the GROUP BY expressions.
    pub(crate) groups: Vec<Expr>,
    pub(crate) cells: Vec<Cell>,
    /// The aggregate's own schema: groups, then cells.
    pub(crate) schema: DFSchemaRef,
    /// Distinct units that a group, and every cell, needs. The greatest of the owners' floors: every row of an inner or
    /// semi join holds a unit of each table, so each owner counts the same units.
    pub(crate) floor: u64,
    /// Largest share one unit may hold of a cell; the least of the owners'.
    pub(crate) max_share: Option<f64>,
    /// Released numbers are rounded to multiples of each.
    pub(crate) round_to: Vec<Step>,
    /// The planner's node, to know the same release point when it comes again.
    original: LogicalPlan,
}

/// One aggregate of a release point.
pub(crate) struct Cell {
    pub(crate) kind: CellKind,
    /// Rows with NULL here add nothing and do not count as contributing.
    pub(crate) argument: Expr,
    pub(crate) filter: Option<Expr>,
    /// The type the query gives it.
    pub(crate) data_type: DataType,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CellKind {
    /// COUNT of rows with an argument.
    Rows,
    /// COUNT(DISTINCT unit).
    Units,
    /// SUM.
    Sum,
    /// AVG.
    Average,
}

impl Checker<'_> {
    pub(super) fn aggregate(&mut self, aggregate: &Aggregate, plan: &LogicalPlan) -> Result<Relation, Refusal> {
        let rows = match self.node(&aggregate.input)? {
            Relation::Rows(rows) => rows,
            Relation::Open(input) => return self.open(plan, vec![input]).map(Relation::Open),
            Relation::Reference(reference) => return self.reference_distinct(aggregate, plan, reference),
        };
        let groups = self.with_scope(aggregate.input.schema(), &rows.labels, |scope| {
            aggregate.group_expr.iter().map(|group| expression::expression(group, scope)).collect::<Result<Vec<_>, _>>()
        })?;
        if groups.iter().any(|(_expr, label)| label.is_key()) {
            self.per_unit(aggregate, plan, rows, groups)
        } else {
            self.release_point(aggregate, plan, rows, groups)
        }
    }

    /// DISTINCT over reference tables is still reference data; anything else aggregated of them stands above the release.
    fn reference_distinct(
        &mut self,
        aggregate: &Aggregate,
        plan: &LogicalPlan,
        reference: Reference,
    ) -> Result<Relation, Refusal> {
        let groups = self.named(plan, &aggregate.group_expr, aggregate.input.schema(), &reference.labels);
        match groups {
            Ok((groups, labels)) if aggregate.aggr_expr.is_empty() => {
                let plan = LogicalPlanBuilder::from(reference.plan)
                    .aggregate(groups, Vec::<Expr>::new())
                    .and_then(LogicalPlanBuilder::build)
                    .map_err(internal)?;
                let labels = labels.into_iter().map(|label| Label { origin: None, ..label }).collect();
                Ok(Relation::Reference(Reference { plan, labels, instances: reference.instances }))
            }
            _ => self.open(plan, vec![reference.plan]).map(Relation::Open),
        }
    }

    fn release_point(
        &mut self,
        aggregate: &Aggregate,
        plan: &LogicalPlan,
        rows: Rows,
        groups: Vec<(Expr, Label)>,
    ) -> Result<Relation, Refusal> {
        self.check_required(&rows)?;
        let cells = self.with_scope(aggregate.input.schema(), &rows.labels, |scope| {
            for (group, (_total, label)) in aggregate.group_expr.iter().zip(&groups) {
                if label.kind != Kind::Constant && !label.allows(Use::Dimension) {
                    return Err(expression::not_granted(group, scope, Use::Dimension));
                }
                if label.own == Own::Computed && !aggregate.aggr_expr.iter().all(counts_units) {
                    return Err(expression::weighs(group, scope));
                }
            }
            let types = plan.schema().fields().iter().skip(groups.len());
            aggregate
                .aggr_expr
                .iter()
                .zip(types)
                .map(|(expr, field)| self.cell(expr, field.data_type(), scope, &rows))
                .collect::<Result<Vec<_>, _>>()
        })?;
        let index = match self.releases.iter().position(|release| release.original == *plan) {
            Some(index) => index,
            None => {
                let (mut floor, mut max_share, mut round_to) = (2_u64, None::<f64>, Vec::new());
                for instance in &rows.instances {
                    let release = &self.facts(*instance)?.policy.release;
                    floor = floor.max(release.min_units);
                    if let Some(rule) = release.dominance {
                        max_share = Some(max_share.map_or(rule.max_share, |share| share.min(rule.max_share)));
                    }
                    round_to.extend(release.round_to);
                }
                self.releases.push(ReleasePoint {
                    rows,
                    groups: groups.into_iter().map(|(expr, _label)| expr).collect(),
                    cells,
                    schema: Arc::clone(plan.schema()),
                    floor,
                    max_share,
                    round_to,
                    original: plan.clone(),
                });
                self.releases.len() - 1
            }
        };
        released_scan(index, plan).map(Relation::Open)
    }

    /// One aggregate of a release point.
    fn cell(&self, expr: &Expr, data_type: &DataType, scope: &Scope<'_>, rows: &Rows) -> Result<Cell, Refusal> {
        let call = called(expr)?;
        let name = call.func.name();
        let units = name == "count" && call.params.distinct;
        let (argument, filter) = plain_call(call, scope, units)?;
        let cell = |kind, argument, filter| Cell { kind, argument, filter, data_type: data_type.clone() };
        let found = match name {
            "count" if call.params.distinct => {
                let (argument, filter) = under_case(argument, filter, scope, Zero::Counts, true)?;
                self.count_granted(rows)?;
                match argument {
                    Expr::Column(column) if scope.label(column)?.is_key() => {
                        Ok(cell(CellKind::Units, argument.clone(), filter))
                    }
                    _ => {
                        let refusal = Refusal::new(
                            Code::NotAMeasure,
                            "COUNT(DISTINCT ...) of released groups counts units, and so takes the key alone",
                        )
                        .about("DISTINCT");
                        let label = Label::constant();
                        Err(scope.about(refusal, argument, &label, "use"))
                    }
                }
            }
            "count" => {
                let (argument, filter) = under_case(argument, filter, scope, Zero::Counts, false)?;
                let (total, label) = expression::expression(argument, scope)?;
                if label.own != Own::No && !label.is_key() {
                    return Err(expression::weighs(argument, scope));
                }
                if let Some(measure) = &label.measure {
                    self.measure_granted(measure, MeasureFunction::Count, argument, &label, scope)?;
                    if measure.zero_else {
                        return Err(Refusal::new(
                            Code::NotAMeasure,
                            "a count over CASE ... ELSE 0 counts rows that are not in the case",
                        )
                        .about("ELSE")
                        .suggest("leave ELSE out, or use COUNT(*)"));
                    }
                } else {
                    self.count_granted(rows)?;
                    let null = functions::literal(argument).is_some_and(datafusion::common::ScalarValue::is_null);
                    if null || !(label.is_key() || label.kind == Kind::Constant || label.allows(Use::Filter)) {
                        return Err(expression::not_granted(argument, scope, Use::Filter));
                    }
                }
                Ok(cell(CellKind::Rows, total, filter))
            }
            "sum" | "avg" if !call.params.distinct => {
                let (kind, function) = match name {
                    "sum" => (CellKind::Sum, MeasureFunction::Sum),
                    _ => (CellKind::Average, MeasureFunction::Avg),
                };
                // CASE WHEN c THEN 1 ELSE 0 END: a count under a filter.
                if let Ok((constant, filter)) = under_case(
                    argument,
                    filter.clone(),
                    scope,
                    if kind == CellKind::Sum { Zero::AddsNothing } else { Zero::Counts },
                    false,
                ) && functions::literal(constant).is_some_and(|value| !value.is_null())
                {
                    self.count_granted(rows)?;
                    Ok(cell(kind, constant.clone(), filter))
                } else {
                    let (total, label) = expression::expression(argument, scope)?;
                    if label.own == Own::Computed {
                        return Err(expression::weighs(argument, scope));
                    }
                    let Some(measure) = &label.measure else {
                        return Err(not_a_measure(argument, scope));
                    };
                    self.measure_granted(measure, function, argument, &label, scope)?;
                    self.not_combined(measure, rows, argument, scope)?;
                    if measure.zero_else && kind == CellKind::Average {
                        return Err(Refusal::new(
                            Code::NotAMeasure,
                            "an average over CASE ... ELSE 0 counts rows that are not in the case",
                        )
                        .about("ELSE")
                        .suggest("leave ELSE out, or divide the SUM by the count you mean"));
                    }
                    Ok(cell(kind, total, filter))
                }
            }
            _ => Err(not_allowed(name)),
        }?;
        if let (Some(table), true) = (&rows.fanned_out, found.kind != CellKind::Units) {
            return Err(fan_out(table));
        }
        Ok(found)
    }

    /// Sums of several measures would let one that is suppressed for its dominance be had from the sum and the others.
    fn not_combined(&self, measure: &Measure, rows: &Rows, argument: &Expr, scope: &Scope<'_>) -> Result<(), Refusal> {
        if !measure.combined {
            return Ok(());
        }
        for instance in &rows.instances {
            let facts = self.facts(*instance)?;
            if facts.policy.release.dominance.is_some() {
                let refusal = Refusal::new(
                    Code::NotAMeasure,
                    format!("under the dominance rule of `{}` measures are aggregated one by one", facts.name),
                )
                .rule(Rule::of(&facts.policy, "release.dominance"))
                .suggest("aggregate each measure, and calculate with the released sums");
                return Err(scope.about(refusal, argument, &Label::constant(), "use"));
            }
        }
        Ok(())
    }

    /// Rows of the analyst's own stand together with those of an owner who lets nobody weigh its units.
    fn mixed_with_own(&self, rows: &Rows) -> bool {
        let tables = || rows.instances.iter().filter_map(|instance| self.instances.get(*instance));
        tables().any(|facts| facts.owner() == self.analyst)
            && tables().any(|facts| {
                facts.owner() != self.analyst && facts.policy.joins.analyst_tables == AnalystTables::Distinct
            })
    }

    /// Every owner lets its units be counted.
    fn count_granted(&self, rows: &Rows) -> Result<(), Refusal> {
        for instance in &rows.instances {
            let facts = self.facts(*instance)?;
            let Some((unit, _space)) = facts.unit() else { continue };
            if !facts.column(unit).is_some_and(|rule| rule.uses.contains(&Use::Count)) {
                return Err(Refusal::new(
                    Code::CountNotGranted,
                    format!("the policy of `{}` does not let its units or rows be counted", facts.name),
                )
                .rule(Rule::of(&facts.policy, &format!("columns.{unit}.use")))
                .about("COUNT"));
            }
        }
        Ok(())
    }

    fn measure_granted(
        &self,
        measure: &Measure,
        function: MeasureFunction,
        argument: &Expr,
        label: &Label,
        scope: &Scope<'_>,
    ) -> Result<(), Refusal> {
        if measure.own {
            let facts = self.facts(measure.instance)?;
            let refusal = Refusal::new(
                Code::OwnMeasure,
                format!("values of your own table `{}` are not aggregated in a join with another owner's: they could weigh its units", facts.name),
            )
            .suggest("aggregate your own table in a query of its own");
            return Err(scope.about(refusal, argument, label, "use"));
        }
        if !measure.functions.contains(&function) {
            let word = match function {
                MeasureFunction::Sum => "sum",
                MeasureFunction::Avg => "avg",
                MeasureFunction::Count => "count",
                MeasureFunction::Var => "var",
                MeasureFunction::Stddev => "stddev",
                MeasureFunction::Quantile => "quantile",
            };
            let refusal = Refusal::new(Code::MeasureFunction, format!("`{word}` is not granted on this measure"));
            return Err(scope.about(refusal, argument, label, "functions"));
        }
        Ok(())
    }

    /// GROUP BY with the unit: one row for each unit (and further columns), still protected.
    fn per_unit(
        &mut self,
        aggregate: &Aggregate,
        plan: &LogicalPlan,
        rows: Rows,
        groups: Vec<(Expr, Label)>,
    ) -> Result<Relation, Refusal> {
        // Grouped by the unit alone a row is a unit, however often it stood there; with anything beside it, it is not.
        let key_only = groups.iter().all(|(_total, label)| label.is_key());
        let fanned_out = if key_only { None } else { rows.fanned_out.clone() };
        let mut names = plan.schema().iter();
        let mut group_exprs = Vec::with_capacity(groups.len() + 1);
        let mut outputs = Vec::new();
        let mut labels = Vec::new();
        let derived = self.with_scope(aggregate.input.schema(), &rows.labels, |scope| {
            for (group, (total, label)) in aggregate.group_expr.iter().zip(groups) {
                if !(label.is_key()
                    || label.kind == Kind::Constant
                    || label.allows(Use::Dimension)
                    || label.allows(Use::Filter))
                {
                    return Err(expression::not_granted(group, scope, Use::Dimension));
                }
                let (qualifier, field) = names.next().ok_or_else(no_name)?;
                group_exprs.push(under_name(total, qualifier, field.name()));
                outputs.push(Expr::Column(Column::new(qualifier.cloned(), field.name())));
                labels.push(label);
            }
            aggregate
                .aggr_expr
                .iter()
                .enumerate()
                .map(|(index, expr)| self.derived(index, expr, scope, &rows))
                .collect::<Result<Vec<_>, Refusal>>()
        })?;
        let mut aggregates = Vec::new();
        for Derived { columns, output, label } in derived {
            let (qualifier, field) = names.next().ok_or_else(no_name)?;
            aggregates.extend(columns);
            let typed =
                Expr::TryCast(datafusion::logical_expr::TryCast::new(Box::new(output), field.data_type().clone()));
            outputs.push(typed.alias_qualified(qualifier.cloned(), field.name()));
            labels.push(label);
        }
        group_exprs.push(Expr::Column(rows.unit.clone()).alias(&rows.unit.name));
        let unit = Column::new_unqualified(&rows.unit.name);
        outputs.push(Expr::Column(unit.clone()));
        let plan = LogicalPlanBuilder::from(rows.plan)
            .aggregate(group_exprs, aggregates)
            .and_then(|plan| plan.project(outputs))
            .and_then(LogicalPlanBuilder::build)
            .map_err(internal)?;
        Ok(Relation::Rows(Rows {
            plan,
            labels,
            unit,
            instances: rows.instances,
            fanned_out,
            per_unit: true,
            single: key_only || rows.single,
        }))
    }

    /// One aggregate per unit: what to aggregate, how its value follows, and what may be done with it.
    fn derived(&self, index: usize, expr: &Expr, scope: &Scope<'_>, rows: &Rows) -> Result<Derived, Refusal> {
        let call = called(expr)?;
        let name = call.func.name();
        if let Some(table) = &rows.fanned_out {
            return Err(fan_out(table));
        }
        let (argument, filter) = plain_call(call, scope, false)?;
        let (first, second) = (format!("__cr_a_{index}"), format!("__cr_b_{index}"));
        let filtered = |aggregate: Expr, name: &str| match &filter {
            Some(filter) => aggregate.filter(filter.clone()).build().map(|expr| expr.alias(name)).map_err(internal),
            None => Ok(aggregate.alias(name)),
        };
        let column = |name: &str| Expr::Column(Column::new_unqualified(name));
        let (total, label) = expression::expression(argument, scope)?;
        if label.own == Own::Computed {
            return Err(expression::weighs(argument, scope));
        }
        match name {
            "count" => {
                if call.params.distinct
                    && !label.is_key()
                    && !label.allows(Use::Dimension)
                    && !label.allows(Use::Filter)
                {
                    return Err(expression::not_granted(argument, scope, Use::Dimension));
                }
                if let Some(measure) = &label.measure {
                    self.measure_granted(measure, MeasureFunction::Count, argument, &label, scope)?;
                    if measure.zero_else {
                        return Err(not_a_measure(argument, scope));
                    }
                } else if !(label.is_key()
                    || label.kind == Kind::Constant
                    || label.allows(Use::Filter)
                    || label.allows(Use::Dimension))
                {
                    return Err(expression::not_granted(argument, scope, Use::Filter));
                }
                self.count_granted(rows)?;
                let counted = if call.params.distinct { count_distinct(total) } else { count(total) };
                // A count that can be 0 is a flag of who has such rows: added up over people who have none, it would tell of
                // the one who has. A count of all of a unit's rows is at least 1.
                let never_zero = filter.is_none()
                    && !call.params.distinct
                    && (label.is_key() || (label.kind == Kind::Constant && functions::literal(argument).is_some()));
                let measure = never_zero.then(|| rows.instances.iter().next()).flatten().map(|instance| Measure {
                    instance: *instance,
                    functions: BTreeSet::from([MeasureFunction::Sum, MeasureFunction::Avg, MeasureFunction::Count]),
                    zero_else: false,
                    combined: false,
                    degree: 2,
                    factors: (1.0, 1.0),
                    own: self.mixed_with_own(rows),
                });
                let label = Label { measure, ..Label::value(BTreeSet::from([Use::Dimension, Use::Filter])) };
                Ok(Derived { columns: vec![filtered(counted, &first)?], output: column(&first), label })
            }
            "sum" | "avg" if !call.params.distinct => {
                let Some(measure) = label.measure.clone() else {
                    return Err(not_a_measure(argument, scope));
                };
                let average = name == "avg";
                let function = if average { MeasureFunction::Avg } else { MeasureFunction::Sum };
                self.measure_granted(&measure, function, argument, &label, scope)?;
                if measure.zero_else && average {
                    return Err(not_a_measure(argument, scope));
                }
                let data_type = scope.data_type(argument)?;
                let summed = filtered(sum(fixed::ticks(total.clone(), &data_type)), &first)?;
                let label = Label {
                    measure: Some(Measure { degree: 2, ..measure.clone() }),
                    ..Label::value(label.uses.clone())
                };
                self.not_combined(&measure, rows, argument, scope)?;
                if average {
                    let counted = filtered(count(total), &second)?;
                    let output = fixed::float(column(&first))
                        / datafusion::functions::core::expr_fn::nullif(fixed::float(column(&second)), lit(0.0_f64));
                    Ok(Derived { columns: vec![summed, counted], output, label })
                } else {
                    Ok(Derived { columns: vec![summed], output: column(&first), label })
                }
            }
            "min" | "max" => {
                if label.is_key() || !(label.allows(Use::Dimension) || label.allows(Use::Filter)) {
                    return Err(not_allowed(name));
                }
                let extreme = if name == "min" { min(total) } else { max(total) };
                let label = Label { measure: None, ..Label::value(label.uses.clone()) };
                Ok(Derived { columns: vec![filtered(extreme, &first)?], output: column(&first), label })
            }
            _ => Err(not_allowed(name)),
        }
    }
}

struct Derived {
    columns: Vec<Expr>,
    output: Expr,
    label: Label,
}

/// Whether an aggregate counts each unit once, whatever its rows.
fn counts_units(expr: &Expr) -> bool {
    called(expr).is_ok_and(|call| call.func.name() == "count" && call.params.distinct)
}

fn no_name() -> Refusal {
    Refusal::new(Code::Internal, "an aggregate has fewer columns than expressions")
}

fn called(expr: &Expr) -> Result<&AggregateFunction, Refusal> {
    match expr {
        Expr::AggregateFunction(call) => Ok(call),
        Expr::Alias(alias) => called(&alias.expr),
        _ => Err(Refusal::new(Code::Aggregate, "an aggregate of the plan is none")),
    }
}

/// The one argument and the total filter of a call without clauses of its own.
fn plain_call<'e>(
    call: &'e AggregateFunction,
    scope: &Scope<'_>,
    units: bool,
) -> Result<(&'e Expr, Option<Expr>), Refusal> {
    let params = &call.params;
    if !params.order_by.is_empty() || params.null_treatment.is_some() {
        return Err(not_allowed(call.func.name()));
    }
    let condition = if units { expression::condition } else { expression::aggregate_condition };
    let filter = params.filter.as_ref().map(|filter| condition(filter, scope)).transpose()?;
    match params.args.as_slice() {
        [argument] => Ok((argument, filter)),
        _ => Err(Refusal::new(Code::NotAMeasure, "an aggregate over protected rows takes one argument")
            .about(call.func.name())),
    }
}

/// What ELSE 0 means to an aggregate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Zero {
    /// As much as no value.
    AddsNothing,
    /// One value more.
    Counts,
}

/// What a `CASE WHEN c THEN x [ELSE NULL] END` counts or adds: x where c holds. Where zeros add nothing, ELSE 0 is the same.
fn under_case<'e>(
    argument: &'e Expr,
    filter: Option<Expr>,
    scope: &Scope<'_>,
    zero: Zero,
    units: bool,
) -> Result<(&'e Expr, Option<Expr>), Refusal> {
    let mut bare = argument;
    loop {
        bare = match bare {
            Expr::Cast(cast) => &cast.expr,
            Expr::TryCast(cast) => &cast.expr,
            Expr::Alias(alias) => &alias.expr,
            _ => break,
        };
    }
    let Expr::Case(Case { expr: base, when_then_expr, else_expr }) = bare else {
        return Ok((argument, filter));
    };
    let otherwise_nothing = match else_expr.as_deref().map(functions::literal) {
        None => true,
        Some(Some(value)) => {
            value.is_null()
                || (zero == Zero::AddsNothing
                    && datafusion::common::ScalarValue::new_zero(&value.data_type()).is_ok_and(|zero| zero == *value))
        }
        Some(None) => false,
    };
    match when_then_expr.as_slice() {
        [(when, then)] if base.is_none() && otherwise_nothing => {
            let condition = if units { expression::condition } else { expression::aggregate_condition };
            let when = condition(when, scope)?;
            let filter = match filter {
                Some(filter) => filter.and(when),
                None => when,
            };
            Ok((then.as_ref(), Some(filter)))
        }
        _ => Ok((argument, filter)),
    }
}

fn not_allowed(name: &str) -> Refusal {
    Refusal::new(
        Code::Aggregate,
        format!("`{name}` is not allowed over protected rows; COUNT, COUNT(DISTINCT key), SUM and AVG are"),
    )
    .about(name)
}

fn not_a_measure(argument: &Expr, scope: &Scope<'_>) -> Refusal {
    let refusal = Refusal::new(
        Code::NotAMeasure,
        "the argument is one granted measure, arithmetic of measures of one table with constants, or such a measure under CASE WHEN ... THEN ... END",
    );
    let mut columns: Vec<&Column> = argument.column_refs().into_iter().collect();
    columns.sort_by_key(|column| column.spans.first().map(|span| (span.start.line, span.start.column)));
    let culprit = columns
        .into_iter()
        .filter_map(|column| scope.label(column).ok().map(|label| (column, label)))
        .find(|(_column, label)| label.measure.is_none());
    match culprit {
        Some((column, label)) => scope.about(refusal, &Expr::Column(column.clone()), label, "use"),
        None => scope.about(refusal, argument, &Label::constant(), "use"),
    }
}

fn fan_out(table: &str) -> Refusal {
    Refusal::new(
        Code::FanOut,
        format!("`{table}` is joined on columns that are not unique in it, so rows stand several times; only COUNT(DISTINCT key) is answered"),
    )
    .suggest("join it on a unique column, or count distinct units")
}

/// The released table in the place of its aggregate: positional columns under the aggregate's names.
fn released_scan(index: usize, plan: &LogicalPlan) -> Result<LogicalPlan, Refusal> {
    let fields: Vec<Field> = plan
        .schema()
        .fields()
        .iter()
        .enumerate()
        .map(|(position, field)| Field::new(format!("c{position}"), field.data_type().clone(), true))
        .collect();
    let name = format!("__cr_release_{index}");
    let source = Arc::new(ReleasedScan::new(index, Arc::new(Schema::new(fields))));
    let columns = plan.schema().iter().enumerate().map(|(position, (qualifier, field))| {
        Expr::Column(Column::new(Some(name.clone()), format!("c{position}")))
            .alias_qualified(qualifier.cloned(), field.name())
    });
    LogicalPlanBuilder::scan(name.clone(), source, None)
        .and_then(|scan| scan.project(columns))
        .and_then(LogicalPlanBuilder::build)
        .map_err(internal)
}
