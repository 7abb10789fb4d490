//! A room in a temporary folder, asked through the binary.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// The binary under test.
pub(crate) fn cleanroom() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cleanroom"));
    command.env_remove("CLEANROOM_TOKEN").env_remove("CLEANROOM_SERVER").env_remove("RUST_LOG");
    command
}

/// Shared test data: `CLEANROOM_SHARED`, or `../shared` beside the repository.
pub(crate) fn shared(path: &str) -> PathBuf {
    let root = std::env::var_os("CLEANROOM_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let file = root.join(path);
    assert!(file.exists(), "this test needs `{path}` of the shared test data: set CLEANROOM_SHARED to its folder");
    file.canonicalize().unwrap()
}

/// A room file with its policies, in a folder of its own.
pub(crate) struct Room {
    folder: TempDir,
}

/// How a question ended, as the command line told it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) exit: i32,
    pub(crate) json: Value,
    /// Everything that was printed.
    pub(crate) printed: Vec<u8>,
}

impl Room {
    pub(crate) fn new(room: &str, policies: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("room.yaml"), room).unwrap();
        for (name, text) in policies {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        cleanroom().args(arguments).current_dir(self.path()).output().unwrap()
    }

    /// `cleanroom query --room room.yaml --as PARTNER --format json SQL`
    pub(crate) fn ask(&self, partner: &str, sql: &str) -> Answer {
        self.ask_with(partner, sql, &[])
    }

    pub(crate) fn ask_with(&self, partner: &str, sql: &str, more: &[&str]) -> Answer {
        let mut arguments = vec!["query", "--room", "room.yaml", "--as", partner, "--format", "json"];
        arguments.extend(more);
        arguments.extend(["--", sql]);
        let output = self.run(&arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let json = serde_json::from_str(&text)
            .unwrap_or_else(|_| panic!("no JSON for `{sql}`:\n{text}\n{}", String::from_utf8_lossy(&output.stderr)));
        let printed = [output.stdout, output.stderr].concat();
        Answer { exit: output.status.code().unwrap(), json, printed }
    }

    pub(crate) fn verify(&self) -> Output {
        self.run(&["audit", "verify", ".cleanroom"])
    }
}

impl Answer {
    pub(crate) fn outcome(&self) -> &str {
        self.json["outcome"].as_str().unwrap_or("none")
    }

    pub(crate) fn code(&self) -> &str {
        self.json["error"]["code"].as_str().unwrap_or("none")
    }

    pub(crate) fn rows(&self) -> Vec<Vec<Value>> {
        assert_eq!(self.outcome(), "released", "{}", self.json);
        self.json["rows"].as_array().unwrap().iter().map(|row| row.as_array().unwrap().clone()).collect()
    }

    /// The first column of every row, as text.
    pub(crate) fn labels(&self) -> BTreeSet<String> {
        self.rows()
            .iter()
            .map(|row| match &row[0] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            })
            .collect()
    }

    /// The cell of the row whose first column is `label`.
    pub(crate) fn number(&self, label: &str, column: usize) -> f64 {
        let rows = self.rows();
        let row = rows
            .iter()
            .find(|row| row[0].as_str() == Some(label))
            .unwrap_or_else(|| panic!("no row `{label}` in {}", self.json));
        row[column].as_f64().unwrap()
    }
}

/// Copies a folder with all that is in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}
