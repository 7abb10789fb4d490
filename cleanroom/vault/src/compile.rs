//! [`CheckedQuery`] and [`Reservation`] to [`PrivatePlan`]: row filters, clamps, distinct rows and unit counts are in the
//! plan. Stock operators only, so that any engine can run it.
//!
//! A release point becomes two aggregates: first per group and unit, then per group. The first is where a unit's share of
//! each cell stands in one row; the second counts units, adds shares, and keeps the largest.

use cleanroom_policy::{Bounds, ColumnRule, Grain, Step, Use};
use cleanroom_registry::Reservation;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema, Result, TableReference, plan_datafusion_err};
use datafusion::datasource::provider_as_source;
use datafusion::execution::session_state::SessionState;
use datafusion::functions::math::expr_fn::{abs, round};
use datafusion::functions_aggregate::expr_fn::{count, max, sum};
use datafusion::logical_expr::{Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, lit, when};

use arrow::datatypes::{DataType, TimeUnit};

use crate::check::{self, CellKind, CheckedQuery, OwnDistinct, ReleasePoint};
use crate::facts::TableFacts;
use crate::fixed;
use crate::snapshot;
use crate::source::CheckedScan;

/// Plans that read protected rows; only the executor takes them apart.
pub(crate) struct PrivatePlan {
    /// The right to run this once.
    reservation: Reservation,
    releases: Vec<(ReleasePoint, LogicalPlan)>,
    above: LogicalPlan,
}

impl PrivatePlan {
    /// Compiles a checked query.
    ///
    /// # Errors
    /// The engine's, for the operator alone.
    pub(crate) fn compile(state: &SessionState, checked: CheckedQuery, reservation: Reservation) -> Result<Self> {
        let releases = checked
            .releases
            .into_iter()
            .map(|release| {
                let plan = release_plan(&release)?;
                let plan = with_snapshots(state, plan)?;
                Ok((release, plan))
            })
            .collect::<Result<Vec<_>>>()?;
        let above = with_snapshots(state, checked.above)?;
        Ok(Self { reservation, releases, above })
    }

    pub(crate) fn into_parts(self) -> (Reservation, Vec<(ReleasePoint, LogicalPlan)>, LogicalPlan) {
        (self.reservation, self.releases, self.above)
    }
}

/// Names of the columns a release plan yields; positions are the executor's business.
pub(crate) fn group_name(index: usize) -> String {
    format!("__cr_g_{index}")
}
pub(crate) const UNITS: &str = "__cr_units";
pub(crate) fn contributors_name(index: usize) -> String {
    format!("__cr_c_{index}")
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
pub(crate) fn mass_name(index: usize) -> String {
    format!("__cr_m_{index}")
}

fn column(name: impl Into<String>) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

/// The exact aggregate of a release point, over scans that still stand for tables.
pub(crate) fn release_plan(release: &ReleasePoint) -> Result<LogicalPlan> {
    const UNIT: &str = "__cr_u";
    let mut groups: Vec<Expr> = release
        .groups
        .iter()
        .enumerate()
        .map(|(index, group)| group.clone().unalias().alias(group_name(index)))
        .collect();
    groups.push(Expr::Column(release.rows.unit.clone()).alias(UNIT));
    let mut shares = Vec::new();
    for (index, cell) in release.cells.iter().enumerate() {
        let filtered = |aggregate: Expr, name: String| match &cell.filter {
            Some(filter) => aggregate.filter(filter.clone()).build().map(|expr| expr.alias(name)),
            None => Ok(aggregate.alias(name)),
        };
        shares.push(filtered(count(cell.argument.clone()), count_name(index))?);
        match cell.kind {
            CellKind::Rows | CellKind::Units => {}
            CellKind::Sum | CellKind::Average => {
                let data_type = expr_type(&cell.argument, release)?;
                shares.push(filtered(sum(fixed::ticks(cell.argument.clone(), &data_type)), sum_name(index))?);
            }
        }
    }
    let per_unit = LogicalPlanBuilder::from(release.rows.plan.clone()).aggregate(groups, shares)?;

    let groups: Vec<Expr> = (0..release.groups.len()).map(|index| column(group_name(index))).collect();
    let mut totals = vec![count(column(UNIT)).alias(UNITS)];
    for (index, cell) in release.cells.iter().enumerate() {
        let contributes = column(count_name(index)).gt(lit(0_i64));
        totals.push(count(column(UNIT)).filter(contributes).build()?.alias(contributors_name(index)));
        totals.push(sum(column(count_name(index))).alias(count_name(index)));
        match cell.kind {
            CellKind::Units => {}
            CellKind::Rows => {
                if release.max_share.is_some() {
                    totals.push(max(column(count_name(index))).alias(largest_name(index)));
                }
            }
            CellKind::Sum | CellKind::Average => {
                totals.push(sum(column(sum_name(index))).alias(sum_name(index)));
                if release.max_share.is_some() {
                    totals.push(max(abs(column(sum_name(index)))).alias(largest_name(index)));
                    totals.push(sum(abs(column(sum_name(index)))).alias(mass_name(index)));
                }
            }
        }
    }
    per_unit.aggregate(groups, totals)?.build()
}

fn expr_type(expr: &Expr, release: &ReleasePoint) -> Result<DataType> {
    use datafusion::logical_expr::ExprSchemable;
    expr.get_type(release.rows.plan.schema())
}

/// The decimal places of a cell's sum.
pub(crate) fn scale(cell: &check::Cell, release: &ReleasePoint) -> Result<i8> {
    Ok(fixed::scale_of(&expr_type(&cell.argument, release)?))
}

/// Unused columns cut off, own tables made distinct over the rest, and snapshots in the place of scans.
fn with_snapshots(state: &SessionState, plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = check::narrowing().optimize(plan, state, |_plan, _rule| {})?;
    plan.transform_up_with_subqueries(|node| {
        if let LogicalPlan::Extension(extension) = &node
            && let Some(own) = extension.node.as_any().downcast_ref::<OwnDistinct>()
        {
            let columns: Vec<Expr> = own
                .input
                .schema()
                .iter()
                .map(|(qualifier, field)| Expr::Column(Column::new(qualifier.cloned(), field.name())))
                .collect();
            let distinct =
                LogicalPlanBuilder::from(own.input.as_ref().clone()).aggregate(columns, Vec::<Expr>::new())?.build()?;
            return Ok(Transformed::yes(distinct));
        }
        let Some(checked) = CheckedScan::of(&node) else {
            return Ok(Transformed::no(node));
        };
        let LogicalPlan::TableScan(scan) = &node else {
            return Ok(Transformed::no(node));
        };
        if !scan.filters.is_empty() || scan.fetch.is_some() {
            return Err(plan_datafusion_err!("a condition was moved into a scan, where it would be lost"));
        }
        snapshot_scan(state, &checked.facts, &scan.table_name, &scan.projected_schema).map(Transformed::yes)
    })
    .map(|transformed| transformed.data)
}

/// The snapshot under the policy's row filter, with each column no finer and no larger than the policy lets it be seen.
fn snapshot_scan(
    state: &SessionState,
    facts: &TableFacts,
    name: &TableReference,
    columns: &DFSchema,
) -> Result<LogicalPlan> {
    let data = facts.data.as_ref().ok_or_else(|| plan_datafusion_err!("a table without data was planned"))?;
    let provider = snapshot::provider(data)?;
    let mut plan = LogicalPlanBuilder::scan(name.clone(), provider_as_source(provider), None)?;
    if let Some(filter) = snapshot::row_filter(state, facts, name)? {
        plan = plan.filter(filter)?;
    }
    if let Some((unit, _space)) = facts.unit() {
        // Rows of nobody are under no floor.
        plan = plan.filter(Expr::Column(Column::new(Some(name.clone()), unit)).is_not_null())?;
    }
    let seen = columns
        .fields()
        .iter()
        .map(|field| {
            let stored = Expr::Column(Column::new(Some(name.clone()), field.name()));
            let seen = match facts.column(field.name()) {
                Some(rule) => as_granted(stored, field.data_type(), rule)?,
                None => return Err(plan_datafusion_err!("a hidden column reached the plan")),
            };
            Ok(seen.alias_qualified(Some(name.clone()), field.name()))
        })
        .collect::<Result<Vec<_>>>()?;
    plan.project(seen)?.build()
}

fn as_granted(value: Expr, data_type: &DataType, rule: &ColumnRule) -> Result<Expr> {
    let mut value = value;
    if let Some(grain) = rule.grain {
        // The engine's own raises on the years that are no times in nanoseconds.
        let moment = fixed::try_cast(value, DataType::Timestamp(TimeUnit::Microsecond, None));
        value = fixed::try_cast(check::truncated(lit(word_of(grain)), moment), data_type.clone());
    }
    if rule.uses.contains(&Use::Measure) {
        if let Some(Bounds::Range { low, high }) = rule.bounds {
            value = clamped(value, data_type, low, high)?;
        }
        if let Some(step) = rule.step {
            value = stepped(value, data_type, step);
        }
    }
    Ok(value)
}

/// The value moved into the bounds; NULL stays NULL, which `greatest` and `least` would not let it.
fn clamped(value: Expr, data_type: &DataType, low: f64, high: f64) -> Result<Expr> {
    let limit = |limit: f64| fixed::try_cast(lit(limit), data_type.clone());
    // A bound with a fraction is no value of an integer column: the nearest inside the range is.
    let (low, high) = if data_type.is_integer() { (low.ceil(), high.floor()) } else { (low, high) };
    when(value.clone().lt(limit(low)), limit(low)).when(value.clone().gt(limit(high)), limit(high)).otherwise(value)
}

/// The value rounded to the nearest multiple of the step.
fn stepped(value: Expr, data_type: &DataType, step: Step) -> Expr {
    let power = 10_f64.powi(i32::from(step.scale));
    #[expect(clippy::cast_precision_loss, reason = "a step has few digits")]
    let mantissa = step.mantissa as f64;
    if data_type.is_integer() && power % mantissa == 0.0 {
        return value;
    }
    let steps = round(vec![fixed::float(value) * lit(power) / lit(mantissa)]);
    fixed::try_cast(steps * lit(mantissa) / lit(power), data_type.clone())
}

fn word_of(grain: Grain) -> &'static str {
    match grain {
        Grain::Second => "second",
        Grain::Minute => "minute",
        Grain::Hour => "hour",
        Grain::Day => "day",
        Grain::Week => "week",
        Grain::Month => "month",
        Grain::Quarter => "quarter",
        Grain::Year => "year",
    }
}
