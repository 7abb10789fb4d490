//! The least audience: an analyst that joins a table of its own with another owner's chooses whom it asks about. An owner may
//! ask that some of the analyst's units match and some do not, or a list of known members and one more tells of that one.
//!
//! What is asked of a group: at least so many of the analyst's units stand in it, and at least so many more would stand in
//! it by the analyst's own rows alone, but do not. The analyst's own rows are those below the first join with another
//! owner's, under every condition that is about their columns alone, and in the group that the columns of theirs give.
//! Conditions and groups that mix both sides, and numbers under conditions on own columns, are refused: whom of its units
//! the analyst asks about must be told apart from which of them match.

use std::sync::Arc;

use cleanroom_policy::PartnerName;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Column, TableReference};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan, LogicalPlanBuilder, SubqueryAlias};

use super::expression::Scope;
use super::rows::{Audience, Rows};
use super::{Checker, filtered, internal};
use crate::refusal::{Code, Refusal};
use crate::source::PolicyTable;

/// How many of the analyst's units have to match in a group, and how many must not.
#[derive(Clone)]
pub(crate) struct AudienceRule {
    /// The analyst's own rows.
    pub(crate) plan: LogicalPlan,
    pub(crate) unit: Column,
    /// Positions of the groups that are about own columns alone, and what they are there.
    pub(crate) groups: Vec<(usize, Expr)>,
    pub(crate) least: u64,
}

/// The greatest audience that another owner in a statement asks for.
pub(super) fn least(plan: &LogicalPlan, analyst: &PartnerName) -> Result<Option<u64>, Refusal> {
    let mut least = None;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(facts) = PolicyTable::facts_of(scan)
            && facts.owner() != analyst
        {
            least = least.max(facts.policy.release.audience);
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map_err(internal)?;
    Ok(least)
}

/// Which side's columns an expression is of.
enum Of {
    Own,
    Others,
    Both,
}

impl Audience {
    fn has(&self, column: &Column) -> bool {
        self.plan.schema().has_column(column)
    }

    fn of(&self, expr: &Expr) -> Of {
        let columns = expr.column_refs();
        let own = columns.iter().filter(|column| self.has(column)).count();
        match own {
            0 if !columns.is_empty() => Of::Others,
            own if own == columns.len() => Of::Own,
            _ => Of::Both,
        }
    }

    pub(super) fn alias(&self, alias: &TableReference) -> Result<Self, Refusal> {
        let plan = SubqueryAlias::try_new(Arc::new(self.plan.clone()), alias.clone())
            .map(LogicalPlan::SubqueryAlias)
            .map_err(internal)?;
        Ok(Self { plan, unit: Column::new(Some(alias.clone()), &self.unit.name) })
    }

    /// What of a projection is about own columns; what mixes them with others has no place among them.
    pub(super) fn project(&self, exprs: &[Expr]) -> Result<Self, Refusal> {
        let mut own = Vec::new();
        for expr in exprs {
            match self.of(expr) {
                Of::Own => own.push(expr.clone()),
                Of::Others => {}
                Of::Both => return Err(mixed("an expression")),
            }
        }
        own.push(Expr::Column(self.unit.clone()).alias(&self.unit.name));
        let plan = LogicalPlanBuilder::from(self.plan.clone())
            .project(own)
            .and_then(LogicalPlanBuilder::build)
            .map_err(internal)?;
        Ok(Self { plan, unit: Column::new_unqualified(&self.unit.name) })
    }

    /// The own rows that meet what of a condition is about them alone.
    pub(super) fn filter(&self, predicate: &Expr) -> Result<Self, Refusal> {
        let mut plan = self.plan.clone();
        for part in split_conjunction(predicate) {
            match self.of(part) {
                Of::Own => plan = filtered(plan, part.clone())?,
                Of::Others => {}
                Of::Both => return Err(mixed("a condition")),
            }
        }
        Ok(Self { plan, unit: self.unit.clone() })
    }
}

fn mixed(what: &str) -> Refusal {
    Refusal::new(
        Code::NotAvailable,
        format!(
            "beside a least audience {what} is about columns of your own table or about another owner's, not about both"
        ),
    )
    .suggest("write what is about your own columns as a condition of its own")
}

fn not_beside(what: &str) -> Refusal {
    Refusal::new(Code::NotAvailable, format!("{what} is not available beside a least audience"))
}

impl Checker<'_> {
    fn owns(&self, rows: &Rows) -> Result<(bool, bool), Refusal> {
        let (mut some, mut all) = (false, true);
        for place in rows.places() {
            let own = self.facts(place)?.owner() == self.analyst;
            some |= own;
            all &= own;
        }
        Ok((some, all))
    }

    /// The analyst's own rows of a join.
    pub(super) fn audience_of(
        &self,
        kind: JoinType,
        (left, right): (&Rows, &Rows),
        filter: Option<&Expr>,
    ) -> Result<Option<Box<Audience>>, Refusal> {
        let (of_left, of_right) = (self.owns(left)?, self.owns(right)?);
        let own = match (of_left, of_right) {
            _ if self.audience.is_none() => return Ok(None),
            ((false, _), (false, _)) | ((_, true), (_, true)) => return Ok(None),
            ((true, _), (false, _)) => left,
            ((false, _), (true, _)) => right,
            ((true, _), (true, _)) => {
                return Err(not_beside("a join of your own table with what was joined with another owner's")
                    .suggest("join your own tables with each other first, in a subquery"));
            }
        };
        let kept = match kind {
            JoinType::Inner => true,
            JoinType::LeftSemi => std::ptr::eq(own, left),
            JoinType::RightSemi => std::ptr::eq(own, right),
            JoinType::Left
            | JoinType::Right
            | JoinType::Full
            | JoinType::LeftAnti
            | JoinType::RightAnti
            | JoinType::LeftMark
            | JoinType::RightMark => return Err(not_beside("any but an inner or semi join with your own table")),
        };
        let audience = match &own.audience {
            Some(audience) => audience.as_ref().clone(),
            None if !of_left.1 && !of_right.1 => {
                return Err(not_beside("a UNION of your own rows with another owner's"));
            }
            None => Audience { plan: own.plan.clone(), unit: own.unit.clone() },
        };
        let audience = match filter {
            Some(filter) => audience.filter(filter)?,
            None => audience,
        };
        // Columns of a side that only has to match are not there above.
        let audience = if kept { audience } else { audience.project(&[])? };
        Ok(Some(Box::new(audience)))
    }

    /// Refuses what the own rows cannot be followed through.
    pub(super) fn no_audience(&self, rows: &Rows, what: &str) -> Result<(), Refusal> {
        if rows.audience.is_some() { Err(not_beside(what)) } else { Ok(()) }
    }

    /// The rule of a release point over some rows.
    pub(super) fn audience_rule(
        &self,
        rows: &Rows,
        groups: &[Expr],
        sets: bool,
        (aggregates, scope): (&[Expr], &Scope<'_>),
    ) -> Result<Option<AudienceRule>, Refusal> {
        let (Some(audience), Some(least)) = (&rows.audience, self.audience) else { return Ok(None) };
        if sets {
            return Err(not_beside("ROLLUP, CUBE or GROUPING SETS"));
        }
        for aggregate in aggregates {
            for column in aggregate.column_refs() {
                if audience.has(column) && !scope.label(column)?.is_key() {
                    return Err(mixed("an aggregate"));
                }
            }
        }
        let mut own = Vec::new();
        for (position, group) in groups.iter().enumerate() {
            match audience.of(group) {
                Of::Own => own.push((position, group.clone())),
                Of::Others => {}
                Of::Both => return Err(mixed("a group")),
            }
        }
        Ok(Some(AudienceRule { plan: audience.plan.clone(), unit: audience.unit.clone(), groups: own, least }))
    }
}
