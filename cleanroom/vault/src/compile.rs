//! [`CheckedQuery`] and [`Reservation`] to [`PrivatePlan`]: row filters, clamps, distinct rows and unit counts are in the
//! plan. Stock operators only, so that any engine can run it.
//!
//! A release point becomes two aggregates: first per group and unit, then per group. The first is where a unit's share of
//! each cell stands in one row; the second counts units, adds shares, and keeps the largest.

use cleanroom_registry::Reservation;
use datafusion::common::{Column, Result};
use datafusion::execution::session_state::SessionState;
use datafusion::functions::core::expr_fn::least;
use datafusion::functions::math::expr_fn::abs;
use datafusion::functions_aggregate::expr_fn::{count, count_distinct, max, sum};
use datafusion::logical_expr::{
    Aggregate, Expr, ExprFunctionExt, GroupingSet, LogicalPlan, LogicalPlanBuilder, lit, when,
};

use arrow::datatypes::DataType;

use crate::check::{
    self, AudienceRule, CellKind, CheckedQuery, Family, Floor, FloorKind, MatchCheck, ReleasePoint, combined_id,
};
use crate::fixed;
use crate::invariants::{self, Bounding, Invariants};
use crate::noise::{QueryNoise, Salt, bounded_plan, bounding, choice, histogram_bounding, histogram_plan};
use crate::scans::with_snapshots;
use crate::units::Choice;
use crate::without::{self, Without};

/// Plans that read protected rows; only the executor takes them apart.
pub(crate) struct PrivatePlan {
    /// The right to run this once.
    reservation: Reservation,
    releases: Vec<PrivateRelease>,
    families: Vec<PrivateFamily>,
    above: LogicalPlan,
    noise: Option<QueryNoise>,
}

/// A plan taken apart.
pub(crate) struct Parts {
    pub(crate) reservation: Reservation,
    pub(crate) releases: Vec<PrivateRelease>,
    pub(crate) families: Vec<PrivateFamily>,
    pub(crate) above: LogicalPlan,
    pub(crate) noise: Option<QueryNoise>,
}

/// What is read for one release point.
pub(crate) struct PrivateRelease {
    pub(crate) release: ReleasePoint,
    /// Its totals; `None` where it is one of a family.
    pub(crate) plan: Option<RowsPlan>,
    /// One for each check of the release point, then one for each floor that has a check of its own.
    pub(crate) checks: Vec<LogicalPlan>,
    /// How the values lie of which a quantile is chosen: one for each of [`ReleaseNoise::histograms`].
    pub(crate) histograms: Vec<RowsPlan>,
    /// Who is behind the numbers, where a rule has to know.
    pub(crate) evidence: Option<RowsPlan>,
    /// The analyst's own units, matching or not, by the groups of their own.
    pub(crate) audience: Option<LogicalPlan>,
}

/// What is read for release points that are judged together: evidence.
pub(crate) struct PrivateFamily {
    pub(crate) family: Family,
    pub(crate) plan: RowsPlan,
}

/// A plan that reads rows, and what has to hold of it once it is optimized.
pub(crate) struct RowsPlan {
    pub(crate) plan: LogicalPlan,
    pub(crate) invariants: Invariants,
    /// What the window in it does, where it has one to choose a unit's groups.
    pub(crate) choice: Option<Choice>,
}

impl RowsPlan {
    pub(crate) fn new(state: &SessionState, plan: LogicalPlan, bounding: Option<Bounding>) -> Result<Self> {
        let plan = with_snapshots(state, plan)?;
        let invariants = Invariants::of(state, &plan, bounding)?;
        Ok(Self { plan, invariants, choice: None })
    }
}

impl PrivatePlan {
    /// Compiles a checked query.
    ///
    /// # Errors
    /// The engine's, for the operator alone.
    pub(crate) fn compile(state: &SessionState, checked: CheckedQuery, reservation: Reservation) -> Result<Self> {
        let CheckedQuery { releases, families, above, tables: _, notes: _, noise } = checked;
        let in_family = |index: usize| in_family(&families, index);
        let of_noise = |index: usize| noise.as_ref().and_then(|noise| noise.releases.get(index));
        let salt = Salt::fresh()?;
        let releases = releases
            .into_iter()
            .enumerate()
            .map(|(index, release)| {
                let plan = match (in_family(index), of_noise(index)) {
                    (true, _) => None,
                    (false, Some(noise)) => {
                        let bounding = bounding(&release, noise)?;
                        let plan = RowsPlan::new(state, bounded_plan(&release, noise, &salt)?, Some(bounding))?;
                        Some(RowsPlan { choice: choice(&release, noise, &salt), ..plan })
                    }
                    (false, None) => Some(RowsPlan::new(state, release_plan(&release)?, None)?),
                };
                let histograms = of_noise(index).map(|noise| {
                    let plans = noise.histograms().into_iter().map(|of| {
                        let plan = histogram_plan(&release, noise, &salt, of)?;
                        RowsPlan::new(state, plan, Some(histogram_bounding(&release, noise)))
                    });
                    plans.collect::<Result<Vec<_>>>()
                });
                let histograms = histograms.transpose()?.unwrap_or_default();
                let of_floors = release.floors.iter().filter_map(|floor| match &floor.kind {
                    FloorKind::Flagged(check) | FloorKind::Partly { check, told: _ } => Some(check.as_ref()),
                    FloorKind::Matched
                    | FloorKind::Branch
                    | FloorKind::Tagged
                    | FloorKind::Meeting { .. }
                    | FloorKind::Swayed(_)
                    | FloorKind::Elsewhere(_) => None,
                });
                let checks = release
                    .checks
                    .iter()
                    .chain(of_floors)
                    .map(|check| with_snapshots(state, check_plan(check)?))
                    .collect::<Result<Vec<_>>>()?;
                let audience =
                    release.audience.as_ref().map(|rule| with_snapshots(state, audience_plan(rule)?)).transpose()?;
                let evidence = (release.guard.is_some() || release.audience.is_some())
                    .then(|| RowsPlan::new(state, unit_plan(&release, Shares::Evidence)?, None))
                    .transpose()?;
                Ok(PrivateRelease { release, plan, histograms, checks, evidence, audience })
            })
            .collect::<Result<Vec<_>>>()?;
        let families = families
            .into_iter()
            .map(|family| {
                let plan = RowsPlan::new(state, unit_plan(&family.combined, Shares::Evidence)?, None)?;
                Ok(PrivateFamily { family, plan })
            })
            .collect::<Result<Vec<_>>>()?;
        let above = above_release(state, above)?;
        Ok(Self { reservation, releases, families, above, noise })
    }

    pub(crate) fn into_parts(self) -> Parts {
        let Self { reservation, releases, families, above, noise } = self;
        Parts { reservation, releases, families, above, noise }
    }
}

/// What stands above the release points, over the snapshots of reference tables.
///
/// # Errors
/// The engine's, for the operator alone; where a protected row would be read.
pub(crate) fn above_release(state: &SessionState, above: LogicalPlan) -> Result<LogicalPlan> {
    let above = with_snapshots(state, above)?;
    invariants::reads_no_protected_rows(&above)?;
    Ok(above)
}

fn in_family(families: &[Family], release: usize) -> bool {
    families.iter().flat_map(|family| &family.members).any(|member| member.release == release)
}

/// The plans that read protected rows for a checked query, over scans that still stand for tables.
pub(crate) fn row_plans(checked: &CheckedQuery) -> Result<Vec<LogicalPlan>> {
    let alone = checked.releases.iter().enumerate().filter(|(index, _release)| !in_family(&checked.families, *index));
    let noise = |index: usize| checked.noise.as_ref().and_then(|noise| noise.releases.get(index));
    alone
        .flat_map(|(index, release)| match noise(index) {
            Some(noise) => {
                let of = noise.histograms().into_iter();
                let histograms = of.map(|of| histogram_plan(release, noise, &Salt::none(), of));
                std::iter::once(bounded_plan(release, noise, &Salt::none())).chain(histograms).collect()
            }
            None => vec![release_plan(release)],
        })
        .chain(checked.families.iter().map(|family| unit_plan(&family.combined, Shares::Evidence)))
        .collect()
}

/// Names of the columns a release plan yields; positions are the executor's business.
pub(crate) fn group_name(index: usize) -> String {
    format!("__cr_g_{index}")
}
pub(crate) const UNITS: &str = "__cr_units";
/// The unit, in the plan per unit.
pub(crate) const UNIT: &str = "__cr_u";
/// Units of a floor's tables.
pub(crate) fn floor_name(floor: usize) -> String {
    format!("__cr_f_{floor}")
}
/// How many units stand for a floor.
pub(crate) fn present_name(release: &ReleasePoint, floor: usize) -> String {
    match release.floors.get(floor).and_then(Floor::meeting) {
        Some(_both) => format!("{MEETING}{floor}"),
        None => floor_name(floor),
    }
}

/// What names of numbers of units that meet begin with.
pub(crate) const MEETING: &str = "__cr_meet_";

pub(crate) fn is_floor_name(name: &str) -> bool {
    name.strip_prefix("__cr_f_").is_some_and(|floor| floor.parse::<usize>().is_ok())
}
pub(crate) fn contributors_name(index: usize) -> String {
    format!("__cr_c_{index}")
}
/// Contributors to a cell from a floor's tables.
pub(crate) fn contributors_of_name(index: usize, floor: usize) -> String {
    format!("__cr_c_{index}_{floor}")
}
pub(crate) fn count_name(index: usize) -> String {
    format!("__cr_n_{index}")
}
pub(crate) fn sum_name(index: usize) -> String {
    format!("__cr_s_{index}")
}
pub(crate) fn largest_name(index: usize) -> String {
    format!("__cr_l_{index}")
}
/// The most values of one unit, where the largest sum stands beside it.
pub(crate) fn largest_count_name(index: usize) -> String {
    format!("__cr_k_{index}")
}
pub(crate) fn mass_name(index: usize) -> String {
    format!("__cr_m_{index}")
}
/// The hash of the rows behind a unit's share of a cell.
pub(crate) fn rows_name(index: usize) -> String {
    format!("__cr_h_{index}")
}
/// The same without the analyst's own rows.
pub(crate) fn others_rows_name(index: usize) -> String {
    format!("__cr_o_{index}")
}
/// The sum of a cell's squares, in [`SQUARE_SCALE`].
pub(crate) fn squares_name(index: usize) -> String {
    format!("__cr_q_{index}")
}
/// Decimal places of a sum of squares.
pub(crate) const SQUARE_SCALE: i8 = 9;
fn value_name(index: usize) -> String {
    format!("__cr_v_{index}")
}
/// The engine's name for the column that tells grouping sets apart.
pub(crate) const GROUPING_ID: &str = Aggregate::INTERNAL_GROUPING_ID;

/// A number of a unit's share of a group, where its groups have to be put into an order.
pub(crate) const PRIORITY: &str = "__cr_p";
/// The place of a group among its unit's.
pub(crate) const PLACE: &str = "__cr_place";
/// The place of a row among its unit's in a group.
pub(crate) const ROW_PLACE: &str = "__cr_row_place";

/// What shares are read for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shares {
    /// To be added up.
    Totals,
    /// To be known one by one: with the rows behind them.
    Evidence,
    /// To be bounded and added up: with a number that nobody knows.
    Bounded,
}

pub(crate) fn column(name: impl Into<String>) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

/// The exact aggregate of a release point for whose rules totals are enough, over scans that still stand for tables.
pub(crate) fn release_plan(release: &ReleasePoint) -> Result<LogicalPlan> {
    let per_unit = unit_plan(release, Shares::Totals)?;
    let either = without::unit_name(release, Shares::Totals);
    let mut totals = vec![count(column(UNIT)).alias(UNITS)];
    for (index, floor) in release.floors.iter().enumerate().filter(|(_index, floor)| !floor.is_idle()) {
        let name = present_name(release, index);
        totals.push(match floor.meeting() {
            Some((one, other)) => {
                let both = column(floor_name(one)).is_not_null().and(column(floor_name(other)).is_not_null());
                count(column(UNIT)).filter(both).build()?.alias(name)
            }
            None => count(column(floor_name(index))).alias(name),
        });
    }
    for (index, cell) in release.cells.iter().enumerate() {
        let contributes = |counted: String| column(counted).gt(lit(0_i64));
        let contributing = |contributes: Expr, name: String| {
            count(column(UNIT)).filter(contributes).build().map(|expr| expr.alias(name))
        };
        totals.push(contributing(contributes(count_name(index)), contributors_name(index))?);
        for (floor, of) in branches(release).zip(&release.floors).filter(|(_floor, of)| !of.is_idle()) {
            let of_floor = |floor: usize| contributes(contributors_of_name(index, floor));
            let who = match of.meeting() {
                Some((one, other)) => of_floor(one).and(of_floor(other)),
                None => of_floor(floor),
            };
            // Whoever has no part in it any more is among those to whom rows make a difference.
            let unit = if of.sway().is_some() { either } else { UNIT };
            let who = count(column(unit)).filter(who).build()?;
            totals.push(who.alias(contributors_of_name(index, floor)));
        }
        totals.push(sum(column(count_name(index))).alias(count_name(index)));
        match cell.kind {
            CellKind::Units | CellKind::Quantile(_) => {}
            CellKind::Rows => {
                if !release.dominance.is_empty() {
                    totals.push(max(column(count_name(index))).alias(largest_name(index)));
                }
            }
            CellKind::Sum | CellKind::Average => {
                totals.push(sum(column(sum_name(index))).alias(sum_name(index)));
                if !release.dominance.is_empty() {
                    totals.push(max(abs(column(sum_name(index)))).alias(largest_name(index)));
                    totals.push(sum(abs(column(sum_name(index)))).alias(mass_name(index)));
                }
                if !release.dominance.is_empty() && cell.kind == CellKind::Average {
                    totals.push(max(column(count_name(index))).alias(largest_count_name(index)));
                }
            }
        }
    }
    LogicalPlanBuilder::from(per_unit).aggregate(group_columns(release), totals)?.build()
}

/// Each unit's share of each group of a release point: the groups, the unit, whether rows of each floor's tables are among
/// its own, and of each cell the number of its values and their sum; as evidence, also hashes of the rows behind it.
///
/// Such a hash is the wrapping sum of the rows' secret random numbers: the same rows have the same hash, and other rows the
/// same one about as often as two random numbers are equal. A row that stands there twice counts twice.
pub(crate) fn unit_plan(release: &ReleasePoint, shares_for: Shares) -> Result<LogicalPlan> {
    match Without::of(release, shares_for) {
        Some(without) => without::marked(release, shares_for, &without),
        None => shares_plan(release, &release.rows.plan, shares_for),
    }
}

/// The same of the rows of a plan, which has the columns of the release point's.
pub(crate) fn shares_plan(release: &ReleasePoint, of: &LogicalPlan, shares_for: Shares) -> Result<LogicalPlan> {
    const ROW: &str = "__cr_h";
    let as_evidence = shares_for == Shares::Evidence;
    let bounded = shares_for == Shares::Bounded;
    const OTHERS_ROW: &str = "__cr_o";
    let rows = &release.rows;
    let mut inputs: Vec<Expr> = release
        .groups
        .iter()
        .enumerate()
        .map(|(index, group)| group.clone().unalias().alias(group_name(index)))
        .collect();
    inputs.push(Expr::Column(rows.unit.clone()).alias(UNIT));
    for (index, present) in present(release) {
        inputs.push(present.alias(floor_name(index)));
    }
    for (index, cell) in release.cells.iter().enumerate() {
        let value = match cell.kind {
            CellKind::Rows | CellKind::Units | CellKind::Quantile(_) => cell.argument.clone(),
            CellKind::Sum | CellKind::Average => {
                fixed::ticks(cell.argument.clone(), &expr_type(&cell.argument, release)?)
            }
        };
        let value = match &cell.filter {
            Some(filter) => when(filter.clone(), value).end()?,
            None => value,
        };
        inputs.push(value.alias(value_name(index)));
    }
    let with_others = as_evidence && own_and_others(release);
    if as_evidence || bounded {
        inputs.push(combined_id(rows.row_ids.iter()).alias(ROW));
    }
    if with_others {
        inputs.push(combined_id(rows.row_ids.iter().filter(|id| !id.own)).alias(OTHERS_ROW));
    }
    // What a cell has no value of adds nothing.
    let behind = |index: usize, id: &str| when(column(value_name(index)).is_not_null(), column(id)).end();
    let others: Vec<&Column> = rows.row_ids.iter().filter(|id| !id.own).map(|id| &id.column).collect();
    let id_name = |index: usize| format!("__cr_r_{index}");
    if rows.repeated {
        inputs.extend(others.iter().enumerate().map(|(index, id)| Expr::Column((*id).clone()).alias(id_name(index))));
    }
    let mut plan = LogicalPlanBuilder::from(of.clone()).project(inputs)?;
    let mut grouped = false;
    if rows.repeated {
        // Another owner's row has a part in a group once, however many rows of the analyst's own it meets there.
        let keys: Vec<String> = std::iter::once(UNIT.to_owned()).chain((0..others.len()).map(id_name)).collect();
        let mut firsts: Vec<Expr> = present(release)
            .map(|(floor, _present)| floor_name(floor))
            .chain((0..release.cells.len()).map(value_name))
            .chain(with_others.then(|| OTHERS_ROW.to_owned()))
            .chain(bounded.then(|| ROW.to_owned()))
            .map(|name| max(column(&name)).alias(name))
            .collect();
        if as_evidence {
            for index in 0..release.cells.len() {
                firsts.push(sum(behind(index, ROW)?).alias(rows_name(index)));
            }
        }
        plan = plan.aggregate(grouping(release, &keys, grouped), firsts)?;
        grouped = true;
    }
    let mut shares: Vec<Expr> =
        present(release).map(|(floor, _)| floor_name(floor)).map(|name| max(column(&name)).alias(name)).collect();
    for (index, cell) in release.cells.iter().enumerate() {
        shares.push(count(column(value_name(index))).alias(count_name(index)));
        for (floor, _present) in present(release).filter(|(floor, _present)| branches(release).contains(floor)) {
            let present = column(floor_name(floor)).is_not_null();
            shares
                .push(count(when(present, column(value_name(index))).end()?).alias(contributors_of_name(index, floor)));
        }
        match cell.kind {
            CellKind::Rows | CellKind::Units | CellKind::Quantile(_) => {}
            CellKind::Sum | CellKind::Average => shares.push(sum(column(value_name(index))).alias(sum_name(index))),
        }
        if cell.spread.is_some() {
            let value = fixed::float(column(value_name(index)));
            let square = fixed::ticks(value.clone() * value, &DataType::Float64);
            shares.push(sum(square).alias(squares_name(index)));
        }
        if as_evidence {
            let rows = if grouped { column(rows_name(index)) } else { behind(index, ROW)? };
            shares.push(sum(rows).alias(rows_name(index)));
        }
        if with_others {
            shares.push(sum(behind(index, OTHERS_ROW)?).alias(others_rows_name(index)));
        }
    }
    if bounded {
        shares.push(sum(column(ROW)).alias(PRIORITY));
    }
    plan.aggregate(grouping(release, &[UNIT.to_owned()], grouped), shares)?.build()
}

/// Whether rows of the analyst's own stand beside another owner's.
pub(crate) fn own_and_others(release: &ReleasePoint) -> bool {
    let ids = &release.rows.row_ids;
    ids.iter().any(|id| id.own) && ids.iter().any(|id| !id.own)
}

/// The GROUP BY of a release point with further keys; by its sets, unless they were taken below already.
fn grouping(release: &ReleasePoint, keys: &[String], grouped: bool) -> Vec<Expr> {
    let keys = || keys.iter().map(column);
    match (&release.sets, grouped) {
        (Some(sets), false) => {
            let sets =
                sets.iter().map(|set| set.iter().map(|group| column(group_name(*group))).chain(keys()).collect());
            vec![Expr::GroupingSet(GroupingSet::GroupingSets(sets.collect()))]
        }
        (None, _) | (Some(_), true) => group_columns(release).into_iter().chain(keys()).collect(),
    }
}

/// The grouping id that the planner would give a row of the release plan: one bit for each group, the first one highest,
/// set where the row's set leaves the group out.
///
/// The engine numbers the columns of all sets in the order in which it meets them, the further keys among them.
pub(crate) fn planned_grouping_id(release: &ReleasePoint, id: u64) -> u64 {
    let order = grouping_order(release);
    let mut planned = 0;
    for (position, group) in order.iter().rev().enumerate() {
        if let Some(group) = group
            && id >> position & 1 == 1
        {
            planned |= 1 << (release.groups.len() - 1 - group);
        }
    }
    planned
}

/// The grouping id that the engine gives the rows of a set in a plan per unit: the other way round.
pub(crate) fn engine_grouping_id(release: &ReleasePoint, set: &[usize]) -> u64 {
    let order = grouping_order(release);
    let absent =
        order.iter().rev().enumerate().filter(|(_position, group)| group.is_some_and(|group| !set.contains(&group)));
    absent.fold(0, |id, (position, _group)| id | 1 << position)
}

/// The columns of all sets of a plan per unit in the order in which the engine meets them; `None` for the further keys.
fn grouping_order(release: &ReleasePoint) -> Vec<Option<usize>> {
    let keys = 1 + if release.rows.repeated { release.rows.row_ids.iter().filter(|id| !id.own).count() } else { 0 };
    let mut order: Vec<Option<usize>> = Vec::new();
    for (index, set) in release.sets.iter().flatten().enumerate() {
        for group in set {
            if !order.contains(&Some(*group)) {
                order.push(Some(*group));
            }
        }
        if index == 0 {
            order.extend(std::iter::repeat_n(None, keys));
        }
    }
    order
}

/// The grouping id that the planner gives a set's rows.
pub(crate) fn grouping_id_of(release: &ReleasePoint, set: &[usize]) -> u64 {
    let groups = release.groups.len();
    (0..groups).filter(|group| !set.contains(group)).fold(0, |id, group| id | 1 << (groups - 1 - group))
}

/// The columns that tell groups apart, once they are grouped.
pub(crate) fn group_columns(release: &ReleasePoint) -> Vec<Expr> {
    let groups = (0..release.groups.len()).map(|index| column(group_name(index)));
    groups.chain(release.sets.as_ref().map(|_sets| column(GROUPING_ID))).collect()
}

/// Floors that cells have to meet by themselves: of those whose tables stand in some rows only, which the others' units say
/// nothing of.
pub(crate) fn branches(release: &ReleasePoint) -> std::ops::Range<usize> {
    0..release.real_floors()
}

/// What rows of units say that stand for a floor by one row; the others follow from several.
pub(crate) fn present(release: &ReleasePoint) -> impl Iterator<Item = (usize, Expr)> {
    release.floors.iter().enumerate().filter_map(|(index, floor)| Some((index, floor.present()?)))
}

/// For each group of own columns, how many of the analyst's units stand in it.
fn audience_plan(rule: &AudienceRule) -> Result<LogicalPlan> {
    let groups = rule.groups.iter().map(|(position, group)| group.clone().unalias().alias(group_name(*position)));
    let unit = Expr::Column(rule.unit.clone());
    LogicalPlanBuilder::from(rule.plan.clone())
        .aggregate(groups.collect::<Vec<_>>(), vec![count_distinct(unit).alias(UNITS)])?
        .build()
}

/// One row: how many units match, of each kind of rows at least.
pub(crate) fn check_plan(check: &MatchCheck) -> Result<LogicalPlan> {
    let unit = Expr::Column(check.unit.clone());
    let plan = LogicalPlanBuilder::from(check.plan.clone());
    if check.among.is_empty() {
        return plan.aggregate(Vec::<Expr>::new(), vec![count_distinct(unit).alias(UNITS)])?.build();
    }
    let of_kind = check.among.iter().enumerate().map(|(kind, marker)| {
        let of_it = when(Expr::Column(marker.clone()).is_not_null(), unit.clone()).end()?;
        Ok(count_distinct(of_it).alias(count_name(kind)))
    });
    let counts = of_kind.collect::<Result<Vec<_>>>()?;
    let fewest = least((0..counts.len()).map(|kind| column(count_name(kind))).collect());
    plan.aggregate(Vec::<Expr>::new(), counts)?.project([fewest.alias(UNITS)])?.build()
}

pub(crate) fn expr_type(expr: &Expr, release: &ReleasePoint) -> Result<DataType> {
    use datafusion::logical_expr::ExprSchemable;
    expr.get_type(release.rows.plan.schema())
}

/// The decimal places of a cell's sum.
pub(crate) fn scale(cell: &check::Cell, release: &ReleasePoint) -> Result<i8> {
    Ok(fixed::scale_of(&expr_type(&cell.argument, release)?))
}
