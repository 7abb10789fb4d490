//! Protected rows on their way up the plan: whose they are, and the hidden columns that say so.

use std::collections::BTreeSet;

use datafusion::common::Column;
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::label::{Instance, Label};
use super::told::Settled;

/// Rows of units.
///
/// Every row belongs to one unit, whatever was joined: protected rows meet by an equality of their keys alone. So a column
/// labelled as a key holds the row's unit or, on the side of an outer join that found no match, NULL.
#[derive(Clone)]
pub(crate) struct Rows {
    /// The rewritten plan: the columns of the planner's plan under their own names, and the hidden ones.
    pub(crate) plan: LogicalPlan,
    /// One for each column of the planner's plan.
    pub(super) labels: Vec<Label>,
    /// The unit, under a name that no query can write. Never NULL.
    pub(crate) unit: Column,
    /// Whose rows stand in a row, and when.
    pub(crate) slots: Vec<Slot>,
    /// The secret numbers of the rows that a row was joined of.
    pub(crate) row_ids: Vec<RowId>,
    /// What must hold before groups of unmatched rows are released.
    pub(crate) checks: Vec<MatchCheck>,
    /// Places that one condition upon them reads together.
    pub(super) together: Vec<BTreeSet<Instance>>,
    /// Places that stand in some rows only, by which it is decided which rows there are.
    pub(super) steering: BTreeSet<Instance>,
    /// A reference table was joined on columns that are not unique in it.
    pub(super) fanned_out: Option<String>,
    /// One row stands for one unit (and further columns), and holds its key.
    pub(super) per_unit: bool,
    /// A unit has at most one row: because the query says so or, of the analyst's own tables, because they are so.
    pub(super) single: bool,
    /// A unit may have rows in which a side matched and rows in which it did not, since more was asked of a match than its key.
    /// Without that a unit's rows all match or none does.
    pub(super) split: bool,
    /// Places whose rows multiply with those of whatever is joined.
    pub(super) multiplying: Vec<Instance>,
    /// Places of several owners, by what columns of all of which say together it is decided how many rows a unit has.
    pub(super) parted_by: BTreeSet<Instance>,
    /// Places by whose rows, and not only by whether they match, it is decided how many rows a unit has.
    pub(super) numbered_by: BTreeSet<Instance>,
    /// The analyst's own rows may repeat another owner's: each of those counts once in a group then, or an analyst who gives
    /// person k some 2^k rows reads everybody's presence out of one sum.
    pub(crate) repeated: bool,
    /// The analyst's own units beside another owner's, whether they match or not, where a policy asks how many do not.
    pub(super) audience: Option<Box<Audience>>,
}

/// Places whose tables stand in the same rows.
#[derive(Clone)]
pub(crate) struct Slot {
    pub(crate) places: BTreeSet<Instance>,
    pub(crate) presence: Presence,
    /// Other places that stood in every row of the branch of a UNION that it comes from.
    pub(crate) beside: BTreeSet<Instance>,
}

/// In which rows a slot's tables stand.
#[derive(Clone)]
pub(crate) enum Presence {
    /// In all.
    Always,
    /// In those where the column is not NULL: the side of an outer join, or of a match flag, that need not match.
    Matched(Column),
    /// In those where the column is not NULL: one branch of a UNION ALL.
    Branch {
        column: Column,
        /// Which UNION of the query, where the tables stand in every row of their branch: a group that is known to be of
        /// another branch can do without them.
        union: Option<usize>,
    },
    /// In none: the rows are those without a match.
    Never,
}

/// The secret numbers of one table's rows, or of a combination of several.
#[derive(Clone)]
pub(crate) struct RowId {
    pub(crate) column: Column,
    /// Of the analyst's own rows.
    pub(crate) own: bool,
}

/// Units that must match before it is told that others do not: else a list of non-members would pass for a group.
#[derive(Clone)]
pub(crate) struct MatchCheck {
    /// Rows of the units that match.
    pub(crate) plan: LogicalPlan,
    pub(crate) unit: Column,
    /// Where rows of several kinds stand together, as in a UNION, so many of each: those in which the column is not NULL.
    /// Others' people would pass for those of a list.
    pub(crate) among: Vec<Column>,
    /// How many are needed.
    pub(crate) least: u64,
}

/// The analyst's own rows that were joined with another owner's, before they were: under the conditions that are about them
/// alone, with their own columns alone.
#[derive(Clone)]
pub(crate) struct Audience {
    pub(crate) plan: LogicalPlan,
    pub(crate) unit: Column,
}

impl Presence {
    fn column(&self) -> Option<&Column> {
        match self {
            Self::Always | Self::Never => None,
            Self::Matched(column) | Self::Branch { column, union: _ } => Some(column),
        }
    }

    fn column_mut(&mut self) -> Option<&mut Column> {
        match self {
            Self::Always | Self::Never => None,
            Self::Matched(column) | Self::Branch { column, union: _ } => Some(column),
        }
    }
}

impl Rows {
    /// Every table in them, by its place.
    pub(crate) fn places(&self) -> BTreeSet<Instance> {
        self.slots.iter().flat_map(|slot| slot.places.iter().copied()).collect()
    }

    /// Whether a key is NULL in some of the rows: of places that need not have matched in them.
    pub(super) fn lacks(&self, key: &Label) -> bool {
        key.optional && !key.from.iter().any(|place| matches!(self.settled(*place), Some(Settled::Matched)))
    }

    /// What says of rows of several kinds which a row is of, where no table stands in all: the markers but for one. The
    /// branches of a UNION are such kinds whatever else stands beside them.
    pub(super) fn kinds(&self, but: Option<&Column>) -> Vec<Column> {
        let somebody = self.slots.iter().any(|slot| matches!(slot.presence, Presence::Always | Presence::Never));
        let kinds = self.slots.iter().filter_map(|slot| match &slot.presence {
            Presence::Matched(column) if !somebody => Some(column),
            Presence::Branch { column, union: _ } => Some(column),
            Presence::Matched(_) | Presence::Always | Presence::Never => None,
        });
        let mut kinds: Vec<Column> = kinds.filter(|column| Some(*column) != but).cloned().collect();
        kinds.dedup();
        kinds
    }

    /// Places whose units stand in every row.
    pub(super) fn always(&self) -> BTreeSet<Instance> {
        let always = self.slots.iter().filter(|slot| matches!(slot.presence, Presence::Always));
        always.flat_map(|slot| slot.places.iter().copied()).collect()
    }

    /// Places whose rows decide how many rows there are: all but those of a side that need not match and does not make more
    /// rows of one.
    pub(super) fn numbering(&self) -> BTreeSet<Instance> {
        let somebody = self.slots.iter().any(|slot| matches!(slot.presence, Presence::Always));
        let once = |slot: &&Slot| {
            somebody && matches!(slot.presence, Presence::Matched(_)) && slot.places.is_disjoint(&self.numbered_by)
        };
        let of: BTreeSet<Instance> = self.slots.iter().filter(once).flat_map(|slot| slot.places.clone()).collect();
        self.places().difference(&of).copied().collect()
    }

    /// Of some places those that stand in these rows, and not in every one: a condition that reads them says by whether they do
    /// which rows there are.
    pub(super) fn open_among(&self, places: &BTreeSet<Instance>) -> BTreeSet<Instance> {
        let always = self.always();
        self.places().into_iter().filter(|place| places.contains(place) && !always.contains(place)).collect()
    }

    /// What is known in all rows of whether a place matched; `None` where its rows come by a UNION or not at all.
    pub(super) fn settled(&self, place: Instance) -> Option<Settled> {
        match &self.slots.iter().find(|slot| slot.places.contains(&place))?.presence {
            Presence::Always => Some(Settled::Matched),
            Presence::Never => Some(Settled::Unmatched),
            Presence::Matched(_) => Some(Settled::Open),
            Presence::Branch { .. } => None,
        }
    }

    /// A place that, made the side of an outer join that need not match, stands where these rows do.
    pub(super) fn in_every_row(&self) -> Option<Instance> {
        let always = |slot: &&Slot| matches!(slot.presence, Presence::Always | Presence::Never);
        self.slots.iter().find(always).and_then(|slot| slot.places.first().copied())
    }

    /// The hidden columns, each once.
    pub(super) fn hidden(&self) -> Vec<&Column> {
        let markers = self.slots.iter().filter_map(|slot| slot.presence.column());
        let ids = self.row_ids.iter().map(|id| &id.column);
        let mut hidden: Vec<&Column> = Vec::new();
        for column in std::iter::once(&self.unit).chain(markers).chain(ids) {
            if !hidden.contains(&column) {
                hidden.push(column);
            }
        }
        hidden
    }

    /// The hidden columns under their bare names, as a projection carries them.
    pub(super) fn carried(&self) -> Vec<Expr> {
        self.hidden().into_iter().map(|column| Expr::Column(column.clone()).alias(&column.name)).collect()
    }

    /// The rows of another plan, in which the hidden columns are called otherwise.
    #[must_use]
    pub(super) fn renamed(mut self, plan: LogicalPlan, name: impl Fn(&Column) -> Column) -> Self {
        self.plan = plan;
        self.unit = name(&self.unit);
        for slot in &mut self.slots {
            if let Some(column) = slot.presence.column_mut() {
                *column = name(column);
            }
        }
        for id in &mut self.row_ids {
            id.column = name(&id.column);
        }
        self
    }

    /// The slots of the side of an outer join that need not match.
    pub(super) fn optional_slots(&self) -> Vec<Slot> {
        let optional = |slot: &Slot| Slot {
            places: slot.places.clone(),
            beside: slot.beside.clone(),
            presence: match &slot.presence {
                // Those without a match stand in where the rows do, and not where these found no match themselves.
                Presence::Always | Presence::Never => Presence::Matched(self.unit.clone()),
                other @ (Presence::Matched(_) | Presence::Branch { .. }) => other.clone(),
            },
        };
        self.slots.iter().map(optional).collect()
    }

    /// The marker of the slot that a place belongs to, where it need not match.
    pub(super) fn marker(&self, place: Instance) -> Option<&Column> {
        self.slots.iter().find(|slot| slot.places.contains(&place)).and_then(|slot| match &slot.presence {
            Presence::Matched(column) => Some(column),
            Presence::Always | Presence::Branch { .. } | Presence::Never => None,
        })
    }
}
