//! Literal controls: the constants that a question may compare a column with (`literals` of a column's rule).
//!
//! A walk of its own over the planner's plan, after everything else was found to hold. What it allows is a short list, since
//! a constant can be hidden in many ways: under a cast, in a function, as the difference of a column with itself, as a
//! column that a subquery makes, as the other side of a chain of equalities. A restricted column stands in a condition
//!
//! - bare, compared with another column as it stands in its table (which thereby becomes restricted itself, for the whole
//!   statement: `a.x = b.y AND b.y = 5` compares `a.x` with 5),
//! - bare, in `=`, `<>`, `IN` and `NOT IN` with constants that the policy lists,
//! - bare, in `IS NULL` and `IS NOT NULL`.
//!
//! Whatever is computed from it stands in no condition, and is computed with no constant but the unit of `date_trunc` and
//! `date_part`. Above a release point all is free: the values there are released already.

mod constants;
mod unit;

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::DataType;
use cleanroom_policy::{Literals, TableName};
use datafusion::common::{Column, JoinType};
use datafusion::logical_expr::expr::{Case, InList, WindowFunction};
use datafusion::logical_expr::{Aggregate, BinaryExpr, Expr, Join, LogicalPlan, Operator, TableScan};

use super::expression::span_of;
use super::internal;
use crate::refusal::{Code, Refusal, Rule};
use crate::source::PolicyTable;

/// Refuses a plan in which a column is compared with a constant that its policy does not allow.
pub(super) fn check_literals(plan: &LogicalPlan) -> Result<(), Refusal> {
    let mut controls = Controls::of(plan)?;
    if controls.restricted.is_empty() {
        return Ok(());
    }
    // Each round either restricts a further column or is the last: the plan has finitely many.
    loop {
        let before = controls.restricted.len();
        let strength = controls.strength();
        controls.relation(plan)?;
        if controls.restricted.len() == before && controls.strength() == strength {
            return Ok(());
        }
    }
}

/// A column as it stands in its table, wherever in the statement that is.
type Base = (TableName, String);

/// What may stand beside a restricted column.
#[derive(Clone)]
struct Control {
    /// Constants as text; empty where none are allowed.
    allowed: BTreeSet<String>,
    /// The rule it rests on, of the column itself or of one that it is compared with.
    rule: Rule,
    origin: Base,
}

struct Controls {
    restricted: BTreeMap<Base, Control>,
}

/// What a column of a relation, or the value of an expression, is made of.
#[derive(Clone, Default)]
struct Made {
    /// The columns of tables that go into it.
    bases: BTreeSet<Base>,
    /// It is those columns' own values; [`Made::casts`] may stand around them.
    bare: bool,
    /// The type of the bare column, and those it was cast to, innermost first.
    casts: Vec<DataType>,
}

impl Made {
    /// A truth value, judged where it was made.
    fn judged() -> Self {
        Self::default()
    }

    fn of<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Self {
        Self { bases: parts.into_iter().flat_map(|part| part.bases.iter().cloned()).collect(), ..Self::default() }
    }
}

/// The columns of a relation.
struct Relation {
    columns: Vec<Made>,
    /// It holds protected rows; else it is made of reference tables or of released values.
    rows: bool,
    /// It is made of released values.
    released: bool,
}

/// What a comparison tells of the two sides.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equality,
    Order,
}

/// Where an expression finds its columns.
struct Scope<'a> {
    inputs: Vec<(&'a LogicalPlan, &'a [Made])>,
}

impl Scope<'_> {
    fn column(&self, column: &Column) -> Made {
        for (plan, columns) in &self.inputs {
            if let Some(index) = plan.schema().maybe_index_of_column(column) {
                return columns.get(index).cloned().unwrap_or_default();
            }
        }
        Made::default()
    }
}

impl Controls {
    fn of(plan: &LogicalPlan) -> Result<Self, Refusal> {
        let mut restricted = BTreeMap::new();
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node
                && let Some(facts) = PolicyTable::facts_of(scan)
            {
                for (name, rule) in &facts.policy.columns {
                    let allowed = match &rule.literals {
                        Literals::Any => continue,
                        Literals::None => BTreeSet::new(),
                        Literals::Only(values) => values.iter().cloned().collect(),
                    };
                    let base = (facts.name.clone(), name.to_string());
                    let rule = Rule::of(&facts.policy, &format!("columns.{name}.literals"));
                    restricted.insert(base.clone(), Control { allowed, rule, origin: base });
                }
            }
            Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
        })
        .map_err(internal)?;
        Ok(Self { restricted })
    }

    /// Falls with every constant that is taken away.
    fn strength(&self) -> usize {
        self.restricted.values().map(|control| control.allowed.len()).sum()
    }

    fn relation(&mut self, plan: &LogicalPlan) -> Result<Relation, Refusal> {
        let mut inputs = Vec::new();
        for input in plan.inputs() {
            inputs.push((input, self.relation(input)?));
        }
        // A subquery in an expression is a statement of its own, wherever it stands.
        for expr in plan.expressions() {
            self.subqueries(&expr)?;
        }
        let rows = inputs.iter().any(|(_plan, relation)| relation.rows);
        let released = !rows && inputs.iter().any(|(_plan, relation)| relation.released);
        let scope =
            Scope { inputs: inputs.iter().map(|(plan, relation)| (*plan, relation.columns.as_slice())).collect() };
        let width = plan.schema().fields().len();
        let passed = || inputs.first().map(|(_plan, relation)| relation.columns.clone()).unwrap_or_default();
        if released {
            return Ok(Relation { columns: vec![Made::default(); width], rows: false, released: true });
        }
        let columns = match plan {
            LogicalPlan::TableScan(scan) => return Ok(scanned(scan)),
            LogicalPlan::Projection(projection) => self.values(&projection.expr, &scope)?,
            LogicalPlan::Filter(filter) => {
                self.condition(&filter.predicate, &scope)?;
                passed()
            }
            LogicalPlan::Join(join) => {
                self.join(join, &scope)?;
                let side = |index: usize| {
                    inputs.get(index).map(|(_plan, relation)| relation.columns.clone()).unwrap_or_default()
                };
                let (left, right) = (side(0), side(1));
                match join.join_type {
                    JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => [left, right].concat(),
                    JoinType::LeftSemi | JoinType::LeftAnti => left,
                    JoinType::RightSemi | JoinType::RightAnti => right,
                    // The mark was judged by the join.
                    JoinType::LeftMark => [left, vec![Made::default()]].concat(),
                    JoinType::RightMark => [right, vec![Made::default()]].concat(),
                }
            }
            LogicalPlan::Aggregate(aggregate) => {
                let columns = self.aggregate(aggregate, &scope, width)?;
                if rows && !unit::groups_by_unit(aggregate) {
                    return Ok(Relation { columns: vec![Made::default(); width], rows: false, released: true });
                }
                columns
            }
            LogicalPlan::Window(window) => {
                let mut columns = passed();
                columns.extend(self.values(&window.window_expr, &scope)?);
                columns
            }
            LogicalPlan::Union(_) => (0..width)
                .map(|position| {
                    let parts: Vec<&Made> =
                        inputs.iter().filter_map(|(_plan, relation)| relation.columns.get(position)).collect();
                    let types = parts.iter().all(|part| part.casts == parts.first().map_or(&[][..], |one| &one.casts));
                    let bare = types && parts.iter().all(|part| part.bare);
                    let casts = parts.first().filter(|_| bare).map(|part| part.casts.clone()).unwrap_or_default();
                    Made { bare, casts, ..Made::of(parts) }
                })
                .collect(),
            LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => vec![Made::default(); width],
            LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Subquery(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Limit(_)
            | LogicalPlan::Distinct(_)
            | LogicalPlan::Repartition(_) => {
                self.values(&plan.expressions(), &scope)?;
                passed()
            }
            // Refused over protected rows; were they not, nothing of a restricted column would come out of them unseen.
            LogicalPlan::Unnest(_)
            | LogicalPlan::RecursiveQuery(_)
            | LogicalPlan::Extension(_)
            | LogicalPlan::Statement(_)
            | LogicalPlan::Explain(_)
            | LogicalPlan::Analyze(_)
            | LogicalPlan::Dml(_)
            | LogicalPlan::Ddl(_)
            | LogicalPlan::Copy(_)
            | LogicalPlan::DescribeTable(_) => {
                self.values(&plan.expressions(), &scope)?;
                let all: Vec<Made> =
                    inputs.iter().flat_map(|(_plan, relation)| relation.columns.iter().cloned()).collect();
                vec![Made::of(&all); width]
            }
        };
        Ok(Relation { columns, rows, released: false })
    }

    fn subqueries(&mut self, expr: &Expr) -> Result<(), Refusal> {
        let mut plans = Vec::new();
        datafusion::common::tree_node::TreeNode::apply(expr, |expr| {
            match expr {
                Expr::ScalarSubquery(subquery) => plans.push(std::sync::Arc::clone(&subquery.subquery)),
                Expr::Exists(exists) => plans.push(std::sync::Arc::clone(&exists.subquery.subquery)),
                Expr::InSubquery(inner) => plans.push(std::sync::Arc::clone(&inner.subquery.subquery)),
                Expr::SetComparison(inner) => plans.push(std::sync::Arc::clone(&inner.subquery.subquery)),
                _ => {}
            }
            Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
        })
        .map_err(internal)?;
        plans.iter().try_for_each(|plan| self.relation(plan).map(drop))
    }

    fn join(&mut self, join: &Join, scope: &Scope<'_>) -> Result<(), Refusal> {
        for (left, right) in &join.on {
            self.compare(left, right, Comparison::Equality, scope)?;
        }
        join.filter.as_ref().map_or(Ok(()), |filter| self.condition(filter, scope))
    }

    fn aggregate(&mut self, aggregate: &Aggregate, scope: &Scope<'_>, width: usize) -> Result<Vec<Made>, Refusal> {
        let mut columns = self.values(&aggregate.group_expr, scope)?;
        columns.extend(self.values(&aggregate.aggr_expr, scope)?);
        // Grouping sets have columns of their own, in another number than their expressions.
        if columns.len() != width {
            columns = vec![Made::of(&columns); width];
        }
        Ok(columns)
    }

    fn values(&mut self, exprs: &[Expr], scope: &Scope<'_>) -> Result<Vec<Made>, Refusal> {
        exprs.iter().map(|expr| self.value(expr, scope)).collect()
    }

    /// An expression whose truth decides on rows.
    fn condition(&mut self, expr: &Expr, scope: &Scope<'_>) -> Result<(), Refusal> {
        let made = self.value(expr, scope)?;
        let Some(control) = self.control(&made) else { return Ok(()) };
        // A truth value by itself is its comparison with `true`.
        let both = ["true", "false"].iter().all(|value| control.allowed.contains(*value));
        if made.bare && both { Ok(()) } else { Err(refused(expr, &control)) }
    }

    fn value(&mut self, expr: &Expr, scope: &Scope<'_>) -> Result<Made, Refusal> {
        match expr {
            Expr::Column(column) => Ok(scope.column(column)),
            Expr::Literal(..) | Expr::Placeholder(_) | Expr::ScalarVariable(..) => Ok(Made::default()),
            Expr::Alias(alias) => self.value(&alias.expr, scope),
            Expr::Cast(cast) => self.cast(&cast.expr, cast.field.data_type(), scope),
            Expr::TryCast(cast) => self.cast(&cast.expr, cast.field.data_type(), scope),
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
                Operator::And | Operator::Or => {
                    self.condition(left, scope)?;
                    self.condition(right, scope)?;
                    Ok(Made::judged())
                }
                Operator::Eq | Operator::NotEq | Operator::IsDistinctFrom | Operator::IsNotDistinctFrom => {
                    self.compare(left, right, Comparison::Equality, scope)
                }
                Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq => {
                    self.compare(left, right, Comparison::Order, scope)
                }
                // Whatever else an operator does, it computes.
                _ => self.computed(expr, [left.as_ref(), right.as_ref()], scope),
            },
            Expr::Not(inner)
            | Expr::IsTrue(inner)
            | Expr::IsFalse(inner)
            | Expr::IsUnknown(inner)
            | Expr::IsNotTrue(inner)
            | Expr::IsNotFalse(inner)
            | Expr::IsNotUnknown(inner) => {
                self.condition(inner, scope)?;
                Ok(Made::judged())
            }
            Expr::IsNull(inner) | Expr::IsNotNull(inner) => {
                let made = self.value(inner, scope)?;
                match self.control(&made) {
                    // A cast can be one that gives NULL for some values.
                    Some(control) if !made.bare || made.casts.len() > 1 => Err(refused(inner, &control)),
                    _ => Ok(Made::judged()),
                }
            }
            Expr::Negative(inner) => Ok(Made::of([&self.value(inner, scope)?])),
            Expr::Between(between) => {
                self.compare(&between.expr, &between.low, Comparison::Order, scope)?;
                self.compare(&between.expr, &between.high, Comparison::Order, scope)
            }
            Expr::Like(like) | Expr::SimilarTo(like) => {
                self.computed(expr, [like.expr.as_ref(), like.pattern.as_ref()], scope)
            }
            Expr::InList(InList { expr, list, negated: _ }) => {
                for value in list {
                    self.compare(expr, value, Comparison::Equality, scope)?;
                }
                Ok(Made::judged())
            }
            Expr::Case(case) => self.case(case, scope),
            Expr::ScalarFunction(call) => {
                let unit = matches!(call.func.name(), "date_trunc" | "date_part")
                    && matches!(call.args.first(), Some(Expr::Literal(..)));
                self.computed(expr, call.args.iter().skip(usize::from(unit)), scope)
            }
            Expr::HigherOrderFunction(call) => self.computed(expr, &call.args, scope),
            Expr::AggregateFunction(call) => {
                if let Some(filter) = &call.params.filter {
                    self.condition(filter, scope)?;
                }
                self.values(&call.params.order_by.iter().map(|sort| sort.expr.clone()).collect::<Vec<_>>(), scope)?;
                self.computed(expr, &call.params.args, scope)
            }
            Expr::WindowFunction(call) => self.window(expr, call, scope),
            Expr::GroupingSet(set) => {
                let parts: Vec<Expr> = set.distinct_expr().into_iter().cloned().collect();
                Ok(Made::of(&self.values(&parts, scope)?))
            }
            // Their plans are looked at as statements of their own; what they compare is not a column with a constant.
            Expr::InSubquery(inner) => {
                let made = self.value(&inner.expr, scope)?;
                self.control(&made).map_or(Ok(Made::judged()), |control| Err(refused(&inner.expr, &control)))
            }
            Expr::SetComparison(inner) => {
                let made = self.value(&inner.expr, scope)?;
                self.control(&made).map_or(Ok(Made::judged()), |control| Err(refused(&inner.expr, &control)))
            }
            Expr::Exists(_) | Expr::ScalarSubquery(_) | Expr::OuterReferenceColumn(..) => Ok(Made::default()),
            Expr::Unnest(inner) => Ok(Made::of([&self.value(&inner.expr, scope)?])),
            Expr::Lambda(_) | Expr::LambdaVariable(_) => Ok(Made::default()),
            #[expect(deprecated, reason = "the variant still exists; the planner resolves it")]
            Expr::Wildcard { .. } => Ok(Made::default()),
        }
    }

    fn window(&mut self, expr: &Expr, call: &WindowFunction, scope: &Scope<'_>) -> Result<Made, Refusal> {
        let params = &call.params;
        if let Some(filter) = &params.filter {
            self.condition(filter, scope)?;
        }
        self.values(&params.partition_by, scope)?;
        self.values(&params.order_by.iter().map(|sort| sort.expr.clone()).collect::<Vec<_>>(), scope)?;
        self.computed(expr, &params.args, scope)
    }

    fn cast(&mut self, inner: &Expr, to: &DataType, scope: &Scope<'_>) -> Result<Made, Refusal> {
        let mut made = self.value(inner, scope)?;
        if made.bare {
            made.casts.push(to.clone());
        }
        Ok(made)
    }

    /// Conditions choose among results; the results are not compared with each other.
    fn case(&mut self, case: &Case, scope: &Scope<'_>) -> Result<Made, Refusal> {
        let mut results = Vec::new();
        for (when, then) in &case.when_then_expr {
            match &case.expr {
                Some(base) => drop(self.compare(base, when, Comparison::Equality, scope)?),
                None => self.condition(when, scope)?,
            }
            results.push(self.value(then, scope)?);
        }
        if let Some(otherwise) = &case.else_expr {
            results.push(self.value(otherwise, scope)?);
        }
        Ok(Made::of(&results))
    }

    /// Something computed from several values. A restricted column is computed with columns as they stand in their tables,
    /// and with nothing else: a function that takes two values can compare them.
    fn computed<'e>(
        &mut self,
        whole: &Expr,
        parts: impl IntoIterator<Item = &'e Expr>,
        scope: &Scope<'_>,
    ) -> Result<Made, Refusal> {
        let parts: Vec<(&Expr, Made)> =
            parts.into_iter().map(|part| Ok((part, self.value(part, scope)?))).collect::<Result<_, Refusal>>()?;
        let made = Made::of(parts.iter().map(|(_part, made)| made));
        if parts.len() > 1
            && let Some(control) = self.control(&made)
        {
            if !parts.iter().all(|(_part, made)| made.bare) {
                return Err(refused(whole, &control));
            }
            for (_part, made) in &parts {
                self.restrict(&made.bases, &Control { allowed: BTreeSet::new(), ..control.clone() });
            }
        }
        Ok(made)
    }

    fn compare(
        &mut self,
        left: &Expr,
        right: &Expr,
        comparison: Comparison,
        scope: &Scope<'_>,
    ) -> Result<Made, Refusal> {
        let (one, other) = (self.value(left, scope)?, self.value(right, scope)?);
        for (this, this_expr, that, that_expr) in [(&one, left, &other, right), (&other, right, &one, left)] {
            let Some(control) = self.control(this) else { continue };
            if !this.bare {
                return Err(refused(this_expr, &control));
            }
            if that.bare && !that.bases.is_empty() {
                let allowed = match comparison {
                    Comparison::Equality => control.allowed.clone(),
                    Comparison::Order => BTreeSet::new(),
                };
                self.restrict(&that.bases, &Control { allowed, ..control });
            } else if comparison == Comparison::Order || !constants::listed(&this.casts, that_expr, &control.allowed) {
                return Err(refused(this_expr, &control));
            }
        }
        Ok(Made::judged())
    }

    /// The control over a value: that of all restricted columns in it together.
    fn control(&self, made: &Made) -> Option<Control> {
        let mut found: Option<Control> = None;
        for control in made.bases.iter().filter_map(|base| self.restricted.get(base)) {
            found = Some(match found {
                None => control.clone(),
                Some(first) => {
                    let allowed = first.allowed.intersection(&control.allowed).cloned().collect();
                    Control { allowed, ..first }
                }
            });
        }
        found
    }

    fn restrict(&mut self, bases: &BTreeSet<Base>, control: &Control) {
        for base in bases {
            match self.restricted.get_mut(base) {
                Some(known) => known.allowed = known.allowed.intersection(&control.allowed).cloned().collect(),
                None => {
                    self.restricted.insert(base.clone(), control.clone());
                }
            }
        }
    }
}

fn scanned(scan: &TableScan) -> Relation {
    let facts = PolicyTable::facts_of(scan);
    let columns = scan
        .projected_schema
        .fields()
        .iter()
        .map(|field| match &facts {
            Some(facts) => Made {
                bases: BTreeSet::from([(facts.name.clone(), field.name().clone())]),
                bare: true,
                casts: vec![field.data_type().clone()],
            },
            None => Made::default(),
        })
        .collect();
    Relation { columns, rows: facts.is_some_and(|facts| facts.unit().is_some()), released: false }
}

fn refused(expr: &Expr, control: &Control) -> Refusal {
    let (table, column) = &control.origin;
    let (detail, suggestion) = if control.allowed.is_empty() {
        (
            format!("`{column}` of `{table}` is compared with other columns, not with constants"),
            "compare it with a column, or group by it and choose among the released groups".to_owned(),
        )
    } else {
        let some: Vec<&str> = control.allowed.iter().take(20).map(String::as_str).collect();
        let more = if some.len() < control.allowed.len() { ", ..." } else { "" };
        (
            format!(
                "`{column}` of `{table}` is compared with other columns, and for equality with listed constants only"
            ),
            format!("use `=`, `<>` or IN with: {}{more}", some.join(", ")),
        )
    };
    let refusal = Refusal::new(Code::LiteralNotAllowed, detail).suggest(suggestion).rule(control.rule.clone());
    let mut columns: Vec<&Column> = expr.column_refs().into_iter().collect();
    columns.sort_by_key(|found| {
        (found.name != *column, found.spans.first().map(|span| (span.start.line, span.start.column)))
    });
    match columns.first() {
        Some(first) => refusal.span(span_of(first)).about(first.name.clone()),
        None => refusal.about(column.clone()),
    }
}
