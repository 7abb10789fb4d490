//! The guard against differencing: what was released before bounds what may be released now.
//!
//! **What an attacker does.** Two numbers that are each of many units differ in what the units add that stand in one and not
//! in the other: `SUM(amount)` of all states less the same without Alaska is the one Alaskan's amount. Parts may be taken
//! from a total in one query or in many, by one analyst or by several, before and after a row was added.
//!
//! **What is compared.** Behind a number stands what each unit adds to it: 1 to a count of units, its rows to a count of
//! rows, its values to a sum; an average is a sum and a count. Two numbers *differ* in the units that do not add the same to
//! both. Names, conditions, joins and versions of the data by which the two were asked for have no part in it, nor has the
//! aggregate: a table with one row a unit is counted as well by rows as by units. Where rows only change in what a number is
//! not made of, nothing can be computed from the difference, and there is none. A number and a multiple of it are also
//! compared as if they were the same; multiples by a fraction, and sums of several measures, are refused by the checker.
//! Compared is what is of units of one identity space and of a common owner with a guard, so that the state follows a table
//! through its versions and its names. It does not follow a table into another room or to another owner, and begins with
//! the first answer that is given under the rule.
//!
//! **What is answered.** A number that differs in fewer units than `difference` asks for, *none included*, from an earlier
//! one is answered with the earlier one; that somebody is there must not be told by an answer, nor that nobody is by another
//! one. The same holds of a union: where released numbers add up to the new one but for a few units, or to an earlier one
//! together with it, the answer is what follows from the released numbers, as anybody could compute it. Where that cannot be
//! shown (an earlier number of fewer units than are asked for now, a search that would take too long), the group is not. All
//! of these are functions of what was released before, but for which of them is taken; that depends on a border drawn from
//! `difference` to just below twice that by a keyed hash of the sets compared, so nobody who counts on one person more knows
//! on which side it falls.
//!
//! **What it cannot do.** Two partitions of the same people, of which no whole was released (by category, and by week), have
//! several wholes: a sum of numbers minus a sum of others is not looked for. Nor are numbers that are combined with other
//! factors than 1 and -1, and sums over units that a join weights differently in each answer; of values of both signs, only
//! unions in which no unit stands twice. Only noise stops these.
//!
//! **What lasts.** The exact sets are files of the room, written before the registry names them, and named before the answer
//! is seen. A claim holds only where nobody claimed since the query looked, else the query looks again: of two queries at
//! once one sees the other's. One claims at a time, so every round somebody gets on, and no lock outlives a crash.
//!
//! In the same step stand two rules that also look further than a release point's own numbers: the least audience, and the
//! cap on released cells, which counts every number that is shown, be it new or not.

mod apply;
mod audience;
mod decide;
mod field;
mod merge;
mod search;
mod sets;
mod span;
mod store;
#[cfg(test)]
mod tests;
mod vector;

use std::collections::HashMap;
use std::sync::Arc;

use cleanroom_keys::RoomKey;
use cleanroom_policy::RoomName;
use cleanroom_registry::{CellCap, CellClaim, QueryId};
use datafusion::common::{Result, exec_datafusion_err};

pub(crate) use apply::Held;

use crate::deep;
use crate::ingest;
use crate::release::ReleasedTable;
use crate::vault::Inner;

/// Sets that were read, for each room; and whose turn it is to claim.
#[derive(Default)]
pub(crate) struct Guards {
    rooms: std::sync::Mutex<HashMap<RoomName, Arc<tokio::sync::Mutex<store::Known>>>>,
}

impl Guards {
    fn room(&self, room: &RoomName) -> Arc<tokio::sync::Mutex<store::Known>> {
        let mut rooms = self.rooms.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Arc::clone(rooms.entry(room.clone()).or_default())
    }
}

/// The tables as the guards of their policies let them be shown. What is new in them is durable then, and counts as shown.
///
/// # Errors
/// The engine's, for the operator alone: where earlier sets cannot be read, or new ones cannot be made durable.
pub(crate) async fn guard(
    vault: &Inner,
    room: &RoomName,
    query_id: &QueryId,
    held: Vec<Held>,
) -> Result<Vec<ReleasedTable>> {
    let guarded = held.iter().any(|one| one.release.guard.is_some());
    if held.iter().all(|one| !one.is_ruled()) {
        return Ok(held.into_iter().map(|one| one.table).collect());
    }
    let options = &vault.options;
    let failed = |_error| exec_datafusion_err!("released cells cannot be recorded");
    let border = match guarded {
        true => {
            let key = RoomKey::load(&ingest::room_key_path(&options.data_dir, room));
            *key.map_err(|_error| exec_datafusion_err!("the room's key cannot be read"))?.difference_key()
        }
        false => [0; 32],
    };
    let border = Arc::new(decide::Border(border));
    let dir = ingest::cells_dir(&options.data_dir, room).map_err(apply::unreadable)?;
    let held = Arc::new(held);
    let known = vault.guards.room(room);
    // Queries of this process take turns, so that none is overtaken for ever; other processes are met by the claim.
    let mut known = known.lock_owned().await;
    loop {
        let names = options.registry.released_cells(room).await.map_err(failed)?;
        let mut caps: Vec<CellCap> = Vec::new();
        for (table, version, cap) in held.iter().flat_map(|one| &one.release.caps) {
            if !caps.iter().any(|cap| cap.table == *table && cap.version == *version) {
                let seen = options.registry.cells_of(room, table, *version).await.map_err(failed)?;
                caps.push(CellCap { table: table.clone(), version: *version, cap: *cap, seen, adds: 0 });
            }
        }
        let seen = names.len() as u64;
        let (held, border, dir) = (Arc::clone(&held), Arc::clone(&border), dir.clone());
        let (kept, decided) = deep::run(move || {
            let decided = (|| {
                let sets = known.sets(&dir, &names).map_err(apply::unreadable)?;
                known.span.sync(sets);
                let decided = apply::apply(&held, &mut known.span, caps, &border)?;
                let file = store::write(&dir, &decided.new).map_err(apply::unreadable)?;
                Ok::<_, datafusion::common::DataFusionError>((decided, file))
            })();
            (known, decided)
        })
        .await?;
        known = kept;
        let (decided, file) = decided?;
        let claim = CellClaim { seen, file, caps: decided.caps };
        if options.registry.claim_cells(room, query_id, &claim).await.map_err(failed)? {
            return Ok(decided.tables);
        }
    }
}
