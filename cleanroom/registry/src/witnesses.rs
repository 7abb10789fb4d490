//! Witnesses of a server's logs, from the log's side: every new checkpoint is shown to them, and their cosignatures are kept with it.
//!
//! Who they are and how they are reached is for whoever opens the registry to say ([`Witnesses`]). Nothing waits for them but the
//! answers of strict rooms: there an answer is withheld until enough have cosigned a checkpoint over its record. What they say
//! against a log counts, at the start and ever after: a room that they saw further, or otherwise, is not served, and nothing is
//! added to its log, until the next start.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use cleanroom_log::{Checkpoint, LogDirectory, VerifierKey};
use cleanroom_policy::{Room, RoomName};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::actor::Door;
use crate::error::{RegistryError, Result};
use crate::outcome::ReceiptRef;
use crate::publish::{hold, log_error};
use crate::registry::{Inner, Registry, blocking};

/// How long an answer waits for witnesses before whoever asked is told to come back.
const PATIENCE: Duration = Duration::from_secs(6);
/// How long until those who did not cosign are asked again, while an answer waits.
const PAUSE: Duration = Duration::from_millis(400);

/// Times that witnesses are asked again who speak against a checkpoint that is no longer the newest.
const AGAIN: usize = 3;
/// Rooms whose witnesses are asked at the same time, at the start.
const AT_ONCE: usize = 32;

/// To be called where a witness speaks against a checkpoint after the others' answers were taken for enough.
pub type Doubt = Box<dyn Fn() + Send>;

/// Those who are asked to cosign checkpoints.
pub trait Witnesses: Send + Sync {
    /// Whether they can be enough for the log of this key; otherwise they are not asked about it.
    fn follow(&self, log: &VerifierKey) -> bool;

    /// Shows the checkpoint `note` of the log in `directory` to those who have not cosigned it. Blocks until enough have, or all
    /// have answered; where `all` is set, until all have answered, or have had their time. Where it does not wait for all,
    /// `doubt` is called when one of the others speaks against the checkpoint.
    fn ask(&self, directory: &Path, note: &str, log: &VerifierKey, all: bool, doubt: Doubt) -> Asked;
}

/// What witnesses said to a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The checkpoint with the cosignatures that it has now, each of them verified.
    pub note: String,
    /// Whether these are enough.
    pub enough: bool,
    /// What was said against the log, one sentence a witness: that it saw more entries, or other ones.
    pub against: Vec<String>,
}

/// What the witnesses of a registry know.
#[derive(Default)]
pub(crate) struct Witnessing {
    witnesses: OnceLock<Arc<dyn Witnesses>>,
    rooms: Mutex<HashMap<RoomName, Arc<Cosigning>>>,
    refused: Refused,
}

/// Rooms that are not served, and why.
#[derive(Default)]
pub(crate) struct Refused(Mutex<HashMap<RoomName, String>>);

#[derive(Default)]
struct Cosigning {
    /// Asking, one at a time.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Whether somebody waits for its turn, who will ask about whatever is newest then.
    waiting: AtomicBool,
    /// The newest checkpoint that enough have cosigned, and its size.
    covered: Mutex<Option<(u64, String)>>,
}

impl Refused {
    /// # Errors
    /// [`RegistryError::BehindWitnesses`].
    pub(crate) fn must_not_hold(&self, room: &RoomName) -> Result<()> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).get(room) {
            Some(against) => Err(RegistryError::BehindWitnesses { room: room.clone(), against: against.clone() }),
            None => Ok(()),
        }
    }
}

impl Cosigning {
    /// The checkpoint that enough have cosigned, where it covers the entry.
    fn over(&self, sequence: u64) -> Option<String> {
        let covered = self.covered.lock().unwrap_or_else(PoisonError::into_inner);
        covered.as_ref().filter(|(size, _)| *size > sequence).map(|(_, note)| note.clone())
    }
}

impl Registry {
    /// Whether the room can be served.
    ///
    /// # Errors
    /// [`RegistryError::BehindWitnesses`].
    pub fn must_serve(&self, room: &RoomName) -> Result<()> {
        self.refused().must_not_hold(room)
    }

    pub(crate) fn refused(&self) -> &Refused {
        &self.inner.witnessing.refused
    }

    /// Whether a strict room can be answered in.
    ///
    /// # Errors
    /// [`RegistryError::NoWitnesses`].
    pub async fn must_have_witnesses(&self, room: &Room) -> Result<()> {
        if !room.strict {
            return Ok(());
        }
        let origin = match self.origin(&room.name).await {
            Err(RegistryError::NoSuchRoom(_)) => self.origin_of_new(&room.name)?,
            origin => origin?,
        };
        let key = self.inner.key.vkey(&origin);
        let followed = self.inner.witnessing.witnesses.get().is_some_and(|known| known.follow(&key));
        if followed { Ok(()) } else { Err(RegistryError::NoWitnesses(room.name.clone())) }
    }

    /// Shows every log to its witnesses, before anything is added to one. A room that they speak against is not served.
    pub(crate) async fn begin_witnessing(&self, witnesses: Arc<dyn Witnesses>) -> Result<()> {
        // Only the first call counts, and there is one.
        let _ = self.inner.witnessing.witnesses.set(witnesses);
        let mut rooms = self.room_names().await?.into_iter();
        let mut asking = JoinSet::new();
        loop {
            for room in rooms.by_ref().take(AT_ONCE.saturating_sub(asking.len())) {
                let registry = self.clone();
                asking.spawn(async move { registry.ask(&room, true, None).await });
            }
            match asking.join_next().await {
                None => return Ok(()),
                Some(asked) => asked.map_err(|_| RegistryError::Interrupted)??,
            }
        }
    }

    /// There is a new checkpoint: its witnesses are asked while nobody waits.
    pub(crate) fn show_to_witnesses(&self, room: &RoomName) {
        if self.inner.witnessing.witnesses.get().is_none() {
            return;
        }
        let (registry, room, cosigning) = (self.clone(), room.clone(), self.cosigning(room));
        if cosigning.waiting.swap(true, Ordering::SeqCst) {
            return;
        }
        tokio::spawn(async move {
            if let Err(error) = registry.ask(&room, false, None).await {
                tracing::error!(%room, %error, "the newest checkpoint was not shown to witnesses");
            }
        });
    }

    /// Returns once the answer may be told: in a strict room, once enough witnesses have cosigned a checkpoint over its record.
    ///
    /// # Errors
    /// [`RegistryError::Unwitnessed`], where they do not in time; [`RegistryError::BehindWitnesses`], where they speak against it;
    /// [`RegistryError::NoWitnesses`].
    pub(crate) async fn must_be_witnessed(&self, of: &ReceiptRef) -> Result<()> {
        let room = self.room(&of.room).await?.ok_or_else(|| RegistryError::NoSuchRoom(of.room.clone()))?;
        if !room.strict {
            return Ok(());
        }
        self.must_have_witnesses(&room).await?;
        let cosigning = self.cosigning(&of.room);
        let covered = async {
            while cosigning.over(of.sequence).is_none() {
                self.must_serve(&of.room)?;
                if let Err(error) = self.ask(&of.room, false, Some(of.sequence)).await {
                    tracing::error!(room = %of.room, %error, "witnesses cannot be asked");
                }
                if cosigning.over(of.sequence).is_none() {
                    sleep(PAUSE).await;
                }
            }
            Ok(())
        };
        let unwitnessed = |_| RegistryError::Unwitnessed { room: of.room.clone(), query: of.query_id.clone() };
        timeout(PATIENCE, covered).await.map_err(unwitnessed)?
    }

    /// The newest checkpoint that enough witnesses have cosigned, where it covers the entry.
    pub(crate) fn cosigned_over(&self, room: &RoomName, sequence: u64) -> Option<String> {
        self.inner.witnessing.witnesses.get()?;
        self.cosigning(room).over(sequence)
    }

    /// Asks the witnesses of a room about its newest checkpoint, and keeps what they sign. Where they speak against it, the room is
    /// served no longer. For an answer that waits, its entry is `wanted`.
    async fn ask(&self, room: &RoomName, all: bool, wanted: Option<u64>) -> Result<()> {
        let Some(witnesses) = self.inner.witnessing.witnesses.get().map(Arc::clone) else { return Ok(()) };
        let cosigning = self.cosigning(room);
        let turn = Arc::clone(&cosigning.turn).lock_owned().await;
        match wanted {
            // Whoever had the turn before has asked for this one, too.
            Some(sequence) if cosigning.over(sequence).is_some() => return Ok(()),
            Some(_) => {}
            // Whatever is published from here on is for the next one in turn.
            None => cosigning.waiting.store(false, Ordering::SeqCst),
        }
        let key = self.inner.key.vkey(&self.origin(room).await?);
        if !witnesses.follow(&key) {
            return Ok(());
        }
        let directory = self.log_directory(room);
        let (registry, doubted, runtime) = (Arc::downgrade(&self.inner), room.clone(), Handle::current());
        let doubt = move || -> Doubt {
            let (registry, room, runtime) = (Weak::clone(&registry), doubted.clone(), runtime.clone());
            Box::new(move || ask_all_again(&registry, &room, &runtime))
        };
        let (inner, room) = (Arc::downgrade(&self.inner), room.clone());
        blocking(move || {
            // Given back when the asking ends, whether or not anybody still waits for it.
            let _turn = turn;
            let log = LogDirectory::open(&directory).map_err(log_error)?;
            let Some(mut note) = log.checkpoint().map_err(log_error)? else { return Ok(()) };
            let mut asked = witnesses.ask(&directory, &note, &key, all, doubt());
            for _ in 0..AGAIN {
                let newest = log.checkpoint().map_err(log_error)?.filter(|newest| *newest != note);
                let Some(newest) = newest.filter(|_| !asked.against.is_empty()) else { break };
                // Another process has gone on meanwhile, and may have shown them that.
                note = newest;
                asked = witnesses.ask(&directory, &note, &key, all, doubt());
            }
            if !asked.against.is_empty() {
                let newest = log.checkpoint().map_err(log_error)?;
                if newest.is_some_and(|newest| text(&newest) == text(&note)) {
                    // Here, since whoever waits for the asking may be gone by now.
                    refuse(&inner, &room, &asked.against.join("; "));
                } else {
                    // What was said is about an older one; whoever has published a newer one asks about that.
                    tracing::warn!(%room, "the log grows faster than its witnesses can be asked about it");
                }
            }
            let size = Checkpoint::open(&note, &key).map_err(log_error)?.size;
            if asked.note != note {
                keep(&directory, &key, &note, &asked)?;
            }
            let mut covered = cosigning.covered.lock().unwrap_or_else(PoisonError::into_inner);
            if asked.enough && covered.as_ref().is_none_or(|(known, _)| *known <= size) {
                *covered = Some((size, asked.note));
            }
            Ok(())
        })
        .await
    }

    fn cosigning(&self, room: &RoomName) -> Arc<Cosigning> {
        let mut rooms = self.inner.witnessing.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(rooms.entry(room.clone()).or_default())
    }
}

/// From here on the room is not served.
fn refuse(registry: &Weak<Inner>, room: &RoomName, against: &str) {
    tracing::error!(%room, against, "the room is not served: its witnesses know another log than this one");
    let Some(inner) = registry.upgrade() else { return };
    let mut refused = inner.witnessing.refused.0.lock().unwrap_or_else(PoisonError::into_inner);
    refused.entry(room.clone()).or_insert_with(|| against.to_owned());
}

/// What a note says, without its signatures.
fn text(note: &str) -> Option<&str> {
    note.split_once("\n\n").map(|(text, _)| text)
}

/// A witness spoke up that was not waited for: all are asked, and waited for.
fn ask_all_again(registry: &Weak<Inner>, room: &RoomName, runtime: &Handle) {
    let Some(inner) = registry.upgrade() else { return };
    let (registry, room) = (Registry { inner, door: Door::Operator }, room.clone());
    runtime.spawn(async move {
        if let Err(error) = registry.ask(&room, true, None).await {
            tracing::error!(%room, %error, "witnesses cannot be asked");
        }
    });
}

/// Keeps a cosigned checkpoint in the place of the bare one. Where a newer one stands there by now, the history has it alone,
/// if enough have cosigned it: who demands them finds the entries under it.
fn keep(directory: &Path, key: &VerifierKey, bare: &str, Asked { note: cosigned, enough, .. }: &Asked) -> Result<()> {
    // What the log itself could not read is not put in its place.
    Checkpoint::open(cosigned, key).map_err(log_error)?;
    let held = hold(directory, key)?;
    if held.note.as_deref() != Some(bare) {
        if *enough {
            held.log.keep(cosigned).map_err(log_error)?;
            held.log.keep_newest().map_err(log_error)?;
        }
        return Ok(());
    }
    // A crash before this loses cosignatures, which are asked for again.
    held.log.write_checkpoint(cosigned).map_err(log_error)
}
