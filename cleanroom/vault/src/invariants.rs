//! What must hold of a plan that reads rows, looked at twice: as it is compiled, and as the engine's optimizer leaves it.
//!
//! The checker and the compiler are what keeps rows in; this is a second pair of eyes that shares nothing with them but the
//! plan. It would rather fail a query than let one run in which a row filter, a clamp or the count of units went missing.

use std::collections::BTreeSet;

use arrow::datatypes::DataType;
use cleanroom_policy::{Bounds, Use};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue, TableReference, internal_err};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::expr::{AggregateFunctionParams, Alias, WindowFunctionParams};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Aggregate, BinaryExpr, Expr, LogicalPlan, Operator, TableScan};

use crate::compile::{MEETING, PLACE, ROW_PLACE, UNIT, UNITS, is_floor_name};
use crate::facts::TableFacts;
use crate::snapshot::{self, SnapshotScan};

/// What is wanted of a plan before it is optimized, and must be left of it after.
pub(crate) struct Invariants {
    /// For each place of a table, what it reads under which rules.
    scans: Vec<ScanRules>,
    /// Names of the result's columns.
    columns: Vec<String>,
    /// What bounds a unit's part in it, where it gets noise.
    bounding: Option<Bounding>,
}

/// What bounds a unit's part in a plan whose result gets noise: between the aggregate for each unit and the one that is
/// released.
pub(crate) struct Bounding {
    /// Limits that a unit's shares are moved into.
    pub(crate) limits: Vec<ScalarValue>,
    /// Of each grouping set, how many groups a unit has a part in; empty where there are never more.
    pub(crate) places: Vec<u64>,
    /// Where rows are taken one by one, how many of a unit's in a group; below the aggregate for each unit.
    pub(crate) rows: Option<u64>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord, Clone)]
struct ScanRules {
    table: String,
    /// Columns that the row filter and the missing unit are told by.
    filtered: BTreeSet<String>,
    /// Measures that are read, with the limits they are clamped to.
    clamped: BTreeSet<(String, String, String)>,
}

impl Invariants {
    /// Of a compiled plan.
    ///
    /// # Errors
    /// Where one does not hold.
    pub(crate) fn of(state: &SessionState, plan: &LogicalPlan, bounding: Option<Bounding>) -> Result<Self> {
        let scans = scans(state, plan)?;
        let columns = plan.schema().fields().iter().map(|field| field.name().clone()).collect();
        let this = Self { scans, columns, bounding };
        this.hold(state, plan)?;
        as_written(state, plan)?;
        Ok(this)
    }

    /// Of the same plan, optimized.
    ///
    /// # Errors
    /// Where one does not hold any more.
    pub(crate) fn still_hold(&self, state: &SessionState, optimized: &LogicalPlan) -> Result<()> {
        let mut before: Vec<&str> = self.scans.iter().map(|scan| scan.table.as_str()).collect();
        let now = scans(state, optimized)?;
        let mut after: Vec<&str> = now.iter().map(|scan| scan.table.as_str()).collect();
        before.sort_unstable();
        after.sort_unstable();
        // A table can fall away where nothing can come of it; none can come in.
        for table in &after {
            if after.iter().filter(|other| *other == table).count()
                > before.iter().filter(|other| *other == table).count()
            {
                return internal_err!("a table came into a plan that did not read it");
            }
        }
        let columns = optimized.schema().fields().iter().map(|field| field.name());
        if !columns.eq(self.columns.iter()) {
            return internal_err!("the columns of an exact aggregate changed");
        }
        self.hold(state, optimized)
    }

    fn hold(&self, state: &SessionState, plan: &LogicalPlan) -> Result<()> {
        let mut units = BTreeSet::from([UNIT.to_owned()]);
        for (node, _rules) in scan_nodes(state, plan)? {
            units.extend(SnapshotScan::of(node).and_then(|facts| facts.unit().map(|(unit, _space)| unit.to_owned())));
        }
        counts_units(plan, &units)?;
        if let Some(bounding) = &self.bounding {
            bounding.holds(plan, &units)?;
        }
        for (node, rules) in scan_nodes(state, plan)? {
            let above = expressions_above(plan, node)?;
            let mut told = BTreeSet::new();
            for condition in above.conditions.iter().chain(&node.filters) {
                told.extend(condition.column_refs().into_iter().map(|column| column.name.clone()));
            }
            if !rules.filtered.is_subset(&told) {
                return internal_err!("a row filter went missing");
            }
            let literals = literals(above.all.iter());
            // Another place of the same table has columns of the same names.
            let named: BTreeSet<&str> = above
                .all
                .iter()
                .flat_map(Expr::column_refs)
                .filter(|column| column.relation.as_ref().is_none_or(|table| above.names.contains(table)))
                .map(|column| column.name.as_str())
                .collect();
            for (column, low, high) in &rules.clamped {
                // Read and used by nothing, it says nothing.
                if !named.contains(column.as_str()) {
                    continue;
                }
                if !literals.contains(low) || !literals.contains(high) {
                    return internal_err!("the limits of a measure went missing");
                }
            }
        }
        Ok(())
    }
}

/// What can be looked for word by word as long as nothing was moved: each row filter stands over its scan, and each count of
/// units counts those.
fn as_written(state: &SessionState, plan: &LogicalPlan) -> Result<()> {
    let mut wanted = Vec::new();
    let mut conditions = Vec::new();
    collect(plan, &mut |node| {
        match node {
            LogicalPlan::TableScan(scan) => {
                if let Some(facts) = SnapshotScan::of(scan) {
                    wanted.extend(snapshot::row_filter(state, &facts, &scan.table_name)?);
                }
            }
            LogicalPlan::Filter(filter) => conditions.push(&filter.predicate),
            _ => {}
        }
        Ok(())
    })?;
    // As often as it is wanted: one filter of a table in two places is none of the other place.
    for filter in &wanted {
        let of = |found: usize, other: &Expr| found + usize::from(other == filter);
        if conditions.iter().copied().fold(0, of) < wanted.iter().fold(0, of) {
            return internal_err!("a row filter went missing");
        }
    }
    if let LogicalPlan::Aggregate(totals) = plan {
        for expr in &totals.aggr_expr {
            let Expr::Alias(Alias { name, expr, .. }) = expr else { continue };
            let counted = if name == UNITS { UNIT } else { name };
            if (name == UNITS || is_floor_name(name)) && !counts(expr, counted) {
                return internal_err!("a floor does not count its units");
            }
            if name.starts_with(MEETING) && !counts_meeting(expr) {
                return internal_err!("a floor does not count units that meet");
            }
        }
    }
    Ok(())
}

/// Whether an aggregate counts, or as evidence marks, the rows in which a column has a value; all of them.
fn counts(aggregate: &Expr, column: &str) -> bool {
    let Expr::AggregateFunction(call) = aggregate else { return false };
    let AggregateFunctionParams { args, distinct: _, filter, order_by: _, null_treatment: _ } = &call.params;
    matches!(call.func.name(), "count" | "max" | "count_distinct")
        && filter.is_none()
        && matches!(args.as_slice(), [Expr::Column(counted)] if counted.name == column)
}

/// Whether an aggregate counts units under two conditions, by which they stand for two floors.
fn counts_meeting(aggregate: &Expr) -> bool {
    let Expr::AggregateFunction(call) = aggregate else { return false };
    let AggregateFunctionParams { args, distinct: _, filter, order_by: _, null_treatment: _ } = &call.params;
    call.func.name() == "count"
        && filter.as_deref().is_some_and(|both| split_conjunction(both).len() == 2)
        && matches!(args.as_slice(), [Expr::Column(unit)] if unit.name == UNIT)
}

/// What stands above the release points reads released and reference tables alone.
pub(crate) fn reads_no_protected_rows(above: &LogicalPlan) -> Result<()> {
    above.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && SnapshotScan::of(scan).is_some_and(|facts| facts.unit().is_some())
        {
            return internal_err!("a plan above the release points reads protected rows");
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

fn scans(state: &SessionState, plan: &LogicalPlan) -> Result<Vec<ScanRules>> {
    Ok(scan_nodes(state, plan)?.into_iter().map(|(_scan, rules)| rules).collect())
}

fn scan_nodes<'p>(state: &SessionState, plan: &'p LogicalPlan) -> Result<Vec<(&'p TableScan, ScanRules)>> {
    let mut found = Vec::new();
    collect(plan, &mut |node| {
        if let LogicalPlan::TableScan(scan) = node {
            let Some(facts) = SnapshotScan::of(scan) else {
                return internal_err!("a plan reads what is no snapshot");
            };
            found.push((scan, rules(state, &facts, scan)?));
        }
        Ok(())
    })?;
    Ok(found)
}

fn collect<'p>(plan: &'p LogicalPlan, see: &mut dyn FnMut(&'p LogicalPlan) -> Result<()>) -> Result<()> {
    see(plan)?;
    plan.inputs().into_iter().try_for_each(|input| collect(input, see))
}

fn rules(state: &SessionState, facts: &TableFacts, scan: &TableScan) -> Result<ScanRules> {
    let mut filtered = BTreeSet::new();
    if let Some(filter) = snapshot::row_filter(state, facts, &scan.table_name)? {
        filtered.extend(filter.column_refs().into_iter().map(|column| column.name.clone()));
    }
    if let Some((unit, _space)) = facts.unit() {
        filtered.insert(unit.to_owned());
    }
    let read = |name: &str| scan.projected_schema.fields().iter().any(|field| field.name() == name);
    let mut clamped = BTreeSet::new();
    for (name, rule) in &facts.policy.columns {
        if let (true, Some(Bounds::Range { low, high })) = (rule.uses.contains(&Use::Measure), rule.bounds)
            && read(name.as_str())
            && let Ok(field) = scan.projected_schema.field_with_unqualified_name(name.as_str())
        {
            let (low, high) = if field.data_type().is_integer() { (low.ceil(), high.floor()) } else { (low, high) };
            let limit = |limit: f64| shown(&ScalarValue::Float64(Some(limit)), field.data_type());
            clamped.insert((name.to_string(), limit(low), limit(high)));
        }
    }
    Ok(ScanRules { table: facts.name.to_string(), filtered, clamped })
}

/// A literal as text, whatever numeric type the optimizer has brought it into.
fn shown(value: &ScalarValue, data_type: &DataType) -> String {
    let cast = value.cast_to(data_type).and_then(|value| value.cast_to(&DataType::Float64));
    match cast {
        Ok(ScalarValue::Float64(Some(number))) => number.to_string(),
        Ok(other) => other.to_string(),
        Err(_none) => String::new(),
    }
}

fn literals<'e>(exprs: impl Iterator<Item = &'e Expr>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for expr in exprs {
        // Nothing is refused while looking, so the walk cannot fail.
        let _walked = expr.apply(|expr| {
            if let Expr::Literal(value, _metadata) = expr {
                found.insert(shown(value, &value.data_type()));
            }
            Ok(TreeNodeRecursion::Continue)
        });
    }
    found
}

#[derive(Default)]
struct Above {
    conditions: Vec<Expr>,
    all: Vec<Expr>,
    /// Under which the scan's rows go there.
    names: BTreeSet<TableReference>,
}

/// Expressions of the nodes between the root and a scan.
fn expressions_above(plan: &LogicalPlan, scan: &TableScan) -> Result<Above> {
    fn walk(plan: &LogicalPlan, scan: &TableScan, above: &mut Above) -> bool {
        if let LogicalPlan::TableScan(here) = plan {
            return std::ptr::eq(here, scan);
        }
        let found = plan.inputs().into_iter().any(|input| walk(input, scan, above));
        if found {
            let exprs = plan.expressions();
            match plan {
                LogicalPlan::Filter(_) | LogicalPlan::Join(_) => above.conditions.extend(exprs.iter().cloned()),
                LogicalPlan::SubqueryAlias(alias) => {
                    above.names.insert(alias.alias.clone());
                }
                _ => {}
            }
            above.all.extend(exprs);
        }
        found
    }
    let mut above = Above { names: BTreeSet::from([scan.table_name.clone()]), ..Above::default() };
    if !walk(plan, scan, &mut above) {
        return internal_err!("a scan is not in its plan");
    }
    Ok(above)
}

/// The aggregate groups by the unit.
fn by_unit(aggregate: &Aggregate, units: &BTreeSet<String>) -> bool {
    let named = |name: &str| units.contains(name) || name.starts_with("__cr_unit_");
    aggregate.group_expr.iter().any(|expr| {
        matches!(expr, Expr::Alias(alias) if named(&alias.name))
            || expr.column_refs().into_iter().any(|column| named(&column.name))
    })
}

impl Bounding {
    /// # Errors
    /// Where a limit, the number of a unit's groups or the condition on it went missing.
    pub(crate) fn holds(&self, plan: &LogicalPlan, units: &BTreeSet<String>) -> Result<()> {
        // From the root to the aggregate for each unit.
        let mut above = Vec::new();
        let mut node = plan;
        loop {
            match node {
                LogicalPlan::Aggregate(aggregate) if by_unit(aggregate, units) => break,
                // Nothing is read.
                LogicalPlan::EmptyRelation(_) => return Ok(()),
                _ => above.push(node),
            }
            match node.inputs().as_slice() {
                [input] => node = input,
                _ => return internal_err!("a noisy number is not one of units"),
            }
        }
        if !above.iter().any(|node| matches!(node, LogicalPlan::Aggregate(_))) {
            return internal_err!("what is added up for noise is one unit's");
        }
        let mut cases = Vec::new();
        for expr in above.iter().flat_map(|node| node.expressions()) {
            // Nothing is refused while looking, so the walk cannot fail.
            let _walked = expr.apply(|expr| {
                if matches!(expr, Expr::Case(_)) {
                    cases.push(expr.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            });
        }
        let found = literals(cases.iter());
        if self.limits.iter().any(|limit| !found.contains(&shown(limit, &limit.data_type()))) {
            return internal_err!("the limits of a unit's share went missing");
        }
        let cut =
            || cuts(&above, &["row_number", "dense_rank"], PLACE, &self.places) || looks_back(&above, &self.places);
        if !self.places.is_empty() && !cut() {
            return internal_err!("the most groups of a unit went missing");
        }
        let Some(rows) = self.rows else { return Ok(()) };
        let mut below = Vec::new();
        while let [input] = node.inputs().as_slice() {
            node = input;
            below.push(node);
        }
        if cuts(&below, &["row_number"], ROW_PLACE, &[rows]) {
            return Ok(());
        }
        internal_err!("the most rows of a unit in a group went missing")
    }
}

/// Among nodes from the top, a window numbers what is one unit's, and a condition above it lets so many through.
fn cuts(nodes: &[&LogicalPlan], functions: &[&str], name: &str, most: &[u64]) -> bool {
    let numbers = |expr: &Expr| match expr.clone().unalias() {
        Expr::WindowFunction(call) => {
            functions.contains(&call.fun.name())
                && call.params.partition_by.iter().flat_map(Expr::column_refs).any(|column| column.name == UNIT)
        }
        _ => false,
    };
    let window = nodes
        .iter()
        .position(|node| matches!(node, LogicalPlan::Window(window) if window.window_expr.iter().any(numbers)));
    let Some((window, node)) = window.and_then(|window| Some((window, *nodes.get(window)?))) else { return false };
    let below: BTreeSet<&String> =
        node.inputs().iter().flat_map(|input| input.schema().fields()).map(|field| field.name()).collect();
    let places: BTreeSet<&str> = std::iter::once(name)
        .chain(node.schema().fields().iter().filter(|field| !below.contains(field.name())).map(|f| f.name().as_str()))
        .collect();
    nodes.iter().take(window).any(|node| {
        let LogicalPlan::Filter(filter) = node else { return false };
        let mut limits = Vec::new();
        // Nothing is refused while looking, so the walk cannot fail.
        let _walked = filter.predicate.apply(|expr| {
            if let Expr::BinaryExpr(BinaryExpr { left, op: Operator::LtEq, right }) = expr
                && left.column_refs().into_iter().any(|column| places.contains(column.name.as_str()))
            {
                limits.push(right.as_ref().clone());
            }
            Ok(TreeNodeRecursion::Continue)
        });
        let found = literals(limits.iter());
        most.iter().all(|most| found.contains(&shown(&ScalarValue::from(*most), &DataType::UInt64)))
    })
}

/// Among nodes from the top, a window over whole units, one after the other, looks so many rows back for the unit, and a
/// condition above it lets through where that is another one.
fn looks_back(nodes: &[&LogicalPlan], most: &[u64]) -> bool {
    let is_unit = |expr: &Expr| matches!(expr, Expr::Column(column) if column.name == UNIT);
    let of_unit = |expr: &Expr| {
        let columns = expr.column_refs();
        !columns.is_empty() && columns.into_iter().all(|column| column.name == UNIT)
    };
    let looks = |expr: &Expr| {
        let Expr::WindowFunction(call) = expr.clone().unalias() else { return false };
        let WindowFunctionParams { args, partition_by, order_by, filter, .. } = &call.params;
        let [unit, Expr::Literal(ScalarValue::Int64(Some(back)), _), Expr::Literal(default, _)] = args.as_slice()
        else {
            return false;
        };
        call.fun.name() == "lag"
            && is_unit(unit)
            && default.is_null()
            && u64::try_from(*back).is_ok_and(|back| most.iter().all(|most| *most == back))
            && partition_by.iter().all(of_unit)
            && order_by.first().is_some_and(|by| is_unit(&by.expr))
            && filter.is_none()
    };
    let found = nodes.iter().enumerate().find_map(|(place, node)| match node {
        LogicalPlan::Window(window) => match window.window_expr.as_slice() {
            [expr] if looks(expr) => Some((place, window.schema.fields().last()?.name())),
            _ => None,
        },
        _ => None,
    });
    let Some((place, name)) = found else { return false };
    let names = [PLACE, name.as_str()];
    nodes.iter().take(place).any(|node| {
        let LogicalPlan::Filter(filter) = node else { return false };
        split_conjunction(&filter.predicate).into_iter().any(|expr| match expr {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::IsDistinctFrom, right }) => {
                is_unit(left) && matches!(right.as_ref(), Expr::Column(column) if names.contains(&column.name.as_str()))
            }
            _ => false,
        })
    })
}

/// An aggregate by unit stands below the one that is released: nothing is counted but units, however many rows they have.
fn counts_units(plan: &LogicalPlan, units: &BTreeSet<String>) -> Result<()> {
    let mut found = false;
    let mut node = plan;
    loop {
        if let LogicalPlan::Aggregate(aggregate) = node {
            found |= by_unit(aggregate, units);
        }
        match node.inputs().as_slice() {
            [input] => node = input,
            _ => break,
        }
    }
    if found || matches!(node, LogicalPlan::EmptyRelation(_)) {
        Ok(())
    } else {
        internal_err!("an exact aggregate does not count units")
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

    use std::sync::Arc;

    use datafusion::common::tree_node::Transformed;
    use datafusion::functions_aggregate::expr_fn::{count, max};
    use datafusion::logical_expr::{Aggregate, LogicalPlanBuilder, lit};

    use super::*;
    use crate::compile::{RowsPlan, floor_name};
    use crate::testing::{FIVE_TABLES, TestRoom};

    /// A sum over a table with a row filter and bounds, with a condition on the column of neither.
    const SUM: &str = "SELECT kind, SUM(amount) AS s, COUNT(DISTINCT card) AS n FROM shop.sales GROUP BY kind";

    /// Rows of a table that stands in some of them only, which has a floor of its own.
    const OPTIONAL: &str = "SELECT e.card IS NULL AS unseen, COUNT(DISTINCT s.card) AS n \
                            FROM shop.sales s LEFT JOIN agency.seen e ON s.card = e.card GROUP BY e.card IS NULL";

    async fn rows_plan(room: &TestRoom, sql: &str) -> RowsPlan {
        let releases = room.compiled(sql).await.into_parts().releases;
        releases.into_iter().next().unwrap().plan.unwrap()
    }

    /// The plan with something else in the place of some nodes; at least one.
    fn damaged(plan: &LogicalPlan, damage: impl Fn(&LogicalPlan) -> Option<LogicalPlan>) -> LogicalPlan {
        let damaged = plan
            .clone()
            .transform_up(|node| Ok(damage(&node).map_or_else(|| Transformed::no(node), Transformed::yes)))
            .unwrap();
        assert!(damaged.transformed, "nothing to damage");
        damaged.data
    }

    /// Found in the compiled plan as in the optimized one.
    fn found(room: &TestRoom, good: &RowsPlan, bad: &LogicalPlan, what: &str) {
        for found in [Invariants::of(&room.state, bad, None).map(drop), good.invariants.still_hold(&room.state, bad)] {
            let error = found.unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }

    fn filters_by(node: &LogicalPlan, column: &str) -> Option<LogicalPlan> {
        match node {
            LogicalPlan::Filter(filter) if filter.predicate.column_refs().iter().any(|found| found.name == column) => {
                Some(filter.input.as_ref().clone())
            }
            _ => None,
        }
    }

    #[tokio::test]
    async fn whole_plans_hold_before_and_after_the_optimizer() {
        let room = TestRoom::new().await;
        for sql in [
            SUM,
            FIVE_TABLES,
            OPTIONAL,
            "SELECT a.kind, SUM(b.amount) AS s FROM shop.sales a JOIN shop.sales b ON a.card = b.card GROUP BY a.kind",
            "SELECT t.n, COUNT(*) AS m FROM (SELECT card, COUNT(*) AS n FROM shop.sales GROUP BY card) t GROUP BY t.n",
            "SELECT COUNT(*) AS n FROM shop.sales WHERE 1 = 0",
        ] {
            let RowsPlan { plan, invariants, .. } = rows_plan(&room, sql).await;
            let optimized = room.state.optimize(&plan).unwrap();
            invariants.still_hold(&room.state, &optimized).unwrap();
        }
    }

    #[tokio::test]
    async fn a_row_filter_that_went_missing_is_found() {
        let room = TestRoom::new().await;
        let good = rows_plan(&room, SUM).await;
        found(&room, &good, &damaged(&good.plan, |node| filters_by(node, "till")), "a row filter went missing");
        // Rows of nobody.
        let nobody = damaged(&good.plan, |node| match node {
            LogicalPlan::Filter(filter) if matches!(filter.predicate, Expr::IsNotNull(_)) => {
                Some(filter.input.as_ref().clone())
            }
            _ => None,
        });
        found(&room, &good, &nobody, "a row filter went missing");
        let optimized = room.state.optimize(&good.plan).unwrap();
        good.invariants.still_hold(&room.state, &optimized).unwrap();
        let pushed = damaged(&optimized, |node| match node {
            LogicalPlan::Filter(_) => filters_by(node, "till"),
            LogicalPlan::TableScan(scan) if !scan.filters.is_empty() => {
                Some(LogicalPlan::TableScan(TableScan { filters: Vec::new(), ..scan.clone() }))
            }
            _ => None,
        });
        assert!(good.invariants.still_hold(&room.state, &pushed).is_err());
    }

    #[tokio::test]
    async fn a_row_filter_is_wanted_in_each_place_and_as_it_is_written() {
        let room = TestRoom::new().await;
        let twice = "SELECT COUNT(*) AS n FROM shop.sales a JOIN shop.sales b ON a.card = b.card";
        let good = rows_plan(&room, twice).await;
        for place in ["a", "b"] {
            let bad = damaged(&good.plan, |node| match node {
                LogicalPlan::Filter(filter)
                    if filter.predicate.column_refs().iter().any(|found| {
                        found.name == "till" && found.relation.as_ref().is_some_and(|table| table.table() == place)
                    }) =>
                {
                    Some(filter.input.as_ref().clone())
                }
                LogicalPlan::SubqueryAlias(alias) if alias.alias.table() == place => {
                    let kept = alias.input.as_ref().clone();
                    let kept = kept
                        .transform_up(|node| {
                            Ok(filters_by(&node, "till").map_or_else(|| Transformed::no(node), Transformed::yes))
                        })
                        .unwrap();
                    kept.transformed.then(|| {
                        LogicalPlanBuilder::from(kept.data).alias(alias.alias.clone()).unwrap().build().unwrap()
                    })
                }
                _ => None,
            });
            assert!(Invariants::of(&room.state, &bad, None).is_err(), "{place}");
        }
        let single = rows_plan(&room, SUM).await;
        let other = damaged(&single.plan, |node| {
            let input = filters_by(node, "till")?;
            let LogicalPlan::Filter(filter) = node else { return None };
            let always = filter.predicate.clone().or(lit(true));
            LogicalPlanBuilder::from(input).filter(always).unwrap().build().ok()
        });
        assert!(Invariants::of(&room.state, &other, None).is_err());
    }

    #[tokio::test]
    async fn limits_that_went_missing_are_found() {
        let room = TestRoom::new().await;
        let good = rows_plan(&room, SUM).await;
        let bad = damaged(&good.plan, |node| {
            let LogicalPlan::Projection(projection) = node else { return None };
            let exprs = projection.expr.iter().map(|expr| {
                let open = expr.clone().transform_up(|expr| match expr {
                    Expr::Case(case) if case.when_then_expr.len() == 2 => {
                        Ok(Transformed::yes(*case.else_expr.unwrap()))
                    }
                    other => Ok(Transformed::no(other)),
                });
                open.unwrap()
            });
            let exprs: Vec<Transformed<Expr>> = exprs.collect();
            exprs.iter().any(|expr| expr.transformed).then(|| {
                let exprs: Vec<Expr> = exprs.into_iter().map(|expr| expr.data).collect();
                LogicalPlanBuilder::from(projection.input.as_ref().clone()).project(exprs).unwrap().build().unwrap()
            })
        });
        found(&room, &good, &bad, "the limits of a measure went missing");
    }

    #[tokio::test]
    async fn rows_counted_in_the_stead_of_units_are_found() {
        let room = TestRoom::new().await;
        let good = rows_plan(&room, SUM).await;
        let bad = damaged(&good.plan, |node| match node {
            LogicalPlan::Aggregate(per_unit) if per_unit.group_expr.iter().any(|expr| expr.to_string() == UNIT) => {
                let groups = per_unit.group_expr.iter().filter(|expr| expr.to_string() != UNIT).cloned().collect();
                let mut shares = per_unit.aggr_expr.clone();
                shares.push(max(Expr::Column(UNIT.into())).alias(UNIT));
                Aggregate::try_new(Arc::clone(&per_unit.input), groups, shares).ok().map(LogicalPlan::Aggregate)
            }
            _ => None,
        });
        found(&room, &good, &bad, "does not count units");
    }

    #[tokio::test]
    async fn a_floor_that_went_missing_or_counts_something_else_is_found() {
        let room = TestRoom::new().await;
        let good = rows_plan(&room, OPTIONAL).await;
        let root = |change: &dyn Fn(Vec<Expr>) -> Vec<Expr>| {
            let LogicalPlan::Aggregate(totals) = &good.plan else { return None };
            let changed = change(totals.aggr_expr.clone());
            let changed = Aggregate::try_new(Arc::clone(&totals.input), totals.group_expr.clone(), changed);
            changed.ok().map(LogicalPlan::Aggregate)
        };
        let floor = floor_name(0);
        let named = |expr: &Expr, name: &str| matches!(expr, Expr::Alias(alias) if alias.name == name);
        let gone = root(&|totals| totals.into_iter().filter(|expr| !named(expr, &floor)).collect()).unwrap();
        let error = good.invariants.still_hold(&room.state, &gone).unwrap_err().to_string();
        assert!(error.contains("the columns of an exact aggregate changed"), "{error}");
        for name in [floor.as_str(), UNITS] {
            let other = root(&|totals| {
                let instead = count(lit(1)).alias(name);
                totals.into_iter().map(|expr| if named(&expr, name) { instead.clone() } else { expr }).collect()
            });
            let other = other.unwrap();
            let error =
                Invariants::of(&room.state, &other, None).map(drop).expect_err(&other.display_indent().to_string());
            assert!(error.to_string().contains("a floor does not count its units"), "{error}");
        }
    }
}
