//! Receipts: an answer can be shown to be the one that the log records, offline, and no other can.

use std::fs;

use serde_json::{Value, json};

use crate::attacks::room;
use crate::support::Room;

const ASKED: &str = "SELECT category, COUNT(DISTINCT email_hash) AS buyers, AVG(amount) AS mean FROM retailer.purchases GROUP BY category";

fn verify(room: &Room, more: &[&str]) -> (i32, Value) {
    let key = fs::read_dir(room.path().join(".cleanroom/log")).unwrap().next().unwrap().unwrap().path().join("log.pub");
    let mut arguments = vec!["audit", "receipt", "verify", "--format", "json", "--key", key.to_str().unwrap()];
    arguments.extend(more);
    let output = room.run(&arguments);
    (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap_or_default())
}

#[test]
fn a_receipt_vouches_for_every_row_of_its_answer_and_for_no_other() {
    let room = room();
    let answer = room.ask_with("publisher", ASKED, &["--receipt", "receipt.txt"]);
    assert!(answer.rows().len() > 1, "{}", answer.json);
    let write = |name: &str, value: &Value| fs::write(room.path().join(name), value.to_string()).unwrap();
    write("answer.json", &answer.json);
    let expect = |more: &[&str], exit: i32, covers: &Value| {
        let (found, report) = verify(&room, more);
        assert_eq!((found, &report["covers"]), (exit, covers), "{more:?} {report}");
    };
    expect(&["answer.json"], 0, &json!("answer"));
    expect(&["receipt.txt", "--result", "answer.json"], 0, &json!("answer"));
    expect(&["receipt.txt"], 0, &json!("record"));

    // Without what is about it, written anew, the answer is the same.
    let mut bare = answer.json.clone();
    bare.as_object_mut().unwrap().remove("receipt");
    write("bare.json", &bare);
    expect(&["receipt.txt", "--result", "bare.json"], 0, &json!("answer"));

    let changed = |change: &dyn Fn(&mut Value)| {
        let mut other = answer.json.clone();
        change(&mut other);
        assert_ne!(other, answer.json);
        write("other.json", &other);
        expect(&["other.json"], 6, &Value::Null);
    };
    changed(&|other| other["rows"][0][1] = json!(other["rows"][0][1].as_i64().unwrap() + 1));
    changed(&|other| other["rows"][0][0] = json!("another"));
    changed(&|other| drop(other["rows"].as_array_mut().unwrap().pop()));
    changed(&|other| other["rows"].as_array_mut().unwrap().reverse());
    changed(&|other| other["columns"][1]["name"] = json!("people"));
    changed(&|other| other["notes"] = json!(["exact"]));
    changed(&|other| other["query_id"] = json!("0123456789abcdef"));
    changed(&|other| other["outcome"] = json!("refused"));
    changed(&|other| other["receipt"]["sequence"] = json!(1));
    changed(&|other| other["receipt"]["entry"] = json!("{}"));
    changed(&|other| other["receipt"]["room"] = json!("elsewhere"));

    // The receipt of another answer.
    let second = room.ask("publisher", ASKED);
    let mut swapped = answer.json.clone();
    swapped["receipt"] = second.json["receipt"].clone();
    write("swapped.json", &swapped);
    expect(&["swapped.json"], 6, &Value::Null);
}

#[test]
fn no_bit_of_a_receipt_can_be_another() {
    let room = room();
    let answer = room.ask_with("publisher", ASKED, &["--receipt", "receipt.txt"]);
    fs::write(room.path().join("answer.json"), answer.json.to_string()).unwrap();
    let receipt = fs::read(room.path().join("receipt.txt")).unwrap();
    // A prime apart, so that every kind of line is met, and the last byte.
    for at in (0..receipt.len()).step_by(53).chain([receipt.len() - 1]) {
        let mut flipped = receipt.clone();
        flipped[at] ^= 1;
        fs::write(room.path().join("flipped.txt"), &flipped).unwrap();
        let (exit, report) = verify(&room, &["flipped.txt", "--result", "answer.json"]);
        assert_ne!(exit, 0, "byte {at}: {report}");
    }
}

#[test]
fn refusals_and_dry_runs_have_receipts_too() {
    let room = room();
    for (sql, more) in [("SELECT email_hash FROM retailer.purchases", &[][..]), (ASKED, &["--dry-run"])] {
        let told = room.ask_with("publisher", sql, more);
        fs::write(room.path().join("told.json"), told.json.to_string()).unwrap();
        let (exit, report) = verify(&room, &["told.json"]);
        assert_eq!((exit, &report["covers"]), (0, &json!("record")), "{report}");
        let mut other = told.json.clone();
        match told.outcome() {
            "refused" => other["error"]["code"] = json!("CR1001"),
            _ => other["rows"] = json!([["toys", 812]]),
        }
        assert_ne!(other, told.json);
        fs::write(room.path().join("told.json"), other.to_string()).unwrap();
        assert_eq!(verify(&room, &["told.json"]).0, 6);
    }
    // The nonce, with which results could be tried, is in no entry.
    let entries = room.run(&["audit", "log", "--room", "room.yaml", "--format", "json"]);
    assert!(!String::from_utf8(entries.stdout).unwrap().contains("nonce"));
}

#[test]
fn an_answer_that_says_a_thing_twice_is_none() {
    let room = room();
    let told = room.ask("publisher", ASKED).json.to_string();
    let twice = told.replacen('{', r#"{"rows":[["garden",1,7919.13]],"#, 1);
    for (text, exit) in [(told, 0), (twice, 2)] {
        fs::write(room.path().join("answer.json"), &text).unwrap();
        assert_eq!(verify(&room, &["answer.json"]).0, exit, "{text}");
    }
}
