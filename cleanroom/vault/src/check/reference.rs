//! Joins with reference tables, on granted columns.

use std::collections::BTreeSet;

use cleanroom_policy::Use;
use datafusion::common::{JoinType, NullEquality};
use datafusion::logical_expr::{Expr, Join, LogicalPlan};

use super::expression::{self, Scope};
use super::join::{Side, check_partner, each_once, joined_schema, not_available, null_safe, output_labels, rebuilt};
use super::label::{Instance, Label};
use super::rows::Rows;
use super::told::Told;
use super::{Checker, Reference, Relation, flag};
use crate::refusal::{Code, Refusal};

impl Checker<'_> {
    /// Reference tables joined with each other stay reference data where that cannot raise; nothing is unique in them then.
    pub(super) fn references(
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
                let (left, right) = each_once(join, left.plan, right.plan)?;
                let plan = rebuilt(join, left, right, on, filter, join.null_aware)?;
                // Of an outer join a constant may be NULL.
                let labels = labels
                    .into_iter()
                    .map(|label| Label { origin: None, distinct: false, told: Told::any(), ..label })
                    .collect();
                Ok(Relation::Reference(Reference { plan, labels, instances }))
            }
            _ => {
                let (left, right) = each_once(join, left.plan, right.plan)?;
                self.open(plan, vec![left, right]).map(Relation::Open)
            }
        }
    }

    pub(super) fn reference_join(
        &mut self,
        join: &Join,
        rows: Rows,
        reference: Reference,
        rows_are: Side,
    ) -> Result<Relation, Refusal> {
        self.no_audience(&rows, "a reference table joined with what your own table was joined with")?;
        // Whether a reference row matches tells nothing of who is in the room, so rows may be kept that have none.
        let (fits, semi) = match (join.join_type, rows_are) {
            (JoinType::Inner, _) | (JoinType::Left, Side::Left) | (JoinType::Right, Side::Right) => (true, false),
            (JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark, Side::Left)
            | (JoinType::RightSemi | JoinType::RightAnti, Side::Right) => (true, true),
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
            return Err(
                not_available(join.join_type).suggest("keep the protected rows: LEFT JOIN the reference table to them")
            );
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
        let (asked, read) = self.with_scope(&schema, &both, |scope| {
            let mut read = flag::read(join.filter.as_ref(), scope);
            let mut asked: BTreeSet<Instance> =
                join.filter.iter().flat_map(|filter| flag::places_of(filter, scope)).collect();
            for (one, other) in &join.on {
                let places = flag::places_of(
                    match rows_are {
                        Side::Left => one,
                        Side::Right => other,
                    },
                    scope,
                );
                asked.extend(&places);
                read.extend((places.len() > 1).then_some(places));
            }
            Ok((asked, read))
        })?;
        let asked: BTreeSet<Instance> = asked.intersection(&rows.places()).copied().collect();
        let (on, filter) = self.with_scope(&schema, &both, |scope| {
            let mut on = Vec::with_capacity(join.on.len());
            for (one, other) in &join.on {
                let (one_total, one_label) = reference_side(one, scope)?;
                let (other_total, other_label) = reference_side(other, scope)?;
                on.push((one_total, other_total));
                if reference.instances.is_empty() {
                    // Constants of the question choose among the rows as a condition does.
                    let of_rows = match rows_are {
                        Side::Left => one,
                        Side::Right => other,
                    };
                    expression::condition(of_rows, scope)?;
                }
                let label = match rows_are {
                    Side::Left => other_label,
                    Side::Right => one_label,
                };
                unique |= label.distinct;
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
        let optional = |labels: &[Label], optional: bool| -> Vec<Label> {
            let labels = labels.iter().cloned();
            if optional {
                labels.map(|label| label.made_optional(&BTreeSet::new())).collect()
            } else {
                labels.collect()
            }
        };
        let left_labels = optional(left_labels, join.join_type == JoinType::Right);
        let right_labels = optional(right_labels, join.join_type == JoinType::Left);
        let mut labels =
            output_labels(join.join_type, &left_labels, &right_labels).ok_or_else(|| not_available(join.join_type))?;
        // What a reference table says of a row follows from what the row is joined by, and so does whether it has it at all.
        let rows_first = if rows_are == Side::Left { 0 } else { labels.len().saturating_sub(rows.labels.len()) };
        let of_rows = rows_first..rows_first + rows.labels.len();
        for (_index, label) in labels.iter_mut().enumerate().filter(|(index, _label)| !of_rows.contains(index)) {
            label.from.extend(&asked);
        }
        let keeps_all = matches!(
            join.join_type,
            JoinType::Left | JoinType::Right | JoinType::Full | JoinType::LeftMark | JoinType::RightMark
        );
        let mut rows = rows;
        if !keeps_all {
            let open = rows.open_among(&asked);
            rows.steering.extend(open);
            rows.together.extend(read);
        }
        let fanned_out = if unique || semi {
            rows.fanned_out.clone()
        } else {
            rows.fanned_out.clone().or(Some(reference_table.unwrap_or_else(|| "the reference table".to_owned())))
        };
        let single = rows.single && (unique || semi);
        let (left, right) = match rows_are {
            Side::Left => (rows.plan.clone(), reference.plan),
            Side::Right => (reference.plan, rows.plan.clone()),
        };
        let (left, right) = each_once(join, left, right)?;
        let plan = rebuilt(join, left, right, on, filter, join.null_aware)?;
        Ok(Relation::Rows(Rows { plan, labels, fanned_out, per_unit: false, single, ..rows }))
    }

    fn check_reference_partners(&self, rows: &Rows, reference: &Reference) -> Result<(), Refusal> {
        for one in &reference.instances {
            for other in &rows.places() {
                let (one, other) = (self.facts(*one)?, self.facts(*other)?);
                check_partner(one, &other.name)?;
                check_partner(other, &one.name)?;
            }
        }
        Ok(())
    }
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
