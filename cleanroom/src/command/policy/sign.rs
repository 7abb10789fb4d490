//! `cleanroom policy sign`

use std::path::PathBuf;

use clap::Args;
use cleanroom_keys::SigningKey;
use cleanroom_log::{Algorithm, Digest, TemplateReference, signed_note};
use cleanroom_policy::{Policy, RoomName};
use cleanroom_registry::policy_statement;
use serde_json::json;

use crate::command::keys::signer;
use crate::embedded::RoomFiles;
use crate::exit::Exit;
use crate::fault::{Fault, Result};
use crate::output::{Format, Sink, list};
use crate::signature_file;

#[derive(Debug, Args)]
pub(in crate::command) struct SignArgs {
    /// The policy
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The room it is for: its file, or its name
    #[arg(long, value_name = "FILE|NAME")]
    room: String,

    /// The owner's signing key, of `cleanroom keys new signing`
    #[arg(long, value_name = "FILE")]
    key: PathBuf,

    /// Writes the signature elsewhere than beside the policy
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(args: &SignArgs, format: Format) -> Result<Exit> {
    let policy = super::read(&args.file)?.policy;
    let path = PathBuf::from(&args.room);
    let files = if path.is_file() { Some(RoomFiles::open(&path, None)?) } else { None };
    let room = match &files {
        Some(files) => files.room().name.clone(),
        None => RoomName::new(&args.room)
            .map_err(|error| Fault::usage(format!("`--room`: {error}"), "give the room's file, or its name"))?,
    };
    let templates = approved(&policy, files.as_ref())?;
    let key = SigningKey::load(&args.key).map_err(|error| Fault::usage(error, ""))?;
    let (public, sign) = signer(&key, policy.table.owner())?;
    let statement = policy_statement(&room, &policy, &templates)?;
    let note = signed_note(&statement, &public, &sign(&statement));
    let output = args.output.clone().unwrap_or_else(|| signature_file::beside(&args.file));
    Sink::new(Some(output.clone())).write(note.as_bytes())?;
    let signed = [policy.table.to_string(), policy.version.to_string(), room.to_string(), output.display().to_string()];
    let value = json!({
        "table": signed[0], "version": policy.version, "room": signed[2], "digest": policy.digest(),
        "key": public.to_string(), "file": signed[3],
    });
    list(format, &["table", "version", "room", "signature"], &[signed.to_vec()], &value)?;
    Ok(Exit::Done)
}

/// The templates that the policy approves, by content: what is approved under a bare name is what lies beside the room.
fn approved(policy: &Policy, files: Option<&RoomFiles>) -> Result<Vec<TemplateReference>> {
    let known = files.map(RoomFiles::templates).transpose()?.unwrap_or_default();
    let approvals = policy.access.templates.iter().flatten();
    approvals
        .map(|approval| {
            let here =
                || known.iter().find(|file| file.template.name == approval.name).map(|file| file.template.digest());
            let digest = approval.digest.clone().or_else(here).ok_or_else(|| {
                Fault::usage(
                    format!("it is not known which template `{}` the policy approves", approval.name),
                    format!(
                        "approve it by its digest (`{}@DIGEST`), or give the room's file by `--room`",
                        approval.name
                    ),
                )
            })?;
            let digest = Digest::from_hex(Algorithm::Sha256, &digest).map_err(|error| Fault::usage(error, ""))?;
            Ok(TemplateReference { name: approval.name.to_string(), digest })
        })
        .collect()
}
