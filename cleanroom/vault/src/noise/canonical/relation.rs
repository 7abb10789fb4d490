//! Plans of rows to what their rows are: leaves that are joined, the conditions that hold of them, and the columns.
//!
//! Inner joins, conditions, projections and aliases are taken apart, so that the order and the way in which they were written
//! has no part in it; a join of another kind, an aggregate, a window or a union is a leaf, which is called by what it is made
//! of. Columns are called by what they compute. Everything else is [`Unlike`].

use datafusion::common::{DFSchema, JoinType, NullEquality};
use datafusion::logical_expr::{Aggregate, Expr, Join, LogicalPlan, TableScan, Window};

use super::EQUAL;
use super::expression::Names;
use super::term::{Leaf, Term, Unlike, atom, digest, wrapped};
use crate::source::CheckedScan;

/// The rows of a plan.
pub(super) struct Relation {
    /// What is joined, by name; some may be alike.
    leaves: Vec<String>,
    /// All of them hold.
    conditions: Vec<Term>,
    /// One for each field of the plan.
    pub(super) columns: Vec<Term>,
}

/// A relation whose leaves stand in an order of their own.
pub(super) struct Closed {
    /// The whole of it, columns aside, which say nothing of what rows there are.
    pub(super) text: String,
    /// The new place of each leaf.
    places: Vec<usize>,
    /// Units' numbers that are equal in all rows, in their new places.
    classes: Vec<Vec<Leaf>>,
}

impl Closed {
    /// A term over the relation. Of units' numbers that are equal one stands for all.
    pub(super) fn written(&self, term: &Term) -> String {
        term.written(&|leaf, key| {
            let leaf = self.placed(leaf);
            match self.classes.iter().find(|class| key && class.contains(&leaf)).and_then(|class| class.first()) {
                Some(first) => first.clone(),
                None => leaf,
            }
        })
    }

    fn placed(&self, leaf: &Leaf) -> Leaf {
        Leaf { place: self.places.get(leaf.place).copied().unwrap_or(usize::MAX), name: leaf.name.clone() }
    }
}

impl Relation {
    /// The rows of a checked plan.
    pub(super) fn of(plan: &LogicalPlan) -> Result<Self, Unlike> {
        match plan {
            LogicalPlan::TableScan(scan) => of_scan(scan, plan),
            LogicalPlan::SubqueryAlias(alias) => Self::of(&alias.input),
            LogicalPlan::Projection(projection) => {
                let Self { leaves, conditions, columns } = Self::of(&projection.input)?;
                let columns = terms(&projection.expr, projection.input.schema(), &columns)?;
                Ok(Self { leaves, conditions, columns })
            }
            LogicalPlan::Filter(filter) => {
                let Self { leaves, mut conditions, columns } = Self::of(&filter.input)?;
                let names = Names { schema: filter.input.schema(), columns: &columns };
                conditions.extend(names.term(&filter.predicate)?.parts_of("and"));
                Ok(Self { leaves, conditions, columns })
            }
            LogicalPlan::Join(join) => of_join(join),
            LogicalPlan::Aggregate(aggregate) => of_aggregate(aggregate),
            LogicalPlan::Window(window) => of_window(window),
            LogicalPlan::Union(union) => {
                let branches = union.inputs.iter().map(|input| Self::of(input)).collect::<Result<Vec<_>, _>>()?;
                let closed: Vec<Closed> = branches.iter().map(Self::close).collect();
                let columns = (0..union.schema.fields().len()).map(|place| {
                    let parts = branches.iter().zip(&closed).map(|(branch, closed)| {
                        branch.columns.get(place).map(|column| atom(&closed.written(column))).ok_or(Unlike)
                    });
                    let key = branches.iter().all(|branch| branch.columns.get(place).and_then(Term::key).is_some());
                    let data_type = atom(&format!("{:?}", union.schema.field(place).data_type()));
                    let parts = parts.chain([Ok(data_type)]).collect::<Result<Vec<_>, _>>()?;
                    Ok(Term::leaf(0, digest(&wrapped("united", parts)), key))
                });
                let columns = columns.collect::<Result<Vec<_>, Unlike>>()?;
                let leaf = wrapped("union", closed.iter().map(|closed| atom(&closed.text)).collect());
                Ok(Self::leaf(&leaf, columns))
            }
            _ => Err(Unlike),
        }
    }

    fn leaf(text: &str, columns: Vec<Term>) -> Self {
        Self { leaves: vec![digest(text)], conditions: Vec::new(), columns }
    }

    /// Leaves in the order of their names; those of one name in the order in which they are written.
    pub(super) fn close(&self) -> Closed {
        let mut order: Vec<usize> = (0..self.leaves.len()).collect();
        order.sort_by_key(|place| self.leaves.get(*place));
        let mut places = vec![0; order.len()];
        for (new, old) in order.iter().enumerate() {
            if let Some(place) = places.get_mut(*old) {
                *place = new;
            }
        }
        let mut closed = Closed { text: String::new(), places, classes: Vec::new() };
        let mut rest = Vec::new();
        for condition in &self.conditions {
            match condition.equal_keys() {
                Some((one, other)) => {
                    let (one, other) = (closed.placed(one), closed.placed(other));
                    join_classes(&mut closed.classes, one, other);
                }
                None => rest.push(condition),
            }
        }
        closed.classes.sort();
        let mut leaves: Vec<&String> = self.leaves.iter().collect();
        leaves.sort();
        let mut conditions: Vec<String> = rest.into_iter().map(|condition| closed.written(condition)).collect();
        conditions.sort();
        conditions.dedup();
        let classes = closed.classes.iter().map(|class| {
            wrapped("equal", class.iter().map(|leaf| format!("#{}.{}", leaf.place, atom(&leaf.name))).collect())
        });
        closed.text = wrapped(
            "rows",
            vec![
                wrapped("leaves", leaves.into_iter().map(|leaf| atom(leaf)).collect()),
                wrapped("keys", classes.collect()),
                wrapped("conditions", conditions),
            ],
        );
        closed
    }
}

/// Puts two numbers that are equal into one class, in which they are in order.
fn join_classes(classes: &mut Vec<Vec<Leaf>>, one: Leaf, other: Leaf) {
    let mut class = vec![one, other];
    classes.retain(|known| {
        let meets = known.iter().any(|leaf| class.contains(leaf));
        if meets {
            class.extend(known.iter().cloned());
        }
        !meets
    });
    class.sort();
    class.dedup();
    classes.push(class);
}

fn terms(exprs: &[Expr], schema: &DFSchema, columns: &[Term]) -> Result<Vec<Term>, Unlike> {
    let names = Names { schema, columns };
    exprs.iter().map(|expr| names.term(expr)).collect()
}

/// One version of a table's data under one policy.
fn of_scan(scan: &TableScan, plan: &LogicalPlan) -> Result<Relation, Unlike> {
    let source = CheckedScan::of(plan).ok_or(Unlike)?;
    if !scan.filters.is_empty() || scan.fetch.is_some() {
        return Err(Unlike);
    }
    let facts = &source.facts;
    let data = facts.data.as_ref().ok_or(Unlike)?;
    let leaf = wrapped(
        "table",
        vec![atom(&facts.name.to_string()), atom(&data.version.to_string()), atom(&facts.policy_digest)],
    );
    let unit = facts.unit().map(|(unit, _space)| unit);
    let fields = scan.projected_schema.fields().iter();
    let columns = fields.map(|field| Term::leaf(0, field.name().as_str(), unit == Some(field.name().as_str())));
    Ok(Relation::leaf(&leaf, columns.collect()))
}

fn of_join(join: &Join) -> Result<Relation, Unlike> {
    let (left, right) = (Relation::of(&join.left)?, Relation::of(&join.right)?);
    match join.join_type {
        JoinType::Inner => {
            let by = left.leaves.len();
            let columns: Vec<Term> =
                left.columns.into_iter().chain(right.columns.iter().map(|column| column.moved(by))).collect();
            let mut conditions = left.conditions;
            conditions.extend(right.conditions.iter().map(|condition| condition.moved(by)));
            conditions.extend(on(join, &columns)?);
            Ok(Relation { leaves: left.leaves.into_iter().chain(right.leaves).collect(), conditions, columns })
        }
        JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => {
            // Whether there is a row on the other side is a condition of the rows on this one.
            let closed = right.close();
            let there = right.columns.iter().map(|column| Term::text(closed.written(column)));
            let columns: Vec<Term> = left.columns.iter().cloned().chain(there).collect();
            let met = Term::set("and", on(join, &columns)?)?;
            let how = if join.null_aware { "null-aware" } else { "plain" };
            let exists = Term::list("exists", vec![Term::text(how), Term::text(closed.text), met])?;
            let Relation { leaves, mut conditions, mut columns } = left;
            match join.join_type {
                JoinType::LeftSemi => conditions.push(exists),
                JoinType::LeftAnti => conditions.push(Term::list("not-exists", vec![exists])?),
                _ => columns.push(exists),
            }
            Ok(Relation { leaves, conditions, columns })
        }
        JoinType::Left => outer("left", join, &left, &right, false),
        JoinType::Right => outer("left", join, &left, &right, true),
        JoinType::Full => outer("full", join, &left, &right, false),
        JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => Err(Unlike),
    }
}

/// A right join is the left one of the sides the other way round.
fn outer(tag: &'static str, join: &Join, left: &Relation, right: &Relation, swapped: bool) -> Result<Relation, Unlike> {
    let words = if swapped { ["optional", "kept"] } else { ["kept", "optional"] };
    let sides = [left, right].map(|side| (side, side.close()));
    let mut columns = Vec::new();
    let mut named = Vec::new();
    for ((side, closed), word) in sides.iter().zip(words) {
        for column in &side.columns {
            let text = wrapped(word, vec![atom(&closed.written(column))]);
            named.push(Term::leaf(0, digest(&text), word == "kept" && tag == "left" && column.key().is_some()));
            columns.push(Term::text(text));
        }
    }
    let mut texts: Vec<String> = sides.iter().map(|(_side, closed)| atom(&closed.text)).collect();
    if swapped {
        texts.reverse();
    }
    let met = Term::set("and", on(join, &columns)?)?;
    texts.push(met.written(&|leaf, _key| leaf.clone()));
    Ok(Relation::leaf(&wrapped(tag, texts), named))
}

/// What a join asks of two rows, its columns being called so.
fn on(join: &Join, columns: &[Term]) -> Result<Vec<Term>, Unlike> {
    let (lefts, rights) = columns.split_at_checked(join.left.schema().fields().len()).ok_or(Unlike)?;
    let left = Names { schema: join.left.schema(), columns: lefts };
    let right = Names { schema: join.right.schema(), columns: rights };
    let tag = match join.null_equality {
        NullEquality::NullEqualsNothing => EQUAL,
        NullEquality::NullEqualsNull => "same",
    };
    let mut conditions = Vec::new();
    for (one, other) in &join.on {
        conditions.push(Term::pair(tag, left.term(one)?, right.term(other)?)?);
    }
    if let Some(filter) = &join.filter {
        let schema = join.left.schema().join(join.right.schema()).map_err(|_detail| Unlike)?;
        let names = Names { schema: &schema, columns };
        conditions.extend(names.term(filter)?.parts_of("and"));
    }
    Ok(conditions)
}

fn of_aggregate(aggregate: &Aggregate) -> Result<Relation, Unlike> {
    let input = Relation::of(&aggregate.input)?;
    let closed = input.close();
    let names = Names { schema: aggregate.input.schema(), columns: &input.columns };
    let mut groups = Vec::new();
    let mut columns = Vec::new();
    for group in &aggregate.group_expr {
        let term = names.term(group)?;
        let text = closed.written(&term);
        columns.push(Term::leaf(0, digest(&wrapped("group", vec![atom(&text)])), term.key().is_some()));
        groups.push(atom(&text));
    }
    for value in &aggregate.aggr_expr {
        let text = closed.written(&names.term(value)?);
        columns.push(Term::leaf(0, digest(&wrapped("value", vec![atom(&text)])), false));
    }
    groups.sort();
    groups.dedup();
    Ok(Relation::leaf(&wrapped("aggregate", vec![atom(&closed.text), wrapped("groups", groups)]), columns))
}

fn of_window(window: &Window) -> Result<Relation, Unlike> {
    let input = Relation::of(&window.input)?;
    let closed = input.close();
    let names = Names { schema: window.input.schema(), columns: &input.columns };
    let mut columns = Vec::new();
    for column in &input.columns {
        let text = wrapped("input", vec![atom(&closed.written(column))]);
        columns.push(Term::leaf(0, digest(&text), column.key().is_some()));
    }
    for value in &window.window_expr {
        let text = wrapped("window", vec![atom(&closed.written(&names.term(value)?))]);
        columns.push(Term::leaf(0, digest(&text), false));
    }
    Ok(Relation::leaf(&wrapped("windowed", vec![atom(&closed.text)]), columns))
}
