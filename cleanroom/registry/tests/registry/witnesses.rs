//! Witnesses that say what they like: what a registry makes of it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cleanroom_log::VerifierKey;
use cleanroom_policy::Room;
use cleanroom_registry::{Actor, Asked, OpenOptions, QueryId, Registry, RegistryError, Witnesses};

use crate::house::{House, furnish, intent, open, room, room_name};

/// Speaks against the first checkpoints that it is shown.
struct Contrary {
    times: usize,
    shown: AtomicUsize,
    /// What happens while it is asked.
    meanwhile: Box<dyn Fn(usize) + Send + Sync>,
}

impl Contrary {
    fn new(times: usize, meanwhile: impl Fn(usize) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { times, shown: AtomicUsize::new(0), meanwhile: Box::new(meanwhile) })
    }
}

impl Witnesses for Contrary {
    fn follow(&self, _log: &VerifierKey) -> bool {
        true
    }

    fn ask(&self, _directory: &Path, note: &str, _log: &VerifierKey, _all: bool) -> Asked {
        let shown = self.shown.fetch_add(1, Ordering::SeqCst);
        (self.meanwhile)(shown);
        let against = if shown < self.times { vec!["it saw more".to_owned()] } else { Vec::new() };
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

    let witnesses = Contrary::new(usize::MAX, |_| {});
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
    let witnesses = Contrary::new(1, move |shown| {
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
