//! `cleanroom audit receipt`

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use cleanroom_verify::{Covers, read_json, verify_receipt_witnessed};
use serde_json::{Value, json};

use super::verifier_key;
use crate::command::evidence::{self, WitnessedArgs};
use crate::embedded::read_document;
use crate::exit::Exit;
use crate::fault::{Fault, Result};
use crate::output::{Format, print};

/// The first words of a receipt that stands by itself.
const PROOF: &str = "c2sp.org/tlog-proof@";

#[derive(Debug, Subcommand)]
pub(in crate::command) enum ReceiptCommand {
    /// Verifies, offline, that an answer is the one that the log records, and that the log was signed by its key
    Verify(ReceiptArgs),
}

#[derive(Debug, Args)]
pub(in crate::command) struct ReceiptArgs {
    /// A receipt as `query --receipt` writes it, or an answer as `query --format json` prints it
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The answer that a receipt is of, as `query --format json` printed it; without it only the record is verified
    #[arg(long, value_name = "FILE")]
    result: Option<PathBuf>,

    /// Public key of the room's log, or a file that holds it (`log.pub`)
    #[arg(long, value_name = "KEY|FILE")]
    key: String,

    #[command(flatten)]
    witnessed: WitnessedArgs,

    /// Checkpoints that somebody kept; one over the same entries as the receipt's lends it its cosignatures
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "witness_policies")]
    kept: Vec<PathBuf>,
}

pub(super) fn run(command: &ReceiptCommand, format: Format) -> Result<Exit> {
    let ReceiptCommand::Verify(args) = command;
    let key = verifier_key(&args.key)?;
    let policies = args.witnessed.policies()?;
    let kept = args.kept.iter().map(|file| evidence::kept(file)).collect::<Result<Vec<_>>>()?;
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
    let found = verify_receipt_witnessed(&proof, answer.as_ref(), &key, &policies, &kept);
    if format == Format::Json {
        let (verified, finding) = (found.as_ref().ok(), found.as_ref().err());
        let covers = verified.map(|verified| match verified.covers {
            Covers::Answer => "answer",
            Covers::Record => "record",
        });
        let value = json!({
            "verified": found.is_ok(), "log": key.name(), "index": verified.map(|verified| verified.index),
            "size": verified.map(|verified| verified.size), "covers": covers, "finding": finding,
        });
        print(&value.to_string())?;
    } else {
        print(&match &found {
            Ok(verified) => {
                let what = match verified.covers {
                    Covers::Answer => "the answer, every row of it, is the one recorded in",
                    Covers::Record => "the record is in",
                };
                format!("verified: {what} the log `{}` of {} entries", key.name(), verified.size)
            }
            Err(finding) => format!("NOT verified: {finding}"),
        })?;
    }
    Ok(if found.is_ok() { Exit::Done } else { Exit::NotVerified })
}

fn answer(file: &Path) -> Result<Value> {
    read_json(read_document(file)?.as_bytes()).map_err(|error| {
        let what = if error.is_data() { "is not read" } else { "is not JSON" };
        Fault::usage(
            format!("`{}` {what}: {error}", file.display()),
            "give the object that `cleanroom query --format json` printed",
        )
    })
}
