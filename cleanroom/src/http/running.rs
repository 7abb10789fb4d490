//! Questions that are being worked on by this process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cleanroom_policy::{PartnerName, RoomName};
use cleanroom_registry::QueryId;
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;

/// Most questions of one partner that wait or run at once.
const PER_PARTNER: usize = 64;

/// The questions at work, by id.
#[derive(Default)]
pub(super) struct Running {
    queries: Mutex<HashMap<QueryId, Entry>>,
}

struct Entry {
    room: RoomName,
    analyst: PartnerName,
    done: watch::Receiver<()>,
    task: Option<AbortHandle>,
    cancel: Option<oneshot::Sender<()>>,
}

/// Keeps a question listed until it is dropped, which also wakes whoever waits for it.
pub(super) struct Ticket {
    done: watch::Sender<()>,
}

/// What became of trying to start.
pub(super) enum Start {
    /// It may start.
    Started(Ticket),
    /// It is at work already.
    Already,
    /// The partner has too many at work.
    TooMany,
}

impl Running {
    /// Lists a question, unless it is listed.
    pub(super) fn start(&self, id: &QueryId, room: &RoomName, analyst: &PartnerName) -> Start {
        let mut queries = self.lock();
        queries.retain(|_, entry| entry.done.has_changed().is_ok());
        if queries.contains_key(id) {
            return Start::Already;
        }
        if queries.values().filter(|entry| entry.analyst == *analyst).count() >= PER_PARTNER {
            return Start::TooMany;
        }
        let (done, waiting) = watch::channel(());
        let entry = Entry { room: room.clone(), analyst: analyst.clone(), done: waiting, task: None, cancel: None };
        queries.insert(id.clone(), entry);
        Start::Started(Ticket { done })
    }

    /// Makes a question one that can be cancelled, and stopped with the server.
    pub(super) fn cancellable(&self, id: &QueryId, cancel: oneshot::Sender<()>, task: AbortHandle) {
        if let Some(entry) = self.lock().get_mut(id) {
            entry.cancel = Some(cancel);
            entry.task = Some(task);
        }
    }

    /// Waits until the question is no longer at work.
    pub(super) async fn ended(&self, id: &QueryId) {
        let done = self.lock().get(id).map(|entry| entry.done.clone());
        if let Some(mut done) = done {
            // An error means that the sender is gone, which is the end that is waited for.
            while done.changed().await.is_ok() {}
        }
    }

    /// Whether the question is at work, asked by `analyst` in `room`.
    pub(super) fn holds(&self, id: &QueryId, room: &RoomName, analyst: &PartnerName) -> bool {
        self.lock()
            .get(id)
            .is_some_and(|entry| entry.room == *room && entry.analyst == *analyst && entry.done.has_changed().is_ok())
    }

    /// Cancels a question, unless its decision is made. It records that itself.
    pub(super) fn cancel(&self, id: &QueryId) {
        if let Some(cancel) = self.lock().get_mut(id).and_then(|entry| entry.cancel.take()) {
            // Nobody listens where it has just ended.
            let _ = cancel.send(());
        }
    }

    /// How many are at work.
    pub(super) fn count(&self) -> usize {
        self.lock().values().filter(|entry| entry.done.has_changed().is_ok()).count()
    }

    /// Waits until none is at work.
    pub(super) async fn all_ended(&self) {
        let ids: Vec<QueryId> = self.lock().keys().cloned().collect();
        for id in ids {
            self.ended(&id).await;
        }
    }

    /// Stops all. Whatever was reserved for them is recorded as failed.
    pub(super) fn cancel_all(&self) {
        for entry in self.lock().values() {
            if let Some(task) = &entry.task {
                task.abort();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<QueryId, Entry>> {
        // The map is whole after every statement that holds it, so a panic elsewhere does not spoil it.
        self.queries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// Ends the listing.
    pub(super) fn end(self) {
        drop(self.done);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_question_is_listed_once_and_until_it_ends() {
        let running = Running::default();
        let (room, analyst) = (RoomName::new("room").unwrap(), PartnerName::new("agency").unwrap());
        let id = QueryId::generate().unwrap();
        let Start::Started(ticket) = running.start(&id, &room, &analyst) else { panic!("not started") };
        assert!(matches!(running.start(&id, &room, &analyst), Start::Already));
        assert!(running.holds(&id, &room, &analyst));
        assert!(!running.holds(&id, &room, &PartnerName::new("other").unwrap()));
        let ended = running.ended(&id);
        ticket.end();
        ended.await;
        assert!(!running.holds(&id, &room, &analyst));
        assert_eq!(running.count(), 0);
    }

    #[test]
    fn one_partner_cannot_fill_the_server() {
        let running = Running::default();
        let (room, analyst) = (RoomName::new("room").unwrap(), PartnerName::new("agency").unwrap());
        let start = |analyst: &PartnerName| running.start(&QueryId::generate().unwrap(), &room, analyst);
        let _tickets: Vec<Start> = (0..PER_PARTNER).map(|_| start(&analyst)).collect();
        assert!(matches!(start(&analyst), Start::TooMany));
        assert!(matches!(start(&PartnerName::new("other").unwrap()), Start::Started(_)));
    }
}
