//! The sample policies: every case of theirs is answered or refused as it says, on data made up from their schemas.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::cleanroom;

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("policies").join(name)
}

/// `cleanroom policy test DIR --format json`
fn test(folder: &Path) -> (i32, Value) {
    let output = cleanroom().args(["policy", "test", "--format", "json"]).arg(folder).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let json =
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap(), json)
}

fn check(name: &str) {
    let cases: Value = serde_saphyr::from_str(&fs::read_to_string(sample(name).join("cases.yaml")).unwrap()).unwrap();
    let count = |key: &str| cases[key].as_array().unwrap().len();
    assert!(count("accepted") > 0 && count("refused") > 0);
    let (exit, json) = test(&sample(name));
    assert_eq!((exit, &json["failed"]), (0, &Value::from(0)), "{json:#}");
    let run = json["cases"].as_array().unwrap();
    assert_eq!(run.len(), count("accepted") + count("refused"));
    let answered = run.iter().filter(|case| case["found"].as_str().unwrap().starts_with("answered with ")).count();
    assert_eq!(answered, count("accepted"));
}

#[test]
fn advertising() {
    check("advertising");
}

#[test]
fn retail() {
    check("retail");
}

#[test]
fn health() {
    check("health");
}

/// A copy of a sample with other cases.
fn with_cases(name: &str, cases: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(sample(name)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    fs::write(folder.path().join("cases.yaml"), cases).unwrap();
    folder
}

#[test]
fn a_case_that_ends_otherwise_fails_and_says_how() {
    let folder = with_cases(
        "retail",
        "accepted:\n  - {as: agency, sql: SELECT household_id FROM retailer.purchases}\n  \
         - {as: agency, sql: SELECT week FROM retailer.purchases GROUP BY week HAVING COUNT(*) > 100000}\n\
         refused:\n  - {as: agency, code: CR2105, sql: SELECT COUNT(*) AS n FROM retailer.purchases}\n  \
         - {as: agency, code: CR2102, sql: SELECT purchase_price FROM retailer.products}\n  \
         - {as: agency, code: CR1005, sql: SELECT purchase_price FROM retailer.products}\n",
    );
    let (exit, json) = test(folder.path());
    assert_eq!((exit, &json["failed"]), (1, &Value::from(4)), "{json:#}");
    let found: Vec<(u64, &str)> = json["cases"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|case| case["ok"] == false)
        .map(|case| (case["line"].as_u64().unwrap(), case["found"].as_str().unwrap()))
        .collect();
    for ((line, found), (expected_line, expected)) in found.iter().zip([
        (2, "refused with CR2101"),
        (3, "answered without a row"),
        (5, "answered with 1 row"),
        (6, "refused with CR1005"),
    ]) {
        assert_eq!(*line, expected_line, "{json:#}");
        assert!(found.starts_with(expected), "{found}");
    }
}

#[test]
fn cases_that_cannot_be_read_or_run_are_errors_with_a_place() {
    let error = |folder: &Path| {
        let output = cleanroom().args(["policy", "test"]).arg(folder).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let folder = with_cases("retail", "accepted:\n  - {as: agency, sql: SELECT 1, kode: CR1005}\n");
    assert!(error(folder.path()).contains("cases.yaml:2:"), "{}", error(folder.path()));
    // Without a schema the room's own data is used, and this room has none.
    let folder = with_cases("retail", "accepted:\n  - {as: agency, sql: SELECT 1}\n");
    fs::remove_file(folder.path().join("schema.yaml")).unwrap();
    assert!(error(folder.path()).contains("cannot read"), "{}", error(folder.path()));
    // A table is missing in the schema.
    let folder = with_cases("retail", "accepted:\n  - {as: agency, sql: SELECT 1}\n");
    fs::write(
        folder.path().join("schema.yaml"),
        "retailer.products: {rows: 1, columns: {product_id: {type: integer, sequence: 1}}}\n",
    )
    .unwrap();
    assert!(error(folder.path()).contains("table `retailer.purchases` of the room is not described"));
}
