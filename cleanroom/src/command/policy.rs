//! `cleanroom policy`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use cleanroom_policy::{Document, DocumentError, Room, check_policy_in_room, parse_documents};
use serde_json::json;

use crate::embedded::{RoomFiles, read_document};
use crate::exit::Exit;
use crate::fault::{Fault, Result};
use crate::output::{Format, list};

#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Reads documents and reports everything that is wrong with them
    Check(CheckArgs),
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Policies, rooms or templates
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// Checks the policies against this room as well: its tables and partners
    #[arg(long, value_name = "FILE")]
    room: Option<PathBuf>,
}

pub(super) fn run(command: &PolicyCommand, format: Format) -> Result<Exit> {
    let PolicyCommand::Check(args) = command;
    let room = args.room.as_deref().map(|path| RoomFiles::open(path, None)).transpose()?;
    let (mut errors, mut rows, mut checked) = (Vec::new(), Vec::new(), Vec::new());
    for path in &args.files {
        let label = path.display().to_string();
        match parse_documents(&label, &read_document(path)?) {
            Err(mut found) => errors.append(&mut found),
            Ok(documents) => {
                for document in &documents {
                    let (kind, name, more) = describe(document);
                    errors.append(&mut in_room(document, room.as_ref().map(RoomFiles::room), &label));
                    checked.push(json!({ "file": label, "kind": kind, "name": name, "more": more }));
                    rows.push(vec![label.clone(), kind.to_owned(), name, more]);
                }
            }
        }
    }
    if !errors.is_empty() {
        return Err(Fault::documents(errors));
    }
    list(format, &["file", "kind", "name", ""], &rows, &json!({ "checked": checked }))?;
    Ok(Exit::Done)
}

fn describe(document: &Document) -> (&'static str, String, String) {
    match document {
        Document::Room(room) => ("Room", room.name.to_string(), format!("{} partners", room.partners.len())),
        Document::Policy(policy) => ("Policy", policy.table.to_string(), format!("version {}", policy.version)),
        Document::Template(template) => {
            ("Template", template.name.to_string(), format!("{} parameters", template.parameters.len()))
        }
    }
}

fn in_room(document: &Document, room: Option<&Room>, label: &str) -> Vec<DocumentError> {
    match (document, room) {
        (Document::Policy(policy), Some(room)) => {
            check_policy_in_room(room, policy).into_iter().map(|error| error.in_file(label)).collect()
        }
        _ => Vec::new(),
    }
}
