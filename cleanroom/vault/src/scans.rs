//! Snapshots in the place of the tables of a checked plan: rows that the owner's condition holds of, no column finer or larger
//! than the policy lets it be seen.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use cleanroom_policy::{Bounds, ColumnRule, Grain, Step, Use};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema, Result, TableReference, plan_datafusion_err};
use datafusion::datasource::provider_as_source;
use datafusion::execution::session_state::SessionState;
use datafusion::functions::math::expr_fn::round;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit, when};
use datafusion::optimizer::Optimizer;
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::push_down_filter::PushDownFilter;

use crate::check;
use crate::facts::TableFacts;
use crate::fixed;
use crate::ingest::ROW_ID;
use crate::ranges::UnitRanges;
use crate::snapshot;
use crate::source::CheckedScan;

/// Unused columns cut off, and snapshots in the place of scans.
pub(crate) fn with_snapshots(state: &SessionState, plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = Optimizer::with_rules(vec![Arc::new(PushDownFilter::new()), Arc::new(OptimizeProjections::new())])
        .optimize(plan, state, |_plan, _rule| {})?;
    let ranges = UnitRanges::of(state, &plan)?;
    plan.transform_up_with_subqueries(|node| {
        let Some(checked) = CheckedScan::of(&node) else {
            return Ok(Transformed::no(node));
        };
        let LogicalPlan::TableScan(scan) = &node else {
            return Ok(Transformed::no(node));
        };
        if !scan.filters.is_empty() || scan.fetch.is_some() {
            return Err(plan_datafusion_err!("a condition was moved into a scan, where it would be lost"));
        }
        let name = &scan.table_name;
        snapshot_scan(state, &checked.facts, name, &scan.projected_schema, ranges.as_ref()).map(Transformed::yes)
    })
    .map(|transformed| transformed.data)
}

/// The snapshot under the policy's row filter, with each column no finer and no larger than the policy lets it be seen.
fn snapshot_scan(
    state: &SessionState,
    facts: &Arc<TableFacts>,
    name: &TableReference,
    columns: &DFSchema,
    ranges: Option<&Arc<UnitRanges>>,
) -> Result<LogicalPlan> {
    let provider = snapshot::provider(facts, ranges)?;
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
            if field.name() == ROW_ID {
                return Ok(stored);
            }
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
