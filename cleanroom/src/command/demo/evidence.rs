//! What the demonstration looks up in files: tokens, the log, and what a changed log looks like.

use std::fs::{self, File};
use std::path::Path;

use arrow::array::AsArray as _;
use cleanroom_log::entries_path;
use cleanroom_verify::{Code, Key, RoomReport, verify_tree};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use super::stage::Stage;
use crate::command::audit;
use crate::embedded::Session;
use crate::fault::{Fault, Result};

/// Most findings that are shown.
const FINDINGS: usize = 2;

/// The address, or token, of the first row of a file.
pub(super) fn first_email(folder: &Path, name: &str) -> Result<String> {
    let path = folder.join(format!("{name}.parquet"));
    let unreadable =
        |error: &dyn std::fmt::Display| Fault::failure(format!("cannot read `{}`: {error}", path.display()), "");
    let file = File::open(&path).map_err(|error| Fault::read(&path, &error))?;
    let mut reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(|builder| builder.with_batch_size(1).build())
        .map_err(|error| unreadable(&error))?;
    let batch = reader.next().transpose().map_err(|error| unreadable(&error))?;
    let email = batch.as_ref().and_then(|batch| batch.column_by_name("email"));
    let text = email.and_then(|column| column.as_string_opt::<i32>()).and_then(|texts| texts.iter().next().flatten());
    text.map(str::to_owned).ok_or_else(|| unreadable(&"it has no address"))
}

/// The beginning of a token.
pub(super) fn shortened(token: &str) -> String {
    let start: String = token.chars().take(21).collect();
    format!("{start}... ({} characters)", token.chars().count())
}

/// Shows the entries of the room's log.
pub(super) async fn log(stage: &Stage, session: &Session) -> Result<()> {
    stage.command("cleanroom audit log --room room.yaml")?;
    let entries = session.registry.log_entries(&session.room.name, 0, 256).await?;
    let rows = entries
        .iter()
        .map(|entry| {
            let value: Value = serde_json::from_str(&entry.json)
                .map_err(|error| Fault::failure(format!("an entry of the log cannot be read: {error}"), ""))?;
            Ok(vec![
                entry.sequence.to_string(),
                audit::text(&value, "type"),
                audit::actor(&value),
                audit::summary(&value),
            ])
        })
        .collect::<Result<Vec<_>>>()?;
    stage.table(&["entry", "type", "by", "about"], &rows)
}

/// Verifies the log with nothing but its files and its public key, then a copy in which one bit is another.
pub(super) fn verify(stage: &mut Stage, log: &Path, key: &str) -> Result<()> {
    let keys = [key
        .parse::<Key>()
        .map_err(|error| Fault::failure(format!("the log's public key cannot be read: {error}"), ""))?];
    stage.say("Anyone with the log's files and its public key can verify it, without this server and offline:")?;
    stage.command("cleanroom audit verify .cleanroom --key .cleanroom/log/demo/log.pub")?;
    let size = check(stage, log, &keys, true)?;

    let copy = tempfile::tempdir().map_err(|error| Fault::write(&std::env::temp_dir(), &error))?;
    let copied = copy.path().join("demo");
    copy_folder(log, &copied).map_err(|error| Fault::write(&copied, &error))?;
    let bundle = copied.join(entries_path(0, size));
    let mut bytes = fs::read(&bundle).map_err(|error| Fault::read(&bundle, &error))?;
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 1;
    }
    fs::write(&bundle, bytes).map_err(|error| Fault::write(&bundle, &error))?;
    stage.say("The same, of a copy in which a single bit of one entry was changed:")?;
    check(stage, &copied, &keys, false)?;
    Ok(())
}

/// Verifies and shows the report. Gives the number of entries.
fn check(stage: &mut Stage, log: &Path, keys: &[Key], sound: bool) -> Result<u64> {
    let mut reports = verify_tree(log, keys).map_err(|error| Fault::failure(error, ""))?;
    let passed = reports.iter().all(|report| report.report.passed());
    stage.expect(passed == sound && !reports.is_empty(), "the log verifies, and a changed one does not");
    let mut more = 0;
    for report in &mut reports {
        let findings = &mut report.report.findings;
        // What fails comes before notices, and what is said of an entry first: one changed entry is in many files.
        findings.sort_by_key(|finding| (!finding.is_failure(), finding.code == Code::TileMismatch));
        more += findings.len().saturating_sub(FINDINGS);
        findings.truncate(FINDINGS);
    }
    let more = if more > 0 { format!("  and {more} more findings") } else { String::new() };
    stage.quote(format!("{}{more}", RoomReport::for_people(&reports)).trim_end())?;
    Ok(reports.first().map_or(0, |report| report.report.size))
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
