//! The guard against differencing: what was released before bounds what may be released now.
//!
//! **What an attacker does.** Two numbers that are each of many units differ in what the units add that stand in one and not
//! in the other: `SUM(amount)` of all states less the same without Alaska is the one Alaskan's amount. Parts may be taken
//! from a total in one query or in many, by one analyst or by several, before and after a row was added.
//!
//! **What is compared.** Behind a number stands what each unit adds to it: 1 to a count of units, its rows to a count of
//! rows, its values to a sum; an average is a sum and a count. Whoever has numbers can compute every combination of them, with
//! any fractions for factors, and nothing else. So a number is compared with all combinations of released ones: the two
//! *differ* in the units that do not add the same to both. Names, conditions, joins and versions of the data by which numbers
//! were asked for have no part in it, nor has the aggregate: who has a count, and knows what all but a few add for each that
//! is counted, has the sum of all but those few. Where rows only change in what a number is not made of, there is no
//! difference. Compared is what is of units of one identity space and of a common owner with a guard, so that the state
//! follows a table through its versions and its names. It does not follow a table into another room or to another owner, and
//! begins with the first answer that is given under the rule.
//!
//! **What is answered.** A number that differs in fewer units than the border, *none included*, from a combination of released
//! ones is answered with what follows from them; that somebody is there must not be told by an answer, nor that nobody is by
//! another one. It is not recorded, for it was released already. The border is drawn from `difference` to just below twice that
//! by a keyed hash of the numbers compared, so nobody who counts on one person more knows on which side it falls. All other
//! numbers are answered as they are, and recorded: so no combination of recorded numbers rests on few. A number of few units
//! by itself is not near nothing, since its floors are about that; but one to which hardly anybody of many adds more than zero
//! is answered with zero.
//!
//! The factors of a combination come from rows. They are told, as a part of the answer, only where they still follow when any
//! units, fewer than `difference`, are taken away from those that bear them out; for some factors fit as many units as there
//! are factors always, and would be these units' amounts.
//! Where too few do, where an earlier number has fewer units than are asked for now, where the factors are not of small
//! whole numbers, and beyond [`span::MOST`] independent numbers, the group is not shown.
//!
//! **How combinations are found.** As words are decoded: see [`sets`] for those that are like the new number in all units of an
//! information set, and [`search`] for those that differ from it in one or two of these. With `n` recorded numbers of an owner
//! and space, a new one takes in the order of `n^2` steps of arithmetic for each of some dozen units in each of three sets, and
//! reading a block of each vector for each of 64 units of each set, or for all of them where they stand together; where one
//! comes near, all of the vectors in the combination. In memory are 24 `n^2` bytes, and for each vector a note for every KiB
//! of it. The same is kept in files, so that a process that starts reads it: see [`kept`]. `docs/guard.md` has figures.
//!
//! **What it cannot do.** A combination is missed where three or more of the units in which it differs stand in each of the
//! three sets. The units are drawn in secret, so nobody can aim: one unit, or two, are not missed by that. With `n` numbers over
//! `N` units, and a difference of `s`, about `s n / N` of the units stand in a set: missed are next to none while that is far
//! below 1, and many when it is above 3. Small rooms are tried as a whole. It does not know what somebody learned elsewhere, in
//! other rooms, of other owners' numbers, or before there was a guard; and large sums of which one unit is most are a matter of
//! `dominance`. Against these stands only noise.
//!
//! **What lasts.** The exact sets are files of the room, written before the registry names them, and named before the answer
//! is seen. A claim holds only where nobody claimed since the query looked, else the query looks again: of two queries at
//! once one sees the other's. One claims at a time, so every round somebody gets on, and no lock outlives a crash. A question
//! that is cancelled or runs out of time gives up its turn after the number it is at.
//!
//! In the same step stand two rules that also look further than a release point's own numbers: the least audience, and the
//! cap on released cells, which counts every number that is shown, be it new or not.

mod apply;
mod audience;
mod decide;
mod field;
mod kept;
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
use std::sync::atomic::{AtomicBool, Ordering};

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

/// Ends a decision when nobody waits for it any more: its question was cancelled, or ran out of time.
#[derive(Default)]
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
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
    let stop = Stop::default();
    known.span.until(Arc::clone(&stop.0));
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
                known.sync(&dir, &names).map_err(apply::unreadable)?;
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
            // What the next process finds kept it need not work out. The answer does not wait on whether that can be kept.
            deep::run(move || known.span.claimed()).await.ok();
            return Ok(decided.tables);
        }
    }
}
