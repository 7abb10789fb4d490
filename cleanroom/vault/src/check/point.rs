//! Release points: where protected rows become numbers that leave, and what they are made of.

use std::collections::BTreeSet;

use arrow::datatypes::DataType;
use cleanroom_policy::{Dominance, PartnerName, Step, TableName};
use datafusion::common::{Column, DFSchemaRef};
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::audience::AudienceRule;
use super::difference::GuardRule;
use super::label::{Instance, Range};
use super::quantile::Rank;
use super::rows::{MatchCheck, Rows};
use super::sway::Sway;

/// An aggregate over protected rows whose result is released.
#[derive(Clone)]
pub(crate) struct ReleasePoint {
    pub(crate) rows: Rows,
    /// Total forms of the GROUP BY expressions, each once.
    pub(crate) groups: Vec<Expr>,
    /// For ROLLUP, CUBE and GROUPING SETS: the groups of each set, by their positions. The planner's column of grouping ids
    /// follows the groups in `schema` then.
    pub(crate) sets: Option<Vec<Vec<usize>>>,
    pub(crate) cells: Vec<Cell>,
    /// The aggregate's own schema: groups, then cells.
    pub(crate) schema: DFSchemaRef,
    /// Distinct units that a group, and every cell, needs: the greatest floor of the owners whose units stand in every row,
    /// or in none.
    pub(crate) floor: u64,
    /// The floors of owners whose units stand in some rows only.
    pub(crate) floors: Vec<Floor>,
    /// The owners' dominance rules, all of which hold.
    pub(crate) dominance: Vec<Dominance>,
    /// Every owner has small groups merged; one who has them dropped would have them dropped.
    pub(crate) merged: bool,
    /// Released numbers are rounded to multiples of each.
    pub(crate) round_to: Vec<Step>,
    /// What must hold before anything is released.
    pub(crate) checks: Vec<MatchCheck>,
    /// Whose units may not be told apart by what was released before.
    pub(crate) guard: Option<GuardRule>,
    /// Beside whose rows there are others that a guard leaves out of what it compares.
    pub(crate) guarded: Option<BTreeSet<PartnerName>>,
    /// How many of the analyst's own units have to match, and how many must not.
    pub(crate) audience: Option<AudienceRule>,
    /// Versions of tables of which only so many cells are ever released.
    pub(crate) caps: Vec<(TableName, u64, u64)>,
    /// Of each group, the values that its owner declared.
    pub(crate) domains: Vec<Option<Vec<String>>>,
    /// Rows of one unit that count in a group under noise.
    pub(crate) most_rows: u32,
    /// The planner's node, to know the same release point when it comes again.
    pub(super) original: LogicalPlan,
}

impl ReleasePoint {
    /// The share that no one unit may exceed, where the dominance rules are about one unit alone; `None` without a rule.
    pub(crate) fn max_share(&self) -> Option<f64> {
        self.dominance.iter().map(|rule| rule.max_share).reduce(f64::min)
    }

    /// Totals are not enough to apply the rules to it: it matters who contributes how much.
    pub(crate) fn needs_evidence(&self) -> bool {
        self.sets.is_some() || self.merged || self.dominance.iter().any(|rule| rule.top > 1)
    }

    /// The planner's plan of the rows that are aggregated.
    pub(crate) fn input(&self) -> Option<&LogicalPlan> {
        match &self.original {
            LogicalPlan::Aggregate(aggregate) => Some(&aggregate.input),
            _ => None,
        }
    }
}

impl ReleasePoint {
    /// Distinct units that a cell needs.
    pub(crate) fn floor_of(&self, cell: &Cell) -> u64 {
        let floors = cell.floors.iter().filter_map(|floor| self.floors.get(*floor));
        floors.map(|floor| floor.least).fold(self.floor, u64::max)
    }
}

/// A floor of tables that stand in some of the rows.
#[derive(Clone)]
pub(crate) struct Floor {
    /// Not NULL in those rows.
    pub(crate) marker: Column,
    pub(crate) least: u64,
    pub(crate) kind: FloorKind,
    /// The tables' places.
    pub(super) places: BTreeSet<Instance>,
}

/// When a group may do without units of a floor's tables.
#[derive(Clone)]
pub(crate) enum FloorKind {
    /// Never, though other rows of the group have no match.
    Matched,
    /// Where no row of the group has a match: the groups tell matched rows and others apart. What must hold of the matched
    /// ones then.
    Flagged(Box<MatchCheck>),
    /// Never: the tables of one branch of a UNION ALL.
    Branch,
    /// Where the group itself says that none of its rows has a match, of groups of which others do not tell: no unit then
    /// stands for the floor at `told`, which is of kind `Elsewhere`. What must hold of the matched ones.
    Partly { check: Box<MatchCheck>, told: usize },
    /// Of units that stand for the floors at both places, whose owners' rows stand beside each other in the group; or are
    /// read together by some of its cells alone.
    Meeting { one: usize, other: usize, in_rows: bool },
    /// Of units to which an owner's rows make a difference.
    Swayed(Sway),
    /// No floor, and met by any group: it holds the units of groups that do not say of themselves that they are unmatched.
    Elsewhere(Box<Expr>),
    /// Where the group is of another branch: the groups tell the branches apart.
    Tagged,
}

impl Floor {
    /// The floors that its units stand for together; `None` where they stand by rows of their own.
    pub(crate) fn meeting(&self) -> Option<(usize, usize)> {
        match self.kind {
            FloorKind::Meeting { one, other, in_rows: _ } => Some((one, other)),
            FloorKind::Matched
            | FloorKind::Flagged(_)
            | FloorKind::Partly { .. }
            | FloorKind::Branch
            | FloorKind::Tagged
            | FloorKind::Swayed(_)
            | FloorKind::Elsewhere(_) => None,
        }
    }

    /// The units to which an owner's rows make a difference, where those stand for it.
    pub(crate) fn sway(&self) -> Option<&Sway> {
        match &self.kind {
            FloorKind::Swayed(sway) => Some(sway),
            FloorKind::Matched
            | FloorKind::Flagged(_)
            | FloorKind::Partly { .. }
            | FloorKind::Branch
            | FloorKind::Tagged
            | FloorKind::Meeting { .. }
            | FloorKind::Elsewhere(_) => None,
        }
    }

    /// Nobody counts who stands for it.
    pub(crate) fn is_idle(&self) -> bool {
        self.sway().is_some_and(|sway| !sway.wanted)
    }

    /// Not NULL in rows of those who stand for it; `None` where a unit does so by several rows, or otherwise.
    pub(crate) fn present(&self) -> Option<Expr> {
        Some(match &self.kind {
            FloorKind::Elsewhere(units) => units.as_ref().clone(),
            FloorKind::Meeting { .. } | FloorKind::Swayed(_) => return None,
            FloorKind::Matched
            | FloorKind::Flagged(_)
            | FloorKind::Partly { .. }
            | FloorKind::Branch
            | FloorKind::Tagged => Expr::Column(self.marker.clone()),
        })
    }
}

impl ReleasePoint {
    /// How many floors it has. Those that are none, of kind `Elsewhere`, come after all others.
    pub(crate) fn real_floors(&self) -> usize {
        self.floors.iter().filter(|floor| !matches!(floor.kind, FloorKind::Elsewhere(_))).count()
    }

    /// Which of its floors are about units that meet in every group.
    pub(crate) fn meetings(&self) -> impl Iterator<Item = usize> {
        let in_rows = |floor: &Floor| matches!(floor.kind, FloorKind::Meeting { in_rows: true, .. });
        self.floors.iter().enumerate().filter(move |(_index, floor)| in_rows(floor)).map(|(index, _floor)| index)
    }

    /// Has units meet in every group, as they do in those that it is judged beside.
    pub(crate) fn meet(&mut self, floors: &BTreeSet<usize>) {
        for (index, floor) in self.floors.iter_mut().enumerate() {
            if let FloorKind::Meeting { in_rows, .. } = &mut floor.kind {
                *in_rows |= floors.contains(&index);
            }
        }
    }

    /// Judged beside others, groups tell nothing that groups of the others do not.
    pub(crate) fn without_partly(&mut self) {
        self.floors.retain(|floor| !matches!(floor.kind, FloorKind::Elsewhere(_)));
        for floor in &mut self.floors {
            if matches!(floor.kind, FloorKind::Partly { .. }) {
                floor.kind = FloorKind::Matched;
            }
        }
    }
}

/// One aggregate of a release point.
#[derive(Clone)]
pub(crate) struct Cell {
    pub(crate) kind: CellKind,
    /// Rows with NULL here add nothing and do not count as contributing.
    pub(crate) argument: Expr,
    pub(crate) filter: Option<Expr>,
    /// The type the query gives it.
    pub(crate) data_type: DataType,
    /// Floors of the release point (by position) whose tables it is computed from.
    pub(crate) floors: Vec<usize>,
    /// Floors of those that meet in it, where they do not in the whole group.
    pub(crate) meets: Vec<usize>,
    /// Floors of units to whose part in it an owner's rows make a difference.
    pub(crate) swayed: Vec<usize>,
    /// Those of whose tables its own condition asks for rows without a match.
    pub(crate) unmatched: Vec<usize>,
    /// It is 0 for units without a match, so those are told by it beside a number of all.
    pub(crate) matches: bool,
    /// Of a sum or average under noise, what one unit adds to a group.
    pub(crate) unit_range: Range,
    /// Of an average under noise, what one row holds.
    pub(crate) row_range: Range,
    /// Of an average, that it is not the average that is shown, but how far values lie from it. Under noise only.
    pub(crate) spread: Option<Spread>,
}

/// How far values lie from their average.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spread {
    /// As of a sample of the values: divided by one less than their number.
    pub(crate) sample: bool,
    /// The standard deviation, not its square.
    pub(crate) root: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CellKind {
    /// COUNT of rows with an argument.
    Rows,
    /// COUNT(DISTINCT unit).
    Units,
    /// SUM.
    Sum,
    /// AVG.
    Average,
    /// MEDIAN and other quantiles. Under noise only.
    Quantile(Rank),
}
