//! What the checker knows of a column of protected rows.

use std::collections::BTreeSet;

use cleanroom_policy::{MeasureFunction, SpaceName, Use};

use super::told::Told;

/// A table's place in a query: the same table named twice has two.
pub(crate) type Instance = usize;

/// What one column of a relation is, and what may be done with it.
#[derive(Debug, Clone)]
pub(crate) struct Label {
    pub(crate) kind: Kind,
    /// Of dimension, filter and join, those that every column it was computed from has.
    pub(crate) uses: BTreeSet<Use>,
    pub(crate) measure: Option<Measure>,
    /// The policy column it is, unchanged; `None` for anything computed.
    pub(crate) origin: Option<Origin>,
    /// NULL where the side of an outer join that it comes from found no match.
    pub(crate) optional: bool,
    /// Places it was computed from.
    pub(crate) from: BTreeSet<Instance>,
    /// What it can be, by which places' rows matched.
    pub(crate) told: Told,
    /// It numbers the rows of each unit, so that one of them is the first.
    pub(crate) numbers: bool,
    /// No value of it stands twice in a list of constants.
    pub(crate) distinct: bool,
    /// The UNION whose branches it tells apart: each branch has a literal of its own there.
    pub(crate) branch_of: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The same for all rows.
    Constant,
    /// The unit's own identity.
    Key(SpaceName),
    /// Anything else.
    Value,
}

/// A column of a table of the query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) instance: Instance,
    pub(crate) column: String,
}

/// Least and greatest value.
pub(crate) type Range = (f64, f64);

/// A value that may be aggregated.
#[derive(Debug, Clone)]
pub(crate) struct Measure {
    /// The table it comes from; arithmetic stays within one.
    pub(crate) instance: Instance,
    pub(crate) functions: BTreeSet<MeasureFunction>,
    /// It was `CASE WHEN .. THEN m ELSE 0 END`: NULL stands for the zeros, so only a SUM of it is what was asked for.
    pub(crate) zero_else: bool,
    /// As `zero_else`, and the zeros stand in it: those whose value is 0 contribute nothing.
    pub(crate) zeros: bool,
    /// It counts different values: 0, or one and those beyond one, which are released apart.
    pub(crate) distinct: bool,
    /// It is 0 where an optional side found no match, and counts as a number of matches.
    pub(crate) matches: bool,
    /// It is more than one column's own values: a sum, a difference or a product of measures.
    pub(crate) combined: bool,
    /// Columns multiplied together in one term; more than two would be a power that singles the largest value out.
    pub(crate) degree: u8,
    /// Least and greatest factor that constants have multiplied a part of it by; kept moderate, so that no value is pushed
    /// to where sums are cut off.
    pub(crate) factors: (f64, f64),
    /// It belongs to the asking partner, whose rows were joined with another owner's: amounts could weigh people.
    pub(crate) own: bool,
    /// What one row can hold, by the policies' bounds.
    pub(crate) range: Range,
    /// What one unit can hold in a group, where the policy says so.
    pub(crate) unit_range: Option<Range>,
}

impl Label {
    pub(crate) fn constant() -> Self {
        Self {
            kind: Kind::Constant,
            uses: BTreeSet::from([Use::Dimension, Use::Filter, Use::Join]),
            measure: None,
            origin: None,
            optional: false,
            from: BTreeSet::new(),
            told: Told::any(),
            numbers: false,
            distinct: false,
            branch_of: None,
        }
    }

    pub(crate) fn value(uses: BTreeSet<Use>) -> Self {
        Self { kind: Kind::Value, uses, ..Self::constant() }
    }

    pub(crate) fn is_key(&self) -> bool {
        matches!(self.kind, Kind::Key(_))
    }

    pub(crate) fn allows(&self, what: Use) -> bool {
        self.uses.contains(&what)
    }

    /// The label on the side of an outer join that need not match: what was the same for all rows tells the match now.
    #[must_use]
    pub(crate) fn made_optional(self, places: &BTreeSet<Instance>) -> Self {
        let kind = match self.kind {
            Kind::Constant => Kind::Value,
            kind @ (Kind::Key(_) | Kind::Value) => kind,
        };
        let from = self.from.union(places).copied().collect();
        Self { kind, optional: true, from, told: Told::any(), numbers: false, branch_of: None, ..self }
    }

    /// The label of something computed from all of `parts`.
    pub(crate) fn computed<'a>(parts: impl IntoIterator<Item = &'a Label>) -> Self {
        let mut all = Self::constant();
        for part in parts {
            if part.kind != Kind::Constant {
                all.kind = Kind::Value;
            }
            all.uses = all.uses.intersection(&part.uses).copied().collect();
            all.from.extend(&part.from);
            all.optional |= part.optional;
        }
        all
    }
}
