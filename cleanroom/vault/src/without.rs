//! Each unit's share of a group beside what it would be if an owner had no rows: whose share that is another one, the owner's
//! rows make a difference to. See [`crate::check`] for the floors that count those units.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::DataType;
use cleanroom_policy::PartnerName;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::expr_fn::max;
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{
    EmptyRelation, Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, WindowFunctionDefinition, lit, when,
};

use crate::check::{CellKind, Floor, ReleasePoint};
use crate::compile::{
    self, GROUPING_ID, Shares, UNIT, column, contributors_of_name, count_name, floor_name, group_columns, shares_plan,
    sum_name,
};
use crate::source::CheckedScan;

/// The unit of a share, be it one that there would be only without an owner's rows. [`UNIT`] is NULL there.
pub(crate) const EITHER: &str = "__cr_unit_e";

/// Whose rows are left out for a release point: for each floor that has to know, and for its guard.
pub(crate) struct Without {
    /// The floors, and owners.
    floors: Vec<(usize, BTreeSet<PartnerName>)>,
    /// Those with a guard, where it compares what their rows make of a number.
    guarded: Option<BTreeSet<PartnerName>>,
}

impl Without {
    /// `None` where nothing has to be known of what there would be.
    pub(crate) fn of(release: &ReleasePoint, shares_for: Shares) -> Option<Self> {
        let wanted = |floor: usize| {
            let sway = release.floors.get(floor)?.sway()?;
            sway.wanted.then(|| (floor, BTreeSet::from([sway.owner.clone()])))
        };
        let floors: Vec<_> = (0..release.floors.len()).filter_map(wanted).collect();
        let guarded = release.guarded.clone().filter(|_owners| shares_for == Shares::Evidence);
        (!floors.is_empty() || guarded.is_some()).then_some(Self { floors, guarded })
    }

    /// The different sets of owners.
    fn owners(&self) -> Vec<&BTreeSet<PartnerName>> {
        let mut all: Vec<&BTreeSet<PartnerName>> = Vec::new();
        for owners in self.floors.iter().map(|(_floor, owners)| owners).chain(&self.guarded) {
            if !all.contains(&owners) {
                all.push(owners);
            }
        }
        all
    }

    /// Whether floors ask for units that are in none of the groups with these owners' rows, or without, at some place of them.
    fn enters(&self, release: &ReleasePoint, place: usize) -> bool {
        self.floors.iter().any(|(floor, owners)| {
            let enters = release.floors.get(*floor).and_then(Floor::sway).is_some_and(|sway| sway.enters);
            enters && self.place(owners) == place
        })
    }

    /// Where among them one is.
    fn place(&self, owners: &BTreeSet<PartnerName>) -> usize {
        self.owners().iter().position(|known| *known == owners).unwrap_or_default()
    }
}

/// What a unit's share of a cell comes to without the rows of those who have a guard.
pub(crate) fn known_count_name(cell: usize) -> String {
    format!("__cr_known_n_{cell}")
}
/// Its sum.
pub(crate) fn known_sum_name(cell: usize) -> String {
    format!("__cr_known_s_{cell}")
}

/// Not NULL where a unit would stand without the rows of a floor's owner.
pub(crate) fn stays_name(floor: usize) -> String {
    format!("__cr_stays_{floor}")
}
/// Whether it would have a part in a cell.
pub(crate) fn stays_in_name(cell: usize, floor: usize) -> String {
    format!("__cr_stays_{cell}_{floor}")
}

fn there_name(place: usize) -> String {
    format!("__cr_w_{place}")
}
/// Of all groups of a unit.
fn all_name(name: &str) -> String {
    format!("{name}_all")
}
fn count_without(place: usize, cell: usize) -> String {
    format!("__cr_w_{place}_n_{cell}")
}
fn sum_without(place: usize, cell: usize) -> String {
    format!("__cr_w_{place}_s_{cell}")
}

/// The plan as it is where some owners' protected tables are empty.
fn emptied(plan: &LogicalPlan, owners: &BTreeSet<PartnerName>) -> Result<LogicalPlan> {
    plan.clone()
        .transform_up_with_subqueries(|node| {
            let of_them = CheckedScan::of(&node)
                .is_some_and(|scan| scan.facts.unit().is_some() && owners.contains(scan.facts.owner()));
            if !of_them {
                return Ok(Transformed::no(node));
            }
            let schema = Arc::clone(node.schema());
            Ok(Transformed::yes(LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema })))
        })
        .map(|transformed| transformed.data)
}

fn sum_over(value: Expr) -> Expr {
    Expr::from(WindowFunction::new(WindowFunctionDefinition::AggregateUDF(sum_udaf()), vec![value]))
}

/// Whether a cell adds values up.
fn adds(release: &ReleasePoint, cell: usize) -> bool {
    matches!(release.cells.get(cell).map(|cell| cell.kind), Some(CellKind::Sum | CellKind::Average))
}

/// The shares of a release point, with the units to which owners' rows make a difference marked: for each floor of such units
/// the unit, and for each cell whether it does there. Groups in which a unit would stand without those rows, and does not, are
/// among them, with NULL as [`UNIT`].
pub(crate) fn marked(release: &ReleasePoint, shares_for: Shares, without: &Without) -> Result<LogicalPlan> {
    let actual = shares_plan(release, &release.rows.plan, shares_for)?;
    let owners = without.owners();
    let cells = 0..release.cells.len();
    let groups: Vec<Expr> = group_columns(release);
    let kept: Vec<(String, DataType)> = {
        let is_group = |name: &str| groups.iter().any(|group| group.schema_name().to_string() == name);
        let fields = actual.schema().fields().iter().filter(|field| !is_group(field.name()));
        fields.map(|field| (field.name().clone(), field.data_type().clone())).collect()
    };
    let sum_type = |cell: usize| kept.iter().find(|(name, _type)| *name == sum_name(cell)).map(|(_, of)| of.clone());
    // What is told of a share without some owners: that there is one, and of each cell how many values and their sum.
    let mut told: Vec<(usize, String, Expr, DataType)> = Vec::new();
    for place in 0..owners.len() {
        told.push((place, there_name(place), lit(1_i64), DataType::Int64));
        for cell in cells.clone() {
            told.push((place, count_without(place, cell), column(count_name(cell)), DataType::Int64));
            if let Some(data_type) = sum_type(cell) {
                told.push((place, sum_without(place, cell), column(sum_name(cell)), data_type));
            }
        }
    }
    let nothing = |data_type: &DataType| {
        Ok::<_, datafusion::error::DataFusionError>(Expr::Literal(ScalarValue::try_from(data_type)?, None))
    };
    let branch = |plan: LogicalPlan, of: Option<usize>| {
        let mut exprs = groups.clone();
        exprs.push(column(UNIT).alias(EITHER));
        for (name, data_type) in &kept {
            let value = if of.is_none() { column(name) } else { nothing(data_type)? };
            exprs.push(value.alias(name));
        }
        for (place, name, value, data_type) in &told {
            let value = if of == Some(*place) { value.clone() } else { nothing(data_type)? };
            exprs.push(value.alias(name));
        }
        LogicalPlanBuilder::from(plan).project(exprs)
    };
    let mut all = branch(actual, None)?;
    for (place, owners) in owners.iter().enumerate() {
        let plan = shares_plan(release, &emptied(&release.rows.plan, owners)?, shares_for)?;
        all = all.union(branch(plan, Some(place))?.build()?)?;
    }
    // Of each branch a unit has one share of a group.
    let of_each = kept.iter().map(|(name, _type)| name).chain(told.iter().map(|(_, name, ..)| name));
    let of_each: Vec<Expr> = of_each.map(|name| max(column(name)).alias(name)).collect();
    let by = groups.iter().cloned().chain([column(EITHER)]).collect::<Vec<_>>();
    let all = all.aggregate(by, of_each)?;
    // The same of all groups of a unit together, where somebody has to know: in how many it stands and counts, how many values
    // they have, and their sum.
    let together: Vec<usize> = (0..owners.len()).filter(|place| without.enters(release, *place)).collect();
    let once = |value: Expr| when(value.gt(lit(0_i64)), lit(1_i64)).otherwise(lit(0_i64));
    let is_units = |cell: usize| matches!(release.cells.get(cell).map(|cell| cell.kind), Some(CellKind::Units));
    let mut over_all: Vec<(String, Expr)> = Vec::new();
    for place in &together {
        over_all.push((there_name(*place), column(there_name(*place))));
    }
    if !together.is_empty() {
        over_all.push((UNIT.to_owned(), when(column(UNIT).is_not_null(), lit(1_i64)).end()?));
    }
    for cell in cells.clone() {
        let counts = together.iter().map(|place| count_without(*place, cell));
        for name in counts.chain((!together.is_empty()).then(|| count_name(cell))) {
            let value = if is_units(cell) { once(column(&name))? } else { column(&name) };
            over_all.push((name, value));
        }
        if sum_type(cell).is_some() {
            let sums = together.iter().map(|place| sum_without(*place, cell));
            let sums = sums.chain((!together.is_empty()).then(|| sum_name(cell)));
            over_all.extend(sums.map(|name| (name.clone(), column(name))));
        }
    }
    let partition: Vec<Expr> =
        [column(EITHER)].into_iter().chain(release.sets.as_ref().map(|_sets| column(GROUPING_ID))).collect();
    let all = match over_all.is_empty() {
        true => all,
        false => {
            let windows = over_all.iter().map(|(name, value)| {
                sum_over(value.clone()).partition_by(partition.clone()).build().map(|over| over.alias(all_name(name)))
            });
            all.window(windows.collect::<Result<Vec<_>>>()?)?
        }
    };

    let or_zero = |value: Expr, data_type: &DataType| {
        when(value.clone().is_null(), Expr::Literal(ScalarValue::new_zero(data_type)?, None)).otherwise(value)
    };
    let differs_in = |place: usize, cell: usize, over_all: bool| -> Result<Expr> {
        let named = |name: String| if over_all { all_name(&name) } else { name };
        let whole = |name: String| or_zero(column(named(name)), &DataType::Int64);
        let (now, then) = (whole(count_name(cell))?, whole(count_without(place, cell))?);
        Ok(match (release.cells.get(cell).map(|cell| cell.kind), sum_type(cell)) {
            // One unit counts once in a group, however many rows it has.
            (Some(CellKind::Units), _) if !over_all => now.gt(lit(0_i64)).not_eq(then.gt(lit(0_i64))),
            (Some(CellKind::Units), _) => now.not_eq(then),
            (_, Some(_data_type)) => {
                // A sum over groups has more digits.
                let sum = |name: String| {
                    let name = named(name);
                    let data_type = all.schema().field_with_unqualified_name(&name)?.data_type().clone();
                    or_zero(column(name), &data_type)
                };
                now.not_eq(then).or(sum(sum_name(cell))?.not_eq(sum(sum_without(place, cell))?))
            }
            (_, None) => now.not_eq(then),
        })
    };
    let differs = |place: usize, cell: usize| -> Result<Expr> {
        let here = differs_in(place, cell, false)?;
        match together.contains(&place) {
            true => Ok(here.and(differs_in(place, cell, true)?)),
            false => Ok(here),
        }
    };
    let mut outputs = groups;
    outputs.push(column(EITHER));
    outputs.extend(kept.iter().map(|(name, _type)| column(name)));
    for (floor, owners) in &without.floors {
        let place = without.place(owners);
        let mut any = column(UNIT).is_null().not_eq(column(there_name(place)).is_null());
        if together.contains(&place) {
            let groups = |name: &str| or_zero(column(all_name(name)), &DataType::Int64);
            any = any.and(groups(UNIT)?.not_eq(groups(&there_name(place))?));
        }
        for cell in cells.clone() {
            let differs = differs(place, cell)?;
            any = any.or(differs.clone());
            outputs.push(when(differs, lit(1_i64)).otherwise(lit(0_i64))?.alias(contributors_of_name(cell, *floor)));
            if shares_for == Shares::Evidence {
                let stays = or_zero(column(count_without(place, cell)), &DataType::Int64)?;
                outputs.push(stays.alias(stays_in_name(cell, *floor)));
            }
        }
        outputs.push(when(any, column(EITHER)).end()?.alias(floor_name(*floor)));
        if shares_for == Shares::Evidence {
            outputs.push(column(there_name(place)).alias(stays_name(*floor)));
        }
    }
    if let Some(guarded) = &without.guarded {
        let place = without.place(guarded);
        for cell in cells {
            outputs.push(or_zero(column(count_without(place, cell)), &DataType::Int64)?.alias(known_count_name(cell)));
            if let (true, Some(data_type)) = (adds(release, cell), sum_type(cell)) {
                outputs.push(or_zero(column(sum_without(place, cell)), &data_type)?.alias(known_sum_name(cell)));
            }
        }
    }
    all.project(outputs)?.build()
}

/// Which column the units of a release point's shares are in.
pub(crate) fn unit_name(release: &ReleasePoint, shares_for: Shares) -> &'static str {
    if Without::of(release, shares_for).is_some() { EITHER } else { compile::UNIT }
}
