//! What must hold of a plan that reads rows, looked at twice: as it is compiled, and as the engine's optimizer leaves it.
//!
//! The checker and the compiler are what keeps rows in; this is a second pair of eyes that shares nothing with them but the
//! plan. It would rather fail a query than let one run in which a row filter, a clamp or the count of units went missing.

use std::collections::BTreeSet;

use arrow::datatypes::DataType;
use cleanroom_policy::{Bounds, Use};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Aggregate, BinaryExpr, Expr, LogicalPlan, Operator, TableScan};

use crate::compile::{PLACE, UNIT};
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
            let named: BTreeSet<&str> =
                above.all.iter().flat_map(Expr::column_refs).map(|column| column.name.as_str()).collect();
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
                _ => {}
            }
            above.all.extend(exprs);
        }
        found
    }
    let mut above = Above::default();
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
        if self.places.is_empty() || self.cuts(&above) {
            return Ok(());
        }
        internal_err!("the most groups of a unit went missing")
    }

    /// A window numbers each unit's groups, and a condition above it lets so many of them through.
    fn cuts(&self, above: &[&LogicalPlan]) -> bool {
        let numbers = |expr: &Expr| match expr.clone().unalias() {
            Expr::WindowFunction(call) => {
                call.fun.name() == "row_number"
                    && call.params.partition_by.iter().flat_map(Expr::column_refs).any(|column| column.name == UNIT)
            }
            _ => false,
        };
        let window = above
            .iter()
            .position(|node| matches!(node, LogicalPlan::Window(window) if window.window_expr.iter().any(numbers)));
        let Some((window, node)) = window.and_then(|window| Some((window, *above.get(window)?))) else { return false };
        let below: BTreeSet<&String> =
            node.inputs().iter().flat_map(|input| input.schema().fields()).map(|field| field.name()).collect();
        let places: BTreeSet<&str> = std::iter::once(PLACE)
            .chain(
                node.schema().fields().iter().filter(|field| !below.contains(field.name())).map(|f| f.name().as_str()),
            )
            .collect();
        above.iter().take(window).any(|node| {
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
            self.places.iter().all(|most| found.contains(&shown(&ScalarValue::from(*most), &DataType::UInt64)))
        })
    }
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
