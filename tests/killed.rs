//! Commands that are killed with SIGKILL while they take rows in or tokenise them: what they leave, and that it does no harm.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Room, cleanroom};

const ROOM: &str = "\
apiVersion: cleanroom/v1
kind: Room
name: market
partners:
  - name: shop
    abilities: [contribute]
    tables:
      - {name: sales, source: {file: sales.csv}, policy: sales.yaml}
  - name: agency
    abilities: [query, receive]
";

const SALES: &str = "\
apiVersion: cleanroom/v1
kind: Policy
table: shop.sales
version: 1
unit: {column: id, space: household}
columns:
  id: {use: [join, count]}
  department: {use: [dimension, filter]}
joins: {require: none}
release: {min_units: 25}
access: {analysts: [agency]}
";

const QUESTION: &str = "SELECT COUNT(DISTINCT id) AS households FROM shop.sales";

/// Rows of `units` units, whose names begin with `prefix`.
fn sales(rows: usize, units: usize, prefix: &str) -> String {
    let lines = (0..rows).map(|row| format!("{prefix}{},{}\n", row * 7919 % units, ["dairy", "grocery"][row % 2]));
    format!("id,department\n{}", lines.collect::<String>())
}

/// Starts a command and kills it after some time, unless it has ended by then; tells whether it had.
fn kill_after(command: &mut Command, time: Duration) -> bool {
    let mut process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    thread::sleep(time);
    let ended = process.try_wait().unwrap().is_some();
    // SIGKILL, on Unix.
    drop(process.kill());
    process.wait().unwrap();
    ended
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    (work(), start.elapsed())
}

/// Folders of commands that do not run any more.
fn left_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_dir()).collect()
}

#[test]
fn a_killed_ingestion_leaves_what_was_there_before() {
    const ROUNDS: u32 = 4;
    let room = Room::new(ROOM, &[("sales.yaml", SALES)]);
    let (file, state) = (room.path().join("sales.csv"), room.path().join(".cleanroom"));
    let ask = |households: usize| {
        let answer = room.ask("agency", QUESTION);
        assert_eq!(answer.rows(), [vec![json!(households)]], "{}", answer.json);
        assert_eq!(left_in(&state.join("tmp")), Vec::<PathBuf>::new());
        let verified = room.verify();
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    };
    fs::write(&file, sales(12_000, 5_000, "")).unwrap();
    let ((), time) = timed(|| ask(5_000));
    fs::write(&file, sales(100, 50, "")).unwrap();
    ask(50);

    let mut cut_short = 0;
    for round in 0..ROUNDS {
        // Identities that no earlier round has seen, so that there are new ones to number.
        fs::write(&file, sales(12_000, 5_000, &format!("{round}-"))).unwrap();
        let mut query = cleanroom();
        query.args(["query", "--room", "room.yaml", "--as", "agency", "--", QUESTION]).current_dir(room.path());
        cut_short += u32::from(!kill_after(&mut query, time * (round + 1) / (ROUNDS + 1)));
        // As it lies there, before anything repairs it.
        let verified = room.verify();
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
        fs::write(&file, sales(100, 50, "")).unwrap();
        ask(50);
    }
    assert!(cut_short > 0, "nothing was killed before it ended");
    fs::write(&file, sales(12_000, 4_000, "")).unwrap();
    ask(4_000);
}

#[test]
fn a_killed_tokenisation_leaves_its_output_whole_or_as_it_was() {
    const ROUNDS: u32 = 4;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let tokenize = |input: &str| {
        let mut command = cleanroom();
        command.current_dir(folder.path()).args(["tokenize", input, "-o", "out.parquet", "--force"]);
        command.args(["--key", "room.key", "--column", "id=household"]);
        command
    };
    let made = cleanroom().args(["keys", "new", "room", "-o", "room.key"]).current_dir(folder.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fs::write(path("old.csv"), sales(10, 10, "")).unwrap();
    fs::write(path("new.csv"), sales(100_000, 50_000, "")).unwrap();
    let (new, time) = timed(|| {
        assert!(tokenize("new.csv").output().unwrap().status.success());
        fs::read(path("out.parquet")).unwrap()
    });
    assert!(tokenize("old.csv").output().unwrap().status.success());
    let old = fs::read(path("out.parquet")).unwrap();

    let mut cut_short = 0;
    for round in 0..ROUNDS {
        cut_short += u32::from(!kill_after(&mut tokenize("new.csv"), time * (round + 1) / (ROUNDS + 1)));
        let out = fs::read(path("out.parquet")).unwrap();
        assert!(out == old || out == new, "round {round}: neither the old file nor the new");
    }
    assert!(cut_short > 0, "nothing was killed before it ended");
    assert!(tokenize("new.csv").output().unwrap().status.success());
    assert_eq!(fs::read(path("out.parquet")).unwrap(), new);
    let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["new.csv", "old.csv", "out.parquet", "room.key"]);
}

#[test]
fn a_broken_file_is_told_by_name_and_place_and_leaves_nothing() {
    for (name, content, told) in [
        ("sales.csv", &b""[..], "sales.csv: the file is empty"),
        ("sales.csv", b"id\n1\n", "sales.csv: column `department`: no such column"),
        ("sales.csv", b"id,department\n1,dairy\n2\n", "sales.csv:3: the row has more or fewer fields"),
        ("sales.csv", b"id,department\n1,\"dairy\n", "sales.csv:2: a quoted field is not closed"),
        (
            "sales.jsonl",
            b"{\"id\":1,\"department\":\"dairy\"}\n{\"id\":2,",
            "sales.jsonl:2: the line is not one JSON object",
        ),
        ("sales.jsonl", b"{\"id\":true,\"department\":\"dairy\"}\n", "sales.jsonl:1: column `id`: the unit is neither"),
        ("sales.parquet", b"id,department\n1,dairy\n", "sales.parquet: not a Parquet file"),
        ("sales.arrows", b"ARROW1", "sales.arrows: "),
    ] {
        let room = Room::new(&ROOM.replace("sales.csv", name), &[("sales.yaml", SALES)]);
        fs::write(room.path().join(name), content).unwrap();
        let output = room.run(&["query", "--room", "room.yaml", "--as", "agency", "--", QUESTION]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{name}: {error}");
        assert!(error.contains(told) && error.contains("; "), "{told}: {error}");
        assert_eq!(left_in(&room.path().join(".cleanroom/tmp")), Vec::<PathBuf>::new());
        let snapshots = room.path().join(".cleanroom/rooms/market/snapshots");
        assert!(fs::read_dir(snapshots).map_or(0, Iterator::count) == 0, "{name}");
        assert!(room.verify().status.success(), "{name}");
    }
}
