//! Whom the floor of an owner counts beside rows of others.
//!
//! Rows of the analyst's own, or of somebody's whose list it knows, can stand in a group whatever an owner's tables hold: in a UNION beside theirs, where one or
//! the other is asked for (`segment = 'z' OR EXISTS (...)`), or because they have no match. However many
//! of their units have rows of that owner, the number tells only of those for whom these rows make a difference: one person's
//! match shows beside any number of people who count anyway. So a unit stands for the owner's floor there where it would add
//! something else to the group if the owner had nothing of it, which is found by asking the same of empty tables.
//!
//! Where a table of the owner's stands in every row, there would be no rows at all, and the floors of those who stand say it.

use std::collections::BTreeSet;

use cleanroom_policy::PartnerName;

use super::Checker;
use super::difference::GuardRule;
use super::flag::Flags;
use super::label::Instance;
use super::point::{Cell, CellKind, Floor, FloorKind};
use super::rows::{Presence, Rows, Slot};
use crate::refusal::Refusal;

/// Units to which an owner's rows make a difference.
#[derive(Clone)]
pub(crate) struct Sway {
    pub(crate) owner: PartnerName,
    /// In every group there must be enough of them, and in every cell: the owner's rows say which rows are in it.
    pub(crate) in_groups: bool,
    /// Not only in which group rows stand, but whether they do is said by the owner's rows. Who moves from one group to another
    /// is no such unit then: in the sum of both it would make up for others.
    pub(crate) enters: bool,
    /// They are counted, for the groups' or for some cell's sake.
    pub(crate) wanted: bool,
    /// Floors of the owner's, all of its, whose groups are told apart from those of other branches of a UNION: groups of the
    /// others have nothing to do with the owner.
    pub(crate) tagged: Vec<usize>,
}

impl Checker<'_> {
    /// For each other owner whose tables stand in some of the rows only, beside others', a floor of units to which its rows
    /// make a difference. `floors` are the floors of the rows' slots.
    pub(super) fn sways(
        &self,
        rows: &Rows,
        floors: &[Floor],
        flags: &Flags,
        least: u64,
    ) -> Result<Vec<Floor>, Refusal> {
        let mut sways = Vec::new();
        for owner in self.open_owners(rows)? {
            let places = self.places_of_owner(rows, &owner)?;
            let of_owner = |slot: &BTreeSet<Instance>| !slot.is_disjoint(&places);
            let never =
                rows.slots.iter().any(|slot| matches!(slot.presence, Presence::Never) && of_owner(&slot.places));
            let united = |slot: &Slot| matches!(slot.presence, Presence::Branch { .. }) && of_owner(&slot.places);
            let enters = never || of_owner(&rows.steering) || rows.slots.iter().any(united);
            let in_groups = never || of_owner(&rows.steering) || flags.together.iter().any(of_owner);
            let its: Vec<usize> = floors
                .iter()
                .enumerate()
                .filter(|(_index, floor)| of_owner(&floor.places))
                .map(|(index, _)| index)
                .collect();
            let tells = |index: &usize| floors.get(*index).is_some_and(|floor| matches!(floor.kind, FloorKind::Tagged));
            let tagged = if its.iter().all(tells) { its } else { Vec::new() };
            sways.push(Floor {
                marker: rows.unit.clone(),
                least,
                kind: FloorKind::Swayed(Sway { owner, in_groups, enters, wanted: in_groups, tagged }),
                places: BTreeSet::new(),
            });
        }
        Ok(sways)
    }

    /// Other owners without a table in every row, where there can be rows without theirs.
    fn open_owners(&self, rows: &Rows) -> Result<BTreeSet<PartnerName>, Refusal> {
        let (mut owners, mut everywhere) = (BTreeSet::new(), BTreeSet::new());
        let always = rows.always();
        for place in rows.places() {
            let facts = self.facts(place)?;
            if always.contains(&place) {
                everywhere.insert(facts.owner().clone());
            }
            owners.insert(facts.owner().clone());
        }
        let several = owners.len() > 1;
        // What the analyst's own rows make of a number is not theirs to keep from it.
        owners.retain(|owner| several && owner != self.analyst && !everywhere.contains(owner));
        Ok(owners)
    }

    /// Whether places are tables of several owners.
    pub(super) fn of_several(&self, places: &BTreeSet<Instance>) -> Result<bool, Refusal> {
        let owners = places.iter().map(|place| Ok(self.facts(*place)?.owner()));
        Ok(owners.collect::<Result<BTreeSet<_>, Refusal>>()?.len() > 1)
    }

    fn places_of_owner(&self, rows: &Rows, owner: &PartnerName) -> Result<BTreeSet<Instance>, Refusal> {
        let mut places = BTreeSet::new();
        for place in rows.places() {
            if self.facts(place)?.owner() == owner {
                places.insert(place);
            }
        }
        Ok(places)
    }

    /// Which of the floors a cell has to meet by units to whose part in it an owner's rows make a difference: where it is made
    /// of that owner's columns, or of rows of which there are more where the owner has more; and where rows are united.
    pub(super) fn swayed(
        &self,
        rows: &Rows,
        floors: &[Floor],
        cell: &Cell,
        read: &BTreeSet<Instance>,
    ) -> Result<Vec<usize>, Refusal> {
        let united = rows.slots.iter().any(|slot| matches!(slot.presence, Presence::Branch { .. }));
        let somebody = rows.slots.iter().any(|slot| matches!(slot.presence, Presence::Always | Presence::Never));
        let mut read = read.clone();
        if read.is_empty() && !somebody {
            read = rows.places();
        }
        if cell.kind != CellKind::Units {
            // Rows of which people have several by what the analyst's columns and the owner's say together. That somebody has
            // several rows in a table is the owner's to know, and of whoever matches: see `docs/trust.md`.
            read.extend(&rows.parted_by);
            for together in &rows.together {
                if self.of_several(together)? {
                    read.extend(together);
                }
            }
        }
        let mut swayed = Vec::new();
        for (index, floor) in floors.iter().enumerate() {
            if let FloorKind::Swayed(sway) = &floor.kind
                && (united || !self.places_of_owner(rows, &sway.owner)?.is_disjoint(&read))
            {
                swayed.push(index);
            }
        }
        Ok(swayed)
    }

    /// Owners with a guard, where all of their rows stand in some rows only, beside others'. What their guard compares then are
    /// numbers without what the others' rows add to them by themselves: the analyst knows its own, and what is told of
    /// tables without a guard is compared with nothing.
    pub(super) fn guarded(&self, rows: &Rows, guard: &GuardRule) -> Result<Option<BTreeSet<PartnerName>>, Refusal> {
        let guarded: BTreeSet<PartnerName> =
            guard.owners.iter().filter(|owner| *owner != self.analyst).cloned().collect();
        let (always, mut beside) = (rows.always(), false);
        for place in rows.places() {
            let of_guarded = guarded.contains(self.facts(place)?.owner());
            if of_guarded && always.contains(&place) {
                return Ok(None);
            }
            beside |= !of_guarded;
        }
        Ok((beside && !guarded.is_empty()).then_some(guarded))
    }
}

/// Has floors counted that some cell has to meet.
pub(super) fn want(floors: &mut [Floor], cells: &[Cell]) {
    for (index, floor) in floors.iter_mut().enumerate() {
        if let FloorKind::Swayed(sway) = &mut floor.kind {
            sway.wanted |= cells.iter().any(|cell| cell.swayed.contains(&index));
        }
    }
}
