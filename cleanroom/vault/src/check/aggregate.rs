//! Aggregates over protected rows: per unit, or a release point.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use cleanroom_policy::{MeasureFunction, SmallGroups, Use};
use datafusion::common::{Column, ScalarValue};
use datafusion::functions::core::expr_fn::nullif;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, LogicalPlanBuilder};

use super::argument::{Zero, case_condition, not_a_measure, not_allowed, or_zero, plain_call, under_case};
use super::expression::{self, Scope};
use super::flag::Flags;
use super::grouping::{self, Sets};
use super::label::{Instance, Kind, Label, Measure};
use super::point::{Cell, CellKind, ReleasePoint, Spread};
use super::quantile;
use super::rows::Rows;
use super::{Checker, Reference, Relation, flag, functions, internal, noisy, parts, sway};
use crate::refusal::{Code, Refusal, Rule};
use crate::source::ReleasedScan;

/// The aggregate without what stands twice in its GROUP BY, as its output has it: columns are found by their places.
fn each_group_once(aggregate: &Aggregate, plan: &LogicalPlan) -> Result<Aggregate, Refusal> {
    let mut once: Vec<Expr> = Vec::with_capacity(aggregate.group_expr.len());
    for group in &aggregate.group_expr {
        if !once.contains(group) {
            once.push(group.clone());
        }
    }
    let made = Aggregate::try_new(Arc::clone(&aggregate.input), once, aggregate.aggr_expr.clone()).map_err(internal)?;
    if made.schema.fields() == plan.schema().fields() {
        return Ok(made);
    }
    Err(Refusal::new(Code::NotAvailable, "the columns of GROUP BY cannot be told apart").about("GROUP"))
}

/// The group expressions, their total forms and labels, and the sets they are grouped in.
type Groups<'e> = (Vec<&'e Expr>, Vec<(Expr, Label)>, Option<Sets>);

impl Checker<'_> {
    pub(super) fn aggregate(&mut self, aggregate: &Aggregate, plan: &LogicalPlan) -> Result<Relation, Refusal> {
        let rows = match self.node(&aggregate.input)? {
            Relation::Rows(rows) => rows,
            Relation::Open(input) => return self.open(plan, vec![input]).map(Relation::Open),
            Relation::Reference(reference) => return self.reference_distinct(aggregate, plan, reference),
        };
        let aggregate = &each_group_once(aggregate, plan)?;
        let (group_exprs, sets) = match aggregate.group_expr.as_slice() {
            [Expr::GroupingSet(sets)] => grouping::sets(sets)?,
            plain => (plain.iter().collect(), None),
        };
        let groups = self.with_scope(aggregate.input.schema(), &rows.labels, |scope| {
            let group = |group: &&Expr| {
                let (total, mut label) = expression::expression(group, scope)?;
                label.from.extend(flag::places_of(group, scope));
                Ok((total, label))
            };
            group_exprs.iter().map(group).collect::<Result<Vec<_>, Refusal>>()
        })?;
        match (groups.iter().any(|(_expr, label)| label.is_key()), sets) {
            (true, None) => self.per_unit(aggregate, plan, rows, groups),
            (true, Some(_sets)) => {
                Err(Refusal::new(Code::NotAvailable, "ROLLUP, CUBE and GROUPING SETS over a key are not answered")
                    .suggest("group by the key in a subquery, and take the sets of what comes of it"))
            }
            (false, sets) => {
                let Some((parts, outputs)) = self.in_parts(aggregate, &rows)? else {
                    return self.release_point(aggregate, plan, rows, (group_exprs, groups, sets));
                };
                let made = LogicalPlan::Aggregate(parts.clone());
                match self.release_point(&parts, &made, rows, (group_exprs, groups, sets))? {
                    Relation::Open(released) => LogicalPlanBuilder::from(released)
                        .project(outputs)
                        .and_then(LogicalPlanBuilder::build)
                        .map(Relation::Open)
                        .map_err(internal),
                    Relation::Rows(_) | Relation::Reference(_) => {
                        Err(Refusal::new(Code::Internal, "a release point released nothing"))
                    }
                }
            }
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
        (group_exprs, groups, sets): Groups<'_>,
    ) -> Result<Relation, Refusal> {
        self.check_required(&rows)?;
        let totals: Vec<Expr> = groups.iter().map(|(total, _label)| total.clone()).collect();
        let (flags, cells, audience) = self.with_scope(aggregate.input.schema(), &rows.labels, |scope| {
            let mut flags = Flags::default();
            for (group, (_total, label)) in group_exprs.iter().zip(&groups) {
                if label.kind != Kind::Constant && !label.allows(Use::Dimension) {
                    return Err(expression::not_granted(group, scope, Use::Dimension));
                }
                // In a total over groups, matched rows and others, or branches, stand together again.
                if sets.is_none() {
                    flags.tagged.extend(label.branch_of);
                }
            }
            if sets.is_none() {
                flags.flagged = flag::flagged(&group_exprs, scope, &rows);
                let groups: Vec<(&Expr, Expr)> = group_exprs.iter().copied().zip(totals.iter().cloned()).collect();
                flags.unmatched = flag::unmatched_groups(&groups, scope, &rows, &flags.flagged)?;
            }
            let before = groups.len() + usize::from(sets.is_some());
            let types = plan.schema().fields().iter().skip(before);
            let cells = aggregate
                .aggr_expr
                .iter()
                .zip(types)
                .map(|(expr, field)| self.cell(expr, field.data_type(), scope, &rows))
                .collect::<Result<Vec<_>, _>>()?;
            flags.together = groups.iter().map(|(_total, label)| label.from.clone()).collect();
            let aggregates = (aggregate.aggr_expr.as_slice(), scope);
            let audience = self.audience_rule(&rows, &totals, sets.is_some(), aggregates)?;
            Ok((flags, cells, audience))
        })?;
        let index = match self.releases.iter().position(|release| release.original == *plan) {
            Some(index) => index,
            None => {
                let (mut dominance, mut round_to, mut merged) = (Vec::new(), Vec::new(), true);
                for place in rows.places() {
                    let release = &self.facts(place)?.policy.release;
                    dominance.extend(release.dominance.filter(|rule| !dominance.contains(rule)));
                    round_to.extend(release.round_to);
                    merged &= release.small_groups == SmallGroups::Merge;
                }
                let (mut floor, mut floors) = self.floors(&rows, &flags)?;
                let (mut guard, caps) = (self.guard(&rows)?, self.caps(&rows)?);
                let mut checks = rows.checks.clone();
                if self.noisy {
                    // Whatever looks at exact numbers would tell of them; the floor is part of the noisy threshold.
                    floor = floors.iter().map(|floor| floor.least).fold(floor, u64::max);
                    (floors, guard, merged) = (Vec::new(), None, false);
                    dominance.clear();
                    checks.clear();
                }
                let domains = groups.iter().map(|(_expr, label)| self.domain(label)).collect::<Result<_, _>>()?;
                let most_rows = self.most_rows(&rows)?;
                if guard.is_some() && sets.is_some() {
                    // What is hidden for the sake of a hidden part, and not where there is none, would tell that there is one.
                    return Err(Refusal::new(
                        Code::Clause,
                        "ROLLUP, CUBE and GROUPING SETS are not answered where a policy has a guard against differencing",
                    )
                    .about("GROUP")
                    .suggest("ask for each total in a SELECT of its own"));
                }
                // One group has no small ones beside it. Under a guard a remainder, made of what comes too near to other
                // answers, would come too near to them itself.
                merged &= !groups.is_empty() && guard.is_none() && audience.is_none();
                let cells: Vec<Cell> = cells
                    .into_iter()
                    .map(|(cell, made)| {
                        let of = |places: &BTreeSet<Instance>| -> Vec<usize> {
                            let of =
                                floors.iter().enumerate().filter(|(_index, floor)| !floor.places.is_disjoint(places));
                            of.map(|(index, _floor)| index).collect()
                        };
                        // Tables that came by one optional side match, or do not, together.
                        let markers: Vec<&Column> =
                            made.unmatched.iter().filter_map(|place| rows.marker(*place)).collect();
                        let unmatched =
                            floors.iter().enumerate().filter(|(_index, floor)| markers.contains(&&floor.marker));
                        let unmatched = unmatched.map(|(index, _floor)| index).collect();
                        let read: Vec<Vec<usize>> = made.together.iter().map(&of).collect();
                        let meets = floors.iter().enumerate().filter(|(_index, floor)| {
                            let read = |(one, other)| read.iter().any(|of| of.contains(&one) && of.contains(&other));
                            floor.meeting().is_some_and(read)
                        });
                        let meets = meets.map(|(index, _floor)| index).collect();
                        let swayed = self.swayed(&rows, &floors, &cell, &made.places)?;
                        Ok(Cell { floors: of(&made.places), unmatched, meets, swayed, ..cell })
                    })
                    .collect::<Result<_, Refusal>>()?;
                sway::want(&mut floors, &cells);
                let guarded = guard.as_ref().map(|guard| self.guarded(&rows, guard)).transpose()?.flatten();
                self.releases.push(ReleasePoint {
                    checks,
                    domains,
                    most_rows,
                    rows,
                    groups: groups.into_iter().map(|(expr, _label)| expr).collect(),
                    sets,
                    cells,
                    schema: Arc::clone(plan.schema()),
                    floor,
                    floors,
                    dominance,
                    merged,
                    round_to,
                    guard,
                    guarded,
                    audience,
                    caps,
                    original: plan.clone(),
                });
                self.releases.len() - 1
            }
        };
        released_scan(index, plan).map(Relation::Open)
    }

    /// One aggregate of a release point.
    fn cell(&self, expr: &Expr, data_type: &DataType, scope: &Scope<'_>, rows: &Rows) -> Result<(Cell, Of), Refusal> {
        let call = called(expr)?;
        let name = call.func.name();
        let quantile = if self.noisy { quantile::called(call, scope)? } else { None };
        let (argument, filter) = match &quantile {
            Some((_rank, argument, filter)) => (*argument, filter.clone()),
            None => plain_call(call, scope)?,
        };
        let cell = |kind, argument, filter| Cell {
            kind,
            argument,
            filter,
            data_type: data_type.clone(),
            floors: Vec::new(),
            meets: Vec::new(),
            swayed: Vec::new(),
            unmatched: Vec::new(),
            matches: false,
            unit_range: (0.0, 0.0),
            row_range: (0.0, 0.0),
            spread: None,
        };
        let most_rows = self.most_rows(rows)?;
        // What is added up needs bounds where there is noise; elsewhere an owner may do without.
        let ranged = |cell: Cell, measure: Option<&Measure>, argument: &Expr| {
            let ranges = noisy::unit_range(measure, argument, most_rows).zip(noisy::row_range(measure, argument));
            match ranges {
                Some((unit_range, row_range)) => Ok(Cell { unit_range, row_range, ..cell }),
                None if self.noisy => Err(noisy::unbounded(name, argument)),
                None => Ok(cell),
            }
        };
        let found = match name {
            "count" if call.params.distinct => {
                let (argument, filter) = under_case(argument, filter, scope, Zero::Counts)?;
                let argument = argument.as_ref();
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
                        .about("DISTINCT")
                        .suggest("to count other values once for each unit: SELECT COUNT(*) FROM (SELECT DISTINCT key, x FROM ...) t");
                        let label = Label::constant();
                        Err(scope.about(refusal, argument, &label, "use"))
                    }
                }
            }
            "count" => {
                let (argument, filter) = under_case(argument, filter, scope, Zero::Counts)?;
                let argument = argument.as_ref();
                let (total, label) = expression::expression(argument, scope)?;
                if let Some(measure) = label.measure.as_ref().filter(|measure| !measure.zeros) {
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
                let zero = if kind == CellKind::Sum { Zero::AddsNothing } else { Zero::Counts };
                let argument = if kind == CellKind::Sum { or_zero(argument) } else { argument };
                if let Ok((constant, filter)) = under_case(argument, filter.clone(), scope, zero)
                    && functions::literal(&constant)
                        .is_some_and(|value| !value.is_null() && value.data_type().is_numeric())
                {
                    self.count_granted(rows)?;
                    let (total, _constant) = expression::expression(&constant, scope)?;
                    ranged(cell(kind, total, filter), None, &constant)
                } else {
                    let (total, label) = expression::expression(argument, scope)?;
                    let Some(measure) = &label.measure else {
                        return Err(not_a_measure(argument, scope));
                    };
                    self.measure_granted(measure, function, argument, &label, scope)?;
                    self.not_combined(measure, rows, argument, scope)?;
                    self.not_scaled(measure, rows, argument, scope)?;
                    if measure.zero_else && kind == CellKind::Average {
                        return Err(Refusal::new(
                            Code::NotAMeasure,
                            "an average over values that are 0 where nothing was found counts those who have none",
                        )
                        .about("AVG")
                        .suggest("leave ELSE 0 out, or divide: SUM(x) * 1.0 / COUNT(*)"));
                    }
                    let data_type = scope.data_type(argument)?;
                    let total = if measure.distinct && !self.noisy {
                        parts::beyond_one(total, &data_type)?
                    } else if measure.zeros {
                        // Whoever has none is no reason to tell what another has.
                        let zero = ScalarValue::new_zero(&data_type).map_err(internal)?;
                        nullif(total, Expr::Literal(zero, None))
                    } else {
                        total
                    };
                    let matches = measure.matches;
                    ranged(Cell { matches, ..cell(kind, total, filter) }, Some(measure), argument)
                }
            }
            "var" | "var_pop" | "stddev" | "stddev_pop" if self.noisy && !call.params.distinct => {
                let (total, label) = expression::expression(argument, scope)?;
                let Some(measure) = label.measure.as_ref().filter(|measure| !measure.zero_else) else {
                    return Err(not_a_measure(argument, scope));
                };
                let root = name.starts_with("stddev");
                let function = if root { MeasureFunction::Stddev } else { MeasureFunction::Var };
                self.measure_granted(measure, function, argument, &label, scope)?;
                let spread = Some(Spread { sample: !name.ends_with("_pop"), root });
                ranged(Cell { spread, ..cell(CellKind::Average, total, filter) }, Some(measure), argument)
            }
            _ => match quantile {
                Some((rank, argument, filter)) => {
                    let (total, label) = expression::expression(argument, scope)?;
                    // Zeros in the place of what is not there would be values among others.
                    let measure = label.measure.as_ref().filter(|measure| !measure.zero_else && !measure.zeros);
                    let Some(measure) = measure else { return Err(not_a_measure(argument, scope)) };
                    self.measure_granted(measure, MeasureFunction::Quantile, argument, &label, scope)?;
                    ranged(cell(CellKind::Quantile(rank), total, filter), Some(measure), argument)
                }
                None => Err(not_allowed(name)),
            },
        }?;
        if let (Some(table), true) = (&rows.fanned_out, found.kind != CellKind::Units) {
            return Err(fan_out(table));
        }
        let conditions = call.params.filter.as_deref().into_iter().chain(case_condition(call));
        let flags = conditions.flat_map(|condition| flag::conditions(condition, scope));
        let unmatched = flags.filter(|(_place, matched)| !matched).map(|(place, _matched)| place).collect();
        let mut together = flag::read(found.filter.as_ref(), scope);
        together.push(flag::places_of(&found.argument, scope));
        Ok((found, Of { places: flag::places_of(expr, scope), together, unmatched }))
    }

    /// Sums of several measures would let one that is suppressed for its dominance be had from the sum and the others.
    pub(super) fn not_combined(
        &self,
        measure: &Measure,
        rows: &Rows,
        argument: &Expr,
        scope: &Scope<'_>,
    ) -> Result<(), Refusal> {
        if !measure.combined || self.noisy {
            return Ok(());
        }
        for place in rows.places() {
            let facts = self.facts(place)?;
            let release = &facts.policy.release;
            let (rule, word) = match (release.dominance, release.difference) {
                (Some(_), _) => ("release.dominance", "dominance"),
                (None, Some(_)) => ("release.difference", "difference"),
                (None, None) => continue,
            };
            {
                let refusal = Refusal::new(
                    Code::NotAMeasure,
                    format!("under the {word} rule of `{}` measures are aggregated one by one", facts.name),
                )
                .rule(Rule::of(&facts.policy, rule))
                .suggest("aggregate each measure, and calculate with the released sums");
                return Err(scope.about(refusal, argument, &Label::constant(), "use"));
            }
        }
        Ok(())
    }

    /// Every owner lets its units be counted.
    pub(super) fn count_granted(&self, rows: &Rows) -> Result<(), Refusal> {
        for place in rows.places() {
            let facts = self.facts(place)?;
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

    pub(super) fn measure_granted(
        &self,
        measure: &Measure,
        function: MeasureFunction,
        argument: &Expr,
        label: &Label,
        scope: &Scope<'_>,
    ) -> Result<(), Refusal> {
        if measure.own {
            let facts = self.facts(measure.instance)?;
            let refusal = if facts.owner() == self.analyst {
                Refusal::new(
                    Code::OwnMeasure,
                    format!("values of your own table `{}` are not aggregated in a join with another owner's: they could weigh its units", facts.name),
                )
                .suggest("aggregate your own table in a query of its own")
            } else {
                Refusal::new(
                    Code::OwnMeasure,
                    format!("values of `{}` were added up for each row of your own table beside it: its rows could weigh units", facts.name),
                )
                .suggest("aggregate in one step, GROUP BY the label without the key; or join your own table after the values are added up for each key alone")
            };
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
}

/// What a cell is made of.
struct Of {
    places: BTreeSet<Instance>,
    /// Places that its argument, or one part of its condition, reads together.
    together: Vec<BTreeSet<Instance>>,
    /// Places of which it asks for rows without a match.
    unmatched: BTreeSet<Instance>,
}

pub(super) fn no_name() -> Refusal {
    Refusal::new(Code::Internal, "an aggregate has fewer columns than expressions")
}

pub(super) fn called(expr: &Expr) -> Result<&AggregateFunction, Refusal> {
    match expr {
        Expr::AggregateFunction(call) => Ok(call),
        Expr::Alias(alias) => called(&alias.expr),
        _ => Err(Refusal::new(Code::Aggregate, "an aggregate of the plan is none")),
    }
}

pub(super) fn fan_out(table: &str) -> Refusal {
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
