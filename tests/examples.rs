//! `examples/retail-media`: its ten questions are answered as written down beside them.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::cleanroom;

#[test]
fn retail_media_answers_as_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/retail-media");
    let state = tempfile::tempdir().unwrap();
    let mut queries: Vec<_> =
        fs::read_dir(folder.join("queries")).unwrap().map(|entry| entry.unwrap().path()).collect();
    queries.sort();
    assert!(queries.len() >= 10);
    for query in queries {
        let name = query.file_stem().unwrap().to_str().unwrap().to_owned();
        let expected: Value =
            serde_json::from_str(&fs::read_to_string(folder.join(format!("expected/{name}.json"))).unwrap()).unwrap();
        let output = cleanroom()
            .args(["query", "--as", "agency", "--format", "json", "--room"])
            .arg(folder.join("room.yaml"))
            .arg("--data-dir")
            .arg(state.path())
            .arg("-f")
            .arg(&query)
            .output()
            .unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stdout));
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answer["columns"], expected["columns"], "{name}");
        assert_eq!(answer["rows"], expected["rows"], "{name}");
        assert!(!answer["rows"].as_array().unwrap().is_empty(), "{name}");
    }
}

#[test]
fn the_demo_goes_as_told() {
    // It checks itself, and ends with an error where anything is not as its text says.
    let output = cleanroom().arg("demo").output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}");
    // The log as it is, then with one bit changed.
    let verdicts: Vec<&str> = told.lines().map(str::trim_start).filter(|line| line.contains("verified: ")).collect();
    assert!(verdicts.len() == 2 && verdicts[0].starts_with("verified: ") && verdicts[1].starts_with("NOT "), "{told}");
}
