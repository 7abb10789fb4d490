//! A process that writes as fast as it can is killed, and what it leaves must be whole.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use cleanroom_registry::QueryId;
use tempfile::TempDir;

use crate::house::{House, attempt, furnish, intent, open, refused, released, room_name, verified};

const DIRECTORY: &str = "CLEANROOM_TEST_DATA_DIR";

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
