//! `cleanroom audit receipt`

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use cleanroom_log::{Checkpoint, InclusionProof, ReceiptExtra, VerifierKey, result_commitment};
use serde_json::{Value, json};

use super::audit::{text, verifier_key};
use crate::embedded::read_document;
use crate::exit::Exit;
use crate::fault::{Fault, Result};
use crate::output::{Format, print};

/// The first words of a receipt that stands by itself.
const PROOF: &str = "c2sp.org/tlog-proof@";

#[derive(Debug, Subcommand)]
pub(super) enum ReceiptCommand {
    /// Verifies, offline, that an answer is the one that the log records, and that the log was signed by its key
    Verify(ReceiptArgs),
}

#[derive(Debug, Args)]
pub(super) struct ReceiptArgs {
    /// A receipt as `query --receipt` writes it, or an answer as `query --format json` prints it
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The answer that a receipt is of, as `query --format json` printed it; without it only the record is verified
    #[arg(long, value_name = "FILE")]
    result: Option<PathBuf>,

    /// Public key of the room's log, or a file that holds it (`log.pub`)
    #[arg(long, value_name = "KEY|FILE")]
    key: String,
}

pub(super) fn run(command: &ReceiptCommand, format: Format) -> Result<Exit> {
    let ReceiptCommand::Verify(args) = command;
    let key = verifier_key(&args.key)?;
    let given = read_document(&args.file)?;
    let (proof, answer) = if given.starts_with(PROOF) {
        (given, args.result.as_ref().map(|file| answer(file)).transpose()?)
    } else {
        let answer = answer(&args.file)?;
        let proof = answer.get("receipt").unwrap_or(&answer).get("proof").and_then(Value::as_str);
        let proof = proof.map(str::to_owned).ok_or_else(|| {
            Fault::usage(
                format!("`{}` holds no receipt", args.file.display()),
                "give a file of `cleanroom query --receipt`, or the object that `cleanroom query --format json` printed",
            )
        })?;
        match &args.result {
            Some(result) => (proof, Some(self::answer(result)?)),
            // A receipt alone, cut out of an answer.
            None => (proof, answer.get("outcome").is_some().then_some(answer)),
        }
    };
    let found = verify(&proof, answer.as_ref(), &key);
    let finding = found.as_ref().err();
    let covers = found.as_ref().ok().map(|(_, covers)| covers.word());
    let size = found.as_ref().ok().map(|(checkpoint, _)| checkpoint.size);
    if format == Format::Json {
        print(
            &json!({ "verified": found.is_ok(), "log": key.origin().as_str(), "size": size, "covers": covers, "finding": finding })
                .to_string(),
        )?;
    } else {
        print(&match &found {
            Ok((checkpoint, covers)) => {
                format!("verified: {} the log `{}` of {} entries", covers.sentence(), key.origin(), checkpoint.size)
            }
            Err(finding) => format!("NOT verified: {finding}"),
        })?;
    }
    Ok(if found.is_ok() { Exit::Done } else { Exit::NotVerified })
}

fn answer(file: &Path) -> Result<Value> {
    serde_json::from_str(&read_document(file)?).map_err(|error| {
        Fault::usage(
            format!("`{}` is not JSON: line {}, column {}", file.display(), error.line(), error.column()),
            "give the object that `cleanroom query --format json` printed",
        )
    })
}

/// What a receipt was found to vouch for.
#[derive(Debug, Clone, Copy)]
enum Covers {
    /// The whole answer.
    Answer,
    /// That there is a record of the question's end, and for a refusal its code.
    Record,
}

impl Covers {
    fn word(self) -> &'static str {
        match self {
            Covers::Answer => "answer",
            Covers::Record => "record",
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Covers::Answer => "the answer, every row of it, is the one recorded in",
            Covers::Record => "the record is in",
        }
    }
}

fn verify(proof: &str, answer: Option<&Value>, key: &VerifierKey) -> std::result::Result<(Checkpoint, Covers), String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let proof: InclusionProof = proof.parse().map_err(|error| words(&error))?;
    let extra =
        proof.extra.as_deref().ok_or("the receipt has no `extra` line, so it does not say of which entry it is")?;
    let extra = ReceiptExtra::read(extra).map_err(|error| words(&error))?;
    let checkpoint = proof.verify(extra.entry.as_bytes(), key).map_err(|error| words(&error))?;
    let entry: Value = serde_json::from_str(&extra.entry).map_err(|_| "the entry is not JSON".to_owned())?;
    let committed = entry.get("body").and_then(|body| body.get("result")).and_then(Value::as_str);
    let nonce = extra.nonce().map_err(|error| words(&error))?;
    if committed.is_some() != nonce.is_some() {
        return Err("the receipt and its entry do not agree on whether there is a result".to_owned());
    }
    let Some(answer) = answer else {
        return Ok((checkpoint, Covers::Record));
    };
    let stated = answer.get("receipt").is_none_or(|stated| {
        let says = |key: &str, value: &Value| stated.get(key).is_none_or(|stated| stated == value);
        says("entry", &json!(extra.entry))
            && says("sequence", &json!(proof.index))
            && says("room", entry.get("room").unwrap_or(&Value::Null))
    });
    if !stated {
        return Err("the answer's `receipt` says something else than the proof in it".to_owned());
    }
    if answer.get("query_id").and_then(Value::as_str) != Some(text(&entry, "request").as_str()) {
        return Err("the entry is about another query".to_owned());
    }
    match (committed, nonce) {
        (Some(committed), Some(nonce)) => {
            let found = result_commitment(&nonce, answer).map_err(|error| words(&error))?;
            match found.to_string() == committed {
                true => Ok((checkpoint, Covers::Answer)),
                false => Err("the answer is not the one that was recorded".to_owned()),
            }
        }
        _ => match agrees(answer, &entry) {
            true => Ok((checkpoint, Covers::Record)),
            false => Err("the entry tells of another outcome".to_owned()),
        },
    }
}

/// Whether what is not an answer and its entry tell of the same outcome.
fn agrees(answer: &Value, entry: &Value) -> bool {
    let said = |key: &str| answer.get(key).and_then(Value::as_str);
    let code = answer.get("error").and_then(|error| error.get("code")).and_then(Value::as_str);
    let body = entry.get("body");
    let part = |key: &str| body.and_then(|body| body.get(key)).and_then(Value::as_str);
    let outcome = said("outcome");
    match text(entry, "type").as_str() {
        "query.outcome" => outcome == Some("failed") && part("code") == code,
        "query.refused" => matches!(outcome, Some("refused" | "exhausted" | "failed")) && part("code") == code,
        // A dry run shows no rows.
        "query.priced" => part("outcome") == outcome && answer.get("rows").is_none_or(|rows| rows == &json!([])),
        _ => false,
    }
}
