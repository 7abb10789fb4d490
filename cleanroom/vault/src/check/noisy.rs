//! What changes where a policy asks for noise: no decision may look at an exact value, and every number needs a bound.

use std::collections::BTreeSet;

use cleanroom_policy::SpaceName;
use datafusion::common::Column;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::label::{Label, Measure, Range};
use super::rows::Rows;
use super::{Checker, functions, internal};
use crate::noise;
use crate::refusal::{Code, Refusal, Rule};
use crate::source::PolicyTable;

/// Whether a policy of the statement asks for noise: then all of it runs under noise.
///
/// # Errors
/// A refusal, where a protected table has no noise beside one that has, or where there are several identity spaces.
pub(super) fn is_noisy(plan: &LogicalPlan) -> Result<bool, Refusal> {
    let (mut with, mut without) = (None, None);
    let mut spaces: BTreeSet<SpaceName> = BTreeSet::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(facts) = PolicyTable::facts_of(scan)
            && let Some((_unit, space)) = facts.unit()
        {
            spaces.insert(space.clone());
            let place = if facts.policy.noise.is_some() { &mut with } else { &mut without };
            place.get_or_insert(facts);
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map_err(internal)?;
    let Some(with) = with else { return Ok(false) };
    if let Some(without) = without {
        return Err(Refusal::new(
            Code::NoiseMissing,
            format!(
                "`{}` asks for noise, so every number of the statement gets some, but the policy of `{}` says nothing of it",
                with.name, without.name
            ),
        )
        .rule(Rule::of(&without.policy, "noise"))
        .about(without.name.table())
        .suggest(format!("ask without `{}`, or ask its owner for a `noise` section", without.name)));
    }
    if spaces.len() > 1 {
        let spaces: Vec<String> = spaces.iter().map(|space| format!("`{space}`")).collect();
        return Err(Refusal::new(
            Code::NoiseMissing,
            format!("under noise a statement is about one identity space; this one reads {}", spaces.join(" and ")),
        )
        .rule(Rule::of(&with.policy, "noise"))
        .suggest("ask of each space in a statement of its own"));
    }
    Ok(true)
}

impl Checker<'_> {
    /// The most rows of one unit that count in a group: the least that an owner allows. One where a unit has but one.
    pub(super) fn most_rows(&self, rows: &Rows) -> Result<u32, Refusal> {
        if rows.single {
            return Ok(1);
        }
        let mut most = u32::MAX;
        for place in rows.places() {
            if let Some(noise) = &self.facts(place)?.policy.noise {
                most = most.min(noise.rows_per_unit);
            }
        }
        Ok(most)
    }

    /// The values that a group column can have, where its owner declared them; they are public.
    pub(super) fn domain(&self, label: &Label) -> Result<Option<Vec<String>>, Refusal> {
        match &label.origin {
            Some(origin) if !label.optional => {
                let facts = self.facts(origin.instance)?;
                Ok(facts.column(&origin.column).and_then(|rule| rule.values.clone()))
            }
            _ => Ok(None),
        }
    }
}

/// What one unit adds to a group at most, by the bounds of what is added up.
pub(super) fn unit_range(measure: Option<&Measure>, argument: &Expr, most_rows: u32) -> Option<Range> {
    match measure {
        Some(Measure { unit_range: Some(range), .. }) => Some(*range),
        Some(Measure { range, .. }) => Some(noise::total(*range, most_rows)),
        None => number(argument).map(|value| noise::total((value, value), most_rows)),
    }
    .filter(|(low, high)| low.is_finite() && high.is_finite())
}

/// What one row holds at most.
pub(super) fn row_range(measure: Option<&Measure>, argument: &Expr) -> Option<Range> {
    let range = match measure {
        Some(measure) => Some(measure.range),
        None => number(argument).map(|value| (value, value)),
    };
    range.filter(|(low, high)| low.is_finite() && high.is_finite())
}

fn number(argument: &Expr) -> Option<f64> {
    match functions::constant(argument)?.cast_to(&arrow::datatypes::DataType::Float64) {
        Ok(datafusion::common::ScalarValue::Float64(value)) => value,
        _ => None,
    }
}

/// The column of a measure that has no bounds, to be named.
pub(super) fn unbounded(name: &str, argument: &Expr) -> Refusal {
    let column: Option<&Column> = argument.column_refs().into_iter().next();
    let what = column.map_or_else(|| "a value".to_owned(), |column| format!("`{}`", column.name));
    Refusal::new(Code::NoiseMissing, format!("{what} has no bounds, so no amount of noise is enough for its `{name}`"))
        .about(name)
        .suggest("ask its owner for `bounds: [low, high]`")
}
