//! The guard against differencing and the cap on released cells, as the policies of a query's tables have them.

use std::collections::BTreeSet;

use cleanroom_policy::{PartnerName, SpaceName, TableName};
use datafusion::logical_expr::Expr;

use super::Checker;
use super::expression::Scope;
use super::label::{Label, Measure};
use super::rows::Rows;
use crate::refusal::{Code, Refusal, Rule};

/// Stands under every answer that has a guard, whatever came of it.
pub(super) const NOTE: &str =
    "a group that differs by few units from what was released before is answered with that, or not shown";

/// Whose units a release point's numbers may not tell apart.
#[derive(Clone)]
pub(crate) struct GuardRule {
    pub(crate) space: SpaceName,
    /// Owners of the tables that have a guard.
    pub(crate) owners: BTreeSet<PartnerName>,
    /// The greatest difference that one of them asks for, in units.
    pub(crate) difference: u64,
}

impl Checker<'_> {
    /// The strictest guard of the tables in some rows; `None` where none has one.
    pub(super) fn guard(&self, rows: &Rows) -> Result<Option<GuardRule>, Refusal> {
        let mut guard: Option<GuardRule> = None;
        for place in rows.places() {
            let facts = self.facts(place)?;
            let (Some(difference), Some((_unit, space))) = (facts.policy.release.difference, facts.unit()) else {
                continue;
            };
            let guard =
                guard.get_or_insert_with(|| GuardRule { space: space.clone(), owners: BTreeSet::new(), difference });
            guard.owners.insert(facts.owner().clone());
            guard.difference = guard.difference.max(difference);
        }
        Ok(guard)
    }

    /// Tables in some rows, the version of their data, and how many cells of it may be released.
    pub(super) fn caps(&self, rows: &Rows) -> Result<Vec<(TableName, u64, u64)>, Refusal> {
        let mut caps = Vec::new();
        for place in rows.places() {
            let facts = self.facts(place)?;
            if let (Some(cap), Some(data)) = (facts.policy.release.max_cells, &facts.data)
                && !caps.iter().any(|(table, _version, _cap)| *table == facts.name)
            {
                caps.push((facts.name.clone(), data.version, cap));
            }
        }
        Ok(caps)
    }

    /// The sum of a multiple of a measure is not the measure's, and yet tells as much: the guard would have to know both.
    pub(super) fn not_scaled(
        &self,
        measure: &Measure,
        rows: &Rows,
        argument: &Expr,
        scope: &Scope<'_>,
    ) -> Result<(), Refusal> {
        if measure.factors == (1.0, 1.0) {
            return Ok(());
        }
        for place in rows.places() {
            let facts = self.facts(place)?;
            if facts.policy.release.difference.is_some() {
                let refusal = Refusal::new(
                    Code::NotAMeasure,
                    format!("under the difference rule of `{}` measures are aggregated as they are", facts.name),
                )
                .rule(Rule::of(&facts.policy, "release.difference"))
                .suggest("aggregate the measure, and multiply the released number");
                return Err(scope.about(refusal, argument, &Label::constant(), "use"));
            }
        }
        Ok(())
    }
}
