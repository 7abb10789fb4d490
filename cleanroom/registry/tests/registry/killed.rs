//! A process that writes as fast as it can is killed, and what it leaves must be whole.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use cleanroom_log::{Entry, Event};
use cleanroom_registry::{QueryId, Registry, ReplayKey};
use tempfile::TempDir;

use crate::house::{House, attempt, furnish, intent, open, refused, released, room_name, verified};
use crate::ledger::{Bank, charge, room, table, tenths};

const DIRECTORY: &str = "CLEANROOM_TEST_DATA_DIR";
const CHARGED: &str = "CLEANROOM_TEST_CHARGED_DIR";

/// The child: started again by the test below, it writes until it is killed. By itself it does nothing.
#[tokio::test]
async fn child_of_the_kill_test() {
    let Some(directory) = env::var_os(DIRECTORY).map(PathBuf::from) else {
        return;
    };
    let registry = open(&directory).await.unwrap();
    println!("ready");
    loop {
        let (_, pending) = registry.reserve(intent(&QueryId::generate().unwrap())).await.unwrap();
        registry.record(pending, released()).await.unwrap();
        registry.record_refusal(attempt(&QueryId::generate().unwrap()), refused()).await.unwrap();
    }
}

#[tokio::test]
async fn a_killed_process_leaves_a_log_that_verifies() {
    let directory = TempDir::new().unwrap();
    let registry = open(directory.path()).await.unwrap();
    furnish(&registry).await;
    for milliseconds in [3, 17, 41, 80] {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "killed::child_of_the_kill_test", "--nocapture"])
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        assert!(output.lines().any(|line| line.unwrap().contains("ready")));
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        let house = House { directory: TempDir::new().unwrap(), registry: open(directory.path()).await.unwrap() };
        let kinds = house.kinds().await;
        let count = |kind: &str| kinds.iter().filter(|entry| *entry == kind).count();
        assert_eq!(count("query.intent"), count("query.outcome"), "every intent has its outcome");
        assert!(
            house.registry.queries(&room_name(), None, 1000).await.unwrap().iter().all(|query| query.status.is_some())
        );
    }
    verified(&registry);
}

const TABLE: &str = "retailer.purchases";

/// The child: it asks, is charged and keeps releases until it is killed. By itself it does nothing.
#[tokio::test]
async fn child_that_is_charged() {
    let Some(directory) = env::var_os(CHARGED).map(PathBuf::from) else {
        return;
    };
    let registry = open(&directory).await.unwrap();
    let digest = registry.policy(&room("main"), &table(TABLE)).await.unwrap().unwrap().digest;
    println!("ready");
    loop {
        let mut asked = intent(&QueryId::generate().unwrap());
        (asked.room, asked.policies) = (room("main"), vec![(table(TABLE), digest.clone())]);
        let (reservation, pending) = registry.reserve_at(asked, &[], &charge(&[TABLE], tenths(1))).await.unwrap();
        let id = reservation.query_id();
        let key = ReplayKey::parse(&id.as_str().repeat(2)).unwrap();
        registry.keep_replay(&room("main"), &key, id, b"release").await.unwrap();
        registry.record(pending, released()).await.unwrap();
    }
}

/// Wherever the process is killed, a charge stands for every intent and no other.
#[tokio::test]
async fn a_killed_process_keeps_every_charge() {
    let bank = Bank::with(&[(TABLE, "epsilon: 1e6, delta: 0")]).await;
    let mut before = 0;
    for milliseconds in [3, 11, 23, 47, 90] {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "killed::child_that_is_charged", "--nocapture"])
            .env(CHARGED, bank.directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        assert!(output.lines().any(|line| line.unwrap().contains("ready")));
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        // Opening compares sums and charges.
        let registry = open(bank.directory.path()).await.unwrap();
        let (intents, charged) = intents_and_charges(&registry).await;
        assert_eq!(intents, charged);
        assert!(charged >= before, "{charged} after {before}");
        before = charged;
        crate::ledger::verified(&registry, "main");
    }
    assert!(before > 0);
}

/// Intents in the log, and questions that the ledger counts.
async fn intents_and_charges(registry: &Registry) -> (u64, u64) {
    let entries = registry.log_entries(&room("main"), 0, u64::MAX).await.unwrap();
    let charged = |json: &str| match Entry::parse(json.as_bytes()).unwrap().event {
        Event::QueryIntent(intent) => intent.charge.len() as u64,
        _ => 0,
    };
    let budgets = registry.budgets(&room("main"), None).await.unwrap();
    (entries.iter().map(|entry| charged(&entry.json)).sum(), budgets[0].questions.unwrap())
}
