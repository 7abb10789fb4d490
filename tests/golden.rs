//! Statements and what becomes of them, in the files of `tests/golden`: beside each `NAME.sql` its `NAME.golden`.
//!
//! `UPDATE_GOLDEN=1` writes the golden files anew; what then differs is for a reviewer to judge.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::fixture::{Opened, block_on};
use crate::noise::noisy;
use crate::three::{fixed_rows, statements};

/// Where the files are.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn list(text: &mut String, name: &str, items: &Value) {
    for item in items.as_array().into_iter().flatten() {
        let item = item.as_str().map_or_else(|| item.to_string(), str::to_owned);
        writeln!(text, "  {name}: {item}").unwrap();
    }
}

/// What became of a statement, decided on and then answered; and where the two contradict each other.
async fn told(opened: &Opened, sql: &str, different: &mut Vec<String>) -> (bool, String) {
    let (priced, answered) = (opened.ask(sql, true).await, opened.ask(sql, false).await);
    let mut text = format!("{sql}\n");
    let error = &answered.document["error"];
    for key in ["outcome", "error", "columns"] {
        if priced.document[key] != answered.document[key] {
            different.push(format!("`{sql}`: the dry run tells another `{key}`: {priced:?}\n{answered:?}"));
        }
    }
    if answered.outcome() != "released" {
        writeln!(text, "  {} {}: {}", answered.outcome(), answered.code(), error["detail"].as_str().unwrap_or(""))
            .unwrap();
        for key in ["span", "policy", "suggestion"] {
            if !error[key].is_null() {
                writeln!(text, "  {key}: {}", error[key]).unwrap();
            }
        }
        return (false, text);
    }
    let columns: Vec<String> = answered.document["columns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| format!("{} {}", column["name"].as_str().unwrap(), column["type"].as_str().unwrap()))
        .collect();
    writeln!(text, "  released: {}", columns.join(", ")).unwrap();
    list(&mut text, "floor", &priced.document["floors"]);
    list(&mut text, "cost", &priced.document["cost"]);
    list(&mut text, "note", &answered.document["notes"]);
    for row in &answered.rows {
        writeln!(text, "  | {}", row.join(" | ")).unwrap();
    }
    (true, text)
}

/// What becomes of a statement under noise, by the dry run alone: its numbers are other ones each time.
async fn priced(opened: &Opened, sql: &str) -> String {
    let priced = opened.ask(sql, true).await;
    let mut text = format!("{sql}\n");
    if priced.outcome() == "refused" {
        let error = &priced.document["error"];
        writeln!(text, "  refused {}: {}", priced.code(), error["detail"].as_str().unwrap_or("")).unwrap();
        list(&mut text, "span", &Value::from_iter([error["span"].clone()]));
        return text;
    }
    writeln!(text, "  {}", priced.outcome()).unwrap();
    list(&mut text, "column", &priced.document["columns"]);
    list(&mut text, "cost", &priced.document["cost"]);
    list(&mut text, "note", &priced.document["notes"]);
    text
}

/// The files with statements, of these beginnings of names or of all others.
fn files(beginnings: &[&str], these: bool) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| {
        let name = path.file_stem().unwrap().to_str().unwrap();
        path.extension().is_some_and(|extension| extension == "sql")
            && beginnings.iter().any(|beginning| name.starts_with(beginning)) == these
    });
    files.sort();
    files
}

/// Holds what was found for the statements of a file against its golden file, or writes that.
fn hold(path: &Path, found: &str, different: &mut Vec<String>) {
    let golden = path.with_extension("golden");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&golden, found).unwrap();
    }
    let expected = fs::read_to_string(&golden).unwrap_or_default();
    let mut lines = found.lines();
    for (line, expected) in expected.lines().enumerate() {
        let found = lines.next().unwrap_or("nothing");
        if found != expected {
            different.push(format!("{}:{}: `{expected}` has become `{found}`", golden.display(), line + 1));
            break;
        }
    }
    if found.lines().count() > expected.lines().count() {
        different.push(format!("{} lacks statements", golden.display()));
    }
}

/// The files whose names begin with `refused`, or the others of the room without noise.
fn compare(refused: bool, least: usize) {
    let files = if refused { files(&["refused"], true) } else { files(&["refused", "noise"], false) };
    let mut count = 0;
    let mut different = Vec::new();
    block_on(async {
        let opened = Opened::new(&fixed_rows()).await;
        for path in files {
            let mut found = String::new();
            for sql in statements(&fs::read_to_string(&path).unwrap()) {
                let (released, text) = told(&opened, &sql, &mut different).await;
                if refused == released {
                    different.push(format!("{}: this does not belong here:\n{text}", path.display()));
                }
                writeln!(found, "{text}").unwrap();
                count += 1;
            }
            hold(&path, &found, &mut different);
        }
    });
    judged(count, least, &different);
}

fn judged(count: usize, least: usize, different: &[String]) {
    assert!(count >= least, "only {count} statements: files went missing");
    assert!(different.is_empty(), "{}\nUPDATE_GOLDEN=1 writes what is found", different.join("\n"));
}

#[test]
fn accepted_statements_end_as_their_golden_files_say() {
    compare(false, 220);
}

#[test]
fn refused_statements_end_as_their_golden_files_say() {
    compare(true, 150);
}

/// Scales, intervals, steps and prices, which depend on no row.
#[test]
fn statements_under_noise_are_priced_as_their_golden_files_say() {
    let mut count = 0;
    let mut different = Vec::new();
    block_on(async {
        let path = folder().join("noise.sql");
        let asked = statements(&fs::read_to_string(&path).unwrap());
        for mechanism in ["laplace", "gaussian"] {
            let opened = noisy(&fixed_rows(), mechanism).await;
            let mut found = String::new();
            for sql in &asked {
                writeln!(found, "{}", priced(&opened, sql).await).unwrap();
                count += 1;
            }
            hold(&path.with_file_name(format!("noise_{mechanism}")), &found, &mut different);
        }
    });
    judged(count, 50, &different);
}
