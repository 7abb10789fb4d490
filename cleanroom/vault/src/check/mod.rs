//! The checker: a plan goes in, and what comes out may be executed: every rule of what may be answered holds of it.
//!
//! It walks the planner's plan from the leaves up. A relation is *rows* (protected, one unit column), *reference* (public
//! tables alone) or *open* (made of released tables). Rows become open at a release point: an aggregate whose GROUP BY does
//! not hold the unit. Every variant of a plan node is named; there is no arm that lets an unknown one through.

mod access;
mod aggregate;
mod argument;
mod audience;
mod derived;
mod difference;
mod expression;
mod family;
mod flag;
mod functions;
mod grouping;
mod join;
mod label;
mod literals;
mod noisy;
mod open;
mod parts;
mod per_unit;
mod point;
mod quantile;
mod reference;
mod rows;
mod size;
mod sway;
mod told;
mod union;
mod window;

use std::collections::BTreeSet;
use std::sync::Arc;

use cleanroom_policy::{AnalystTables, Bounds, PartnerName, Policy, Use};
use cleanroom_registry::TemplateUse;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{
    Expr, Filter, LogicalPlan, LogicalPlanBuilder, Projection, SubqueryAlias, TableScan, Values,
};

pub(crate) use access::not_signed;
pub(crate) use audience::AudienceRule;
pub(crate) use difference::GuardRule;
use family::families;
pub(crate) use family::{Family, counts};
pub(crate) use functions::truncated;
pub(crate) use per_unit::combined_id;
pub(crate) use point::{Cell, CellKind, Floor, FloorKind, ReleasePoint, Spread};
pub(crate) use quantile::Rank;
pub(crate) use rows::{MatchCheck, Presence, RowId, Rows, Slot};
pub(crate) use sway::Sway;

use crate::facts::{RoomFacts, TableFacts};
use crate::ingest::ROW_ID;
use crate::noise::{self, QueryNoise, Spending};
use crate::refusal::{Code, Refusal};
use crate::source::{CheckedScan, PolicyTable};
use expression::Scope;
pub(crate) use label::Range;
use label::{Instance, Kind, Label, Measure, Origin};

/// Most places of one protected table in a statement.
const MAX_PLACES: usize = 8;

/// Most places of one protected table whose rows multiply with each other: joined with itself again and again, the rows of
/// one unit become so many that they can be seen in the time an answer takes.
const MAX_MULTIPLIED: usize = 2;

/// A plan that may be executed: release points over protected rows, and what is made of their results.
pub(crate) struct CheckedQuery {
    /// In the order in which the plan above names them.
    pub(crate) releases: Vec<ReleasePoint>,
    /// Those of them that are judged together, or by more than totals.
    pub(crate) families: Vec<Family>,
    /// Everything above the release points; scans of released tables stand for them.
    pub(crate) above: LogicalPlan,
    /// Every table the query reads, once.
    pub(crate) tables: Vec<Arc<TableFacts>>,
    pub(crate) notes: Vec<String>,
    /// What its numbers get and cost, where a policy asks for noise.
    pub(crate) noise: Option<QueryNoise>,
}

/// Checks a planner's plan for `analyst`, whose answer goes to `receiver`, and whose question came `through` a template.
pub(crate) fn check(
    room: &RoomFacts,
    analyst: &PartnerName,
    receiver: &PartnerName,
    through: Option<&TemplateUse>,
    plan: &LogicalPlan,
    spending: &Spending,
) -> Result<CheckedQuery, Refusal> {
    size::check_size(plan)?;
    let noisy = noisy::is_noisy(plan)?;
    let mut checker = Checker {
        analyst,
        receiver,
        through,
        instances: Vec::new(),
        releases: Vec::new(),
        own_once: BTreeSet::new(),
        named: 0,
        distinct: asks_distinct(plan, analyst)?,
        audience: if noisy { None } else { audience::least(plan, analyst)? },
        noisy,
    };
    let above = match checker.node(plan)? {
        Relation::Open(plan) | Relation::Reference(Reference { plan, .. }) => plan,
        Relation::Rows(rows) => return Err(checker.rows_would_leave(&rows)),
    };
    literals::check_literals(plan)?;
    let mut tables: Vec<Arc<TableFacts>> = Vec::new();
    for facts in &checker.instances {
        if !tables.iter().any(|known| known.name == facts.name) {
            tables.push(Arc::clone(facts));
        }
    }
    if let Some(none) =
        room.tables.iter().find(|facts| facts.data.is_none() && tables.iter().any(|t| t.name == facts.name))
    {
        return Err(Refusal::new(Code::NotAvailable, format!("the table `{}` has no data yet", none.name)));
    }
    // Under noise every number is judged, and charged, by itself.
    let families = if noisy { Vec::new() } else { families(&mut checker.releases)? };
    let noise = match noisy {
        true => Some(noise::plan(&mut checker.releases, &tables, &above, spending)?),
        false => None,
    };
    let notes = match &noise {
        Some(noise) => noise.notes(),
        None => checker.notes(&families),
    };
    Ok(CheckedQuery { releases: checker.releases, families, above, tables, notes, noise })
}

fn asks_distinct(plan: &LogicalPlan, analyst: &PartnerName) -> Result<bool, Refusal> {
    let mut asked = false;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(facts) = PolicyTable::facts_of(scan)
            && facts.unit().is_some()
            && facts.owner() != analyst
        {
            asked |= facts.policy.joins.analyst_tables == AnalystTables::Distinct;
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map_err(internal)?;
    Ok(asked)
}

/// What a node of the plan yields.
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and it is moved")]
enum Relation {
    Rows(Rows),
    Reference(Reference),
    Open(LogicalPlan),
}

/// Rows of reference tables.
struct Reference {
    plan: LogicalPlan,
    labels: Vec<Label>,
    /// The tables it is made of.
    instances: BTreeSet<Instance>,
}

struct Checker<'a> {
    analyst: &'a PartnerName,
    receiver: &'a PartnerName,
    /// The template that the question came through.
    through: Option<&'a TemplateUse>,
    /// Tables by their place in the query.
    instances: Vec<Arc<TableFacts>>,
    releases: Vec<ReleasePoint>,
    /// Own tables beside which another owner's rows count once.
    own_once: BTreeSet<String>,
    /// Hidden columns that were named so far.
    named: usize,
    /// Some other owner of the statement lets the analyst's tables join as their distinct rows only.
    distinct: bool,
    /// How many of the analyst's own units have to match another owner's, and how many must not; the greatest that one asks for.
    audience: Option<u64>,
    /// All numbers of the statement get noise.
    noisy: bool,
}

fn internal(_detail: datafusion::error::DataFusionError) -> Refusal {
    Refusal::new(Code::Invalid, "the statement's types or arguments do not fit")
}

impl Checker<'_> {
    fn facts(&self, instance: Instance) -> Result<&Arc<TableFacts>, Refusal> {
        self.instances.get(instance).ok_or_else(|| Refusal::new(Code::Internal, "a place of the plan has no table"))
    }

    fn with_scope<T>(
        &self,
        schema: &datafusion::common::DFSchema,
        labels: &[Label],
        act: impl FnOnce(&Scope<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let policies = |label: &Label| -> Option<&Policy> {
            let origin = label.origin.as_ref()?;
            self.instances.get(origin.instance).map(|facts| &facts.policy)
        };
        act(&Scope { schema, labels, policies: &policies })
    }

    fn node(&mut self, plan: &LogicalPlan) -> Result<Relation, Refusal> {
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::SubqueryAlias(alias) => self.alias(alias),
            LogicalPlan::Projection(projection) => self.projection(projection, plan),
            LogicalPlan::Filter(filter) => self.filter(filter, plan),
            LogicalPlan::Join(join) => self.join(join, plan),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate, plan),
            LogicalPlan::Sort(sort) => self.only_open(plan, &[&sort.input], "ORDER BY"),
            LogicalPlan::Limit(limit) => self.only_open(plan, &[&limit.input], "LIMIT"),
            LogicalPlan::Window(window) => self.window(window, plan),
            LogicalPlan::Distinct(datafusion::logical_expr::Distinct::All(input)) => {
                self.only_open(plan, &[input], "DISTINCT")
            }
            LogicalPlan::Distinct(datafusion::logical_expr::Distinct::On(on)) => {
                self.only_open(plan, &[&on.input], "DISTINCT")
            }
            LogicalPlan::Union(union) => self.union(union, plan),
            LogicalPlan::Values(values) => match constants(values) {
                Some(labels) => {
                    Ok(Relation::Reference(Reference { plan: plan.clone(), labels, instances: BTreeSet::new() }))
                }
                None => self.only_open(plan, &[], "VALUES"),
            },
            LogicalPlan::EmptyRelation(_) => self.only_open(plan, &[], "VALUES"),
            LogicalPlan::Subquery(subquery) => self.node(&subquery.subquery),
            LogicalPlan::Unnest(_) => Err(refused_clause("UNNEST")),
            LogicalPlan::RecursiveQuery(_) => Err(refused_clause("RECURSIVE")),
            LogicalPlan::Repartition(_) => Err(refused_clause("DISTRIBUTE")),
            LogicalPlan::Extension(_) => Err(Refusal::new(Code::Internal, "the plan holds an unknown node")),
            LogicalPlan::Statement(_)
            | LogicalPlan::Explain(_)
            | LogicalPlan::Analyze(_)
            | LogicalPlan::Dml(_)
            | LogicalPlan::Ddl(_)
            | LogicalPlan::Copy(_)
            | LogicalPlan::DescribeTable(_) => Err(Refusal::new(Code::NotOneSelect, "the statement is not a SELECT")),
        }
    }

    fn scan(&mut self, scan: &TableScan) -> Result<Relation, Refusal> {
        let facts = PolicyTable::facts_of(scan)
            .ok_or_else(|| Refusal::new(Code::UnknownName, "a table of the plan is none of the room's"))?;
        self.check_access(&facts)?;
        let TableScan { table_name, source: _, projection, projected_schema, filters, fetch, statistics_requests: _ } =
            scan;
        if projection.is_some() || !filters.is_empty() || fetch.is_some() {
            return Err(Refusal::new(Code::Internal, "a scan was narrowed before the check"));
        }
        let instance = self.instances.len();
        let places = self.instances.iter().filter(|other| other.name == facts.name).count();
        if facts.unit().is_some() && places >= MAX_PLACES {
            return Err(Refusal::new(
                Code::TooLarge,
                format!("`{}` stands in more than {MAX_PLACES} places of the statement", facts.name),
            )
            .about(facts.name.table()));
        }
        self.instances.push(Arc::clone(&facts));
        let labels = projected_schema
            .fields()
            .iter()
            .map(|field| column_label(&facts, instance, field.name()))
            .collect::<Result<Vec<_>, _>>()?;
        let source = Arc::new(CheckedScan::new(Arc::clone(&facts)));
        let scan = LogicalPlanBuilder::scan(table_name.clone(), source, None).map_err(internal)?;
        let Some((unit, _space)) = facts.unit() else {
            let plan = scan.build().map_err(internal)?;
            return Ok(Relation::Reference(Reference { plan, labels, instances: BTreeSet::from([instance]) }));
        };
        let (hidden, row_id) = (format!("__cr_unit_{instance}"), format!("__cr_row_{instance}"));
        let mut exprs: Vec<Expr> = projected_schema
            .iter()
            .map(|(qualifier, field)| Expr::Column(Column::new(qualifier.cloned(), field.name())))
            .collect();
        exprs.push(Expr::Column(Column::new(Some(table_name.clone()), unit)).alias(&hidden));
        exprs.push(Expr::Column(Column::new(Some(table_name.clone()), ROW_ID)).alias(&row_id));
        let plan = scan.project(exprs).and_then(LogicalPlanBuilder::build).map_err(internal)?;
        // Of another owner's rows nothing that they hold may decide; under noise of nobody's, or how much of it there is would
        // tell whether a unit has two rows.
        let single = !self.noisy && facts.owner() == self.analyst && facts.one_row_a_unit();
        Ok(Relation::Rows(Rows {
            plan,
            labels,
            unit: Column::new_unqualified(hidden),
            slots: vec![Slot {
                places: BTreeSet::from([instance]),
                presence: Presence::Always,
                beside: BTreeSet::new(),
            }],
            row_ids: vec![RowId { column: Column::new_unqualified(row_id), own: facts.owner() == self.analyst }],
            checks: Vec::new(),
            together: Vec::new(),
            steering: BTreeSet::new(),
            fanned_out: None,
            per_unit: false,
            single,
            split: false,
            multiplying: vec![instance],
            parted_by: BTreeSet::new(),
            numbered_by: if single { BTreeSet::new() } else { BTreeSet::from([instance]) },
            repeated: false,
            audience: None,
        }))
    }

    fn alias(&mut self, alias: &SubqueryAlias) -> Result<Relation, Refusal> {
        let renamed = |plan: LogicalPlan| {
            SubqueryAlias::try_new(Arc::new(plan), alias.alias.clone())
                .map(LogicalPlan::SubqueryAlias)
                .map_err(internal)
        };
        Ok(match self.node(&alias.input)? {
            Relation::Rows(rows) => {
                let plan = renamed(rows.plan.clone())?;
                let audience =
                    rows.audience.as_ref().map(|audience| audience.alias(&alias.alias)).transpose()?.map(Box::new);
                let rows = Rows { audience, ..rows };
                Relation::Rows(rows.renamed(plan, |column| Column::new(Some(alias.alias.clone()), &column.name)))
            }
            Relation::Reference(reference) => {
                Relation::Reference(Reference { plan: renamed(reference.plan)?, ..reference })
            }
            Relation::Open(plan) => Relation::Open(renamed(plan)?),
        })
    }

    fn projection(&mut self, projection: &Projection, plan: &LogicalPlan) -> Result<Relation, Refusal> {
        match self.node(&projection.input)? {
            Relation::Open(input) => self.open(plan, vec![input]).map(Relation::Open),
            Relation::Reference(Reference { plan: input, labels, instances }) => {
                match self.named(plan, &projection.expr, projection.input.schema(), &labels) {
                    Ok((exprs, labels)) => {
                        let plan = LogicalPlanBuilder::from(input).project(exprs).and_then(LogicalPlanBuilder::build);
                        Ok(Relation::Reference(Reference { plan: plan.map_err(internal)?, labels, instances }))
                    }
                    // Not total or not listed: it may still stand above the release.
                    Err(_protected) => self.open(plan, vec![input]).map(Relation::Open),
                }
            }
            Relation::Rows(rows) => {
                let (mut exprs, labels) =
                    self.named(plan, &projection.expr, projection.input.schema(), &rows.labels)?;
                let audience =
                    rows.audience.as_ref().map(|audience| audience.project(&exprs)).transpose()?.map(Box::new);
                let rows = Rows { audience, ..rows };
                exprs.extend(rows.carried());
                let plan = LogicalPlanBuilder::from(rows.plan.clone())
                    .project(exprs)
                    .and_then(LogicalPlanBuilder::build)
                    .map_err(internal)?;
                let rows = rows.renamed(plan, |column| Column::new_unqualified(&column.name));
                Ok(Relation::Rows(Rows { labels, ..rows }))
            }
        }
    }

    /// The total forms of a node's expressions under the names the planner gave them.
    fn named(
        &self,
        plan: &LogicalPlan,
        exprs: &[Expr],
        input: &datafusion::common::DFSchema,
        labels: &[Label],
    ) -> Result<(Vec<Expr>, Vec<Label>), Refusal> {
        self.with_scope(input, labels, |scope| {
            let mut totals = Vec::with_capacity(exprs.len());
            let mut out = Vec::with_capacity(exprs.len());
            for (expr, (qualifier, field)) in exprs.iter().zip(plan.schema().iter()) {
                let (total, mut label) = expression::expression(expr, scope)?;
                totals.push(under_name(total, qualifier, field.name()));
                label.from.extend(flag::places_of(expr, scope));
                label.told = told::told(expr, scope);
                out.push(label);
            }
            Ok((totals, out))
        })
    }

    fn filter(&mut self, filter: &Filter, plan: &LogicalPlan) -> Result<Relation, Refusal> {
        match self.node(&filter.input)? {
            Relation::Open(input) => self.open(plan, vec![input]).map(Relation::Open),
            Relation::Reference(Reference { plan: input, labels, instances }) => {
                let predicate = self.with_scope(filter.input.schema(), &labels, |scope| {
                    expression::expression(&filter.predicate, scope).map(|(total, _label)| total)
                });
                match predicate {
                    Ok(predicate) => {
                        Ok(Relation::Reference(Reference { plan: filtered(input, predicate)?, labels, instances }))
                    }
                    Err(_protected) => self.open(plan, vec![input]).map(Relation::Open),
                }
            }
            Relation::Rows(rows) => {
                let predicate = self.with_scope(filter.input.schema(), &rows.labels, |scope| {
                    expression::condition(&filter.predicate, scope)
                })?;
                let flags = self.with_scope(filter.input.schema(), &rows.labels, |scope| {
                    Ok(flag::conditions(&filter.predicate, scope))
                })?;
                let (read, asked) = self.with_scope(filter.input.schema(), &rows.labels, |scope| {
                    // Every unit has a first row, whatever its rows are.
                    let parts =
                        split_conjunction(&filter.predicate).into_iter().filter(|part| !flag::is_first(part, scope));
                    let rest = conjunction(parts.cloned());
                    let asked = rest.as_ref().map(|rest| flag::places_of(rest, scope)).unwrap_or_default();
                    Ok((flag::read(rest.as_ref(), scope), asked))
                })?;
                let mut rows = self.matched(rows, &flags)?;
                rows.together.extend(read);
                let open = rows.open_among(&asked);
                rows.steering.extend(open);
                let audience =
                    rows.audience.as_ref().map(|audience| audience.filter(&predicate)).transpose()?.map(Box::new);
                let rows = Rows { audience, ..rows };
                let plan = filtered(rows.plan.clone(), predicate)?;
                Ok(Relation::Rows(Rows { plan, ..rows }))
            }
        }
    }

    /// A node that stands above the release points or not at all.
    fn only_open(&mut self, plan: &LogicalPlan, inputs: &[&LogicalPlan], clause: &str) -> Result<Relation, Refusal> {
        let mut open = Vec::with_capacity(inputs.len());
        for input in inputs {
            match self.node(input)? {
                Relation::Open(plan) | Relation::Reference(Reference { plan, .. }) => open.push(plan),
                Relation::Rows(_rows) => {
                    return Err(refused_clause(clause));
                }
            }
        }
        self.open(plan, open).map(Relation::Open)
    }

    fn rows_would_leave(&self, rows: &Rows) -> Refusal {
        let places = rows.places();
        let tables: Vec<String> = places
            .iter()
            .filter_map(|instance| self.instances.get(*instance))
            .map(|facts| format!("`{}`", facts.name))
            .collect();
        if rows.per_unit {
            return Refusal::new(
                Code::GroupedByKey,
                format!(
                    "the result would hold a row for each unit of {}; units themselves are never shown",
                    tables.join(", ")
                ),
            )
            .about("GROUP")
            .suggest("aggregate once more without the key, or group by a dimension");
        }
        let refusal = Refusal::new(
            Code::RowsWouldLeave,
            format!(
                "the result would hold rows of {}; only aggregates over groups of units are answered",
                tables.join(", ")
            ),
        )
        .suggest("aggregate: SELECT <dimension>, COUNT(DISTINCT <key>) ... GROUP BY <dimension>");
        match places.iter().next().and_then(|instance| self.instances.get(*instance)) {
            Some(facts) => {
                refusal.about(facts.name.table()).rule(crate::refusal::Rule::of(&facts.policy, "release.min_units"))
            }
            None => refusal,
        }
    }

    fn notes(&self, families: &[Family]) -> Vec<String> {
        let mut notes = Vec::new();
        if self.releases.iter().any(|release| !release.merged) {
            notes.push("groups below the floor are not shown".to_owned());
        }
        if self.releases.iter().any(|release| release.merged) {
            notes.push(
                "groups below the floor, and rows without a value in every group column, are one group whose columns are NULL; below the floor itself it is not shown"
                    .to_owned(),
            );
        }
        let unmatched = |release: &ReleasePoint| {
            !release.groups.is_empty()
                && release
                    .floors
                    .iter()
                    .any(|floor| matches!(floor.kind, FloorKind::Matched | FloorKind::Partly { .. }))
        };
        if self.releases.iter().any(unmatched) {
            notes.push(flag::NOTE.to_owned());
        }
        if families.iter().any(Family::has_totals) {
            notes
                .push("groups and cells that would give hidden ones away beside their totals are not shown".to_owned());
        }
        if self.releases.iter().any(|release| release.audience.is_some()) {
            notes.push("groups in which too few of your own units match, or too few do not, are not shown".to_owned());
        }
        if self.releases.iter().any(|release| release.guard.is_some()) {
            notes.push(difference::NOTE.to_owned());
        }
        for table in &self.own_once {
            notes.push(format!(
                "rows of other owners count once in a group, however many rows of your own table {table} they meet"
            ));
        }
        notes
    }
}

/// An expression under the name the planner's plan has for it, so that what stands above finds it.
fn under_name(expr: Expr, qualifier: Option<&datafusion::common::TableReference>, name: &str) -> Expr {
    let same = match &expr {
        Expr::Column(column) => column.relation.as_ref() == qualifier && column.name == name,
        _ => false,
    };
    if same { expr } else { expr.unalias().alias_qualified(qualifier.cloned(), name) }
}

fn filtered(input: LogicalPlan, predicate: Expr) -> Result<LogicalPlan, Refusal> {
    LogicalPlanBuilder::from(input).filter(predicate).and_then(LogicalPlanBuilder::build).map_err(internal)
}

fn refused_clause(clause: &str) -> Refusal {
    Refusal::new(Code::Clause, format!("{clause} over protected rows is not answered"))
        .about(clause)
        .suggest("aggregate first; anything may be done with the aggregated result")
}

/// A list of constants is a reference table that the question brings along; `None` where anything else stands in it.
fn constants(values: &Values) -> Option<Vec<Label>> {
    let mut labels = Vec::with_capacity(values.schema.fields().len());
    for (column, field) in values.schema.fields().iter().enumerate() {
        let mut seen: Vec<ScalarValue> = Vec::with_capacity(values.values.len());
        let mut distinct = true;
        for row in &values.values {
            let value = functions::constant(row.get(column)?)?;
            distinct &= union::tells_apart(&value) && value.data_type() == *field.data_type() && !seen.contains(&value);
            seen.push(value);
        }
        labels.push(Label { distinct, ..Label::value(BTreeSet::from([Use::Dimension, Use::Filter, Use::Join])) });
    }
    Some(labels)
}

fn column_label(facts: &TableFacts, instance: Instance, name: &str) -> Result<Label, Refusal> {
    let rule = facts.column(name).ok_or_else(|| Refusal::new(Code::Internal, "a hidden column reached the plan"))?;
    let origin = Some(Origin { instance, column: name.to_owned() });
    let from = BTreeSet::from([instance]);
    if let Some((unit, space)) = facts.unit()
        && unit == name
    {
        let uses = rule.uses.iter().copied().filter(|what| *what == Use::Join).collect();
        // Rows without a unit are left out of every answer.
        let told = told::Told::not_null();
        return Ok(Label { kind: Kind::Key(space.clone()), origin, from, told, ..Label::value(uses) });
    }
    let uses = rule
        .uses
        .iter()
        .copied()
        .filter(|what| match what {
            Use::Join | Use::Dimension | Use::Filter => true,
            Use::Count | Use::Measure => false,
        })
        .collect();
    let measure = (rule.uses.contains(&Use::Measure) && facts.unit().is_some()).then(|| Measure {
        instance,
        functions: rule.functions.clone(),
        zero_else: false,
        zeros: false,
        distinct: false,
        matches: false,
        combined: false,
        degree: 1,
        factors: (1.0, 1.0),
        own: false,
        range: match rule.bounds {
            Some(Bounds::Range { low, high }) => (low, high),
            Some(Bounds::Unbounded) | None => (f64::NEG_INFINITY, f64::INFINITY),
        },
        unit_range: rule.unit_bounds,
    });
    Ok(Label { measure, origin, from, ..Label::value(uses) })
}

/// An owner's condition on its own rows, in its total form: every column may be named.
pub(crate) fn total_condition(expr: &Expr, schema: &datafusion::common::DFSchema) -> Result<Expr, Refusal> {
    let labels: Vec<Label> = schema.fields().iter().map(|_field| Label::value(crate::snapshot::owner_uses())).collect();
    expression::condition(expr, &Scope { schema, labels: &labels, policies: &|_label| None })
}
