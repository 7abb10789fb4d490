//! What an auditor brings along: policies of witnesses, and what was kept of a log.

use std::path::{Path, PathBuf};

use clap::Args;
use cleanroom_verify::{Kept, WitnessPolicy, read_json};
use serde_json::Value;

use crate::embedded::read_document;
use crate::fault::{Fault, Result};

/// Who must have cosigned.
#[derive(Debug, Args)]
pub(super) struct WitnessedArgs {
    /// Witnesses that must have cosigned, and how many of them: a C2SP tlog-policy file. Cosignatures are looked for in what the log
    /// shows and in files given by `--kept`, so a log whose server asks no witnesses passes with a checkpoint of `audit cosign`
    #[arg(long = "witness-policy", value_name = "FILE")]
    witness_policies: Vec<PathBuf>,
}

impl WitnessedArgs {
    pub(super) fn policies(&self) -> Result<Vec<WitnessPolicy>> {
        self.witness_policies.iter().map(|file| policy(file)).collect()
    }
}

/// A policy of witnesses.
pub(super) fn policy(file: &Path) -> Result<WitnessPolicy> {
    read_document(file)?.parse().map_err(|error| {
        Fault::usage(
            format!("`{}`, {error}", file.display()),
            "write lines `witness NAME KEY`, `group NAME all|any|N NAME...` and one `quorum NAME`",
        )
    })
}

/// A checkpoint, a receipt, or an answer with its receipt in it.
pub(super) fn kept(file: &Path) -> Result<Kept> {
    let text = read_document(file)?;
    let answer = read_json(text.as_bytes()).ok();
    let proof = answer.as_ref().and_then(|answer| answer.get("receipt").unwrap_or(answer).get("proof"));
    let text = proof.and_then(Value::as_str).unwrap_or(&text);
    Kept::read(&file.display().to_string(), text).map_err(|error| {
        Fault::usage(
            format!("`{}`: {error}", file.display()),
            "give a checkpoint, a receipt, or an answer as `query --format json` printed it",
        )
    })
}
