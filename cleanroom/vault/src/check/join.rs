//! Joins: protected rows with protected rows on their keys, protected rows with reference tables on granted columns.

use std::collections::BTreeSet;
use std::sync::Arc;

use cleanroom_policy::{JoinKind, Policy, TableName, TablePattern, Use};
use datafusion::common::{Column, DFSchema, JoinConstraint, JoinType, NullEquality};
use datafusion::logical_expr::{Expr, Join, LogicalPlan, LogicalPlanBuilder, when};

use super::expression::{self, Scope};
use super::flag;
use super::label::{Instance, Kind, Label};
use super::per_unit::{self, Hidden};
use super::rows::{MatchCheck, Presence, Rows, Slot};
use super::told::Told;
use super::{Checker, MAX_MULTIPLIED, Reference, Relation, filtered, internal};
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
                let (left, right) = each_once(join, left, right)?;
                self.open(plan, vec![left, right]).map(Relation::Open)
            }
        }
    }

    fn rows_join(&mut self, join: &Join, left: Rows, right: Rows) -> Result<Relation, Refusal> {
        let kind = self.kind_of(join, left.places().iter().chain(&right.places()))?;
        if join.join_constraint == JoinConstraint::Using && matches!(join.join_type, JoinType::Right | JoinType::Full) {
            // The planner takes the bare name for the left side's column, which is NULL where only the right one stands.
            return Err(Refusal::new(
                Code::NotAvailable,
                "USING in a RIGHT or FULL join over protected rows is not answered",
            )
            .about("USING")
            .suggest("write ON left.key = right.key, and name the table of every key"));
        }
        let both: Vec<Label> = left.labels.iter().chain(&right.labels).cloned().collect();
        let schema = joined_schema(join)?;
        let (on, filter) = self.with_scope(&schema, &both, |scope| key_conditions(join, scope))?;
        let read = self.with_scope(&schema, &both, |scope| Ok(flag::read(filter.as_ref(), scope)))?;
        let asked = self.with_scope(&schema, &both, |scope| {
            let keys =
                |expr: &Expr| matches!(expr, Expr::Column(column) if scope.label(column).is_ok_and(Label::is_key));
            let values = on.iter().flat_map(|(one, other)| [one, other]).filter(|expr| !keys(expr));
            Ok(values.chain(&filter).flat_map(|expr| flag::places_of(expr, scope)).collect::<BTreeSet<_>>())
        })?;
        let (left_keys, right_keys) = self.with_scope(&schema, &both, |scope| {
            let optional = |key: &Expr| match key {
                Expr::Column(column) => scope.label(column).ok().filter(|label| label.is_key() && label.optional),
                _ => None,
            };
            let places = |key: &Expr| optional(key).map(|label| label.from.clone()).unwrap_or_default();
            let left: BTreeSet<Instance> = on.iter().flat_map(|(key, _other)| places(key)).collect();
            Ok((left, on.iter().flat_map(|(_key, other)| places(other)).collect::<BTreeSet<_>>()))
        })?;
        let keeps_all = matches!(
            join.join_type,
            JoinType::Left | JoinType::Right | JoinType::Full | JoinType::LeftMark | JoinType::RightMark
        );
        let asked = match keeps_all {
            true => asked,
            // A key that is NULL where nothing matched finds nobody.
            false => asked.union(&left_keys).chain(&right_keys).copied().collect(),
        };
        let steering: BTreeSet<Instance> = left.open_among(&asked).union(&right.open_among(&asked)).copied().collect();
        self.check_partners(&left, &right)?;
        let join = &Join { null_equality: NullEquality::NullEqualsNothing, ..join.clone() };

        let audience = self.audience_of(join.join_type, (&left, &right), filter.as_ref())?;
        let left = Rows { labels: self.disowned(&left.labels, &right)?, ..left };
        let right = Rows { labels: self.disowned(&right.labels, &left)?, ..right };
        match join.join_type {
            JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => {
                let repeated =
                    left.repeated || right.repeated || self.repeats(&left, &right)? || self.repeats(&right, &left)?;
                self.side_by_side(join, (left, right), (on, filter), repeated, (&left_keys, &right_keys))
            }
            JoinType::LeftSemi | JoinType::LeftAnti => {
                self.one_side(join, kind, Side::Left, (left, right), (on, filter))
            }
            JoinType::RightSemi | JoinType::RightAnti => {
                self.one_side(join, kind, Side::Right, (left, right), (on, filter))
            }
            JoinType::LeftMark => self.mark(join, left, right, (on, filter), &left_keys),
            JoinType::RightMark => Err(not_available(join.join_type)),
        }
        .map(|mut rows| {
            rows.together.extend(read);
            rows.steering.extend(steering);
            Relation::Rows(Rows { audience, ..rows })
        })
    }

    /// Both sides' columns; the side that need not match holds NULL where it does not.
    fn side_by_side(
        &mut self,
        join: &Join,
        (left, right): (Rows, Rows),
        (on, filter): Conditions,
        repeated: bool,
        (left_keys, right_keys): (&BTreeSet<Instance>, &BTreeSet<Instance>),
    ) -> Result<Rows, Refusal> {
        let (left_optional, right_optional) = match join.join_type {
            JoinType::Left => (false, true),
            JoinType::Right => (true, false),
            JoinType::Full => (true, true),
            // Of the others no side is filled up with NULLs.
            JoinType::Inner
            | JoinType::LeftSemi
            | JoinType::RightSemi
            | JoinType::LeftAnti
            | JoinType::RightAnti
            | JoinType::LeftMark
            | JoinType::RightMark => (false, false),
        };
        let labels = |rows: &Rows, optional: bool, found_by: &BTreeSet<Instance>| -> Vec<Label> {
            // What is found by another's key is there where that one is.
            let places = rows.places().union(found_by).copied().collect();
            let labels = rows.labels.iter().cloned();
            if !optional {
                return labels.collect();
            }
            let optional = labels.map(|label| {
                let told = label.told.settled(|place| rows.settled(place)).made_optional(rows.in_every_row());
                Label { told, ..label.made_optional(&places) }
            });
            optional.collect()
        };
        let slots = |rows: &Rows, optional: bool| if optional { rows.optional_slots() } else { rows.slots.clone() };
        let parted = |rows: &Rows, side: &LogicalPlan, other_optional: bool, of: fn(&(Expr, Expr)) -> &Expr| {
            other_optional && on.iter().map(of).any(|key| may_be_null(rows, side, key))
        };
        let splits = more_than_key(&on, filter.as_ref())
            || parted(&left, &join.left, right_optional, |(key, _other)| key)
            || parted(&right, &join.right, left_optional, |(_other, key)| key);
        let mut parted_by: BTreeSet<Instance> = left.parted_by.union(&right.parted_by).copied().collect();
        for (found, keys) in [(&right, left_keys), (&left, right_keys)] {
            // As many rows as one owner has of those whom another's key finds.
            let both: BTreeSet<Instance> = found.places().union(keys).copied().collect();
            if !keys.is_empty() && self.of_several(&both)? {
                parted_by.extend(both);
            }
        }
        let joined = Rows {
            plan: rebuilt(join, left.plan.clone(), right.plan.clone(), on, filter, false)?,
            labels: [labels(&left, left_optional, right_keys), labels(&right, right_optional, left_keys)].concat(),
            unit: if left_optional && !right_optional { right.unit.clone() } else { left.unit.clone() },
            slots: [slots(&left, left_optional), slots(&right, right_optional)].concat(),
            multiplying: self.multiplied(&left, &right)?,
            parted_by,
            // Of two sides that need not match, a unit has rows by whether it stands in either.
            numbered_by: match left_optional && right_optional {
                true => left.places().union(&right.places()).copied().collect(),
                false => left.numbered_by.union(&right.numbered_by).copied().collect(),
            },
            row_ids: [left.row_ids, right.row_ids].concat(),
            checks: [left.checks, right.checks].concat(),
            together: [left.together, right.together].concat(),
            steering: left.steering.union(&right.steering).copied().collect(),
            fanned_out: left.fanned_out.or(right.fanned_out),
            per_unit: false,
            // Of two sides that need not match, a unit has a row of each where a condition beside the key parts them.
            single: left.single && right.single && !(splits && left_optional && right_optional),
            split: left.split
                || right.split
                || (splits && right_optional && (left_optional || !left.single))
                || (splits && left_optional && !right.single),
            repeated,
            audience: None,
        };
        if !(left_optional && right_optional) {
            return Ok(joined);
        }
        // Either side may be NULL; one of them is the unit.
        let unit = format!("__cr_unit_j{}", self.fresh());
        let either = when(Expr::Column(left.unit.clone()).is_null(), Expr::Column(right.unit))
            .otherwise(Expr::Column(left.unit))
            .map_err(internal)?;
        let visible =
            join.schema.iter().map(|(qualifier, field)| Expr::Column(Column::new(qualifier.cloned(), field.name())));
        let exprs: Vec<Expr> = visible.chain(joined.carried()).chain([either.alias(&unit)]).collect();
        let plan = LogicalPlanBuilder::from(joined.plan.clone())
            .project(exprs)
            .and_then(LogicalPlanBuilder::build)
            .map_err(internal)?;
        let joined = joined.renamed(plan, |column| Column::new_unqualified(&column.name));
        Ok(Rows { unit: Column::new_unqualified(unit), ..joined })
    }

    /// The rows of one side that have a match on the other, or have none.
    fn one_side(
        &mut self,
        join: &Join,
        kind: JoinKind,
        keeps: Side,
        (left, right): (Rows, Rows),
        (on, filter): Conditions,
    ) -> Result<Rows, Refusal> {
        let anti = kind == JoinKind::Anti;
        if anti && join.null_aware && keeps == Side::Left {
            // Of no key it is not known whether it is in the list, and so it is not said to be NOT IN it.
            for (key, _other) in &on {
                if let Some(places) = optional_key(&left, &join.left, key) {
                    let flags: Vec<(Instance, bool)> = places.into_iter().map(|place| (place, true)).collect();
                    let rows = self.matched(left, &flags)?;
                    let plan = filtered(rows.plan.clone(), key.clone().is_not_null())?;
                    return self.one_side(
                        &Join { null_aware: false, ..join.clone() },
                        kind,
                        keeps,
                        (Rows { plan, ..rows }, right),
                        (on.clone(), filter),
                    );
                }
            }
        }
        let (kept, dropped) = match keeps {
            Side::Left => (&left, &right),
            Side::Right => (&right, &left),
        };
        let stands = |slot: &Slot| match slot.presence {
            Presence::Always => true,
            Presence::Never => !anti,
            Presence::Matched(_) | Presence::Branch { .. } => false,
        };
        if !dropped.slots.iter().all(stands) {
            if anti || filter.is_some() {
                return Err(Refusal::new(
                    Code::NotAvailable,
                    "an outer join or a UNION inside this IN, NOT IN or EXISTS over protected rows is not available in this version",
                )
                .about("IN")
                .suggest("join the tables in FROM"));
            }
            return self.in_list_of_units(join, keeps, (left, right), on);
        }
        let repeated = kept.repeated || self.repeats(kept, dropped)?;
        let mut slots = kept.slots.clone();
        let mut checks = [left.checks.clone(), right.checks.clone()].concat();
        slots.extend(dropped.slots.iter().map(|slot| Slot {
            places: slot.places.clone(),
            beside: slot.beside.clone(),
            presence: if anti { Presence::Never } else { slot.presence.clone() },
        }));
        if anti {
            let matching = Join {
                join_type: match keeps {
                    Side::Left => JoinType::LeftSemi,
                    Side::Right => JoinType::RightSemi,
                },
                null_aware: false,
                ..join.clone()
            };
            let plan = rebuilt(&matching, left.plan.clone(), right.plan.clone(), on.clone(), filter.clone(), false)?;
            let least = self.floor_of(&kept.places().union(&dropped.places()).copied().collect())?;
            checks.push(MatchCheck { plan, unit: kept.unit.clone(), among: kept.kinds(None), least });
        }
        // Not aware of NULLs: a NOT IN that comes out empty because one NULL is in the list would tell of it.
        let plan = rebuilt(join, left.plan.clone(), right.plan.clone(), on, filter, false)?;
        let together = [left.together.clone(), right.together.clone()].concat();
        let steering = left.steering.union(&right.steering).copied().collect();
        Ok(Rows { plan, slots, checks, together, steering, per_unit: false, repeated, ..kept.clone() })
    }

    /// The rows of one side whose unit is among the other's, of whose tables some may stand in some of its rows only: joined
    /// with one row for each unit, which says in which of the tables the unit is.
    fn in_list_of_units(
        &mut self,
        join: &Join,
        keeps: Side,
        (left, right): (Rows, Rows),
        on: Vec<(Expr, Expr)>,
    ) -> Result<Rows, Refusal> {
        let (kept, dropped) = match keeps {
            Side::Left => (left, right),
            Side::Right => (right, left),
        };
        let repeated = kept.repeated || self.repeats(&kept, &dropped)?;
        let keys = on
            .iter()
            .map(|(one, other)| match keeps {
                Side::Left => other.clone(),
                Side::Right => one.clone(),
            })
            .collect();
        let hidden = Hidden::of(&dropped, self.fresh());
        let units = per_unit::plan(&dropped, keys, &[], &hidden)?.build().map_err(internal)?;
        let units = dropped.renamed(units, |column| Column::new_unqualified(&column.name));
        let (one, other) = match keeps {
            Side::Left => (kept.plan.clone(), units.plan.clone()),
            Side::Right => (units.plan.clone(), kept.plan.clone()),
        };
        let inner = Join { join_type: JoinType::Inner, ..join.clone() };
        let plan = rebuilt(&inner, one, other, on, None, false)?;
        let joined = Rows {
            plan,
            slots: [kept.slots.clone(), units.slots].concat(),
            checks: [kept.checks.clone(), units.checks].concat(),
            together: [kept.together.clone(), units.together].concat(),
            steering: kept.steering.union(&units.steering).copied().collect(),
            multiplying: kept.multiplying.clone(),
            parted_by: kept.parted_by.union(&units.parted_by).copied().collect(),
            numbered_by: kept.numbered_by.clone(),
            per_unit: false,
            repeated,
            ..kept
        };
        let visible =
            join.schema.iter().map(|(qualifier, field)| Expr::Column(Column::new(qualifier.cloned(), field.name())));
        let exprs: Vec<Expr> = visible.chain(joined.carried()).collect();
        let plan = LogicalPlanBuilder::from(joined.plan.clone())
            .project(exprs)
            .and_then(LogicalPlanBuilder::build)
            .map_err(internal)?;
        Ok(joined.renamed(plan, |column| Column::new_unqualified(&column.name)))
    }

    /// The rows of the left side, each with a flag that tells whether it has a match.
    fn mark(
        &mut self,
        join: &Join,
        left: Rows,
        right: Rows,
        (on, filter): Conditions,
        left_keys: &BTreeSet<Instance>,
    ) -> Result<Rows, Refusal> {
        let repeated = left.repeated || self.repeats(&left, &right)?;
        let Some(place) = right.places().first().copied() else {
            return Err(Refusal::new(Code::Internal, "rows of no table"));
        };
        if right.slots.iter().any(|slot| !matches!(slot.presence, Presence::Always)) {
            return Err(not_available(join.join_type));
        }
        let splits =
            more_than_key(&on, filter.as_ref()) || on.iter().any(|(key, _other)| may_be_null(&left, &join.left, key));
        let split = left.split || (splits && !left.single);
        let marked = rebuilt(join, left.plan.clone(), right.plan.clone(), on, filter, false)?;
        let Some((qualifier, mark)) = join.schema.iter().last() else {
            return Err(Refusal::new(Code::Internal, "a match flag has no column"));
        };
        let mark = Expr::Column(Column::new(qualifier.cloned(), mark.name()));
        let marker = format!("__cr_mark_{}", self.fresh());
        let matched = when(mark.is_true(), Expr::Column(left.unit.clone())).end().map_err(internal)?;
        let visible =
            join.schema.iter().map(|(qualifier, field)| Expr::Column(Column::new(qualifier.cloned(), field.name())));
        let exprs: Vec<Expr> = visible.chain(left.carried()).chain([matched.alias(&marker)]).collect();
        let plan =
            LogicalPlanBuilder::from(marked).project(exprs).and_then(LogicalPlanBuilder::build).map_err(internal)?;
        let flag = Label {
            from: right.places().union(left_keys).copied().collect(),
            told: Told::flag(place),
            ..Label::value(BTreeSet::from([Use::Dimension, Use::Filter]))
        };
        let mut rows = left.renamed(plan, |column| Column::new_unqualified(&column.name));
        rows.labels.push(flag);
        rows.slots.push(Slot {
            beside: BTreeSet::new(),
            places: right.places(),
            presence: Presence::Matched(Column::new_unqualified(marker)),
        });
        rows.checks.extend(right.checks);
        rows.steering.extend(right.steering);
        Ok(Rows { per_unit: false, repeated, split, ..rows })
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
    pub(super) fn check_partners(&self, left: &Rows, right: &Rows) -> Result<(), Refusal> {
        for one in &left.places() {
            for other in &right.places() {
                let (one, other) = (self.facts(*one)?, self.facts(*other)?);
                check_partner(one, &other.name)?;
                check_partner(other, &one.name)?;
            }
        }
        Ok(())
    }

    /// Whether rows could hold what belongs to another owner several times because the analyst's own among them say so: the
    /// strictest owner of the statement decides, in whatever order the tables are joined.
    fn repeats(&mut self, rows: &Rows, others: &Rows) -> Result<bool, Refusal> {
        if !self.distinct || rows.single || !self.holds(rows, true)? || !self.holds(others, false)? {
            return Ok(false);
        }
        for place in rows.places() {
            let facts = self.facts(place)?;
            if facts.owner() == self.analyst {
                let name = facts.name.to_string();
                self.own_once.insert(name);
            }
        }
        Ok(true)
    }

    /// Places whose rows multiply once two relations are joined; a unit's one row does not.
    fn multiplied(&self, left: &Rows, right: &Rows) -> Result<Vec<Instance>, Refusal> {
        let multiplying: Vec<Instance> =
            [left, right].iter().flat_map(|rows| rows.multiplying.iter().copied()).collect();
        for place in &multiplying {
            let name = &self.facts(*place)?.name;
            let mut same = 0;
            for other in &multiplying {
                same += usize::from(self.facts(*other)?.name == *name);
            }
            if same > MAX_MULTIPLIED {
                return Err(Refusal::new(
                    Code::TooLarge,
                    format!("rows of `{name}` are joined with themselves more than {} times", MAX_MULTIPLIED - 1),
                )
                .about(name.table())
                .suggest("aggregate each to one row a unit first: SELECT key, ... GROUP BY key"));
            }
        }
        Ok(multiplying)
    }

    /// Whether a table of the analyst's own, or of another owner, stands in the rows.
    pub(super) fn holds(&self, rows: &Rows, own: bool) -> Result<bool, Refusal> {
        for place in rows.places() {
            if (self.facts(place)?.owner() == self.analyst) == own {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The labels of rows that meet `others`: the analyst's own measures are amounts that it chose, so beside another owner's
    /// rows they are measures no more.
    fn disowned(&self, labels: &[Label], others: &Rows) -> Result<Vec<Label>, Refusal> {
        let weighs = self.distinct && self.holds(others, false)?;
        labels
            .iter()
            .map(|label| {
                let mut label = label.clone();
                if weighs && let Some(measure) = &mut label.measure {
                    measure.own |= self.facts(measure.instance)?.owner() == self.analyst;
                }
                Ok(label)
            })
            .collect()
    }

    /// A number for a hidden column of its own.
    pub(super) fn fresh(&mut self) -> usize {
        self.named += 1;
        self.named
    }
}

/// The equalities of a join and what else it asks for.
type Conditions = (Vec<(Expr, Expr)>, Option<Expr>);

/// Whether a key of one side is NULL in some of its rows: a unit's rows then need not match together, as where a UNION has the
/// key in one branch and an outer join's in the other. Anything but a column of this side counts as such.
fn may_be_null(rows: &Rows, side: &LogicalPlan, key: &Expr) -> bool {
    let Expr::Column(column) = key else { return true };
    let label = side.schema().index_of_column(column).ok().and_then(|index| rows.labels.get(index));
    label.is_none_or(|label| label.optional)
}

/// The places that a key is of which need not match.
fn optional_key(rows: &Rows, side: &LogicalPlan, key: &Expr) -> Option<BTreeSet<Instance>> {
    let Expr::Column(column) = key else { return None };
    let label = rows.labels.get(side.schema().index_of_column(column).ok()?)?;
    rows.lacks(label).then(|| label.from.clone())
}

/// Whether a join asks for more than that keys are equal.
fn more_than_key(on: &[(Expr, Expr)], filter: Option<&Expr>) -> bool {
    on.len() > 1 || filter.is_some()
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

/// A top-level AND-ed equality of keys of one space, one from each side; all else obeys the filter rule.
fn key_conditions(join: &Join, scope: &Scope<'_>) -> Result<Conditions, Refusal> {
    if join.null_equality != NullEquality::NullEqualsNothing && !of_sets(join, scope)? {
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

/// INTERSECT or EXCEPT of bare keys: no row is without its key there, so taking NULL for equal changes nothing.
fn of_sets(join: &Join, scope: &Scope<'_>) -> Result<bool, Refusal> {
    let sets = matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti) && join.filter.is_none();
    let mut keys = sets && !join.on.is_empty();
    for (left, right) in &join.on {
        for side in [left, right] {
            keys &= match side {
                Expr::Column(column) => scope.label(column).map(|label| label.is_key() && !label.optional)?,
                _ => false,
            };
        }
    }
    Ok(keys)
}

pub(super) fn check_partner(facts: &TableFacts, other: &TableName) -> Result<(), Refusal> {
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

pub(super) fn null_safe() -> Refusal {
    Refusal::new(Code::NullSafeKey, "a join that takes NULL for equal is not answered")
        .suggest("use `=`, and write INTERSECT or EXCEPT as joins")
}

pub(super) fn not_available(join_type: JoinType) -> Refusal {
    Refusal::new(Code::NotAvailable, format!("a join of type {join_type} is not available here in this version"))
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

/// The side of a join that is only asked whether it holds a match, with each of them once: a value that stands there a
/// thousand times would be met a thousand times by each row of the other side.
pub(super) fn each_once(
    join: &Join,
    left: LogicalPlan,
    right: LogicalPlan,
) -> Result<(LogicalPlan, LogicalPlan), Refusal> {
    let asked = |plan: LogicalPlan| {
        let exprs = join.on.iter().flat_map(|(left, right)| [left, right]).chain(&join.filter);
        let named: BTreeSet<&Column> = exprs.flat_map(Expr::column_refs).collect();
        let columns: Vec<Expr> = named
            .into_iter()
            .filter(|column| plan.schema().has_column(column))
            .map(|column| Expr::Column(column.clone()))
            .collect();
        if columns.is_empty() {
            return Ok(plan);
        }
        LogicalPlanBuilder::from(plan)
            .aggregate(columns, Vec::<Expr>::new())
            .and_then(LogicalPlanBuilder::build)
            .map_err(internal)
    };
    Ok(match join.join_type {
        JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => (left, asked(right)?),
        JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => (asked(left)?, right),
        JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => (left, right),
    })
}

/// The columns both sides of a join can be named by, whatever its type lets out.
pub(super) fn joined_schema(join: &Join) -> Result<DFSchema, Refusal> {
    join.left.schema().join(join.right.schema()).map_err(internal)
}

pub(super) fn output_labels(join_type: JoinType, left: &[Label], right: &[Label]) -> Option<Vec<Label>> {
    match join_type {
        JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => {
            Some(left.iter().chain(right).cloned().collect())
        }
        JoinType::LeftSemi | JoinType::LeftAnti => Some(left.to_vec()),
        JoinType::RightSemi | JoinType::RightAnti => Some(right.to_vec()),
        // Only of reference tables: the flag of a protected one has a slot of its own.
        JoinType::LeftMark => {
            let flag = Label::value(BTreeSet::from([Use::Dimension, Use::Filter]));
            Some(left.iter().cloned().chain([flag]).collect())
        }
        JoinType::RightMark => None,
    }
}

pub(super) fn rebuilt(
    join: &Join,
    left: LogicalPlan,
    right: LogicalPlan,
    on: Vec<(Expr, Expr)>,
    filter: Option<Expr>,
    null_aware: bool,
) -> Result<LogicalPlan, Refusal> {
    Join::try_new(
        Arc::new(left),
        Arc::new(right),
        on,
        filter,
        join.join_type,
        join.join_constraint,
        join.null_equality,
        null_aware,
    )
    .map(LogicalPlan::Join)
    .map_err(internal)
}
