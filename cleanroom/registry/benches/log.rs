//! What a long log costs: to add to, to start with, and to verify.
//!
//! ```text
//! cargo bench -p cleanroom-registry --bench log                     a hundred thousand entries, in about a minute
//! cargo bench -p cleanroom-registry --bench log -- --entries 1000000
//! ```
//!
//! Prints a Markdown table. Single questions are recorded through the registry, one after the other, each of its entries durable
//! before the next call. To make the log long, copies of such questions are put into the database in batches, and each batch is
//! hashed, written out and signed by the registry as always. A server signs a checkpoint for each outcome and delivery, so the
//! log is verified a second time with a history of all of these. Verification is that of `cleanroom audit verify`, in a process of its
//! own whose memory is counted. Compare figures of one machine and one run only.

#![expect(clippy::unwrap_used, reason = "a benchmark stops where something is wrong")]

#[expect(dead_code, reason = "tests use more of it")]
#[path = "../tests/registry/house.rs"]
mod house;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs};

use cleanroom_log::{Checkpoint, Entry, EntryHash, EntryTime, Event, LogKey, Tree, VerifierKey};
use cleanroom_registry::{QueryId, Registry};
use cleanroom_verify::{published_key, verify_directory};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};

use self::house::{House, agency, furnish, intent, open, released, room_name};

/// Entries of one question: its intent, its outcome, the delivery of its result.
const OF_A_QUESTION: u64 = 3;
/// What this program is started with to verify a log by itself.
const VERIFY: &str = "--verify";

/// How long single calls took.
#[derive(Default)]
struct Times {
    intent: Vec<Duration>,
    outcome: Vec<Duration>,
    delivery: Vec<Duration>,
}

fn main() {
    // Cargo passes `--bench`.
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let value = |name: &str, default: u64| {
        let at = arguments.iter().position(|argument| argument == name);
        at.and_then(|at| arguments.get(at + 1)).map_or(default, |number| number.parse().unwrap())
    };
    if let [first, directory] = arguments.as_slice()
        && first == VERIFY
    {
        return verify(Path::new(directory));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure(value("--entries", 100_000), value("--asked", 500), value("--batch", 100)));
}

async fn measure(entries: u64, asked: u64, batch: u64) {
    let house = House::empty().await;
    furnish(&house.registry).await;
    println!("| log | what | ms, median | ms, 95 of 100 |\n|---|---|---:|---:|");
    ask(&house.registry, asked).await.print(&format!("short, up to {} entries", size(&house.registry).await));
    let begun = Instant::now();
    let checkpoints = lengthen(&house, entries, batch).await;
    let growing = begun.elapsed();
    ask(&house.registry, asked).await.print(&format!("from {entries} entries on"));

    let House { directory, registry } = house;
    let log = registry.log_directory(&room_name());
    registry.close().await;
    drop(registry);
    let begun = Instant::now();
    let registry = open(directory.path()).await.unwrap();
    let opened = begun.elapsed();
    let size = size(&registry).await;
    let history = history(&registry, &directory.path().join("log.key")).await;
    registry.close().await;
    let megabytes = |path: &Path| bytes(path) as f64 / 1e6;
    println!("\n| of {size} entries | |\n|---|---:|");
    println!("| made in batches of {batch} questions, {checkpoints} checkpoints | {:.1} s |", growing.as_secs_f64());
    println!("| start of a server, which reads all of it | {:.1} s |", opened.as_secs_f64());
    println!("| database | {:.0} MB |", megabytes(&directory.path().join("registry.sqlite")));
    println!("| log, all files | {:.0} MB |", megabytes(&log));
    println!("| of that, the history of checkpoints | {:.1} MB |", megabytes(&log.join("checkpoints")));
    verify_apart(&log);
    println!("\n| the same, with a checkpoint for each outcome and delivery | |\n|---|---:|");
    fs::write(log.join("checkpoints"), &history).unwrap();
    println!("| history of checkpoints | {:.0} MB |", history.len() as f64 / 1e6);
    verify_apart(&log);
}

fn verify_apart(log: &Path) {
    let child = Command::new(env::current_exe().unwrap()).arg(VERIFY).arg(log).output().unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
    print!("{}", String::from_utf8_lossy(&child.stdout));
}

/// The history that the log would have, had it been signed for each outcome and delivery by itself.
async fn history(registry: &Registry, key: &Path) -> String {
    const PAGE: u64 = 10_000;
    let key = LogKey::load(key).unwrap();
    let origin = registry.log_vkey(&room_name()).await.unwrap().parse::<VerifierKey>().unwrap().origin().clone();
    let (mut tree, mut notes) = (Tree::new(), String::new());
    loop {
        let page = registry.log_entries(&room_name(), tree.size(), PAGE).await.unwrap();
        if page.is_empty() {
            break;
        }
        for entry in page {
            tree.append(EntryHash::of_entry(entry.json.as_bytes()));
            if !entry.json.contains("\"type\":\"query.intent\"") {
                let checkpoint = Checkpoint { origin: origin.clone(), size: tree.size(), root: tree.root() };
                notes.push_str(&checkpoint.sign(&key));
                notes.push('\n');
            }
        }
    }
    notes
}

/// Asks questions one after the other, as a server records them.
async fn ask(registry: &Registry, count: u64) -> Times {
    let mut times = Times::default();
    for _ in 0..count {
        let id = QueryId::generate().unwrap();
        let begun = Instant::now();
        let (_reservation, pending) = registry.reserve(intent(&id)).await.unwrap();
        times.intent.push(begun.elapsed());
        let begun = Instant::now();
        let recorded = registry.record(pending, released()).await.unwrap();
        registry.receipt(recorded.receipt()).await.unwrap();
        times.outcome.push(begun.elapsed());
        let begun = Instant::now();
        registry.delivered(&room_name(), &id, &agency(), "json").await.unwrap();
        times.delivery.push(begun.elapsed());
    }
    times
}

impl Times {
    fn print(self, log: &str) {
        for (what, mut times) in [
            ("an intent, durable", self.intent),
            ("an outcome, durable, signed, and its receipt", self.outcome),
            ("a delivery, durable and signed", self.delivery),
        ] {
            times.sort();
            let at = |hundredths: usize| {
                let time = times.get((times.len() * hundredths / 100).min(times.len() - 1)).unwrap();
                time.as_secs_f64() * 1e3
            };
            println!("| {log} | {what} | {:.1} | {:.1} |", at(50), at(95));
        }
    }
}

/// Puts copies of the last question into the log until it has so many entries; gives how many checkpoints were signed.
async fn lengthen(house: &House, entries: u64, batch: u64) -> u64 {
    let options = SqliteConnectOptions::new()
        .filename(house.directory.path().join("registry.sqlite"))
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(10));
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let begun = size(&house.registry).await;
    let lines = house.registry.log_entries(&room_name(), begun - OF_A_QUESTION, OF_A_QUESTION).await.unwrap();
    let story: Vec<Entry> = lines.iter().map(|line| Entry::parse(line.json.as_bytes()).unwrap()).collect();
    let (mut next, mut checkpoints) = (begun, 0);
    while next < entries {
        let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
        for _ in 0..batch.min((entries - next).div_ceil(OF_A_QUESTION)) {
            let request = QueryId::generate().unwrap();
            for (entry, sequence) in story.iter().zip(next..) {
                insert(&mut transaction, entry, sequence, next, &request).await;
            }
            copy_question(&mut transaction, story.first().unwrap(), next, &request).await;
            next += OF_A_QUESTION;
        }
        transaction.commit().await.unwrap();
        assert_eq!(size(&house.registry).await, next);
        checkpoints += 1;
    }
    pool.close().await;
    checkpoints
}

/// One entry of a question whose intent is number `first`.
async fn insert(to: &mut sqlx::SqliteConnection, entry: &Entry, sequence: u64, first: u64, request: &QueryId) {
    let mut entry = Entry { sequence, time: EntryTime::now(), request: Some(request.to_string()), ..entry.clone() };
    if let Event::ResultDelivered(delivered) = &mut entry.event {
        delivered.query = first + 1;
    }
    let at = i64::try_from(entry.time.moment().unix_timestamp_nanos() / 1_000_000).unwrap();
    sqlx::query("INSERT INTO log_entries (room, sequence, at, entry) VALUES ($1, $2, $3, $4)")
        .bind(&entry.room)
        .bind(i64::try_from(sequence).unwrap())
        .bind(at)
        .bind(String::from_utf8(entry.to_line().unwrap()).unwrap())
        .execute(&mut *to)
        .await
        .unwrap();
    if let Event::QueryIntent(intent) = &entry.event {
        for digest in [intent.sql, intent.plan] {
            sqlx::query("INSERT INTO entry_blobs (room, sequence, digest) VALUES ($1, $2, $3)")
                .bind(&entry.room)
                .bind(i64::try_from(sequence).unwrap())
                .bind(digest.hex())
                .execute(&mut *to)
                .await
                .unwrap();
        }
    }
}

/// The rows that a question has besides its entries.
async fn copy_question(to: &mut sqlx::SqliteConnection, of: &Entry, first: u64, request: &QueryId) {
    for table in ["queries", "query_tables"] {
        let columns: Vec<String> = sqlx::query_scalar("SELECT name FROM pragma_table_info($1) ORDER BY cid")
            .bind(table)
            .fetch_all(&mut *to)
            .await
            .unwrap();
        let values: Vec<&str> = columns
            .iter()
            .map(|column| match column.as_str() {
                "query_id" => "$1",
                "intent_sequence" => "$2",
                "outcome_sequence" => "$2 + 1",
                other => other,
            })
            .collect();
        let copy = format!(
            "INSERT INTO {table} ({}) SELECT {} FROM {table} WHERE room = $3 AND query_id = $4",
            columns.join(", "),
            values.join(", ")
        );
        sqlx::query(sqlx::AssertSqlSafe(copy))
            .bind(request.as_str())
            .bind(i64::try_from(first).unwrap())
            .bind(&of.room)
            .bind(of.request.as_deref().unwrap())
            .execute(&mut *to)
            .await
            .unwrap();
    }
}

async fn size(registry: &Registry) -> u64 {
    registry.log_size(&room_name()).await.unwrap()
}

fn verify(directory: &Path) {
    let key = published_key(directory).unwrap();
    let begun = Instant::now();
    let report = verify_directory(directory, &[key]).unwrap();
    let taken = begun.elapsed();
    assert!(report.passed(), "{:?}", report.findings);
    println!("| verification, start to end | {:.1} s |", taken.as_secs_f64());
    println!("| entries verified a second | {:.0} |", report.size as f64 / taken.as_secs_f64());
    println!("| memory of the verifying process, at its highest | {} |", peak());
}

/// The highest resident memory of this process, as Linux counts it.
fn peak() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kibibytes.map_or_else(|| "not known on this system".to_owned(), |kib| format!("{:.0} MB", kib * 1024.0 / 1e6))
}

fn bytes(path: &Path) -> u64 {
    let metadata = fs::metadata(path).unwrap();
    if !metadata.is_dir() {
        return metadata.len();
    }
    fs::read_dir(path).unwrap().map(|entry| bytes(&entry.unwrap().path())).sum()
}
