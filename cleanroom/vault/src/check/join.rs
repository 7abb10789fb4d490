//! Joins: protected rows with protected rows on their keys, protected rows with reference tables on granted columns.

use std::collections::BTreeSet;
use std::sync::Arc;

use cleanroom_policy::{JoinKind, Policy, TableName, TablePattern, Use};
use datafusion::common::{DFSchema, JoinType, NullEquality};
use datafusion::logical_expr::{Expr, Join, LogicalPlan};

use super::distinct::OwnDistinct;
use super::expression::{self, Scope};
use super::label::{Instance, Kind, Label, Own};
use super::{Checker, Reference, Relation, Rows, internal};
use crate::facts::TableFacts;
use crate::refusal::{Code, Refusal, Rule};

impl Checker<'_> {
    pub(super) fn join(&mut self, join: &Join, plan: &LogicalPlan) -> Result<Relation, Refusal> {
        let left = self.node(&join.left)?;
        let right = self.node(&join.right)?;
        match (left, right) {
            (Relation::Rows(left), Relation::Rows(right)) => self.rows_join(join, left, right),
            (Relation::Rows(rows), Relation::Reference(reference)) => {
                self.reference_join(join, rows, reference, Side::Left)
            }
            (Relation::Reference(reference), Relation::Rows(rows)) => {
                self.reference_join(join, rows, reference, Side::Right)
            }
            (Relation::Rows(_), Relation::Open(_)) | (Relation::Open(_), Relation::Rows(_)) => Err(Refusal::new(
                Code::ReleasedSteers,
                "a released result is joined with protected rows; released values may not choose rows",
            )
            .suggest("aggregate the protected rows first and join the two results")),
            (Relation::Reference(left), Relation::Reference(right)) => self.references(join, plan, left, right),
            (Relation::Open(left), Relation::Open(right))
            | (Relation::Open(left), Relation::Reference(Reference { plan: right, .. }))
            | (Relation::Reference(Reference { plan: left, .. }), Relation::Open(right)) => {
                self.open(plan, vec![left, right]).map(Relation::Open)
            }
        }
    }

    /// Reference tables joined with each other stay reference data where that cannot raise; nothing is unique in them then.
    fn references(
        &mut self,
        join: &Join,
        plan: &LogicalPlan,
        left: Reference,
        right: Reference,
    ) -> Result<Relation, Refusal> {
        let labels = output_labels(join.join_type, &left.labels, &right.labels);
        let both: Vec<Label> = left.labels.iter().chain(&right.labels).cloned().collect();
        let total = joined_schema(join).and_then(|schema| {
            self.with_scope(&schema, &both, |scope| {
                let on = join
                    .on
                    .iter()
                    .map(|(one, other)| {
                        Ok((expression::expression(one, scope)?.0, expression::expression(other, scope)?.0))
                    })
                    .collect::<Result<Vec<_>, Refusal>>()?;
                let filter = join.filter.as_ref().map(|filter| expression::expression(filter, scope)).transpose()?;
                Ok((on, filter.map(|(total, _label)| total)))
            })
        });
        match (total, labels) {
            (Ok((on, filter)), Some(labels)) if !on.is_empty() => {
                let instances = left.instances.union(&right.instances).copied().collect();
                let plan = rebuilt(join, left.plan, right.plan, on, filter)?;
                let labels = labels.into_iter().map(|label| Label { origin: None, ..label }).collect();
                Ok(Relation::Reference(Reference { plan, labels, instances }))
            }
            _ => self.open(plan, vec![left.plan, right.plan]).map(Relation::Open),
        }
    }

    fn rows_join(&mut self, join: &Join, left: Rows, right: Rows) -> Result<Relation, Refusal> {
        let kind = self.kind_of(join, left.instances.iter().chain(&right.instances))?;
        let semi = match kind {
            JoinKind::Inner => false,
            JoinKind::Semi => true,
            JoinKind::Left | JoinKind::Right | JoinKind::Full | JoinKind::Anti => {
                return Err(not_available(join.join_type));
            }
        };
        let both: Vec<Label> = left.labels.iter().chain(&right.labels).cloned().collect();
        let schema = joined_schema(join)?;
        let (on, filter) = self.with_scope(&schema, &both, |scope| key_conditions(join, scope))?;
        self.check_partners(&left, &right)?;

        let instances: BTreeSet<Instance> = left.instances.union(&right.instances).copied().collect();
        let (left_foreign, right_foreign) = (self.weighable(&left)?, self.weighable(&right)?);
        let keeps_left = join.join_type != JoinType::RightSemi;
        let keeps_right = join.join_type != JoinType::LeftSemi;
        let (left, left_own) = self.own_rows(left, keeps_left && right_foreign)?;
        let (right, right_own) = self.own_rows(right, keeps_right && left_foreign)?;
        let own: BTreeSet<Instance> = left_own.instances.union(&right_own.instances).copied().collect();
        let side = |labels: Vec<Label>, side_is_own: bool| -> Vec<Label> {
            labels.into_iter().map(|label| disowned(label, &own, side_is_own)).collect()
        };
        let left = Rows { labels: side(left.labels, left_own.repeat), ..left };
        let right = Rows { labels: side(right.labels, right_own.repeat), ..right };
        let labels =
            output_labels(join.join_type, &left.labels, &right.labels).ok_or_else(|| not_available(join.join_type))?;

        let unit = if keeps_left { left.unit.clone() } else { right.unit.clone() };
        let fanned_out = match (semi, keeps_left) {
            (true, true) => left.fanned_out.clone(),
            (true, false) => right.fanned_out.clone(),
            (false, _) => left.fanned_out.clone().or_else(|| right.fanned_out.clone()),
        };
        let single = match (semi, keeps_left) {
            (true, true) => left.single,
            (true, false) => right.single,
            (false, _) => left.single && right.single,
        };
        let plan = rebuilt(join, left.plan, right.plan, on, filter)?;
        Ok(Relation::Rows(Rows { plan, labels, unit, instances, fanned_out, per_unit: false, single }))
    }

    fn reference_join(
        &mut self,
        join: &Join,
        rows: Rows,
        reference: Reference,
        rows_are: Side,
    ) -> Result<Relation, Refusal> {
        let (fits, semi) = match (join.join_type, rows_are) {
            (JoinType::Inner, _) => (true, false),
            (JoinType::LeftSemi, Side::Left) | (JoinType::RightSemi, Side::Right) => (true, true),
            (
                JoinType::LeftSemi
                | JoinType::RightSemi
                | JoinType::Left
                | JoinType::Right
                | JoinType::Full
                | JoinType::LeftAnti
                | JoinType::RightAnti
                | JoinType::LeftMark
                | JoinType::RightMark,
                _,
            ) => (false, false),
        };
        if !fits {
            self.kind_of(join, rows.instances.iter())?;
            return Err(not_available(join.join_type));
        }
        if join.null_equality != NullEquality::NullEqualsNothing {
            return Err(null_safe());
        }
        let (left_labels, right_labels) = match rows_are {
            Side::Left => (&rows.labels, &reference.labels),
            Side::Right => (&reference.labels, &rows.labels),
        };
        let both: Vec<Label> = left_labels.iter().chain(right_labels).cloned().collect();
        let schema = joined_schema(join)?;
        let mut unique = false;
        let mut reference_table = None;
        let (on, filter) = self.with_scope(&schema, &both, |scope| {
            let mut on = Vec::with_capacity(join.on.len());
            for (one, other) in &join.on {
                let (one_total, one_label) = reference_side(one, scope)?;
                let (other_total, other_label) = reference_side(other, scope)?;
                on.push((one_total, other_total));
                let label = match rows_are {
                    Side::Left => other_label,
                    Side::Right => one_label,
                };
                if let Some(origin) = &label.origin
                    && let Some(facts) = self.instances.get(origin.instance)
                {
                    reference_table = Some(facts.name.to_string());
                    unique |= facts.is_unique(&origin.column);
                }
            }
            let filter = join.filter.as_ref().map(|filter| expression::condition(filter, scope)).transpose()?;
            Ok((on, filter))
        })?;
        if on.is_empty() {
            return Err(Refusal::new(
                Code::ReferenceJoin,
                "a reference table is joined with protected rows by an equality of granted columns, AND-ed at the top",
            )
            .about("JOIN")
            .suggest("add the equality, for instance ON rows.product_id = products.product_id"));
        }
        self.check_reference_partners(&rows, &reference)?;
        let labels =
            output_labels(join.join_type, left_labels, right_labels).ok_or_else(|| not_available(join.join_type))?;
        let fanned_out = if unique || semi {
            rows.fanned_out
        } else {
            rows.fanned_out.or(Some(reference_table.unwrap_or_else(|| "the reference table".to_owned())))
        };
        let single = rows.single && (unique || semi);
        let (left, right) = match rows_are {
            Side::Left => (rows.plan, reference.plan),
            Side::Right => (reference.plan, rows.plan),
        };
        let plan = rebuilt(join, left, right, on, filter)?;
        Ok(Relation::Rows(Rows {
            plan,
            labels,
            unit: rows.unit,
            instances: rows.instances,
            fanned_out,
            per_unit: false,
            single,
        }))
    }

    /// The kind of a join, which every policy in it must list.
    fn kind_of<'i>(&self, join: &Join, instances: impl Iterator<Item = &'i Instance>) -> Result<JoinKind, Refusal> {
        let kind = match join.join_type {
            JoinType::Inner => JoinKind::Inner,
            JoinType::LeftSemi | JoinType::RightSemi => JoinKind::Semi,
            JoinType::Left => JoinKind::Left,
            JoinType::Right => JoinKind::Right,
            JoinType::Full => JoinKind::Full,
            JoinType::LeftAnti | JoinType::RightAnti => JoinKind::Anti,
            // IN or EXISTS under OR or in a CASE: a match flag, which tells who does not match, as a left join does.
            JoinType::LeftMark | JoinType::RightMark => JoinKind::Left,
        };
        for instance in instances {
            let facts = self.facts(*instance)?;
            if !facts.policy.joins.types.contains(&kind) {
                let word = word_of(kind);
                return Err(Refusal::new(
                    Code::JoinType,
                    format!("the policy of `{}` does not list the join type `{word}`", facts.name),
                )
                .rule(Rule::of(&facts.policy, "joins.types"))
                .about(match kind {
                    JoinKind::Anti => "NOT",
                    _ => word,
                })
                .suggest("use an inner join, or IN as a condition of its own"));
            }
        }
        Ok(kind)
    }

    /// Both owners' lists of tables that theirs may be joined with; one owner's tables are never kept apart by them.
    fn check_partners(&self, left: &Rows, right: &Rows) -> Result<(), Refusal> {
        for one in &left.instances {
            for other in &right.instances {
                let (one, other) = (self.facts(*one)?, self.facts(*other)?);
                check_partner(one, &other.name)?;
                check_partner(other, &one.name)?;
            }
        }
        Ok(())
    }

    fn check_reference_partners(&self, rows: &Rows, reference: &Reference) -> Result<(), Refusal> {
        for one in &reference.instances {
            for other in &rows.instances {
                let (one, other) = (self.facts(*one)?, self.facts(*other)?);
                check_partner(one, &other.name)?;
                check_partner(other, &one.name)?;
            }
        }
        Ok(())
    }

    /// Whether rows hold a table of another owner while one of the statement's owners lets nobody weigh its units: the
    /// strictest owner wins, in whatever order the tables are joined.
    fn weighable(&self, rows: &Rows) -> Result<bool, Refusal> {
        if !self.distinct {
            return Ok(false);
        }
        for instance in &rows.instances {
            if self.facts(*instance)?.owner() != self.analyst {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Rows of the analyst's own tables alone, about to meet another owner's: they stand as their distinct rows, since an
    /// analyst who repeats person k's row 2^k times reads everyone's membership out of one sum. Their measures are
    /// amounts the analyst chose, so they go too.
    fn own_rows(&mut self, rows: Rows, meets_others: bool) -> Result<(Rows, OwnRows), Refusal> {
        let own = rows
            .instances
            .iter()
            .map(|instance| Ok(self.facts(*instance)?.owner() == self.analyst))
            .collect::<Result<Vec<bool>, Refusal>>()?
            .into_iter()
            .all(|own| own);
        if !own || !meets_others {
            return Ok((rows, OwnRows { instances: BTreeSet::new(), repeat: false }));
        }
        let instances = rows.instances.clone();
        // With one row for each unit there is nothing to repeat; the amounts in it are the analyst's all the same.
        if rows.single {
            return Ok((rows, OwnRows { instances, repeat: false }));
        }
        for instance in &instances {
            let name = self.facts(*instance)?.name.to_string();
            self.own_distinct.insert(name);
        }
        Ok((Rows { plan: OwnDistinct::over(rows.plan), ..rows }, OwnRows { instances, repeat: true }))
    }
}

/// Own tables in a join with another owner's.
struct OwnRows {
    instances: BTreeSet<Instance>,
    /// A unit may have several rows of them, which stand as distinct rows then.
    repeat: bool,
}

/// The equalities of a join and what else it asks for.
type Conditions = (Vec<(Expr, Expr)>, Option<Expr>);

#[derive(Clone, Copy)]
enum Side {
    Left,
    Right,
}

/// A top-level AND-ed equality of keys of one space, one from each side; all else obeys the filter rule.
fn key_conditions(join: &Join, scope: &Scope<'_>) -> Result<Conditions, Refusal> {
    if join.null_equality != NullEquality::NullEqualsNothing {
        return Err(null_safe());
    }
    let mut on = Vec::with_capacity(join.on.len());
    let mut keyed = false;
    for (left, right) in &join.on {
        let key = |expr: &Expr| match expr {
            Expr::Column(column) => scope.label(column).map(|label| match &label.kind {
                Kind::Key(space) => Some(space.clone()),
                Kind::Constant | Kind::Value => None,
            }),
            _ => Ok(None),
        };
        match (key(left)?, key(right)?) {
            (Some(one), Some(other)) if one == other => {
                for side in [left, right] {
                    if let Expr::Column(column) = side
                        && let label = scope.label(column)?
                        && !label.allows(Use::Join)
                    {
                        let refusal =
                            Refusal::new(Code::KeyMisused, format!("`{}` is not granted for joins", column.name));
                        return Err(scope.about(refusal, side, label, "use"));
                    }
                }
                keyed = true;
                on.push((left.clone(), right.clone()));
            }
            (Some(_), Some(_)) => {
                let refusal =
                    Refusal::new(Code::NotAKeyJoin, "the two keys belong to different identity spaces and never match");
                let label = Label::constant();
                return Err(scope.about(refusal, left, &label, "use"));
            }
            (None, None) => {
                let equality = left.clone().eq(right.clone());
                expression::condition(&equality, scope)?;
                on.push((expression::expression(left, scope)?.0, expression::expression(right, scope)?.0));
            }
            (Some(_), None) | (None, Some(_)) => {
                // Refused as a comparison of a key with something else.
                expression::condition(&left.clone().eq(right.clone()), scope)?;
                return Err(Refusal::new(Code::KeyCompared, "a key is joined with a column that is no key"));
            }
        }
    }
    if !keyed {
        return Err(Refusal::new(
            Code::NotAKeyJoin,
            "protected tables are joined by an equality of their keys, AND-ed at the top of the condition",
        )
        .about("JOIN")
        .suggest("add the equality of the two keys, for instance ON a.key = b.key"));
    }
    let filter = join.filter.as_ref().map(|filter| expression::condition(filter, scope)).transpose()?;
    Ok((on, filter))
}

fn reference_side(expr: &Expr, scope: &Scope<'_>) -> Result<(Expr, Label), Refusal> {
    let (total, label) = expression::expression(expr, scope)?;
    if label.is_key() {
        let refusal = Refusal::new(Code::KeyCompared, "a key is joined with a column of a reference table");
        return Err(scope.about(refusal, expr, &label, "use"));
    }
    if !label.allows(Use::Join) && !label.allows(Use::Dimension) {
        let refusal = Refusal::new(
            Code::ReferenceJoin,
            "a column that joins a reference table is granted as `join` or `dimension` on both sides",
        );
        return Err(scope.about(refusal, expr, &label, "use"));
    }
    Ok((total, label))
}

fn check_partner(facts: &TableFacts, other: &TableName) -> Result<(), Refusal> {
    let policy: &Policy = &facts.policy;
    let Some(with) = &policy.joins.with else {
        return Ok(());
    };
    if facts.owner() == other.owner() || with.iter().any(|pattern| matches(pattern, other)) {
        return Ok(());
    }
    Err(Refusal::new(Code::JoinPartner, format!("the policy of `{}` does not allow a join with `{other}`", facts.name))
        .rule(Rule::of(policy, "joins.with"))
        .about(other.table()))
}

fn matches(pattern: &TablePattern, table: &TableName) -> bool {
    pattern.partner == *table.owner() && pattern.table.as_ref().is_none_or(|name| name == table.table())
}

fn null_safe() -> Refusal {
    Refusal::new(Code::NullSafeKey, "a join that takes NULL for equal is not answered")
        .suggest("use `=`, and write INTERSECT or EXCEPT as joins")
}

fn not_available(join_type: JoinType) -> Refusal {
    Refusal::new(
        Code::NotAvailable,
        format!("{join_type} joins over protected rows are not available in this version; inner and semi joins are"),
    )
    .about("JOIN")
}

fn word_of(kind: JoinKind) -> &'static str {
    match kind {
        JoinKind::Inner => "inner",
        JoinKind::Semi => "semi",
        JoinKind::Left => "left",
        JoinKind::Right => "right",
        JoinKind::Full => "full",
        JoinKind::Anti => "anti",
    }
}

fn disowned(label: Label, own: &BTreeSet<Instance>, side_is_own: bool) -> Label {
    let own_label = if side_is_own { label.own.max(Own::AsIs) } else { label.own };
    let label = Label { own: own_label, ..label };
    let measure = label.measure.map(|mut measure| {
        measure.own |= own.contains(&measure.instance);
        measure
    });
    Label { measure, ..label }
}

/// The columns both sides of a join can be named by, whatever its type lets out.
fn joined_schema(join: &Join) -> Result<DFSchema, Refusal> {
    join.left.schema().join(join.right.schema()).map_err(internal)
}

fn output_labels(join_type: JoinType, left: &[Label], right: &[Label]) -> Option<Vec<Label>> {
    match join_type {
        JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => {
            Some(left.iter().chain(right).cloned().collect())
        }
        JoinType::LeftSemi | JoinType::LeftAnti => Some(left.to_vec()),
        JoinType::RightSemi | JoinType::RightAnti => Some(right.to_vec()),
        JoinType::LeftMark | JoinType::RightMark => None,
    }
}

fn rebuilt(
    join: &Join,
    left: LogicalPlan,
    right: LogicalPlan,
    on: Vec<(Expr, Expr)>,
    filter: Option<Expr>,
) -> Result<LogicalPlan, Refusal> {
    Join::try_new(
        Arc::new(left),
        Arc::new(right),
        on,
        filter,
        join.join_type,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )
    .map(LogicalPlan::Join)
    .map_err(internal)
}
