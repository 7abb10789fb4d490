//! `cleanroom audit verify`

use std::path::PathBuf;

use clap::Args;
use cleanroom_verify::{RoomReport, verify_tree_knowing};
use serde_json::{Value, json};

use super::verifier_key;
use crate::exit::Exit;
use crate::fault::{Fault, Result};
use crate::output::{Format, list, print};

#[derive(Debug, Args)]
pub(in crate::command) struct VerifyArgs {
    /// A data directory, or the directory of one log
    #[arg(value_name = "DIR")]
    directory: PathBuf,

    /// Public key of a log, or a file that holds it; otherwise the key beside the log is used, on trust
    #[arg(long = "key", value_name = "KEY|FILE")]
    keys: Vec<String>,

    /// Public key of a partner, as `keys show --as` prints it, or a file that holds it: its policies must all be signed by it
    #[arg(long = "member", value_name = "KEY|FILE")]
    members: Vec<String>,
}

pub(super) fn run(args: &VerifyArgs, format: Format) -> Result<Exit> {
    let keys = args.keys.iter().map(|key| verifier_key(key)).collect::<Result<Vec<_>>>()?;
    let members = args.members.iter().map(|key| verifier_key(key)).collect::<Result<Vec<_>>>()?;
    let reports = verify_tree_knowing(&args.directory, &keys, &members).map_err(|error| {
        Fault::usage(error, "name a data directory such as `.cleanroom`, or the directory of one log")
    })?;
    let passed = reports.iter().all(|report| report.report.passed());
    match format {
        Format::Table => print(&RoomReport::for_people(&reports))?,
        _ => {
            let rows: Vec<Vec<String>> = reports.iter().flat_map(finding_rows).collect();
            let value = json!({ "verified": passed, "logs": reports.iter().map(report_json).collect::<Vec<_>>() });
            list(format, &["log", "entry", "code", "finding"], &rows, &value)?;
        }
    }
    Ok(if passed { Exit::Done } else { Exit::NotVerified })
}

fn report_json(room: &RoomReport) -> Value {
    let findings: Vec<Value> = room
        .report
        .findings
        .iter()
        .map(|finding| {
            json!({
                "index": finding.index, "code": finding.code.as_str(), "message": finding.message,
                "failure": finding.is_failure(),
            })
        })
        .collect();
    json!({
        "directory": room.directory.display().to_string(),
        "verified": room.report.passed(),
        "size": room.report.size,
        "root": room.report.root.to_base64(),
        "key_on_trust": room.key_on_trust,
        "findings": findings,
    })
}

fn finding_rows(room: &RoomReport) -> Vec<Vec<String>> {
    let findings = room.report.findings.iter();
    findings
        .map(|finding| {
            let index = finding.index.map(|index| index.to_string()).unwrap_or_default();
            vec![room.directory.display().to_string(), index, finding.code.as_str().to_owned(), finding.message.clone()]
        })
        .collect()
}
