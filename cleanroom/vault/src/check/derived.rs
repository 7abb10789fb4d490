//! GROUP BY with the unit: one row for each unit (and further columns), still protected.

use std::collections::BTreeSet;

use cleanroom_policy::{MeasureFunction, Use};
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Aggregate, Case, Expr, LogicalPlan, LogicalPlanBuilder, lit, when};

use super::aggregate::{called, fan_out, no_name};
use super::argument::{Zero, not_a_measure, not_allowed, plain_call, under_case};
use super::expression::{self, Scope};
use super::label::{Instance, Kind, Label, Measure};
use super::per_unit::{self, Hidden, How, Part, under};
use super::rows::{Presence, Rows};
use super::told::{Told, told};
use super::{Checker, Relation, flag, functions, internal, under_name};
use crate::fixed;
use crate::noise;
use crate::refusal::{Code, Refusal};

impl Checker<'_> {
    /// A place of the rows for what no column of a table names; the analyst's own where there is one.
    fn one_place(&self, rows: &Rows) -> Option<Instance> {
        let places = rows.places();
        let own = |place: &&Instance| self.instances.get(**place).is_some_and(|facts| facts.owner() == self.analyst);
        places.iter().find(own).or(places.first()).copied()
    }

    /// GROUP BY with the unit: one row for each unit (and further columns), still protected.
    pub(super) fn per_unit(
        &mut self,
        aggregate: &Aggregate,
        plan: &LogicalPlan,
        rows: Rows,
        groups: Vec<(Expr, Label)>,
    ) -> Result<Relation, Refusal> {
        self.no_audience(&rows, "an aggregate for each unit of what your own table was joined with")?;
        // Grouped by the unit alone a row is a unit, however often it stood there; with anything beside it, it is not. A key
        // that need not match is NULL in some of a unit's rows and there in others: by it too, a unit has several.
        if !groups.iter().any(|(_total, label)| label.is_key() && !rows.lacks(label)) {
            // SQL has one group of all rows without the key; rows of several units are no unit's.
            return Err(Refusal::new(
                Code::NotAvailable,
                "it is grouped by a key that is NULL in rows without a match",
            )
            .about("GROUP")
            .suggest(
                "group by the key of a table whose rows all stand there, or leave NULLs out: WHERE key IS NOT NULL",
            ));
        }
        let key_only = groups.iter().all(|(_total, label)| label.is_key() && !label.optional);
        let fanned_out = if key_only { None } else { rows.fanned_out.clone() };
        let mut names = plan.schema().iter();
        let mut group_exprs = Vec::with_capacity(groups.len() + 1);
        let mut outputs = Vec::new();
        let mut labels = Vec::new();
        let others = groups.iter().map(|(_total, label)| label).filter(|label| !label.is_key() || label.optional);
        let mut parted_by = if key_only { BTreeSet::new() } else { rows.parted_by.clone() };
        let mut numbered_by = BTreeSet::new();
        for label in others {
            numbered_by.extend(&label.from);
            if self.of_several(&label.from)? {
                parted_by.extend(&label.from);
            }
        }
        let derived = self.with_scope(aggregate.input.schema(), &rows.labels, |scope| {
            for (group, (total, label)) in aggregate.group_expr.iter().zip(groups) {
                if !(label.is_key()
                    || label.kind == Kind::Constant
                    || label.allows(Use::Dimension)
                    || label.allows(Use::Filter)
                    // A unit's one row has one value: the planner groups by such columns of its own accord.
                    || rows.single)
                {
                    return Err(expression::not_granted(group, scope, Use::Dimension));
                }
                let from = label.from.union(&flag::places_of(group, scope)).copied().collect();
                let label = Label { told: told(group, scope).in_each_row(), from, ..label };
                let (qualifier, field) = names.next().ok_or_else(no_name)?;
                group_exprs.push(under_name(total, qualifier, field.name()));
                outputs.push(Expr::Column(Column::new(qualifier.cloned(), field.name())));
                labels.push(label);
            }
            aggregate
                .aggr_expr
                .iter()
                .enumerate()
                .map(|(index, expr)| {
                    let mut derived = self.derived(index, expr, scope, &rows)?;
                    // What is made of rows that need not match is under their owner's floor, whatever it is called now. A
                    // count that names no column is of all rows there are.
                    let of = flag::places_of(expr, scope);
                    derived.label.from.extend(if of.is_empty() { rows.numbering() } else { of });
                    Ok(derived)
                })
                .collect::<Result<Vec<_>, Refusal>>()
        })?;
        let mut parts = Vec::new();
        for derived in derived {
            let (qualifier, field) = names.next().ok_or_else(no_name)?;
            let mut label = derived.label;
            if rows.repeated
                && !key_only
                && let Some(measure) = &mut label.measure
            {
                // A unit has as many of these rows as the analyst gives it labels.
                measure.own = true;
            }
            parts.extend(derived.parts);
            let mut output = fixed::try_cast(derived.output, field.data_type().clone());
            if derived.or_zero {
                let zero = ScalarValue::new_zero(field.data_type()).map_err(internal)?;
                output =
                    when(output.clone().is_null(), Expr::Literal(zero, None)).otherwise(output).map_err(internal)?;
            }
            outputs.push(output.alias_qualified(qualifier.cloned(), field.name()));
            labels.push(label);
        }
        let hidden = Hidden::of(&rows, self.fresh());
        outputs.extend(hidden.names().map(|name| Expr::Column(Column::new_unqualified(name))));
        let plan = per_unit::plan(&rows, group_exprs, &parts, &hidden)?
            .project(outputs)
            .and_then(LogicalPlanBuilder::build)
            .map_err(internal)?;
        let row_ids = hidden.row_ids();
        let rows = rows.renamed(plan, |column| Column::new_unqualified(&column.name));
        Ok(Relation::Rows(Rows {
            labels,
            row_ids,
            fanned_out,
            per_unit: true,
            single: key_only || rows.single,
            split: rows.split && !key_only,
            multiplying: if key_only { Vec::new() } else { rows.multiplying.clone() },
            numbered_by,
            parted_by,
            repeated: rows.repeated && !key_only,
            ..rows
        }))
    }

    /// Whether one of some places is the analyst's own.
    fn of_analyst(&self, places: &BTreeSet<Instance>) -> Result<bool, Refusal> {
        places.iter().try_fold(false, |own, place| Ok(own || self.facts(*place)?.owner() == self.analyst))
    }

    /// The condition of a `SUM(CASE WHEN c THEN 1 ELSE 0 END)`, which is a count.
    fn ones(&self, call: &AggregateFunction, argument: &Expr, scope: &Scope<'_>) -> Result<Option<Expr>, Refusal> {
        let Expr::Case(Case { expr: None, when_then_expr, else_expr: Some(otherwise) }) = argument else {
            return Ok(None);
        };
        let one = matches!(when_then_expr.first(), Some((_when, then))
            if functions::constant(then) == Some(ScalarValue::Int64(Some(1))));
        if !one || call.params.distinct || call.params.filter.is_some() {
            return Ok(None);
        }
        let zeros = |expr: &Expr| functions::constant(expr) == Some(ScalarValue::Int64(Some(0)));
        let all_zero = zeros(otherwise) && when_then_expr.iter().skip(1).all(|(_when, then)| zeros(then));
        if !all_zero {
            return Ok(None);
        }
        under_case(argument, None, scope, Zero::AddsNothing).map(|(_one, filter)| filter)
    }

    /// The label of a count of a unit's rows. `zeros` says whether it can be 0; without it, the counts are not added up.
    /// Where rows need not match, `of_side` says that it counts rows that do.
    fn counted(&self, rows: &Rows, most_rows: u32, zeros: Option<bool>, (distinct, of_side): (bool, bool)) -> Label {
        // A count that can be 0 is a flag of who has such rows. Added up, only those who have some contribute, and their
        // rows are those of the side that need not match: rows that are there anyway would hide how few it has.
        let every_row = rows.slots.iter().all(|slot| matches!(slot.presence, Presence::Always));
        let summed = zeros.filter(|zeros| !zeros || every_row || of_side);
        let measure = summed.and_then(|zeros| {
            self.one_place(rows).map(|instance| Measure {
                instance,
                functions: BTreeSet::from([MeasureFunction::Sum, MeasureFunction::Avg, MeasureFunction::Count]),
                zero_else: zeros,
                zeros,
                distinct,
                matches: zeros && !every_row,
                combined: false,
                degree: 2,
                factors: (1.0, 1.0),
                own: false,
                range: (0.0, f64::from(most_rows)),
                unit_range: None,
            })
        });
        Label { measure, told: Told::not_null(), ..Label::value(BTreeSet::from([Use::Dimension, Use::Filter])) }
    }

    /// One aggregate per unit: what to aggregate, how its value follows, and what may be done with it.
    fn derived(&self, index: usize, expr: &Expr, scope: &Scope<'_>, rows: &Rows) -> Result<Derived, Refusal> {
        let call = called(expr)?;
        let name = call.func.name();
        if let Some(table) = &rows.fanned_out {
            return Err(fan_out(table));
        }
        let (argument, filter) = plain_call(call, scope)?;
        let most_rows = self.most_rows(rows)?;
        let (first, second) = (format!("__cr_a_{index}"), format!("__cr_b_{index}"));
        let part = |name: &str, how: How, value: Expr| {
            Ok::<_, Refusal>(Part { name: name.to_owned(), how, value: under(value, filter.as_ref())? })
        };
        let column = |name: &str| Expr::Column(Column::new_unqualified(name));
        let (total, label) = expression::expression(argument, scope)?;
        if name == "sum"
            && let Some(filter) = self.ones(call, argument, scope)?
        {
            self.count_granted(rows)?;
            let value = under(lit(1_i64), Some(&filter))?;
            let label = self.counted(rows, most_rows, Some(true), (false, false));
            let part = Part { name: first.clone(), how: How::Count, value };
            return Ok(Derived { parts: vec![part], output: column(&first), label, or_zero: false });
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
                if let Some(measure) = label.measure.as_ref().filter(|measure| !measure.zeros) {
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
                let how = if call.params.distinct { How::CountDistinct } else { How::Count };
                // A count that can be 0 is a flag of who has such rows: added up over people who have none, it would tell of
                // the one who has. A count of all of a unit's rows is at least 1; one of a constant that is NULL, as a cast may
                // make it, is 0 for everybody.
                let never_zero = filter.is_none()
                    && !call.params.distinct
                    && ((label.is_key() && !label.optional)
                        || (label.kind == Kind::Constant
                            && functions::constant(&total).is_some_and(|value| !value.is_null())));
                // A sum of such counts is a count of the rows, or of units and values, and those who have none contribute to
                // neither. Values of the analyst's own rows are as many as it likes: they could weigh another's units.
                let distinct = call.params.distinct;
                let granted = label.is_key() || label.allows(Use::Filter) || (distinct && label.allows(Use::Dimension));
                let weighs = distinct && rows.repeated && self.of_analyst(&flag::places_of(argument, scope))?;
                let zeros = if never_zero { Some(false) } else { (granted && !weighs).then_some(true) };
                let mut label = self.counted(rows, most_rows, zeros, (distinct, of_side(call, argument, scope, rows)?));
                if never_zero {
                    label.told = Told::at_least_one();
                }
                Ok(Derived { parts: vec![part(&first, how, total)?], output: column(&first), label, or_zero: false })
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
                let summed = part(&first, How::Sum, fixed::ticks(total.clone(), &data_type))?;
                let range = match (average, measure.unit_range) {
                    (true, _) => measure.range,
                    (false, Some(range)) => range,
                    (false, None) => noise::total(measure.range, most_rows),
                };
                // Whoever has nothing in the case has a sum of 0.
                let or_zero = measure.zero_else && !average && call.params.filter.is_none();
                let mut uses = label.uses.clone();
                if or_zero && !measure.zeros {
                    let (value, _filter) = under_case(argument, None, scope, Zero::AddsNothing)?;
                    uses = expression::expression(&value, scope)?.1.uses;
                }
                let zeros = measure.zeros || or_zero;
                let label = Label {
                    measure: Some(Measure { degree: 2, range, unit_range: None, zeros, ..measure.clone() }),
                    told: if or_zero { Told::not_null() } else { Told::any() },
                    ..Label::value(uses)
                };
                self.not_combined(&measure, rows, argument, scope)?;
                if average {
                    let counted = part(&second, How::Count, total)?;
                    let output = fixed::float(column(&first))
                        / datafusion::functions::core::expr_fn::nullif(fixed::float(column(&second)), lit(0.0_f64));
                    Ok(Derived { parts: vec![summed, counted], output, label, or_zero })
                } else {
                    Ok(Derived { parts: vec![summed], output: column(&first), label, or_zero })
                }
            }
            "min" | "max" | "bool_and" | "bool_or" => {
                if label.is_key() || !(label.allows(Use::Dimension) || label.allows(Use::Filter)) {
                    return Err(not_allowed(name));
                }
                // Of truth values the greatest is true where one is, the least where all are.
                let greatest = matches!(name, "max" | "bool_or");
                let how = if greatest { How::Max } else { How::Min };
                let told = match filter {
                    None => told(argument, scope).extreme(greatest),
                    Some(_) => Told::any(),
                };
                let mut uses = label.uses.clone();
                if name.starts_with("bool") && label.allows(Use::Filter) {
                    // As a CASE of its condition would be.
                    uses.insert(Use::Dimension);
                }
                let label = Label { told, ..Label::value(uses) };
                Ok(Derived { parts: vec![part(&first, how, total)?], output: column(&first), label, or_zero: false })
            }
            _ => Err(not_allowed(name)),
        }
    }
}

/// Whether a count is of a column of the one side that need not match, under conditions on that side alone.
fn of_side(call: &AggregateFunction, argument: &Expr, scope: &Scope<'_>, rows: &Rows) -> Result<bool, Refusal> {
    let Expr::Column(column) = argument else { return Ok(false) };
    let label = scope.label(column)?;
    let mut sides: Vec<&Column> = Vec::new();
    for slot in &rows.slots {
        match &slot.presence {
            Presence::Always => {}
            Presence::Matched(marker) => sides.push(marker),
            Presence::Branch { .. } | Presence::Never => return Ok(false),
        }
    }
    let one = sides.windows(2).all(|pair| matches!(pair, [one, other] if one == other));
    let marked: BTreeSet<Instance> = rows
        .slots
        .iter()
        .filter(|slot| matches!(slot.presence, Presence::Matched(_)))
        .flat_map(|slot| slot.places.iter().copied())
        .collect();
    let filter = call.params.filter.as_deref().map(|filter| flag::places_of(filter, scope)).unwrap_or_default();
    // A column that was computed may have a value where nothing matched.
    let plain = label.is_key() || label.origin.is_some();
    Ok(one && plain && label.optional && label.from.is_subset(&marked) && filter.is_subset(&marked))
}

/// What becomes of one aggregate per unit.
struct Derived {
    parts: Vec<Part>,
    output: Expr,
    label: Label,
    /// NULL stands for 0.
    or_zero: bool,
}
