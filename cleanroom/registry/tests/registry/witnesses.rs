//! Witnesses that say what they like: what a registry makes of it.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cleanroom_log::VerifierKey;
use cleanroom_policy::{Room, RoomName};
use cleanroom_registry::{Actor, Asked, Doubt, OpenOptions, QueryId, Registry, RegistryError, Witnesses};

use crate::house::{House, furnish, intent, open, released, room, room_name};

/// Speaks against the checkpoints that it is shown in these turns.
struct Contrary {
    turns: Range<usize>,
    /// Where it is not waited for, it says so later.
    late: bool,
    shown: AtomicUsize,
    /// What happens while it is asked.
    meanwhile: Box<dyn Fn(usize) + Send + Sync>,
}

impl Contrary {
    fn new(turns: Range<usize>, meanwhile: impl Fn(usize) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { turns, late: false, shown: AtomicUsize::new(0), meanwhile: Box::new(meanwhile) })
    }
}

impl Witnesses for Contrary {
    fn follow(&self, _log: &VerifierKey) -> bool {
        true
    }

    fn ask(&self, _directory: &Path, note: &str, _log: &VerifierKey, all: bool, doubt: Doubt) -> Asked {
        let shown = self.shown.fetch_add(1, Ordering::SeqCst);
        (self.meanwhile)(shown);
        let mut against = Vec::new();
        if self.turns.contains(&shown) {
            if self.late && !all { doubt() } else { against.push("it saw more".to_owned()) }
        }
        Asked { note: note.to_owned(), enough: false, against }
    }
}

fn options(house: &House) -> OpenOptions {
    OpenOptions { data_dir: house.directory.path().to_owned(), log_host: "logs.example".to_owned() }
}

fn note(registry: &Registry) -> String {
    std::fs::read_to_string(registry.log_directory(&room_name()).join("checkpoint")).unwrap()
}

#[tokio::test]
async fn nothing_is_added_to_a_log_that_a_witness_speaks_against() {
    let house = House::empty().await;
    furnish(&house.registry).await;
    // A process that ended before its question did.
    let (_reservation, pending) = house.registry.reserve(intent(&QueryId::generate().unwrap())).await.unwrap();
    std::mem::forget(pending);
    std::fs::remove_dir_all(house.directory.path().join("run")).unwrap();
    let before = note(&house.registry);
    let options = options(&house);
    house.registry.close().await;
    let House { directory, registry } = house;
    drop(registry);

    let witnesses = Contrary::new(0..usize::MAX, |_| {});
    let registry = Registry::open_witnessed(options, Arc::clone(&witnesses) as Arc<dyn Witnesses>).await.unwrap();
    assert_eq!(witnesses.shown.load(Ordering::SeqCst), 1, "asked again about the same");
    assert!(matches!(registry.must_serve(&room_name()), Err(RegistryError::BehindWitnesses { .. })));
    let changed = Room { description: "another".to_owned(), ..room() };
    let put = registry.put_room(&changed, &Actor::operator()).await.unwrap_err();
    assert!(matches!(&put, RegistryError::BehindWitnesses { against, .. } if against == "it saw more"), "{put}");
    assert_eq!((put.code(), put.is_request()), ("CR4205", false));
    let asked = registry.reserve(intent(&QueryId::generate().unwrap())).await;
    assert!(matches!(asked, Err(RegistryError::BehindWitnesses { .. })));
    let after = note(&registry);
    // The intent was signed for as it stood in the database, and nothing after it.
    let size = |note: &str| note.lines().nth(1).unwrap().parse::<u64>().unwrap();
    assert_eq!((size(&before), size(&after)), (3, 4));
    registry.close().await;
    drop(registry);
    std::fs::remove_dir_all(directory.path().join("run")).unwrap();
    let registry = open(directory.path()).await.unwrap();
    assert_eq!(size(&note(&registry)), 5, "the open question is ended once the room is served again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_adds_while_witnesses_are_asked_is_no_rollback() {
    let house = House::furnished().await;
    let (other, runtime) = (house.registry.clone(), tokio::runtime::Handle::current());
    let witnesses = Contrary::new(0..1, move |shown| {
        if shown == 0 {
            let changed = Room { description: "another".to_owned(), ..room() };
            runtime.block_on(other.put_room(&changed, &Actor::operator())).unwrap();
        }
    });
    let registry =
        Registry::open_witnessed(options(&house), Arc::clone(&witnesses) as Arc<dyn Witnesses>).await.unwrap();
    assert_eq!(witnesses.shown.load(Ordering::SeqCst), 2);
    registry.must_serve(&room_name()).unwrap();
}

/// Waits until the room is not served any more.
async fn refused(registry: &Registry) {
    for _ in 0..500 {
        if registry.must_serve(&room_name()).is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the room is served, whatever its witnesses say");
}

#[tokio::test]
async fn what_a_witness_says_against_a_log_counts_whenever_it_says_it() {
    for late in [false, true] {
        let house = House::furnished().await;
        // At the start all is well.
        let witnesses = Contrary::new(1..usize::MAX, |_| {});
        let witnesses = Arc::new(Contrary { late, ..Arc::into_inner(witnesses).unwrap() });
        let registry = Registry::open_witnessed(options(&house), witnesses).await.unwrap();
        registry.must_serve(&room_name()).unwrap();
        let (_reservation, pending) = registry.reserve(intent(&QueryId::generate().unwrap())).await.unwrap();
        let changed = |to: &str| Room { description: to.to_owned(), ..room() };
        registry.put_room(&changed("one"), &Actor::operator()).await.unwrap();
        refused(&registry).await;
        // Nothing is added to the log, not even the end of a question that is under way.
        let before = note(&registry);
        let ended = registry.record(pending, released()).await;
        assert!(matches!(&ended, Err(RegistryError::BehindWitnesses { .. })), "{ended:?}");
        let put = registry.put_room(&changed("two"), &Actor::operator()).await;
        assert!(
            matches!(&put, Err(RegistryError::BehindWitnesses { against, .. }) if against == "it saw more"),
            "{put:?}"
        );
        assert_eq!(note(&registry), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_of_an_older_checkpoint_is_not_held_against_a_log_that_grows() {
    let house = House::furnished().await;
    let (other, runtime) = (house.registry.clone(), tokio::runtime::Handle::current());
    // Another process is always one entry ahead of what this one shows, until it stops.
    let witnesses = Contrary::new(0..4, move |shown| {
        if shown < 4 {
            let changed = Room { description: format!("{shown}"), ..room() };
            runtime.block_on(other.put_room(&changed, &Actor::operator())).unwrap();
        }
    });
    let registry =
        Registry::open_witnessed(options(&house), Arc::clone(&witnesses) as Arc<dyn Witnesses>).await.unwrap();
    assert_eq!(witnesses.shown.load(Ordering::SeqCst), 4);
    registry.must_serve(&room_name()).unwrap();
    let changed = Room { description: "another".to_owned(), ..room() };
    registry.put_room(&changed, &Actor::operator()).await.unwrap();
}

#[tokio::test]
async fn every_room_is_shown_at_the_start_however_many_there_are() {
    let house = House::empty().await;
    for number in 0..40 {
        let name = RoomName::new(&format!("room-{number}")).unwrap();
        house.registry.put_room(&Room { name, ..room() }, &Actor::operator()).await.unwrap();
    }
    let at_once = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let counted = Arc::clone(&at_once);
    let witnesses = Contrary::new(0..0, move |_| {
        let (now, most) = &*counted;
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(20));
        now.fetch_sub(1, Ordering::SeqCst);
    });
    Registry::open_witnessed(options(&house), Arc::clone(&witnesses) as Arc<dyn Witnesses>).await.unwrap();
    assert_eq!(witnesses.shown.load(Ordering::SeqCst), 40);
    assert!(at_once.1.load(Ordering::SeqCst) <= 32);
}
