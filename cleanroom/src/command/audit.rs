//! `cleanroom audit`

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use cleanroom_verify::{Against, Key, RoomReport, verify_against};
use serde_json::{Value, json};

use super::{block_on, checkpoints, cosign, evidence, receipt, witness};
use crate::client::Client;
use crate::embedded::{RoomFiles, read_document};
use crate::exit::Exit;
use crate::fault::{Fault, Result};
use crate::output::{Format, list, print};
use crate::target::{Target, TargetArgs, room_path};

/// Entries that are read at once.
const PAGE: u64 = 1000;

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Lists entries of the log
    Log(LogArgs),
    /// Shows one entry
    Show(EntryArgs),
    /// Proves that an entry is in the log: prints a tlog-proof
    Prove(EntryArgs),
    /// Verifies whole logs offline, with nothing but their files and public keys
    Verify(VerifyArgs),
    /// Verifies receipts
    #[command(subcommand)]
    Receipt(receipt::ReceiptCommand),
    /// Lists the checkpoints that the log signed, and who cosigned them
    Checkpoints(checkpoints::CheckpointsArgs),
    /// Has witnesses cosign a log's newest checkpoint
    Cosign(cosign::CosignArgs),
    /// Runs a witness: remembers how far logs have come, and cosigns what continues them
    Witness(witness::WitnessArgs),
}

#[derive(Debug, Args)]
pub(super) struct LogArgs {
    /// Only entries of this type, such as `query.refused`
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,

    /// Only entries of this partner's doing
    #[arg(long, value_name = "PARTNER")]
    partner: Option<String>,

    /// At most so many, the newest
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,

    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Debug, Args)]
pub(super) struct EntryArgs {
    /// The entry's number in the log, from 0
    #[arg(value_name = "SEQUENCE")]
    sequence: u64,

    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// A data directory, or the directory of one log
    #[arg(value_name = "DIR")]
    directory: PathBuf,

    /// Public key of a log, or a file that holds it; otherwise the key beside the log is used, on trust
    #[arg(long = "key", value_name = "KEY|FILE")]
    keys: Vec<String>,

    /// Public key of a partner, as `keys show --as` prints it, or a file that holds it: its policies must all be signed by it
    #[arg(long = "member", value_name = "KEY|FILE")]
    members: Vec<String>,

    #[command(flatten)]
    witnessed: evidence::WitnessedArgs,

    /// Checkpoints and receipts that somebody kept; the log must continue each of them
    #[arg(long, value_name = "FILE", num_args = 1..)]
    kept: Vec<PathBuf>,
}

pub(super) fn run(command: AuditCommand, format: Format) -> Result<Exit> {
    match command {
        AuditCommand::Log(args) => log(&args, format),
        AuditCommand::Show(args) => show(&args, format),
        AuditCommand::Prove(args) => prove(&args),
        AuditCommand::Verify(args) => verify(&args, format),
        AuditCommand::Receipt(command) => receipt::run(&command, format),
        AuditCommand::Checkpoints(args) => checkpoints::run(&args, format),
        AuditCommand::Cosign(args) => cosign::run(&args, format),
        AuditCommand::Witness(args) => witness::run(&args, format),
    }
}

fn log(args: &LogArgs, format: Format) -> Result<Exit> {
    let mut entries = entries(&args.target)?;
    entries.retain(|entry| {
        args.kind.as_deref().is_none_or(|kind| text(entry, "type") == kind)
            && args.partner.as_deref().is_none_or(|partner| partner == actor(entry))
    });
    let entries = entries.split_off(entries.len().saturating_sub(args.limit));
    let rows: Vec<Vec<String>> = entries
        .iter()
        .map(|entry| {
            let sequence = entry.get("seq").map(ToString::to_string).unwrap_or_default();
            vec![sequence, text(entry, "time"), text(entry, "type"), actor(entry), summary(entry)]
        })
        .collect();
    list(format, &["entry", "time", "type", "by", "about"], &rows, &Value::Array(entries))?;
    Ok(Exit::Done)
}

fn show(args: &EntryArgs, format: Format) -> Result<Exit> {
    let (sequence, entries) = (args.sequence, entries_from(&args.target, args.sequence, 1)?);
    let Some(entry) = entries.first() else {
        return Err(Fault::usage(
            format!("the log has no entry {sequence}"),
            "see `cleanroom audit log` for the entries",
        ));
    };
    if format == Format::Json {
        print(&entry.to_string())?;
    } else {
        print(&serde_json::to_string_pretty(entry).unwrap_or_else(|_| entry.to_string()))?;
    }
    Ok(Exit::Done)
}

fn prove(args: &EntryArgs) -> Result<Exit> {
    let proof = match args.target.resolve()? {
        Target::Files(files, _) => block_on(async {
            let registry = files.records().await?;
            Ok(registry.proof(&files.room().name, args.sequence).await?)
        })?,
        Target::Server(client, room) => {
            let path = format!("{}/log/proof/{}", room_path(&client, room.as_deref())?, args.sequence);
            let body = client.fetch(&path, "text/plain")?.body;
            String::from_utf8(body).map_err(|_| Fault::failure("the server sent a proof that is not text", ""))?
        }
    };
    print(&proof)?;
    Ok(Exit::Done)
}

fn verify(args: &VerifyArgs, format: Format) -> Result<Exit> {
    let keys = args.keys.iter().map(|key| verifier_key(key)).collect::<Result<Vec<_>>>()?;
    let members = args.members.iter().map(|key| verifier_key(key)).collect::<Result<Vec<_>>>()?;
    let witnesses = args.witnessed.policies()?;
    let kept = args.kept.iter().map(|file| evidence::kept(file)).collect::<Result<Vec<_>>>()?;
    let against = Against { keys: &keys, members: &members, witnesses: &witnesses, kept: &kept };
    let reports = verify_against(&args.directory, &against).map_err(|error| {
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

/// A key as text, or the file that holds it.
pub(super) fn verifier_key(text: &str) -> Result<Key> {
    let wrong = |error| {
        Fault::usage(format!("`--key`: {error}"), "give the one line of the log's file `log.pub`, or that file")
    };
    if Path::new(text).is_file() {
        return read_document(Path::new(text))?.trim_end().parse().map_err(wrong);
    }
    text.parse().map_err(wrong)
}

/// All entries of the log.
fn entries(target: &TargetArgs) -> Result<Vec<Value>> {
    entries_from(target, 0, u64::MAX)
}

fn entries_from(target: &TargetArgs, from: u64, limit: u64) -> Result<Vec<Value>> {
    match target.resolve()? {
        Target::Files(files, _) => block_on(stored_entries(&files, from, limit)),
        Target::Server(client, room) => {
            let room = room_path(&client, room.as_deref())?;
            served_entries(&client, &room, from, limit)
        }
    }
}

async fn stored_entries(files: &RoomFiles, from: u64, limit: u64) -> Result<Vec<Value>> {
    let registry = files.records().await?;
    let mut entries = Vec::new();
    let mut next = from;
    loop {
        let page = registry.log_entries(&files.room().name, next, PAGE.min(limit)).await?;
        let Some(last) = page.last() else { break };
        next = last.sequence.saturating_add(1);
        for entry in &page {
            entries.push(parse(&entry.json)?);
        }
        if entries.len() as u64 >= limit {
            break;
        }
    }
    registry.close().await;
    Ok(entries)
}

fn served_entries(client: &Client, room: &str, from: u64, limit: u64) -> Result<Vec<Value>> {
    let mut entries: Vec<Value> = Vec::new();
    loop {
        let next = from.saturating_add(entries.len() as u64);
        let page = client.get(&format!("{room}/log/entries?from={next}&limit={}", PAGE.min(limit)))?;
        let page = page.get("entries").and_then(Value::as_array).cloned().unwrap_or_default();
        if page.is_empty() {
            return Ok(entries);
        }
        entries.extend(page);
        if entries.len() as u64 >= limit {
            return Ok(entries);
        }
    }
}

fn parse(json: &str) -> Result<Value> {
    serde_json::from_str(json)
        .map_err(|_| Fault::failure("an entry of the log is not JSON", "run `cleanroom audit verify`"))
}

pub(super) fn text(entry: &Value, key: &str) -> String {
    entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

pub(super) fn actor(entry: &Value) -> String {
    let actor = entry.get("actor");
    let part = |key: &str| actor.and_then(|actor| actor.get(key)).and_then(Value::as_str);
    part("partner").or_else(|| part("door")).unwrap_or_default().to_owned()
}

/// What an entry is about, in a few words.
pub(super) fn summary(entry: &Value) -> String {
    let Some(body) = entry.get("body").and_then(Value::as_object) else {
        return String::new();
    };
    let mut words: Vec<String> =
        ["name", "table", "version", "status", "code", "outcome", "to", "format", "partner", "role"]
            .iter()
            .filter_map(|key| {
                body.get(*key).map(|value| value.as_str().map_or_else(|| format!("{key} {value}"), str::to_owned))
            })
            .collect();
    let name = |template: &Value| template.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(template) = body.get("template") {
        words.push(format!("through {}", name(template)));
    }
    if let Some(templates) = body.get("templates").and_then(Value::as_array) {
        words.push(format!("approves {}", templates.iter().map(name).collect::<Vec<_>>().join(", ")));
    }
    let request = text(entry, "request");
    if !request.is_empty() {
        words.push(format!("query {request}"));
    }
    words.join(", ")
}
