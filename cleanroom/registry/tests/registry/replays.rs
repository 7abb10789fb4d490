//! Releases under noise that are shown again.

use cleanroom_log::{Entry, Event};
use cleanroom_registry::{Pending, Price, QueryId, Registry, RegistryError, ReplayKey};

use crate::house::{failed, released};
use crate::ledger::{Bank, charge, partner, room, tenths};

const PURCHASES: &str = "retailer.purchases";

fn key(digit: &str) -> ReplayKey {
    ReplayKey::parse(&digit.repeat(64)).unwrap()
}

async fn bank() -> Bank {
    Bank::with(&[(PURCHASES, "epsilon: 1, delta: 0")]).await
}

async fn charged(bank: &Bank, registry: &Registry, analyst: &str) -> (QueryId, Pending) {
    let intent = bank.intent("main", analyst, &[PURCHASES]);
    let (reservation, pending) = registry.reserve_at(intent, &[], &charge(&[PURCHASES], tenths(1))).await.unwrap();
    (reservation.query_id().clone(), pending)
}

async fn replayed(bank: &Bank, analyst: &str, key: ReplayKey) -> Result<Pending, RegistryError> {
    let intent = bank.intent("main", analyst, &[PURCHASES]);
    bank.registry.reserve_at(intent, &[], &Price::Replay(key)).await.map(|(_, pending)| pending)
}

#[test]
fn a_key_has_one_form() {
    assert_eq!(key("a").as_str(), "a".repeat(64));
    for text in ["", &"a".repeat(63), &"a".repeat(65), &"A".repeat(64), &"g".repeat(64)] {
        assert!(ReplayKey::parse(text).is_none(), "{text}");
    }
}

#[tokio::test]
async fn who_paid_sees_it_again_for_nothing_and_nobody_else() {
    let bank = bank().await;
    let main = room("main");
    let (id, pending) = charged(&bank, &bank.registry, "agency").await;
    assert_eq!(bank.registry.keep_replay(&main, &key("a"), &id, b"first").await.unwrap(), b"first");
    bank.registry.record(pending, released()).await.unwrap();
    let bank = bank.reopened().await;
    let replay = bank.registry.replay(&main, &key("a")).await.unwrap().unwrap();
    assert_eq!((replay.bytes.as_slice(), &replay.first_query), (b"first".as_slice(), &id));
    assert!(bank.registry.replay(&main, &key("b")).await.unwrap().is_none());
    assert!(bank.registry.replay(&room("other"), &key("a")).await.unwrap().is_none());

    let price = Price::Replay(key("a"));
    assert_eq!(bank.registry.price(&main, &partner("agency"), &price).await.unwrap(), []);
    let pending = replayed(&bank, "agency", key("a")).await.unwrap();
    bank.registry.record(pending, released()).await.unwrap();
    let entries = bank.registry.log_entries(&main, 0, u64::MAX).await.unwrap();
    let intents: Vec<_> = entries
        .iter()
        .filter_map(|entry| match Entry::parse(entry.json.as_bytes()).unwrap().event {
            Event::QueryIntent(intent) => Some(intent),
            _ => None,
        })
        .collect();
    assert_eq!((intents[0].charge.len(), &intents[0].replay), (1, &None));
    assert_eq!((intents[1].charge.len(), intents[1].replay.as_deref()), (0, Some(id.as_str())));

    // Another analyst pays in full, and is shown the same.
    assert!(!bank.registry.paid(&main, &key("a"), &partner("brand")).await.unwrap());
    assert!(matches!(replayed(&bank, "brand", key("a")).await, Err(RegistryError::NotPaid)));
    assert!(matches!(bank.registry.price(&main, &partner("brand"), &price).await, Err(RegistryError::NotPaid)));
    let (id, pending) = charged(&bank, &bank.registry, "brand").await;
    assert_eq!(bank.registry.keep_replay(&main, &key("a"), &id, b"second").await.unwrap(), b"first");
    bank.registry.record(pending, released()).await.unwrap();
    assert!(bank.registry.paid(&main, &key("a"), &partner("brand")).await.unwrap());
    bank.registry.record(replayed(&bank, "brand", key("a")).await.unwrap(), released()).await.unwrap();
    assert_eq!(bank.registry.budgets(&main, None).await.unwrap()[0].questions, Some(2));
    crate::ledger::verified(&bank.registry, "main");
}

/// Two that draw at once release one thing, through whatever process they came.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_first_release_stands() {
    let bank = Bank::with(&[(PURCHASES, "epsilon: 10, delta: 0")]).await;
    let second = crate::house::open(bank.directory.path()).await.unwrap();
    let mut tasks = Vec::new();
    for number in 0..40_u8 {
        let registry = if number % 2 == 0 { bank.registry.clone() } else { second.clone() };
        let (id, pending) = charged(&bank, &registry, ["agency", "brand"][usize::from(number % 2)]).await;
        tasks.push(tokio::spawn(async move {
            let bytes = registry.keep_replay(&room("main"), &key("a"), &id, &[number; 1000]).await.unwrap();
            registry.record(pending, released()).await.unwrap();
            bytes
        }));
    }
    let mut shown = Vec::new();
    for task in tasks {
        shown.push(task.await.unwrap());
    }
    shown.dedup();
    assert_eq!(shown.len(), 1);
    assert_eq!(bank.registry.replay(&room("main"), &key("a")).await.unwrap().unwrap().bytes, shown[0]);
}

/// A release is kept only by a question that is open and was charged; one that broke off before it has paid for nothing.
#[tokio::test]
async fn only_a_charged_question_keeps_a_release() {
    let bank = bank().await;
    let main = room("main");
    let keep = async |id: &QueryId| bank.registry.keep_replay(&main, &key("a"), id, b"drawn").await.map(drop);
    assert!(matches!(keep(&QueryId::generate().unwrap()).await, Err(RegistryError::AlreadyRecorded(_))));
    let (id, pending) = charged(&bank, &bank.registry, "agency").await;
    bank.registry.record(pending, failed()).await.unwrap();
    assert!(matches!(keep(&id).await, Err(RegistryError::AlreadyRecorded(_))));
    let own = bank.intent("main", "retailer", &[PURCHASES]);
    let id = own.query_id.clone();
    let (_, pending) = bank.registry.reserve(own).await.unwrap();
    assert!(matches!(keep(&id).await, Err(RegistryError::NoCharge)));
    bank.registry.record(pending, failed()).await.unwrap();
    assert!(bank.registry.replay(&main, &key("a")).await.unwrap().is_none());
    assert!(!bank.registry.paid(&main, &key("a"), &partner("agency")).await.unwrap());
    // Charged, and gone before the release was kept: it is drawn anew, and paid for again.
    let (_, pending) = charged(&bank, &bank.registry, "agency").await;
    std::mem::forget(pending);
    let bank = bank.reopened().await;
    assert!(matches!(replayed(&bank, "agency", key("a")).await, Err(RegistryError::NotPaid)));
    let (id, pending) = charged(&bank, &bank.registry, "agency").await;
    assert_eq!(bank.registry.keep_replay(&main, &key("a"), &id, b"anew").await.unwrap(), b"anew");
    bank.registry.record(pending, released()).await.unwrap();
    assert_eq!(bank.registry.budgets(&main, None).await.unwrap()[0].questions, Some(3));
}

#[tokio::test]
async fn a_release_that_was_tampered_with_is_not_shown() {
    let bank = bank().await;
    let (id, pending) = charged(&bank, &bank.registry, "agency").await;
    bank.registry.keep_replay(&room("main"), &key("a"), &id, b"first").await.unwrap();
    bank.registry.record(pending, released()).await.unwrap();
    let database = format!("sqlite://{}", bank.directory.path().join("registry.sqlite").display());
    let pool = sqlx::SqlitePool::connect(&database).await.unwrap();
    sqlx::query("UPDATE releases SET content = x'00'").execute(&pool).await.unwrap();
    pool.close().await;
    assert!(matches!(bank.registry.replay(&room("main"), &key("a")).await, Err(RegistryError::Damaged { .. })));
}
