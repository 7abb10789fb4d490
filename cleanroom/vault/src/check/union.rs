//! UNION ALL over protected rows: the branches keep their units, and every owner's floor is met by its own rows.

use std::collections::BTreeSet;
use std::sync::Arc;

use cleanroom_policy::Use;
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Union};

use super::label::{Kind, Label};
use super::per_unit::combined_id;
use super::rows::{Presence, RowId, Rows, Slot};
use super::{Checker, Reference, Relation, internal};
use crate::refusal::{Code, Refusal, Rule};

impl Checker<'_> {
    pub(super) fn union(&mut self, union: &Union, plan: &LogicalPlan) -> Result<Relation, Refusal> {
        let mut open = Vec::with_capacity(union.inputs.len());
        let mut branches = Vec::with_capacity(union.inputs.len());
        for input in &union.inputs {
            match self.node(input)? {
                Relation::Rows(rows) => {
                    self.no_audience(&rows, "a UNION of what your own table was joined with")?;
                    branches.push(rows);
                }
                Relation::Open(plan) | Relation::Reference(Reference { plan, .. }) => open.push(plan),
            }
        }
        match (branches.is_empty(), open.is_empty()) {
            (true, _) => self.open(plan, open).map(Relation::Open),
            (false, false) => Err(Refusal::new(
                Code::ReleasedSteers,
                "a UNION takes protected rows and released or reference values together",
            )
            .about("UNION")
            .suggest("aggregate the protected rows first, and unite the results")),
            (false, true) => self.rows_union(union, plan, branches).map(Relation::Rows),
        }
    }

    fn rows_union(&mut self, union: &Union, plan: &LogicalPlan, branches: Vec<Rows>) -> Result<Rows, Refusal> {
        self.check_united(&branches)?;
        for (index, one) in branches.iter().enumerate() {
            for other in branches.iter().skip(index + 1) {
                self.check_partners(one, other)?;
            }
        }
        let mixed = self.mixes(&branches)?;
        if mixed && self.audience.is_some() {
            return Err(Refusal::new(
                Code::NotAvailable,
                "where a policy has an audience rule, your own table's rows are not united with another owner's",
            )
            .about("UNION")
            .suggest("aggregate each of them, and unite the results"));
        }
        let number = self.fresh();
        let labels = self.united_labels(union, plan, &branches, number)?;
        // Each branch meets the floors by itself, also where two read one table: a branch of one unit beside one of all would
        // add that unit to what is known already.
        let slots: Vec<(usize, &Slot)> = branches
            .iter()
            .enumerate()
            .flat_map(|(branch, rows)| rows.slots.iter().map(move |slot| (branch, slot)))
            .collect();
        let unit = format!("__cr_unit_u{number}");
        let (others, own) = (format!("__cr_row_u{number}"), format!("__cr_own_u{number}"));
        let no_unit = Expr::Literal(ScalarValue::UInt32(None), None);
        let marker = |slot: usize| format!("__cr_in_u{number}_{slot}");

        let mut inputs = Vec::with_capacity(branches.len());
        for (index, branch) in branches.iter().enumerate() {
            let mut exprs = Vec::new();
            let visible = union.inputs.get(index).map(|input| input.schema().iter().collect::<Vec<_>>());
            for ((qualifier, field), out) in visible.unwrap_or_default().into_iter().zip(plan.schema().fields()) {
                let value = Expr::Column(Column::new(qualifier.cloned(), field.name()));
                let typed = if field.data_type() == out.data_type() {
                    value
                } else {
                    crate::fixed::try_cast(value, out.data_type().clone())
                };
                exprs.push(typed.alias(out.name()));
            }
            exprs.push(Expr::Column(branch.unit.clone()).alias(&unit));
            for (slot, (of, it)) in slots.iter().enumerate() {
                let present = match &it.presence {
                    _ if *of != index => no_unit.clone(),
                    // Of those without a match the floor is met by the units that have none.
                    Presence::Always | Presence::Never => Expr::Column(branch.unit.clone()),
                    Presence::Matched(column) | Presence::Branch { column, union: _ } => Expr::Column(column.clone()),
                };
                exprs.push(present.alias(marker(slot)));
            }
            let ids = |own: bool| combined_id(branch.row_ids.iter().filter(move |id| id.own == own));
            exprs.push(ids(false).alias(&others));
            exprs.push(ids(true).alias(&own));
            let input =
                LogicalPlanBuilder::from(branch.plan.clone()).project(exprs).and_then(LogicalPlanBuilder::build);
            inputs.push(Arc::new(input.map_err(internal)?));
        }
        let united = Union::try_new_with_loose_types(inputs).map(LogicalPlan::Union).map_err(internal)?;
        let named = plan.schema().iter().map(|(qualifier, field)| {
            let value = Expr::Column(Column::new_unqualified(field.name()));
            if qualifier.is_some() { value.alias_qualified(qualifier.cloned(), field.name()) } else { value }
        });
        let hidden =
            [unit.clone()].into_iter().chain((0..slots.len()).map(marker)).chain([others.clone(), own.clone()]);
        let exprs: Vec<Expr> = named.chain(hidden.map(|name| Expr::Column(Column::new_unqualified(name)))).collect();
        let plan =
            LogicalPlanBuilder::from(united).project(exprs).and_then(LogicalPlanBuilder::build).map_err(internal)?;

        let slots = slots
            .iter()
            .enumerate()
            .map(|(slot, (branch, it))| Slot {
                places: it.places.clone(),
                presence: Presence::Branch {
                    column: Column::new_unqualified(marker(slot)),
                    union: match it.presence {
                        Presence::Always | Presence::Never => Some(number),
                        // Of its own branch too it may be absent, which no tag tells.
                        Presence::Matched(_) | Presence::Branch { .. } => None,
                    },
                },
                beside: branches
                    .get(*branch)
                    .map(Rows::always)
                    .unwrap_or_default()
                    .union(&it.beside)
                    .copied()
                    .collect(),
            })
            .collect();
        Ok(Rows {
            plan,
            labels,
            unit: Column::new_unqualified(unit),
            slots,
            row_ids: vec![
                RowId { column: Column::new_unqualified(others), own: false },
                RowId { column: Column::new_unqualified(own), own: true },
            ],
            checks: branches.iter().flat_map(|branch| branch.checks.clone()).collect(),
            together: branches.iter().flat_map(|branch| branch.together.clone()).collect(),
            steering: branches.iter().flat_map(|branch| branch.steering.clone()).collect(),
            fanned_out: branches.iter().find_map(|branch| branch.fanned_out.clone()),
            per_unit: branches.iter().all(|branch| branch.per_unit),
            single: false,
            split: branches.iter().any(|branch| branch.split),
            parted_by: branches.iter().flat_map(|branch| branch.parted_by.clone()).collect(),
            numbered_by: branches.iter().flat_map(Rows::places).collect(),
            multiplying: branches
                .iter()
                .map(|branch| &branch.multiplying)
                .max_by_key(|multiplying| multiplying.len())
                .cloned()
                .unwrap_or_default(),
            // A UNION joins by what is done with it above: rows of the analyst's own count once in it, however often they are
            // listed, or their number weighs whoever stands in the other branch.
            repeated: branches.iter().any(|branch| branch.repeated) || (mixed && self.distinct),
            audience: None,
        })
    }

    /// Whether the analyst's own rows are united with another owner's. Those count once then, where an owner asks for that.
    fn mixes(&mut self, branches: &[Rows]) -> Result<bool, Refusal> {
        let (mut own, mut others) = (false, false);
        for branch in branches {
            own |= self.holds(branch, true)?;
            others |= self.holds(branch, false)?;
        }
        if own && others && self.distinct {
            for place in branches.iter().flat_map(Rows::places) {
                let facts = self.facts(place)?;
                if facts.owner() == self.analyst {
                    let name = facts.name.to_string();
                    self.own_once.insert(name);
                }
            }
        }
        Ok(own && others)
    }

    /// Under a dominance rule rows are not united: one branch's many or large values would hide that another's are held by
    /// one unit.
    fn check_united(&self, branches: &[Rows]) -> Result<(), Refusal> {
        for place in branches.iter().flat_map(Rows::places) {
            let facts = self.facts(place)?;
            // What the analyst's own rows hold is no secret to it.
            if facts.policy.release.dominance.is_some() && facts.owner() != self.analyst {
                return Err(Refusal::new(
                    Code::Clause,
                    format!("under the dominance rule of `{}` its rows are not united with others", facts.name),
                )
                .about("UNION")
                .rule(Rule::of(&facts.policy, "release.dominance"))
                .suggest("aggregate each of them, and unite the results"));
            }
        }
        Ok(())
    }

    fn united_labels(
        &self,
        union: &Union,
        plan: &LogicalPlan,
        branches: &[Rows],
        number: usize,
    ) -> Result<Vec<Label>, Refusal> {
        (0..plan.schema().fields().len())
            .map(|column| {
                let parts: Vec<&Label> = branches.iter().filter_map(|branch| branch.labels.get(column)).collect();
                let mut label = Label::computed(parts.iter().copied());
                if let Some(Kind::Key(space)) =
                    parts.iter().map(|part| &part.kind).find(|kind| matches!(kind, Kind::Key(_)))
                {
                    let name = plan.schema().field(column).name();
                    if parts.iter().any(|part| part.kind != Kind::Key(space.clone())) {
                        return Err(Refusal::new(
                            Code::KeyMisused,
                            "a UNION has a key in one branch and something else in the same place of another",
                        )
                        .about(name.clone()));
                    }
                    label.kind = Kind::Key(space.clone());
                    label.uses = BTreeSet::from([Use::Join]);
                    label.uses.retain(|what| parts.iter().all(|part| part.allows(*what)));
                    return Ok(label);
                }
                if label.kind == Kind::Constant {
                    // A literal of its own in each branch tells them apart.
                    label = Label { from: label.from, ..Label::value(BTreeSet::from([Use::Dimension, Use::Filter])) };
                    let literals: Option<Vec<ScalarValue>> =
                        union.inputs.iter().map(|input| literal_at(input, column)).collect();
                    let tells = literals.is_some_and(|literals| {
                        literals.iter().enumerate().all(|(index, one)| {
                            one.data_type() == *plan.schema().field(column).data_type()
                                && literals.iter().skip(index + 1).all(|other| other != one)
                        })
                    });
                    label.branch_of = tells.then_some(number);
                }
                if let Some(first) = parts.first().and_then(|part| part.measure.as_ref()) {
                    let owner = self.facts(first.instance)?.owner();
                    let mut united = Some(first.clone());
                    for part in &parts {
                        let Some(measure) = &part.measure else {
                            united = None;
                            break;
                        };
                        if self.facts(measure.instance)?.owner() != owner || measure.zero_else {
                            united = None;
                            break;
                        }
                        if let Some(united) = &mut united {
                            united.functions = united.functions.intersection(&measure.functions).copied().collect();
                            united.combined |= measure.combined;
                            united.own |= measure.own;
                            united.factors =
                                (united.factors.0.min(measure.factors.0), united.factors.1.max(measure.factors.1));
                            // No product of what may be two tables' values.
                            united.degree = 2;
                        }
                    }
                    label.measure = united;
                }
                Ok(label)
            })
            .collect()
    }
}

/// The literal that a plan has in all rows of a column, bare and of a type in which no two literals are equal that are
/// written differently.
fn literal_at(plan: &LogicalPlan, column: usize) -> Option<ScalarValue> {
    match plan {
        LogicalPlan::Projection(projection) => match projection.expr.get(column)?.clone().unalias() {
            Expr::Literal(value, _metadata) if tells_apart(&value) => Some(value),
            _ => None,
        },
        LogicalPlan::SubqueryAlias(alias) => literal_at(&alias.input, column),
        _ => None,
    }
}

/// Literals whose own equality is that of the engine's groups.
pub(super) fn tells_apart(value: &ScalarValue) -> bool {
    matches!(value, ScalarValue::Utf8(Some(_)) | ScalarValue::Int64(Some(_)) | ScalarValue::Boolean(Some(_)))
}
